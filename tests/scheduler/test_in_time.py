from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracles.optimum import Request, most_in_time
from oracles.random_inputs import Recipe, recipes
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.traffic.source import OpenLoop
from layerweaver.ir import ScenarioError
from layerweaver.scheduler.in_time import Jobs, Stream, in_time_bound, work_in_time
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.policies import load_policy

Make = Callable[..., ModelProfile]
WINDOWS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 15)), min_size=0, max_size=5)
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def _flow(lanes: list[list[tuple[int, int]]], work: list[int]) -> int:
    """Source to jobs, jobs to the cycles of their windows, cycles to sink."""
    jobs = [(window, work[k]) for k, lane in enumerate(lanes) for window in lane]
    last = 50
    capacity = np.zeros((2 + len(jobs) + last,) * 2, np.int32)
    for index, ((release, due), cycles) in enumerate(jobs):
        capacity[0, 2 + index] = cycles
        capacity[2 + index, 2 + len(jobs) + release : 2 + len(jobs) + due] = 1
    capacity[2 + len(jobs) :, 1] = 1
    return int(maximum_flow(csr_array(capacity), 0, 1).flow_value)


@given(
    windows=st.lists(WINDOWS, min_size=1, max_size=3),
    works=st.lists(st.integers(1, 9), min_size=3, max_size=3),
)
@QUICK
def test_earliest_deadline_first_is_the_maximum_flow(
    windows: list[list[tuple[int, int]]], works: list[int]
) -> None:
    lanes = []
    for lane in windows:
        starts, lengths = sorted(start for start, _ in lane), sorted(length for _, length in lane)
        lanes.append([(start, start + length) for start, length in zip(starts, lengths, strict=True)])
    work = works[: len(lanes)]
    flat = np.array([window for lane in lanes for window in lane] or [(0, 0)], np.int64)
    ends = np.cumsum([len(lane) for lane in lanes])
    at = ends - [len(lane) for lane in lanes]
    jobs = Jobs(flat[:, 0].copy(), flat[:, 1].copy())
    assert work_in_time(jobs, np.array(work), at, ends, np.array(work)) == _flow(lanes, work)


def _late_or_dropped(recipe: Recipe, policy: str) -> int:
    outcome = run(recipe.make(), load_policy(policy), compiled=False)
    lost = 0
    for tenant, load in zip(outcome.tenants, recipe.tenants, strict=True):
        limit = np.iinfo(np.int64).max if load.deadline_ns is None else load.deadline_ns
        lost += int(((tenant.latency_ns < 0) | (tenant.latency_ns > limit)).sum())
    return lost


@given(recipe=recipes(), policy=st.sampled_from(["fcfs", "edf", "llf", "layerweaver+", "slackweave+", "sjf"]))
@QUICK
def test_no_policy_is_above_it(recipe: Recipe, policy: str) -> None:
    if not all(isinstance(load.source, OpenLoop) for load in recipe.tenants):
        return
    streams = [
        Stream(load.profiles, np.array(times, np.int64), load.deadline_ns)
        for load, times in zip(recipe.tenants, recipe.times_ns, strict=True)
    ]
    bound = in_time_bound(streams)
    assert bound.requests == sum(map(len, recipe.times_ns))
    assert bound.requests - _late_or_dropped(recipe, policy) <= bound.in_time


@given(
    rows=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 1000)), min_size=2, max_size=4),
    gaps=st.lists(st.integers(0, 800), min_size=4, max_size=5),
    patience=st.sampled_from([(1, 1), (3, 2), (2, 1), (3, 1)]),
)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_exact_optimum_is_not_above_it(
    make_model: Make, rows: list[tuple[int, int]], gaps: list[int], patience: tuple[int, int]
) -> None:
    pytest.importorskip("ortools", reason="an extra for development")
    models = [make_model("a", rows[:2]), make_model("b", rows[1:])]
    times = list(itertools.accumulate(gaps))
    limits = [max(1, patience[0] * model.standalone_cycles // patience[1]) for model in models]
    requests = [Request(models[k % 2], time, time + limits[k % 2]) for k, time in enumerate(times)]
    streams = [
        Stream([model], np.array(times[index::2], np.int64), limit)
        for index, (model, limit) in enumerate(zip(models, limits, strict=True))
    ]
    assert most_in_time(requests).value <= in_time_bound(streams).in_time


def test_by_hand(make_model: Make) -> None:
    # Each computes for 60 cycles, after a fetch of 10: of 3 at once, 180 cycles, 90 are done in time: one.
    model = make_model("a", [(60, 10)])
    burst = np.zeros(3, np.int64)
    assert in_time_bound([Stream([model], burst, 100)]).in_time == 1
    # Twelve such bursts, far apart. Of all at once, 12 x 90 cycles would be 18; cut between bursts, one each.
    every = np.repeat(np.arange(12, dtype=np.int64) * 1000, 12)
    bound = in_time_bound([Stream([model], every, 100)])
    assert (bound.requests, bound.in_time) == (144, 12)
    assert bound.late_share == pytest.approx(11 / 12)
    # A batch of four computes for 80 cycles and ends at 90.
    four = make_model("a", [(80, 10)], batch=4)
    assert in_time_bound([Stream([model, four], np.zeros(4, np.int64), 100)]).in_time == 4


def test_impossible_and_limitless_requests(make_model: Make) -> None:
    model, times = make_model("a", [(60, 10)]), np.arange(5, dtype=np.int64)
    assert in_time_bound([Stream([model], times, 69)]).in_time == 0
    assert in_time_bound([Stream([model], times, None)]).in_time == 5
    assert in_time_bound([Stream([model], times[:0], 1)]).late_share == 0.0
    with pytest.raises(ScenarioError, match="one machine"):
        in_time_bound([Stream([], times, 1)])
