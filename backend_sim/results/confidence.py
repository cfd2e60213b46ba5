"""Confidence intervals over repetitions with other seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from layerweaver.backend_sim.results.metrics import (
    SYSTEM_METRICS,
    TENANT_METRICS,
    Metric,
    Shown,
    Value,
    shown,
)
from layerweaver.backend_sim.results.schema import Confidence, Run

__all__ = ["confidence"]

_T95 = (0.0, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
Spread: TypeAlias = dict[str, float] | None


def _spread(values: Sequence[Value]) -> Spread:
    known = [value for value in values if isinstance(value, (int, float))]
    if len(known) < 2:
        return None
    mean = math.fsum(known) / len(known)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in known) / (len(known) - 1))
    freedom = len(known) - 1
    factor = _T95[freedom] if freedom < len(_T95) else 1.96 + 2.4 / freedom
    half = factor * deviation / math.sqrt(len(known))
    return {"mean": mean, "sd": deviation, "low": mean - half, "high": mean + half}


def _spreads(metrics: Sequence[Metric], documents: Sequence[Mapping[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for metric in shown(metrics, Shown.SPREAD):
        group, _, last = metric.key.rpartition(".")
        inner = found.setdefault(group, {}) if group else found
        assert isinstance(inner, dict)
        inner[last] = _spread([metric.of(document) for document in documents])
    return found


def confidence(documents: Sequence[Run]) -> Confidence:
    """Mean, standard deviation and 95% interval (Student's t) over the repetitions."""
    tenants = [
        {"name": first["name"], **_spreads(TENANT_METRICS, [run["tenants"][index] for run in documents])}
        for index, first in enumerate(documents[0]["tenants"])
    ]
    system = _spreads(SYSTEM_METRICS, [run["system"] for run in documents])
    return {"level": 0.95, "tenants": tenants, "system": system}
