"""Lengths of queues are counted in buckets that lose at most 3%."""

from __future__ import annotations

import numpy as np
import pytest

from layerweaver.backend_sim.engine.queues import depth_bucket
from layerweaver.backend_sim.engine.state import DEPTH_BUCKETS
from layerweaver.backend_sim.results.counts import depth_document, size_document


@pytest.mark.parametrize("waiting", [0, 1, 63, 64, 65, 127, 128, 1000, 4097, 10**6, 2**40 - 1])
def test_a_length_is_found_again_within_three_percent(waiting: int) -> None:
    buckets = np.zeros(DEPTH_BUCKETS, np.int64)
    buckets[depth_bucket(waiting)] = 1
    found = depth_document(buckets)["p50"]
    assert found is not None
    assert waiting <= found <= waiting * (1 if waiting < 64 else 1.0313)


def test_percentiles_of_counted_sizes_are_those_of_the_sizes() -> None:
    counts = {1: 90, 2: 9, 7: 1}
    sizes = sorted(size for size, count in counts.items() for _ in range(count))
    found = size_document(counts)
    assert found["mean"] == pytest.approx(np.mean(sizes))
    assert [found[name] for name in ("p50", "p90", "p99", "max")] == [sizes[50], sizes[90], sizes[99], 7]
    assert set(size_document({}).values()) == {None}
    assert set(depth_document(np.zeros(DEPTH_BUCKETS, np.int64)).values()) == {None}
