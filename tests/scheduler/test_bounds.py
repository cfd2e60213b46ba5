from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from layerweaver.costmodel.machine import MachineSpec
from layerweaver.ir import ScenarioError
from layerweaver.scheduler.bounds import closed_loop_bound, mix_bound, pool_bound
from layerweaver.scheduler.offline import ModelProfile

Make = Callable[..., ModelProfile]
GIGA = 10**9


def test_mix_is_bound_by_the_busier_engine(make_model: Make) -> None:
    heavy = make_model("compute", [(90, 10)])
    light = make_model("memory", [(10, 50)])
    # Equal shares: compute (90 + 10) / 2 = 50 cycles per request, memory (10 + 50) / 2 = 30.
    assert mix_bound([[heavy], [light]], [1, 1]) == pytest.approx(GIGA / 50)
    # One to nine: compute 0.1 * 90 + 0.9 * 10 = 18, memory 0.1 * 10 + 0.9 * 50 = 46.
    assert mix_bound([[heavy], [light]], [3, 27]) == pytest.approx(GIGA / 46)


def test_batching_takes_the_least_of_each_resource_separately(make_model: Make) -> None:
    one = make_model("net", [(10, 40)])
    four = make_model("net", [(100, 60)], batch=4)
    # Compute is cheapest at batch 1 (10 per request), memory at batch 4 (60 / 4 = 15 per request).
    assert mix_bound([[one, four]], [1]) == pytest.approx(GIGA / 15)


def test_a_mix_without_work_has_no_bound(make_model: Make) -> None:
    assert mix_bound([[make_model("free", [(0, 0)])]], [1]) == math.inf


@pytest.mark.parametrize("shares", [[], [1, 2], [-1], [0], [math.nan]])
def test_shares_must_fit(make_model: Make, shares: list[float]) -> None:
    with pytest.raises(ScenarioError):
        mix_bound([[make_model("net", [(1, 1)])]], shares)


def test_closed_loops_fill_both_engines(make_model: Make) -> None:
    heavy = make_model("compute", [(80, 20)])
    light = make_model("memory", [(20, 80)])
    # Standalone 100 each. Compute 80 x + 20 y <= 1, memory 20 x + 80 y <= 1: x = y = 1/100, STP = 2.
    bound = closed_loop_bound([[heavy], [light]])
    assert bound.value == pytest.approx(2.0)
    assert bound.rates_qps == pytest.approx((GIGA / 100, GIGA / 100))
    # One client of each, thinking 100 ns: no more than one request per 200 ns each.
    thinking = closed_loop_bound([[heavy], [light]], concurrency=[1, 1], think_s=[1e-7, 1e-7])
    assert thinking.value == pytest.approx(1.0)


def test_a_closed_loop_without_limits_is_unbounded(make_model: Make) -> None:
    assert closed_loop_bound([[make_model("free", [(0, 0)])]], weights=[1.0]).value == math.inf


def test_a_pool_routes_each_tenant_where_it_is_cheap(make_model: Make) -> None:
    slow = MachineSpec.from_rates("slow", GIGA // 2, GIGA, 1000)
    fast_net, fast_other = make_model("net", [(10, 1)]), make_model("other", [(10, 1)])
    slow_net, slow_other = (
        make_model("net", [(10, 1)], machine=slow),
        make_model("other", [(40, 1)], machine=slow),
    )
    # The slow NPU needs 20 ns for net and 80 ns for other, the fast one 10 ns for both. Equal shares: the
    # slow one takes net only. Rate r: slow 20 a <= 1, fast 10 (r - a) <= 1, a <= r / 2: r = 1/20 + 1/10.
    menus = [[[fast_net], [fast_other]], [[slow_net], [slow_other]]]
    assert pool_bound(menus, [1, 1]) == pytest.approx(GIGA * 0.15)
    assert pool_bound(menus, [1, 1], counts=[2, 1]) == pytest.approx(GIGA * 0.25)
    one = pool_bound([[[fast_net], [fast_other]]], [1, 1])
    assert one == pytest.approx(mix_bound([[fast_net], [fast_other]], [1, 1]))


def test_a_tenant_that_fits_nowhere_bounds_the_pool_to_nothing(make_model: Make) -> None:
    assert pool_bound([[[make_model("net", [(1, 1)])], []]], [1, 1]) == 0.0
    with pytest.raises(ScenarioError):
        pool_bound([], [1])
