"""Scenario files: their keys, reading and checks."""
