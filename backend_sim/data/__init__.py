"""Data that the simulator ships: MLPerf limits per model."""
