"""Which networks to measure next: those that tell most of the parameters (greedy D-optimal design).

A design made of sensitivities alone picks the strangest networks, and strange networks meet the compiler's
quirks. What few candidates contain is therefore counted against a candidate, and so is an extreme latency.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from layerweaver.costmodel.calibration.fit import fit_point
from layerweaver.costmodel.calibration.parameters import BASE, parameters_of
from layerweaver.costmodel.calibration.work import NetworkWork
from layerweaver.costmodel.columns import LayerColumns
from layerweaver.costmodel.npu.config import NpuConfig

__all__ = ["suggest"]

EXPECTED_ERROR = 0.3
"""Spread of the logarithm of measured over predicted to be reckoned with before anything is known."""
EXTREME = 0.2
"""What a network loses of its information for every factor e that it is longer or shorter than the median."""
QUIRK = 1.0
"""What a network whose operators no other candidate has loses of its information, at most."""


def suggest(
    config: NpuConfig, models: Sequence[str], networks: Sequence[LayerColumns], count: int
) -> list[dict[str, Any]]:
    """The networks to measure, most telling first.

    Args:
        config: The config to calibrate.
        models: Names of the candidates.
        networks: Their columns.
        count: How many to choose; all where there are no more.

    Returns:
        Rows of ``model``, ``predicted_ms`` and ``gain`` (in nats of the parameters' uncertainty).
    """
    work = NetworkWork.collect([(columns, None) for columns in networks], config)
    shipped = work.latency_ms({})
    parameters = parameters_of(config, float(np.median(shipped)))
    free = [parameters[name] for name in BASE]
    jacobian = fit_point(work, free).jacobian
    jacobian = jacobian * np.array([parameter.spread for parameter in free]) / EXPECTED_ERROR
    extreme = np.abs(np.log(shipped / np.median(shipped)))
    trust = np.array(_ordinary(networks)) * np.exp(-EXTREME * extreme)
    rows: list[dict[str, Any]] = []
    left = list(range(len(networks)))
    known = np.eye(len(free))
    while left and len(rows) < count:
        gains = []
        for index in left:
            row = jacobian[index] * trust[index]
            gains.append(0.5 * float(np.log1p(row @ np.linalg.solve(known, row))))
        best = left[int(np.argmax(gains))]
        rows.append(
            {"model": models[best], "predicted_ms": float(shipped[best]), "gain": float(f"{max(gains):.4g}")}
        )
        row = jacobian[best] * trust[best]
        known = known + np.outer(row, row)
        left.remove(best)
    return rows


def _ordinary(networks: Sequence[LayerColumns]) -> list[float]:
    """How ordinary each candidate is among all, 0 to 1: the least common of its operators says it."""
    sets = [
        {operator for layer in columns.graph.layers for operator in layer.operators} for columns in networks
    ]
    seen = Counter(operator for one in sets for operator in one)
    rarest = [min((seen[operator] for operator in one), default=1) / len(networks) for one in sets]
    return [1 - QUIRK * (1 - min(1.0, 2 * share)) for share in rarest]
