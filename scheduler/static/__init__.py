"""What is decided before a run: woven schedules and decision tables."""
