"""Latencies as counts in bins of equal ratio."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.outcome import DROPPED

__all__ = ["LATENCY_BINS", "SMALL_BINS", "latency_histogram"]

LATENCY_BINS = 96
"""Bins of what reports draw."""

SMALL_BINS = 20
"""Bins of what every result has."""

_PIECE = 1 << 16
_NEVER = 2**62

IntArray = NDArray[np.int64]


def latency_histogram(latency_ns: IntArray, bins: int = LATENCY_BINS) -> dict[str, Any]:
    """Counts of completed requests in bins of equal ratio from the least to the greatest latency.

    Returns:
        ``edges_ms`` (bins + 1), ``counts`` (bins) and ``dropped``. Each bin holds ``edge < latency <= next``;
        the first also holds its lower edge, so the counts add up to the completed requests.
    """
    dropped, low, high = 0, _NEVER, -1
    for done in _pieces(latency_ns):
        dropped -= len(done)
        if len(done):
            low, high = min(low, int(done.min())), max(high, int(done.max()))
    dropped += len(latency_ns)
    if high < 0:
        return {"edges_ms": [], "counts": [], "dropped": dropped}
    low, high = max(1, low), max(1, high)
    edges = np.unique(np.rint(np.geomspace(low, high, bins + 1)).astype(np.int64)) if high > low else None
    if edges is None or len(edges) < 2:
        edges = np.array([low - 1, high], dtype=np.int64)
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)
    counts = np.zeros(len(edges) - 1, np.int64)
    for done in _pieces(latency_ns):
        place = np.clip(np.searchsorted(edges, done, side="left") - 1, 0, len(edges) - 2)
        counts += np.bincount(place, minlength=len(edges) - 1)
    return {"edges_ms": (edges / 1e6).tolist(), "counts": counts.tolist(), "dropped": dropped}


def _pieces(latency_ns: IntArray) -> Iterator[IntArray]:
    """The latencies of completed requests, piece by piece: ten million need no second array."""
    for start in range(0, len(latency_ns), _PIECE):
        piece = latency_ns[start : start + _PIECE]
        yield piece[piece != DROPPED]
