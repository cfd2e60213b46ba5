"""What an operator's functions see of a node and answer: views, values, work, and the registry."""
