"""Distributions of whole numbers that were counted: batch sizes and lengths of queues."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.state import DEPTH_BITS
from layerweaver.backend_sim.results.latency import counted_percentiles, percentile_index

__all__ = ["depth_document", "size_document"]

_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def size_document(counts: Mapping[int, int]) -> dict[str, float | None]:
    """Mean, percentiles and maximum of the sizes of batches; None without a batch.

    Args:
        counts: How many batches of each size there were.
    """
    sizes = sorted(size for size, count in counts.items() if count)
    if not sizes:
        return dict.fromkeys(("mean", *_SHARES, "max"))
    below = np.cumsum([counts[size] for size in sizes])
    total = int(below[-1])
    found: dict[str, float | None] = {"mean": sum(size * counts[size] for size in sizes) / total}
    for name, share in _SHARES.items():
        found[name] = sizes[int(np.searchsorted(below, percentile_index(total, share), side="right"))]
    return found | {"max": sizes[-1]}


def depth_document(buckets: NDArray[np.int64]) -> dict[str, float | None]:
    """Percentiles and maximum of the lengths of a queue; None if nobody came.

    Args:
        buckets: Requests by :func:`layerweaver.backend_sim.engine.queues.depth_bucket` of what they found.
    """
    if not buckets.any():
        return dict.fromkeys((*_SHARES, "max"))
    shares = {**_SHARES, "max": 1.0}
    found = counted_percentiles(buckets, list(shares.values()), 1 << 62, bits=DEPTH_BITS)
    return {name: found[share] for name, share in shares.items()}
