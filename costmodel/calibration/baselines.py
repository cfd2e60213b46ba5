"""What a calibrated model has to beat: one scale, a line over multiply-accumulates, a regression on sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from layerweaver.costmodel.calibration.fit import Target
from layerweaver.costmodel.calibration.work import NetworkWork

__all__ = ["BASELINES", "Baseline"]

FloatArray = NDArray[np.float64]
Baseline = Callable[[NetworkWork, Target, FloatArray], FloatArray]
ROUNDS = 30


def _scale(_work: NetworkWork, target: Target, shipped_ms: FloatArray) -> FloatArray:
    """The uncalibrated model times one factor."""
    used = target.weight > 0
    factor = np.median(np.log(target.ms[used] / shipped_ms[used]))
    scaled: FloatArray = shipped_ms * np.exp(factor)
    return scaled


def _macs(work: NetworkWork, target: Target, _shipped_ms: FloatArray) -> FloatArray:
    """A + b times the multiply-accumulates."""
    return _relative(np.stack([np.ones(len(work.first)), work.per_network(work.macs)], 1), target)


def _regression(work: NetworkWork, target: Target, _shipped_ms: FloatArray) -> FloatArray:
    """Seven sums over layers, none with a negative coefficient."""
    ordinary = np.where(work.depthwise, 0.0, work.macs)
    sums = (
        ordinary,
        np.where(work.depthwise, work.macs, 0.0),
        work.weight_bytes,
        work.activation_bytes,
        work.operands.sum(axis=1),
        np.ones_like(work.macs),
    )
    columns = [work.per_network(values) for values in sums]
    return _relative(np.stack([np.ones(len(work.first)), *columns], 1), target)


def _relative(sums: FloatArray, target: Target) -> FloatArray:
    """Least absolute relative error by reweighted least squares without negative coefficients."""
    used = target.weight > 0
    per_inference = target.ms * target.batch
    rows = sums[used] / per_inference[used, None]
    size = np.maximum(rows.max(axis=0), 1e-300)
    weights = np.ones(len(rows))
    coefficients = np.zeros(sums.shape[1])
    for _ in range(ROUNDS):
        coefficients, _ = nnls(rows / size * weights[:, None], weights, maxiter=1000)
        errors = np.abs(rows / size @ coefficients - 1)
        weights = 1 / np.sqrt(np.maximum(errors, 0.01))
    predicted: FloatArray = np.maximum(sums / size @ coefficients, 1e-12) / target.batch
    return predicted


BASELINES: Mapping[str, Baseline] = {"scale": _scale, "macs": _macs, "regression": _regression}
"""Name to a function of networks, latencies and the uncalibrated prediction, which gives predictions."""
