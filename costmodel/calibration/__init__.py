"""Calibration: a config's parameters fitted to measured latencies, checked on networks held out."""
