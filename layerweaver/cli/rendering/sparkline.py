"""Distributions in one line of text, for tables in a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["common_range", "sparkline"]

_BARS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-:=+*#"
_ALIKE = 1e-3
"""Latencies that lie within so small a share of each other are one bar: more would be bins of rounding."""


def common_range(histograms: Iterable[Mapping[str, Any]]) -> tuple[float, float] | None:
    """From the least to the greatest latency of several histograms, in ms; None if all are empty."""
    edges = [edge for histogram in histograms for edge in histogram["edges_ms"]]
    return (min(edges), max(edges)) if edges else None


def _rebinned(histogram: Mapping[str, Any], width: int, span_ms: tuple[float, float]) -> NDArray[np.float64]:
    """Counts of a histogram spread over ``width`` bins of equal ratio over a range."""
    edges = np.log(np.maximum(np.asarray(histogram["edges_ms"], dtype=np.float64), 1e-9))
    below = np.concatenate([[0.0], np.cumsum(histogram["counts"], dtype=np.float64)])
    low, high = (math.log(max(edge, 1e-9)) for edge in span_ms)
    if high - low < _ALIKE:
        return np.array([below[-1]])
    counts: NDArray[np.float64] = np.diff(np.interp(np.linspace(low, high, width + 1), edges, below))
    counts[counts < 1e-6] = 0.0
    return counts


def sparkline(
    source: Sequence[float] | NDArray[Any] | Mapping[str, Any],
    *,
    width: int = 16,
    ascii_only: bool = False,
    span_ms: tuple[float, float] | None = None,
) -> str:
    """A distribution as a row of bars; the highest bar is the most frequent bin, blanks are empty bins.

    Args:
        source: Values (negative ones, such as dropped requests, are left out), or a histogram with
            ``counts`` as :func:`~layerweaver.backend_sim.results.latency.latency_histogram` gives it.
        width: Characters.
        ascii_only: Use characters that every terminal has.
        span_ms: Range of a histogram with ``edges_ms`` to show, so that several can be compared.

    Returns:
        At most ``width`` characters; values are put into bins of equal ratio. Empty without values.
    """
    bars = _ASCII if ascii_only else _BARS
    if isinstance(source, Mapping):
        counts = np.asarray(source["counts"], dtype=np.float64)
        if not len(counts):
            return ""
        if span_ms is not None:
            return _drawn(_rebinned(source, width, span_ms), bars)
        edges = np.unique(np.linspace(0, len(counts), min(width, len(counts)) + 1).astype(np.intp))
        counts = np.add.reduceat(counts, edges[:-1])
    else:
        values = np.asarray(source, dtype=np.float64)
        values = values[np.isfinite(values) & (values >= 0)]
        if not len(values):
            return ""
        logs = np.log(np.maximum(values, 1e-9))
        low, high = float(logs.min()), float(logs.max())
        apart = high - low >= _ALIKE
        counts = np.histogram(logs, bins=width if apart else 1, range=(low, high if apart else low + 1))[0]
    return _drawn(np.asarray(counts, dtype=np.float64), bars)


def _drawn(counts: NDArray[np.float64], bars: str) -> str:
    top = counts.max()
    if top <= 0:
        return ""
    return "".join(
        " " if count == 0 else bars[min(len(bars) - 1, int(count / top * len(bars)))] for count in counts
    )
