"""Confidence intervals over repetitions with other seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["confidence"]

_T95 = (0.0, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def _spread(values: Sequence[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    mean = math.fsum(known) / len(known)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in known) / (len(known) - 1))
    freedom = len(known) - 1
    factor = _T95[freedom] if freedom < len(_T95) else 1.96 + 2.4 / freedom
    half = factor * deviation / math.sqrt(len(known))
    return {"mean": mean, "sd": deviation, "low": mean - half, "high": mean + half}


def confidence(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean, standard deviation and 95% interval (Student's t) over the repetitions."""
    tenants = [
        {
            "name": first["name"],
            "qps": _spread([item["tenants"][index]["qps"] for item in documents]),
            "violation_rate": _spread([item["tenants"][index]["violation_rate"] for item in documents]),
            "latency_ms": {
                key: _spread([item["tenants"][index]["latency_ms"][key] for item in documents])
                for key in first["latency_ms"]
            },
        }
        for index, first in enumerate(documents[0]["tenants"])
    ]
    keys = ("stp", "antt", "fairness", "compute_utilization", "dram_utilization")
    system = {key: _spread([item["system"][key] for item in documents]) for key in keys}
    return {"level": 0.95, "tenants": tenants, "system": system}
