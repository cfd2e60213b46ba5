"""What one iteration of a language model costs, as tables."""
