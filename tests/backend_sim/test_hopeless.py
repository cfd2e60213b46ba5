"""Who cannot be in time under a policy that defers the hopeless, worked out by hand. Times are in ns."""

from __future__ import annotations

from typing import Any

import pytest
from oracles.random_inputs import FixedArrivals, profile_of

from layerweaver.backend_sim.engine.input import BatchRule, SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.traffic.source import OpenLoop
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.scheduler.policies import load_policy

MACHINE = MachineSpec("unit", 10**9, 1, 1, 10_000)  # a cycle is 1 ns, and moves a byte


def _tenant(name: str, cost: tuple[int, int], arrivals: list[int], **keys: Any) -> TenantLoad:
    """Requests of one row of so many cycles of compute and of fetch."""
    row = profile_of(name, MACHINE, [(*cost, 0, 0)])
    return TenantLoad(name, (row,), OpenLoop(FixedArrivals(arrivals)), **keys)


def _latencies(policy: str, *tenants: TenantLoad) -> list[int]:
    """Latencies of the last tenant's requests, all policies committing early."""
    configured = load_policy({"name": policy, "commit": "early"})
    outcome = run(SimulationInput(MACHINE, tenants), configured, compiled=False)
    latencies: list[int] = outcome.tenants[-1].latency_ns.tolist()
    return latencies


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("layerweaver+", [60, 69, 35]), ("slackweave+", [60, 69, 35]), ("edf", [50, 59, 55])],
)
def test_who_is_late_behind_what_is_committed_lets_others_pass(policy: str, expected: list[int]) -> None:
    # Computes are committed until 1000, and the DMA is free at 980. Three wait that compute for 10 and may
    # take 45: those of 960 and 961, due by 1006, could be in time alone, not after 1000; that of 975 can.
    computed, fetched = _tenant("computed", (1000, 0), [0]), _tenant("fetched", (0, 980), [0])
    short = _tenant("short", (10, 0), [960, 961, 975], deadline_ns=45)
    assert _latencies(policy, computed, fetched, short) == expected


@pytest.mark.parametrize(("deadline_ns", "latency_ns"), [(3, 100), (2, 180)])
def test_a_batch_waits_its_whole_delay_where_others_are_far_tighter(
    deadline_ns: int, latency_ns: int
) -> None:
    # Alone the request takes 100 and would not wait, its deadline being 150. Beside one that has less than a
    # thirty-second of that from arrival to deadline it waits for company for as long as it may.
    tight = _tenant("tight", (1, 0), [10_000], deadline_ns=deadline_ns)
    sizes = tuple(profile_of("long", MACHINE, [(100, 0, 0, 0)], size) for size in (1, 2))
    rule = BatchRule((1, 2), delay_ns=80)
    long = TenantLoad("long", sizes, OpenLoop(FixedArrivals([0])), rule, deadline_ns=150)
    assert _latencies("layerweaver+", tight, long) == [latency_ns]
