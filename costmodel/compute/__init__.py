"""Compute cycles: arrays, tiles, the vector unit, and the model that joins them."""
