"""Requests that give up waiting: ``queue: {timeout_ms: N}``, worked out by hand. Times are in ns."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles.random_inputs import FixedArrivals, profile_of

from layerweaver.backend_sim.engine.input import BatchRule, SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.engine.outcome import TIMED_OUT
from layerweaver.backend_sim.results.files import result_rows
from layerweaver.backend_sim.study.repeat import RunOptions
from layerweaver.backend_sim.study.simulate import simulate, simulate_with
from layerweaver.backend_sim.traffic.source import ClosedLoop, OpenLoop
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.ir import ScenarioError
from layerweaver.scheduler.policies import load_policy
from layerweaver.scheduler.validator import find_violations

MACHINE = MachineSpec("unit", 10**9, 1, 1, 100)  # a cycle is 1 ns
MICROSECOND = profile_of("a", MACHINE, [(1000, 0, 0, 0)])


def _latencies(arrivals: Sequence[int], **changes: Any) -> list[int]:
    """Latencies under fcfs of requests that take a microsecond each and wait for half of one."""
    keys: dict[str, Any] = {"timeout_ns": 500, **changes}
    tenant = TenantLoad("a", (MICROSECOND,), OpenLoop(FixedArrivals([*arrivals])), **keys)
    outcome = run(SimulationInput(MACHINE, (tenant,)), load_policy("fcfs"), compiled=False)
    latencies: list[int] = outcome.tenants[0].latency_ns.tolist()
    return latencies


def test_who_waits_longer_is_dropped_and_who_waits_just_so_long_is_served() -> None:
    assert _latencies([0, 499, 500, 5000]) == [1000, TIMED_OUT, 1500, 1000]
    assert _latencies([0, 499, 500, 5000], timeout_ns=None) == [1000, 1501, 2500, 1000]


def test_who_gave_up_leaves_room_in_the_queue_at_that_moment_and_not_at_the_next_decision() -> None:
    # One waits at most. The second gives up at 601, so that the one at 650 finds room, the one at 600 none.
    assert _latencies([0, 100, 600], queue_limit=1) == [1000, TIMED_OUT, -1]
    assert _latencies([0, 100, 650], queue_limit=1) == [1000, TIMED_OUT, 1350]


def test_who_runs_in_a_batch_gives_up_no_more() -> None:
    pair = profile_of("a", MACHINE, [(2000, 0, 0, 0)], 2)
    source = OpenLoop(FixedArrivals([0, 0, 10, 20]))
    tenant = TenantLoad("a", (pair,), source, BatchRule((2,)), timeout_ns=1990)
    outcome = run(SimulationInput(MACHINE, (tenant,)), load_policy("fcfs"), compiled=False)
    assert outcome.tenants[0].latency_ns.tolist() == [2000, 2000, 3990, 3980]


def test_a_client_that_gave_up_comes_again_after_one_time_alone() -> None:
    source = ClosedLoop(2, duration_ns=2_500)
    tenant = TenantLoad("a", (MICROSECOND,), source, timeout_ns=300)
    outcome = run(SimulationInput(MACHINE, (tenant,)), load_policy("fcfs"), compiled=False).tenants[0]
    assert outcome.scheduled_ns is not None
    # The second client gives up at 301 and comes again at 1301, while the first one's next request runs.
    assert outcome.scheduled_ns.tolist() == [0, 0, 1000, 1301, 2000]
    assert outcome.latency_ns.tolist()[:3] == [1000, TIMED_OUT, 1000]


def test_the_validator_finds_a_batch_that_began_too_late() -> None:
    tenant = TenantLoad("a", (MICROSECOND,), OpenLoop(FixedArrivals([0, 100])))
    outcome = run(
        SimulationInput(MACHINE, (tenant,)), load_policy("fcfs"), record_cycles=(0, 10**6), compiled=False
    )
    assert outcome.log is not None
    arrivals = [np.array([0, 100])]
    for patience, broken in ((900, set()), (899, {"nothing starts after its request gave up"})):
        found = find_violations(
            outcome.log, MACHINE, [[MICROSECOND.table]], arrivals, timeout_cycles=[patience]
        )
        assert {violation.invariant for violation in found} == broken


def _read(path: Path) -> list[Mapping[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_results_files_and_logs_count_who_gave_up(make_scenario: Any, tmp_path: Path) -> None:
    impatient = {"queue": {"timeout_ms": 2, "limit": 40}}
    keys = make_scenario(duration_s=0.5, tenants=[impatient, {"arrival": {"kind": "poisson", "qps": 900}}])
    requests, log = tmp_path / "requests.csv", tmp_path / "log.csv"
    document = simulate_with(keys, "fcfs", RunOptions(details=True, requests=requests, log=log))
    vision, chat = document["tenants"]
    assert 0 < vision["timed_out"] <= vision["dropped"] == vision["arrived"] - vision["completed"]
    assert chat["timed_out"] == 0
    became = Counter((row["tenant"], row["status"]) for row in _read(requests))
    assert became["vision", "timed_out"] == vision["timed_out"]
    assert became["vision", "completed"] == vision["completed"]
    logged = [row for row in _read(log) if row["mode"] == "timed out"]
    assert len(logged) == vision["timed_out"]
    assert {row["tenant"] for row in logged} == {"vision"}
    cycles = [int(row["decided_at_cycles"]) for row in _read(log)]
    assert cycles == sorted(cycles)
    assert result_rows(document)[0]["timed_out"] == vision["timed_out"]
    scenario: Any = document["scenario"]
    assert scenario["tenants"][0]["queue"]["timeout_ms"] == 2
    details: Any = document["details"]
    assert sum(details["over_time"]["tenants"][0]["dropped"]) == vision["dropped"]


@pytest.mark.parametrize("value", [0, -1, "soon", True, 1e30])
def test_impossible_patience_is_refused(make_scenario: Any, value: object) -> None:
    with pytest.raises(ScenarioError, match="timeout_ms"):
        simulate(make_scenario(tenants=[{"queue": {"timeout_ms": value}}, {}]), compiled=False)


def test_patience_beyond_the_deadline_of_hopeless_requests_changes_nothing_and_that_is_said(
    make_scenario: Any,
) -> None:
    queue = {"timeout_ms": 20, "drop_hopeless": True}
    keys = make_scenario(duration_s=0.01, tenants=[{"queue": queue}, {}])
    assert any("timeout_ms changes nothing" in line for line in simulate(keys, compiled=False)["warnings"])
