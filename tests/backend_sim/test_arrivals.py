"""Other sources: rates, shapes and the rule that ends them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from layerweaver.backend_sim.traffic.modulated import (
    ModulatedPoisson,
    RampedPoisson,
    burst_phases,
    two_state_phases,
)
from layerweaver.backend_sim.traffic.offline import AllAtOnce
from layerweaver.backend_sim.traffic.renewal import GammaArrivals, PeriodicArrivals
from layerweaver.backend_sim.traffic.stream import (
    NS_PER_S,
    Stopping,
    TimeStream,
    derive_seed,
    take_all,
)

TEN_SECONDS = Stopping(10 * NS_PER_S)
MAKERS: dict[str, Callable[[Stopping], TimeStream]] = {
    "gamma": lambda stop: GammaArrivals(1000.0, 2.0, 1, stop),
    "mmpp": lambda stop: ModulatedPoisson(two_state_phases((500, 1500), (0.05, 0.05), 1), 1, stop),
    "bursts": lambda stop: ModulatedPoisson(burst_phases((500, 3000), NS_PER_S, NS_PER_S // 5), 1, stop),
    "ramp": lambda stop: RampedPoisson((0, 2000), 10 * NS_PER_S, 1, stop),
    "periodic": lambda stop: PeriodicArrivals(10**6, 5 * 10**6, 1, stop),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_times_ascend_keep_the_mean_rate_and_repeat(make: Callable[[Stopping], TimeStream]) -> None:
    times = take_all(make(TEN_SECONDS))
    assert (np.diff(times) >= 0).all()
    assert times[-1] < 10 * NS_PER_S
    assert 9_000 < len(times) < 11_000
    again = make(TEN_SECONDS)
    pieces = [again.take(count) for count in (1, 10, 5000, 100_000)]
    assert np.concatenate(pieces).tolist() == times.tolist()


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_a_least_number_goes_past_the_duration_and_a_largest_cuts(
    make: Callable[[Stopping], TimeStream],
) -> None:
    assert len(take_all(make(Stopping(NS_PER_S // 10, min_queries=2345)))) == 2345
    assert len(take_all(make(Stopping(None, max_queries=17)))) == 17


@pytest.mark.parametrize("cv", [0.2, 1.0, 3.0])
def test_gamma_has_the_coefficient_of_variation_asked_for(cv: float) -> None:
    gaps = np.diff(take_all(GammaArrivals(1000.0, cv, 4, Stopping(0, 100_000))))
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.05)


def test_a_ramp_rises_linearly_and_one_to_zero_ends() -> None:
    up = np.histogram(take_all(RampedPoisson((0, 2000), 10 * NS_PER_S, 2, TEN_SECONDS)), 5)[0]
    assert up.tolist() == pytest.approx([400, 1200, 2000, 2800, 3600], rel=0.12)
    down = take_all(RampedPoisson((2000, 0), NS_PER_S, 2, TEN_SECONDS))
    assert 900 < len(down) < 1100
    assert down[-1] < NS_PER_S


def test_bursts_fall_into_the_start_of_every_period() -> None:
    phases = burst_phases((0, 5000), NS_PER_S, NS_PER_S // 10)
    times = take_all(ModulatedPoisson(phases, 3, TEN_SECONDS))
    assert (times % NS_PER_S < NS_PER_S // 10).all()
    assert 4500 < len(times) < 5500


def test_periodic_without_jitter_is_exact() -> None:
    assert take_all(PeriodicArrivals(250, 0, 1, Stopping(1000))).tolist() == [0, 250, 500, 750]


def test_offline_is_all_at_once() -> None:
    assert take_all(AllAtOnce(100_000)).tolist() == [0] * 100_000


def test_derived_seeds_differ() -> None:
    assert len({derive_seed(seed, index) for seed in range(20) for index in range(200)}) == 4000
