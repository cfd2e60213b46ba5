from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracles.naive_machine import NaiveMachine, RowCost
from oracles.optimum import Request, best_makespan, most_in_time
from oracles.random_inputs import FixedArrivals

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.traffic.source import OpenLoop
from layerweaver.ir import ProfileError
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.policies import load_policy, policy_names

pytest.importorskip("ortools", reason="an extra for development")

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
    assert best_makespan(models).value == _every_order(models)


@given(
    rows=st.lists(COSTS.map(lambda rows: rows[:2]), min_size=1, max_size=2),
    starts=st.lists(st.integers(0, 1500), min_size=3, max_size=3),
    patience=st.integers(1, 3),
)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_order_has_more_in_time(
    make_model: Make, rows: list[Rows], starts: list[int], patience: int
) -> None:
    models = [make_model(str(k), model) for k, model in enumerate(rows)]
    requests = [
        Request(model, start, start + patience * model.standalone_cycles)
        for start, model in zip(starts, itertools.cycle(models), strict=False)
    ]
    assert most_in_time(requests).value == _most_in_time(requests)


def _most_in_time(requests: list[Request]) -> int:
    """Every subset in every order, each row as early as it goes."""
    for size in range(len(requests), 0, -1):
        for subset in itertools.combinations(requests, size):
            labels = [k for k, request in enumerate(subset) for _ in range(request.model.table.rows)]
            if any(_all_in_time(subset, order) for order in set(itertools.permutations(labels))):
                return size
    return 0


def _all_in_time(requests: tuple[Request, ...], order: tuple[int, ...]) -> bool:
    machine, at = NaiveMachine(1000, Fraction(1)), [0] * len(requests)
    for index in order:
        request = requests[index]
        table, row = request.model.table, at[index]
        dram = int(table.dram_bytes[row])
        cost = RowCost(int(table.compute_cycles[row]), dram, dram, 0, 0)
        done = machine.commit(cost, max(machine.tm, request.arrival_cycles)).compute_end
        at[index] += 1
        if at[index] == table.rows and done > request.deadline_cycles:
            return False
    return True


def test_by_hand(make_model: Make) -> None:
    # a: compute 50 after a fetch of 10; b: compute 10 after a fetch of 50. a first: fetches end at 10 and
    # 60, computes at 60 and 70. b first: fetches end at 50 and 60, computes at 60 and 110.
    found = best_makespan([make_model("a", [(50, 10)]), make_model("b", [(10, 50)])])
    assert (found.value, found.order) == (70, (0, 1))


def test_no_policy_beats_the_optimum(make_model: Make) -> None:
    models = [make_model("a", [(60, 10), (50, 200), (70, 400)]), make_model("b", [(8, 500), (10, 300)])]
    best = best_makespan(models).value
    for name in policy_names():
        tenants = tuple(TenantLoad(m.entry, (m,), OpenLoop(FixedArrivals([0]))) for m in models)
        outcome = run(SimulationInput(models[0].table.machine, tenants), load_policy(name), compiled=False)
        assert outcome.end_cycles >= best, name


def test_too_many_rows_are_refused(make_model: Make) -> None:
    with pytest.raises(ProfileError, match="too many"):
        best_makespan([make_model("a", [(1, 1)] * 40), make_model("b", [(1, 1)] * 40)])
    with pytest.raises(ProfileError, match="one or more"):
        best_makespan([])
