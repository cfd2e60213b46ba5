"""A scenario of one language model on a chip that is known by its times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

__all__ = ["CARD", "TIMINGS", "chat_scenario"]

CARD = {
    "name": "card",
    "clock_mhz": 1000,
    "array": {"rows": 128, "columns": 128, "dataflow": "ws"},
    "dram": {"bandwidth_gb_s": 1008},
    "sram": {"weights_mb": 10},
    "fits_activations": True,
}
TIMINGS = {
    "clock_mhz": 1000,
    "token_cycles": {"tokens": [1, 100], "cycles": [1000, 2000]},
    "sequence_cycles": {"sequences": [1, 2], "cycles": [40, 42]},
}


def chat_scenario(file: Path, timings: dict[str, Any] | None = None, **tenant: Any) -> dict[str, Any]:
    """Its keys; times are written to a file, keys of the tenant are changed or, by None, left out."""
    file.write_text(yaml.safe_dump(timings or TIMINGS))
    own = {
        "name": "chat",
        "model": {"timings": str(file)},
        "llm": {"kv": {"blocks": 100}},
        "lengths": {"prompt": 50, "output": 5},
        "arrival": {"kind": "poisson", "qps": 1000, "seed": 1},
    }
    changed = {key: value for key, value in {**own, **tenant}.items() if value is not None}
    return {"npu": CARD, "min_queries": 50, "tenants": [changed]}
