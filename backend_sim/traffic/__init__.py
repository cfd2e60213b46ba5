"""Arrivals: one file per family of arrival kinds, with its keys, its rate and its source."""
