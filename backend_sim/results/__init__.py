"""Result documents: their schema, metrics, verdicts and files."""
