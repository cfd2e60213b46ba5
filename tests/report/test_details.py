from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from layerweaver.backend_sim.engine.input import SimulationInput
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.engine.outcome import DROPPED, SimulationOutcome
from layerweaver.backend_sim.results.latency import latency_histogram
from layerweaver.backend_sim.timeline.details import (
    MAX_TIMELINE_ROWS,
    simulation_details,
)
from layerweaver.backend_sim.timeline.interest import window_of_interest
from layerweaver.backend_sim.timeline.record import scheduled_times
from layerweaver.backend_sim.timeline.series import time_in_system
from layerweaver.scheduler.policies import load_policy

HandMade = Callable[[], tuple[SimulationInput, SimulationOutcome]]


@pytest.mark.parametrize("latencies", [[5], [7, 7, 7], [1, 2], [0, 0], [1, 10**12], list(range(1, 3000))])
def test_histogram_counts_every_request_in_its_bin(latencies: list[int]) -> None:
    latency_ns = np.array([*latencies, DROPPED], dtype=np.int64)
    histogram = latency_histogram(latency_ns)
    assert histogram["dropped"] == 1
    assert sum(histogram["counts"]) == len(latencies)
    edges_ns = np.rint(np.array(histogram["edges_ms"]) * 1e6).astype(np.int64)
    assert (np.diff(edges_ns) > 0).all()
    for upto, edge in zip(np.cumsum(histogram["counts"]), edges_ns[1:], strict=True):
        assert upto == sum(value <= edge for value in latencies)


def test_nothing_completed() -> None:
    histogram = latency_histogram(np.array([DROPPED, DROPPED], dtype=np.int64))
    assert histogram == {"edges_ms": [], "counts": [], "dropped": 2}


@pytest.mark.parametrize(
    ("due", "latency", "shares"),
    [
        ([0, 10, 20], [0, 0, 0], [1.0]),
        ([0, 0], [0, 0], [0.0]),
        ([0, 10, 10, 20], [0, 5, 0, 0], [0.75, 0.25]),
        ([5], [0], [0.0]),
    ],
)
def test_requests_that_take_no_time_are_in_the_system_for_none(
    due: list[int], latency: list[int], shares: list[float]
) -> None:
    found = time_in_system("one", np.array(due), np.array(latency))
    assert found["share_of_time"] == shares
    assert found["requests"] == list(range(len(shares)))


def test_details_agree_with_the_run(hand_made: HandMade) -> None:
    given, outcome = hand_made()
    details = simulation_details(given, outcome, scheduled_times(given, outcome))
    json.dumps(details, allow_nan=False)
    latency = outcome.tenants[0].latency_ns
    late = int((latency > 400_000).sum())
    series = details["over_time"]["tenants"][0]
    assert sum(series["arrived"]) == 40
    assert sum(series["late"]) == late
    assert series["in_system"][-1] == 0
    assert sum(details["in_system"][0]["share_of_time"]) == pytest.approx(1)
    assert details["batches"][1] == {"tenant": "language", "size": [1], "count": [40]}


def test_every_moment_is_busy_or_idle_for_one_reason(hand_made: HandMade) -> None:
    given, outcome = hand_made()
    details = simulation_details(given, outcome, scheduled_times(given, outcome))["utilization"]
    assert details is not None
    for engine in (details["compute"], details["dram"]):
        total = np.sum([np.array(part) for part in engine.values()], axis=0)
        np.testing.assert_allclose(total, 1, atol=1e-9)
    assert outcome.log is not None
    spans = np.diff(details["edges_ms"]) * 700e3
    assert (np.array(details["compute"]["busy"]) * spans).sum() == pytest.approx(outcome.compute_busy_cycles)
    moved = sum(40 * int(tenant.profiles[0].table.memory_cycles.sum()) for tenant in given.tenants)
    assert (np.array(details["dram"]["busy"]) * spans).sum() == pytest.approx(moved)


def test_the_window_shows_the_first_lost_deadline(hand_made: HandMade) -> None:
    given, outcome = hand_made()
    due = scheduled_times(given, outcome)
    start, end, why = window_of_interest(given, outcome, due)
    late = np.flatnonzero(outcome.tenants[0].latency_ns > 400_000)[0]
    assert f"The first lost deadline: request {late} of vision" in why
    assert start <= due[0][late] + 400_000 <= end
    timeline = simulation_details(given, outcome, due)["timeline"]
    assert timeline is not None
    assert (0, int(late), True) in zip(
        timeline["requests"]["tenant"],
        timeline["requests"]["request"],
        timeline["requests"]["late"],
        strict=True,
    )
    assert 0 < len(timeline["layer"]) <= MAX_TIMELINE_ROWS
    assert all(first >= timeline["from_ms"] - 1e-9 for first in timeline["compute_end_ms"])


def test_without_a_log_the_totals_are_still_there(hand_made: HandMade) -> None:
    given, outcome = hand_made()
    silent = replace(outcome, log=None)
    details = simulation_details(given, silent, scheduled_times(given, outcome))
    assert details["timeline"] is None
    assert details["utilization"] is None
    assert sum(details["latency"][0]["counts"]) == 40


@pytest.mark.parametrize("policy", ["fcfs-prefetch", "llf", "layerweaver+"])
def test_idle_time_is_that_of_the_engine(hand_made: HandMade, policy: str) -> None:
    outcome = run(hand_made()[0], load_policy(policy), record_cycles=(0, 10**9), compiled=False)
    given = hand_made()[0]
    details = simulation_details(given, outcome, scheduled_times(given, outcome))["utilization"]
    assert details is not None
    spans = np.diff(details["edges_ms"]) * 700e3
    cycles = {
        (engine, cause): float((np.array(shares) * spans).sum())
        for engine, causes in (("compute", details["compute"]), ("dram", details["dram"]))
        for cause, shares in causes.items()
    }
    idle = outcome.idle_cycles
    began = int(outcome.log.fetch_start.min()) if outcome.log is not None else 0
    assert cycles["compute", "busy"] == pytest.approx(outcome.compute_busy_cycles)
    assert cycles["compute", "waiting_for_memory"] == pytest.approx(idle["waiting_for_memory"])
    assert cycles["compute", "no_work"] + cycles["dram", "no_work"] == pytest.approx(
        idle["no_work"] - 2 * began
    )
    assert cycles["dram", "buffer_full"] == pytest.approx(idle["buffer_full"] + idle["inherent"])
    assert cycles["dram", "held_by_policy"] == pytest.approx(idle["held_by_policy"], abs=1e-6)
