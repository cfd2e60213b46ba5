"""Charts: one file per topic, each with its figure, its words and its table."""
