"""Replaying simulated completions through the official LoadGen."""
