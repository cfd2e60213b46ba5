"""Which networks to measure next: those that leave the least doubt about the latencies of all candidates.

A design made for the parameters picks networks that are unlike all others, and tells little of the others.
What is asked for is predictions: each network is chosen for how much its measurement narrows the spreads of
all candidates' predicted latencies, added up. A network that none resembles weighs as much as any, no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.calibration.fit import fit_point
from layerweaver.costmodel.calibration.parameters import BASE, parameters_of
from layerweaver.costmodel.calibration.work import NetworkWork
from layerweaver.costmodel.columns import LayerColumns
from layerweaver.costmodel.npu.config import NpuConfig

__all__ = ["suggest"]

EXPECTED_ERROR = 0.3
"""Spread of the logarithm of measured over predicted to be reckoned with before anything is known."""


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
        Rows of ``model``, ``predicted_ms`` and ``gain`` (by how much the mean spread of predictions, in
        logarithm, shrinks).
    """
    work = NetworkWork.collect([(columns, None) for columns in networks], config)
    shipped = work.latency_ms({})
    parameters = parameters_of(config, float(np.median(shipped)))
    free = [parameters[name] for name in BASE]
    jacobian = fit_point(work, free).jacobian * np.array([parameter.spread for parameter in free])
    rows: list[dict[str, Any]] = []
    left = list(range(len(networks)))
    known = np.eye(len(free))
    doubt = _doubt(jacobian, known)
    while left and len(rows) < count:
        trials = [known + np.outer(jacobian[index], jacobian[index]) / EXPECTED_ERROR**2 for index in left]
        doubts = [_doubt(jacobian, trial) for trial in trials]
        place = int(np.argmin(doubts))
        best, gain = left.pop(place), doubt - doubts[place]
        rows.append(
            {"model": models[best], "predicted_ms": float(shipped[best]), "gain": float(f"{gain:.4g}")}
        )
        known, doubt = trials[place], doubts[place]
    return rows


def _doubt(jacobian: NDArray[np.float64], known: NDArray[np.float64]) -> float:
    """Mean spread of the logarithms of the candidates' latencies.

    Args:
        jacobian: Change of each with each parameter, in spreads of its prior, shape (networks, parameters).
        known: Inverse of the parameters' covariance.
    """
    variances = np.einsum("ni,in->n", jacobian, np.linalg.solve(known, jacobian.T))
    return float(np.mean(np.sqrt(np.maximum(variances, 0.0))))
