"""Naive twins of what is fast, written independently of it."""
