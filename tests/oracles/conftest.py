"""What pytest must not import to look for examples in it."""

collect_ignore_glob = ["architectures_*.py"]
"""They need PyTorch, and only the tests of exporters ask for them."""
