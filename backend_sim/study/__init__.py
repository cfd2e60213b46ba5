"""Studies: simulate and compare, peak searches, certification, reproductions."""
