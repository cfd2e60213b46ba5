"""How right predictions are: errors, intervals, and cross-validation over networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.calibration.baselines import BASELINES
from layerweaver.costmodel.calibration.choices import Choice, Problem, choose
from layerweaver.costmodel.calibration.fit import Fit
from layerweaver.costmodel.calibration.measurements import Measurement

__all__ = ["Inform", "cross_validate", "error_document", "interval_of", "score_document"]

FloatArray = NDArray[np.float64]
Inform = Callable[[Problem, Collection[str]], Problem]
"""Gives a problem as one may know it that has not seen some networks."""
FOLDS = 10
COVERAGE = 0.8
QUANTILE_OVER_MEDIAN = 1.9
"""80% quantile of the size of a normal variable, over the median of its size."""
NARROWEST = 1.01


def error_document(measured: FloatArray, predicted: FloatArray) -> dict[str, Any]:
    """Errors of predictions, as fractions, and how well they rank the networks."""
    relative = predicted / measured - 1
    size = np.sort(np.abs(relative))
    return {
        "count": len(measured),
        "mape": float(size.mean()),
        "median_ape": float(np.median(size)),
        "p90_ape": float(size[min(len(size) - 1, math.ceil(0.9 * len(size)) - 1)]),
        "bias": float(relative.mean()),
        "rank_correlation": _rank_correlation(measured, predicted),
    }


def _rank_correlation(one: FloatArray, other: FloatArray) -> float | None:
    """Spearman's; None where all values of one side are alike."""
    from scipy.stats import rankdata  # noqa: PLC0415 - loads on first use

    ranks = rankdata(one), rankdata(other)
    if any(np.ptp(rank) == 0 for rank in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def score_document(
    rows: Sequence[Measurement],
    measured: FloatArray,
    predicted: FloatArray,
    ratios: tuple[float, float] | None,
) -> dict[str, Any]:
    """Errors and one row per network.

    Args:
        rows: What was measured: names, batches and dimensions as in the file.
        measured: Milliseconds per image.
        predicted: Milliseconds per image.
        ratios: Ends of the 80% interval as shares of a prediction; None before calibration.
    """
    told = [
        {
            "model": row.name,
            "batch": row.batch,
            "dims": dict(row.dims),
            "measured_ms": real,
            "predicted_ms": guess,
            "low_ms": None if ratios is None else guess * ratios[0],
            "high_ms": None if ratios is None else guess * ratios[1],
        }
        for row, real, guess in zip(rows, measured.tolist(), predicted.tolist(), strict=True)
    ]
    return {**error_document(measured, predicted), "rows": told}


def interval_of(measured: FloatArray, held_out: FloatArray) -> tuple[float, float]:
    """Ends of the interval that holds 80% of networks, as shares of a prediction.

    Of a dozen held-out networks one or two decide the empirical quantile (the error, in logarithm, that
    ceil(0.8 (n + 1)) of n stay within), so it is tempered by what their median would mean were errors normal:
    the interval lies half-way between both, in logarithm (*ours*). Both ends are alike, since a dozen
    networks do not tell a bias from chance.
    """
    sizes = np.sort(np.abs(np.log(measured / held_out)))
    rank = min(len(sizes), math.ceil(COVERAGE * (len(sizes) + 1)))
    normal = QUANTILE_OVER_MEDIAN * float(np.median(sizes))
    high = max(NARROWEST, math.exp(math.sqrt(float(sizes[rank - 1]) * normal)))
    return float(f"{1 / high:.4g}"), float(f"{high:.4g}")


def folds_of(networks: Sequence[str]) -> NDArray[np.int64]:
    """Fold of each measurement: measurements of one network are held out together."""
    order = {name: index for index, name in enumerate(dict.fromkeys(networks))}
    return np.array([order[name] % min(FOLDS, len(order)) for name in networks], dtype=np.int64)


def cross_validate(
    problem: Problem,
    networks: Sequence[str],
    whole: tuple[Choice, Fit],
    shipped_ms: FloatArray,
    *,
    inform: Inform,
    tell: Callable[[float], None],
) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Predictions of networks by fits that did not see them, choices included.

    Args:
        problem: What is fitted.
        networks: The network of each measurement.
        whole: Choice and fit on everything, from which the fits of the folds set out; they choose again.
        shipped_ms: Predictions of the config as it was.
        inform: The problem as one may know it that has not seen some networks.
        tell: Told the share done.

    Returns:
        Held-out predictions per image, and those of every baseline.
    """
    folds = folds_of(networks)
    target = problem.target
    held_out = np.zeros(len(target.ms))
    others = {name: np.zeros(len(target.ms)) for name in BASELINES}
    plain = problem.work(problem.start())
    count = int(folds.max()) + 1
    for fold in range(count):
        tell(fold / count)
        mask = folds == fold
        rest = target.held_out(mask)
        blind = inform(problem, {name for name, out in zip(networks, mask.tolist(), strict=True) if out})
        choice, found = choose(blind, rest, whole, passes=2)
        predicted = problem.work(choice).latency_ms(found.values) / target.batch
        held_out[mask] = predicted[mask]
        for name, baseline in BASELINES.items():
            others[name][mask] = baseline(plain, rest, shipped_ms)[mask]
    return held_out, others
