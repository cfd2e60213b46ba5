from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracles.naive_machine import NaiveMachine, RowCost
from oracles.random_inputs import FixedArrivals

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.traffic.source import OpenLoop
from layerweaver.ir import ProfileError
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.optimum import best_makespan
from layerweaver.scheduler.policies import load_policy, policy_names

Make = Callable[..., ModelProfile]
Rows = list[tuple[int, int]]
COSTS = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 1000)), min_size=1, max_size=4)


def _every_order(models: list[ModelProfile]) -> int:
    best = None
    labels = [index for index, model in enumerate(models) for _ in range(model.table.rows)]
    for order in set(itertools.permutations(labels)):
        machine, at = NaiveMachine(1000, Fraction(1)), [0] * len(models)
        for index in order:
            table, row = models[index].table, at[index]
            dram = int(table.dram_bytes[row])
            machine.commit(RowCost(int(table.compute_cycles[row]), dram, dram, 0, 0), machine.tm)
            at[index] += 1
        best = machine.tc if best is None else min(best, machine.tc)
    assert best is not None
    return best


@given(first=COSTS, second=COSTS)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_order_is_better(make_model: Make, first: Rows, second: Rows) -> None:
    models = [make_model("a", first[:3]), make_model("b", second)]
    assert best_makespan(models).makespan_cycles == _every_order(models)


def test_by_hand(make_model: Make) -> None:
    # a: compute 50 after a fetch of 10; b: compute 10 after a fetch of 50. a first: fetches end at 10 and
    # 60, computes at 60 and 70. b first: fetches end at 50 and 60, computes at 60 and 110.
    found = best_makespan([make_model("a", [(50, 10)]), make_model("b", [(10, 50)])])
    assert (found.makespan_cycles, found.order) == (70, (0, 1))


def test_no_policy_beats_the_optimum(make_model: Make) -> None:
    models = [make_model("a", [(60, 10), (50, 200), (70, 400)]), make_model("b", [(8, 500), (10, 300)])]
    best = best_makespan(models).makespan_cycles
    for name in policy_names():
        tenants = tuple(TenantLoad(m.entry, (m,), OpenLoop(FixedArrivals([0]))) for m in models)
        outcome = run(SimulationInput(models[0].table.machine, tenants), load_policy(name), compiled=False)
        assert outcome.end_cycles >= best, name


def test_too_many_orders_are_refused(make_model: Make) -> None:
    with pytest.raises(ProfileError, match="too many"):
        best_makespan([make_model("a", [(1, 1)] * 9), make_model("b", [(1, 1)] * 9)])
    with pytest.raises(ProfileError, match="one or more"):
        best_makespan([])
