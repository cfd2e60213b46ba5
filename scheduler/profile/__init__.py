"""The schedule profile and its file."""
