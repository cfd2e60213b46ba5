"""Latencies as counts in bins of equal ratio."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.outcome import DROPPED

__all__ = ["LATENCY_BINS", "SMALL_BINS", "latency_histogram"]

LATENCY_BINS = 96
"""Bins of what reports draw."""

SMALL_BINS = 20
"""Bins of what every result has."""

IntArray = NDArray[np.int64]


def latency_histogram(latency_ns: IntArray, bins: int = LATENCY_BINS) -> dict[str, Any]:
    """Counts of completed requests in bins of equal ratio from the least to the greatest latency.

    Returns:
        ``edges_ms`` (bins + 1), ``counts`` (bins) and ``dropped``. Each bin holds ``edge < latency <= next``;
        the first also holds its lower edge, so the counts add up to the completed requests.
    """
    done = latency_ns[latency_ns != DROPPED]
    dropped = int(len(latency_ns) - len(done))
    if not len(done):
        return {"edges_ms": [], "counts": [], "dropped": dropped}
    low, high = max(1, int(done.min())), max(1, int(done.max()))
    edges = np.unique(np.rint(np.geomspace(low, high, bins + 1)).astype(np.int64)) if high > low else None
    if edges is None or len(edges) < 2:
        edges = np.array([low - 1, high], dtype=np.int64)
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)
    place = np.clip(np.searchsorted(edges, done, side="left") - 1, 0, len(edges) - 2)
    counts = np.bincount(place, minlength=len(edges) - 1)
    return {"edges_ms": (edges / 1e6).tolist(), "counts": counts.tolist(), "dropped": dropped}
