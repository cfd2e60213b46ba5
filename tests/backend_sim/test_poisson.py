"""LoadGen's schedules, nanosecond by nanosecond."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerweaver.backend_sim.traffic.poisson import (
    LOG_ERROR,
    ExponentialGaps,
    LoadGenPoisson,
    rounded_log,
)
from layerweaver.backend_sim.traffic.stream import take_all

DATA = Path(__file__).parent.parent / "data" / "mlperf"


@pytest.mark.parametrize(
    "path", sorted(DATA.glob("loadgen_server_schedule_*.csv")), ids=lambda path: path.stem
)
def test_every_nanosecond_of_loadgens_own_schedule(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    assert len(rows) == 5000
    stream = LoadGenPoisson(
        float(rows[0]["target_qps"]), int(rows[0]["seed"]), min_query_count=len(rows), min_duration_ns=0
    )
    assert take_all(stream).tolist() == [int(row["scheduled_ns"]) for row in rows]


def _twin(qps: float, seed: int, count: int, log: object) -> list[int]:
    """LoadGen's arithmetic, one draw at a time, with any logarithm."""
    generator = np.random.MT19937()
    generator._legacy_seeding(seed)
    gaps = []
    for _ in range(count):
        low, high = (int(word) for word in generator.random_raw(2))
        uniform = (low + high * 2.0**32) / 2.0**64
        if uniform >= 1.0:
            uniform = math.nextafter(1.0, 0.0)
        gaps.append(int(-log(1.0 - uniform) / qps * 1e9))  # type: ignore[operator]
    return gaps


@pytest.mark.parametrize("log", [math.log, np.log, rounded_log], ids=["libm", "numpy", "rounded"])
@pytest.mark.parametrize("qps", [0.01, 7.0, 300.0, 123456.789])
def test_no_nanosecond_hangs_on_whose_logarithm_it_is(qps: float, log: object) -> None:
    gaps = ExponentialGaps(qps, 5)
    ours = gaps.take(3000).tolist()
    theirs = _twin(qps, 5, 3000, log)
    differing = sum(one != two for one, two in zip(ours, theirs, strict=True))
    # Draws that hang on the last bits are counted; all others are the same with any logarithm.
    assert differing <= (gaps.decided_exactly if log is not rounded_log else 0)
    if qps > 1:
        assert differing == 0


def test_the_last_bits_decide_next_to_nothing_at_real_rates() -> None:
    gaps = ExponentialGaps(1000.0, 3)
    for _ in range(20):
        gaps.take(50_000)
    assert gaps.decided_exactly == 0


@given(st.floats(min_value=2.0**-53, max_value=1.0))
def test_the_granted_error_covers_the_logarithm_in_use(value: float) -> None:
    exact = rounded_log(value)
    assert abs(float(np.log(value)) - exact) <= LOG_ERROR / 4 * abs(exact)


@settings(max_examples=30)
@given(
    st.integers(1, 5000), st.integers(0, 2**64 - 1), st.lists(st.integers(1, 700), min_size=1, max_size=40)
)
def test_pieces_of_any_size_give_the_same_stream(count: int, seed: int, sizes: list[int]) -> None:
    whole = take_all(LoadGenPoisson(50.0, seed, min_query_count=count))
    stream = LoadGenPoisson(50.0, seed, min_query_count=count)
    pieces = []
    for turn in range(10_000):
        piece = stream.take(sizes[turn % len(sizes)])
        if not len(piece):
            break
        pieces.append(piece)
    assert np.concatenate(pieces).tolist() == whole.tolist()
    assert len(whole) == count
    assert whole[0] == 0


def test_queries_go_on_until_duration_and_count_both_hold() -> None:
    by_time = take_all(LoadGenPoisson(1000.0, 1, min_duration_ns=10**9))
    assert by_time[-2] < 10**9 <= by_time[-1]
    more = take_all(LoadGenPoisson(1000.0, 1, min_duration_ns=10**9, min_query_count=len(by_time) + 5))
    assert len(more) == len(by_time) + 5
    assert more[: len(by_time)].tolist() == by_time.tolist()


def test_only_the_lowest_32_bits_of_the_seed_count() -> None:
    one = take_all(LoadGenPoisson(10.0, 7, min_query_count=50))
    two = take_all(LoadGenPoisson(10.0, 7 + 2**32, min_query_count=50))
    assert one.tolist() == two.tolist()
