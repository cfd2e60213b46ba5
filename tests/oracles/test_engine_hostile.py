"""Mixes that could starve, overflow or hang: every policy ends, and the schedule is valid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import Progress, run
from layerweaver.backend_sim.traffic.source import ClosedLoop, OpenLoop, Saturated
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.ir import PolicyError, ScenarioError, TrafficError
from layerweaver.scheduler.policies import load_policy, policy_names
from layerweaver.scheduler.validator import find_violations
from oracles.random_inputs import FixedArrivals, profile_of

MACHINE = MachineSpec.from_rates("paper", 700_000_000, 225 * 10**9, 48 * 10**6)
BUFFER = MACHINE.weight_buffer_bytes
PER_CYCLE = int(MACHINE.bytes_per_cycle)
BALANCED = [(2000, 2000 * PER_CYCLE, 2000 * PER_CYCLE, 0)] * 6
COMPUTE = [(9000, 100 * PER_CYCLE, 100 * PER_CYCLE, 0)] * 6
MEMORY = [(10, 9000 * PER_CYCLE, 9000 * PER_CYCLE, 0)] * 6
WHOLE_BUFFER = [(5000, BUFFER, BUFFER, 0)] * 3
ENORMOUS = [(40_000_000, BUFFER, BUFFER, 10**9), (1, 1, 1, 0)]
WEIGHTLESS = [(3000, 0, 0, 0), (0, 64, 0, 0), (0, 0, 0, 0)]
MIXES = {
    "one overloads": ([COMPUTE, MEMORY], [100, 50_000], 30),
    "a single enormous layer": ([ENORMOUS, MEMORY], [1000, 20_000], 10),
    "weights at the buffer size": ([WHOLE_BUFFER, COMPUTE, WHOLE_BUFFER], [200_000] * 3, 10),
    "equal models": ([BALANCED] * 3, [30_000] * 3, 10),
    "all memory-bound": ([MEMORY] * 3, [60_000] * 3, 10),
    "deadlines that cannot be met": ([COMPUTE, MEMORY], [40_000] * 2, 0.01),
    "no weights at all": ([WEIGHTLESS, MEMORY], [10, 50_000], 10),
}


def _mix(name: str) -> SimulationInput:
    models, gaps, factor = MIXES[name]
    tenants = []
    for index, (rows, gap_ns) in enumerate(zip(models, gaps, strict=True)):
        profile = profile_of(f"m{index}", MACHINE, list(rows))
        deadline_ns = max(1, int(factor * profile.standalone_cycles * 10**9 / MACHINE.clock_hz))
        source = OpenLoop(FixedArrivals([k * gap_ns for k in range(12)]))
        priority = (1, 3, 9)[index % 3]
        tenants.append(
            TenantLoad(f"t{index}", (profile,), source, deadline_ns=deadline_ns, priority=priority)
        )
    return SimulationInput(MACHINE, tuple(tenants))


@pytest.mark.parametrize("policy", policy_names())
@pytest.mark.parametrize("name", MIXES)
def test_every_policy_ends_with_a_valid_schedule(name: str, policy: str) -> None:
    given = _mix(name)
    outcome = run(given, load_policy(policy), record_cycles=(0, 2**62), compiled=False)
    assert outcome.log is not None
    tables = [[profile.table for profile in tenant.profiles] for tenant in given.tenants]
    in_order = policy not in ("layerweaver+", "slackweave+")  # the others let nobody pass
    assert find_violations(outcome.log, MACHINE, tables, in_order=in_order) == ()
    assert [len(tenant.latency_ns) for tenant in outcome.tenants] == [12] * len(given.tenants)
    assert all(tenant.longest_wait_cycles >= 0 for tenant in outcome.tenants)


def test_starvation_shows_in_the_outcome() -> None:
    given = _mix("one overloads")
    waits = [t.longest_wait_cycles for t in run(given, load_policy("fcfs"), compiled=False).tenants]
    assert waits[1] > given.tenants[0].profiles[0].standalone_cycles


def test_counters_are_rebased_before_they_overflow() -> None:
    fine = MachineSpec("fine", 10**9, 32_142_857, 100_000, BUFFER)
    rows = [(1_000_000, 40_000_000, 40_000_000, 0), (5_000_000, 1_000_000, 1_000_000, 0)]
    given = SimulationInput(
        fine,
        tuple(
            TenantLoad(name, (profile_of(name, fine, rows),), Saturated(min_queries=6000))
            for name in ("a", "b")
        ),
    )
    outcome = run(given, load_policy("layerweaver+"), record_cycles=(0, 2**62))
    assert (
        outcome.end_cycles > 6 * 10**10
    )  # times 32 million per cycle: 2 * 10^18, far beyond the origin's limit
    assert outcome.log is not None
    tables = [[tenant.profiles[0].table] for tenant in given.tenants]
    assert find_violations(outcome.log, fine, tables) == ()


def test_a_closed_loop_with_a_small_queue_does_not_hammer_it() -> None:
    profile = profile_of("m", MACHINE, COMPUTE)
    source = ClosedLoop(8, duration_ns=10**7)
    given = SimulationInput(MACHINE, (TenantLoad("t", (profile,), source, queue_limit=2),))
    outcome = run(given, load_policy("fcfs"), compiled=False)
    assert 0 < int((outcome.tenants[0].latency_ns == -1).sum()) < 5000


def test_progress_can_stop_a_run() -> None:
    seen: list[Progress] = []

    def stop(progress: Progress) -> bool:
        seen.append(progress)
        return len(seen) == 2

    outcome = run(
        _mix("equal models"), load_policy("fcfs"), compiled=False, progress=stop, decisions_per_slice=10
    )
    assert outcome.interrupted
    assert seen[1].layers_executed == 20
    assert sum(len(tenant.latency_ns) for tenant in outcome.tenants) == sum(seen[1].completed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"deadline_ns": 0}, "deadline_ns is 0"),
        ({"queue_limit": 0}, "queue_limit is 0"),
        ({"source": ClosedLoop(0)}, "concurrency is 0"),
        ({"profiles": ()}, "0 profiles"),
    ],
)
def test_bad_tenants_are_refused(change: dict[str, object], message: str) -> None:
    fields: dict[str, object] = {
        "name": "t",
        "profiles": (profile_of("m", MACHINE, COMPUTE),),
        "source": Saturated(min_queries=1),
    }
    tenant = TenantLoad(**(fields | change))  # type: ignore[arg-type]
    with pytest.raises(ScenarioError, match=message):
        run(SimulationInput(MACHINE, (tenant,)), load_policy("fcfs"), compiled=False)


def test_no_tenants_and_times_that_go_back_are_refused() -> None:
    with pytest.raises(ScenarioError, match="no tenants"):
        run(SimulationInput(MACHINE, ()), load_policy("fcfs"), compiled=False)
    source = OpenLoop(FixedArrivals(np.array([5, 4])))
    tenant = TenantLoad("t", (profile_of("m", MACHINE, COMPUTE),), source)
    with pytest.raises(TrafficError, match="go back"):
        run(SimulationInput(MACHINE, (tenant,)), load_policy("fcfs"), compiled=False)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("layerweavr", "did you mean 'layerweaver'"),
        ({"name": "layerweaver+", "margin": 3}, "did you mean 'margin_us'"),
        ({"name": "layerweaver+", "margin_us": True}, "give a number"),
        ({"name": "layerweaver+", "hopeless": "forget"}, "leave|last|drop"),
        ("./no_such_policy.py", "cannot be read"),
        ({}, "has no name"),
    ],
)
def test_bad_policies_are_refused(reference: object, message: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        load_policy(reference)  # type: ignore[arg-type]
    assert message in str(refusal.value)


def test_the_example_policy_runs_from_its_path_with_options() -> None:
    example = Path(__file__).parents[2] / "examples" / "longest_wait.py"
    policy = load_policy({"name": str(example), "alarm_us": 1e6})
    outcome = run(_mix("equal models"), policy, record_cycles=(0, 2**62), compiled=False)
    assert outcome.mode_counts["deadline"] > 0
    assert run(_mix("equal models"), load_policy(example), compiled=False).mode_counts["longest wait"] > 0
