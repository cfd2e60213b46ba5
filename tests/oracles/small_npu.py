"""A small NPU for tests of what is said of a config."""

from __future__ import annotations

from typing import Any

__all__ = ["SMALL_NPU"]

SMALL_NPU: dict[str, Any] = {
    "name": "mine",
    "clock_mhz": 700,
    "precision_bytes": 1,
    "array": {"rows": 64, "columns": 64},
    "dram": {"bandwidth_gb_s": 25},
    "sram": {"weights_mb": 2, "activations_mb": 3},
}
