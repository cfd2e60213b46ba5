"""Shipped NPU configs, one YAML file each; every figure names its source."""
