"""Damaged and hostile models, and the bounds within which they must be dealt with."""
