"""The two-timeline machine, and compiling plain functions for it."""
