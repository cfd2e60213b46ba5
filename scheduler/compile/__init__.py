"""From model files to a schedule profile."""
