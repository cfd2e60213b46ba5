"""Percentiles of latencies: exact up to ten million, then from counts with a bounded relative error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.outcome import is_done
from layerweaver.backend_sim.results.schema.details import Histogram
from layerweaver.backend_sim.results.schema.token import Latency

__all__ = [
    "EXACT_LIMIT",
    "LATENCY_BINS",
    "SHARES",
    "SKETCH_ERROR",
    "SMALL_BINS",
    "LatencySummary",
    "counted_percentiles",
    "latency_document",
    "latency_histogram",
    "milliseconds",
    "percentile_index",
    "summarise",
]

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
"""Percentiles that every result has."""

EXACT_LIMIT = 10_000_000
"""Up to so many requests all latencies are sorted."""

_SKETCH_BITS = 11

SKETCH_ERROR = 2.0**-_SKETCH_BITS
"""Largest relative error of a percentile beyond :data:`EXACT_LIMIT`; the sketch never reports too little."""

_PIECE = 1 << 20


def percentile_index(count: int, share: float) -> int:
    """Place of a percentile in ascending order: ``min(n - 1, floor(n p))``, the product in double."""
    return min(count - 1, int(count * share))


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Mean, maximum and percentiles of latencies in ns; None where there is no request.

    Attributes:
        count: Number of latencies.
        mean_ns: Mean.
        max_ns: Maximum, always exact.
        percentiles_ns: By share, in (0, 1).
        exact: Whether the percentiles are exact; otherwise within :data:`SKETCH_ERROR`.
    """

    count: int
    mean_ns: float | None
    max_ns: int | None
    percentiles_ns: dict[float, int | None]
    exact: bool


def summarise(
    latency_ns: NDArray[np.int64], shares: Sequence[float], *, exact_limit: int = EXACT_LIMIT
) -> LatencySummary:
    """Summarise latencies, all of them >= 0.

    Args:
        latency_ns: Shape (n,), ns; left as it is.
        shares: Percentiles wanted, as shares in (0, 1).
        exact_limit: Beyond so many latencies the sketch is used.
    """
    count = len(latency_ns)
    if count == 0:
        return LatencySummary(0, None, None, dict.fromkeys(shares), True)
    mean_ns = float(int(latency_ns.sum()) / count)
    max_ns = int(latency_ns.max())
    found: dict[float, int | None] = {}
    if count <= exact_limit:
        places = {share: percentile_index(count, share) for share in shares}
        ordered = np.partition(latency_ns, sorted(set(places.values())))
        found.update({share: int(ordered[place]) for share, place in places.items()})
        return LatencySummary(count, mean_ns, max_ns, found, True)
    buckets = np.zeros(64 << _SKETCH_BITS, np.int64)
    for start in range(0, count, _PIECE):
        buckets += np.bincount(_bucket(latency_ns[start : start + _PIECE]), minlength=len(buckets))
    found.update(counted_percentiles(buckets, shares, max_ns))
    return LatencySummary(count, mean_ns, max_ns, found, False)


def counted_percentiles(
    buckets: NDArray[np.int64], shares: Sequence[float], most: int, *, bits: int = _SKETCH_BITS
) -> dict[float, int]:
    """Percentiles of values that were only counted, in buckets of their leading bits; at most too large.

    Args:
        buckets: Values counted by their leading ``bits + 1`` bits.
        shares: Percentiles wanted, as shares in (0, 1).
        most: The largest value.
        bits: Bits kept after the leading one.
    """
    below = np.cumsum(buckets)
    found = {}
    for share in shares:
        place = int(np.searchsorted(below, percentile_index(int(below[-1]), share), side="right"))
        found[share] = min(_upper(place, bits), most)
    return found


def _bucket(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bucket of a value: its leading bits, exact integers below 2^12."""
    _, exponents = np.frexp(values.astype(np.float64))
    shift = np.maximum(exponents.astype(np.int64) - _SKETCH_BITS - 1, 0)
    # A value just below a power of two may round up in double; its leading bits still come out right.
    buckets: NDArray[np.int64] = (shift << _SKETCH_BITS) + (values >> shift)
    return buckets


def _upper(bucket: int, bits: int) -> int:
    """The largest value of a bucket."""
    shift = max((bucket >> bits) - 1, 0)
    return ((bucket - (shift << bits) + 1) << shift) - 1


def milliseconds(time_ns: float | None) -> float | None:
    """Nanoseconds as results state them; None where there is no time."""
    return None if time_ns is None else time_ns / 1e6


def latency_document(summary: LatencySummary) -> Latency:
    """A summary, of all of :data:`SHARES`, as results state it."""
    p50, p90, p99, p999 = (milliseconds(summary.percentiles_ns[share]) for share in SHARES.values())
    return {
        "mean": milliseconds(summary.mean_ns),
        "p50": p50,
        "p90": p90,
        "p99": p99,
        "p999": p999,
        "max": milliseconds(summary.max_ns),
    }


LATENCY_BINS = 96
"""Bins of what reports draw."""

SMALL_BINS = 20
"""Bins of what every result has."""

_HISTOGRAM_PIECE = 1 << 16
_NEVER = 2**62
IntArray = NDArray[np.int64]


def latency_histogram(latency_ns: IntArray, bins: int = LATENCY_BINS) -> Histogram:
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
    for start in range(0, len(latency_ns), _HISTOGRAM_PIECE):
        piece = latency_ns[start : start + _HISTOGRAM_PIECE]
        yield piece[is_done(piece)]
