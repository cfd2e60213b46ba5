"""Studies: one scenario over axes of configs, mixes, policies, loads and seeds."""
