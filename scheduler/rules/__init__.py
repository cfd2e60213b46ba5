"""Rules that several policies share."""
