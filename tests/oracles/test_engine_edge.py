"""What enters the compiled engine stays in 64 bits: the largest values, alone and together, or a refusal."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerweaver.backend_sim.engine.input import BatchRule, SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.engine.outcome import SimulationOutcome
from layerweaver.backend_sim.traffic.source import ClosedLoop, OpenLoop, Saturated
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.ir import LayerweaverError, ScenarioError, TrafficError
from layerweaver.ir.limits import MAX_ARRIVAL_NS, MAX_CLOCK_HZ, MAX_QUANTITY, MAX_TIME_NS
from layerweaver.scheduler.machine.view import COUNT_LIMIT
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.policies import load_policy
from oracles.random_inputs import FixedArrivals, profile_of

MOST_SCALED = COUNT_LIMIT // 4
POLICIES = ("fcfs", "layerweaver+", "prema")


def _extreme(most: int) -> st.SearchStrategy[int]:
    """The largest value, powers of two below it, and small ones."""
    powers = st.integers(0, most.bit_length()).map(lambda power: min(most, 1 << power))
    return st.one_of(st.just(most), powers, st.integers(0, min(most, 9)))


@st.composite
def _machines(draw: st.DrawFn) -> MachineSpec:
    clock_hz = draw(st.sampled_from([1, 1000, 700_000_000, MAX_CLOCK_HZ, MAX_CLOCK_HZ]))
    numerator = max(1, draw(_extreme(draw(st.sampled_from([1 << 12, 1 << 24, MAX_QUANTITY])))))
    denominator = max(1, draw(_extreme(draw(st.sampled_from([1, 100, 100_000])))))
    common = math.gcd(numerator, denominator)
    buffer = max(1, draw(_extreme(min(MAX_QUANTITY, MOST_SCALED // denominator))))
    return MachineSpec("edge", clock_hz, numerator // common, denominator // common, buffer)


@st.composite
def _inputs(draw: st.DrawFn) -> tuple[MachineSpec, list[TenantLoad], list[list[int]], int, int]:
    machine = draw(_machines())
    numerator, denominator = machine.bandwidth_numerator, machine.bandwidth_denominator
    decision_cycles = draw(_extreme(min(10**9, machine.clock_hz * 10**6)))
    tenants, times = [], []
    for index in range(draw(st.integers(1, 3))):
        rows = []
        count = draw(st.integers(1, 4))
        row_cycles = max(0, MAX_TIME_NS // 10**9 * machine.clock_hz // count // 3 // 64 - decision_cycles)
        moved = min(MAX_QUANTITY, MOST_SCALED // denominator, row_cycles * numerator // denominator)
        for _ in range(count):
            dram = draw(_extreme(moved))
            compute = draw(_extreme(min(MAX_QUANTITY, MOST_SCALED // numerator, row_cycles)))
            weight = draw(_extreme(min(dram, machine.weight_buffer_bytes)))
            rows.append((compute, dram, weight, draw(_extreme(moved))))
        profile = profile_of(f"m{index}", machine, rows)
        kind = draw(st.sampled_from(["open", "closed", "saturated"]))
        arrivals = sorted(draw(st.lists(_extreme(MAX_ARRIVAL_NS), min_size=1, max_size=6)))
        source: OpenLoop | ClosedLoop | Saturated = OpenLoop(FixedArrivals([]))
        duration_ns = draw(_extreme(MAX_TIME_NS))
        if kind == "closed":
            source = ClosedLoop(draw(st.sampled_from([1, 3])), draw(_extreme(MAX_TIME_NS)), duration_ns, 3, 5)
        elif kind == "saturated":
            source = Saturated(duration_ns, 3, 5)
        tenants.append(
            TenantLoad(
                f"t{index}",
                (profile,),
                source,
                BatchRule((1,), draw(_extreme(MAX_TIME_NS))),
                deadline_ns=draw(st.one_of(st.none(), _extreme(MAX_TIME_NS).map(lambda ns: max(1, ns)))),
                queue_limit=draw(st.one_of(st.none(), st.just(2))),
                drop_hopeless=draw(st.booleans()),
            )
        )
        times.append(arrivals)
    return machine, tenants, times, draw(st.sampled_from([0, 3])), decision_cycles


def _outcome(
    drawn: tuple[MachineSpec, list[TenantLoad], list[list[int]], int, int], policy: str, compiled: bool
) -> SimulationOutcome | str:
    machine, tenants, times, ahead, decision = drawn
    fresh = [
        replace(load, source=OpenLoop(FixedArrivals(at))) if isinstance(load.source, OpenLoop) else load
        for load, at in zip(tenants, times, strict=True)
    ]
    try:
        return run(
            SimulationInput(machine, tuple(fresh), ahead, decision), load_policy(policy), compiled=compiled
        )
    except LayerweaverError as error:
        return str(error)


@given(_inputs(), st.sampled_from(POLICIES))
@settings(max_examples=40, deadline=None)
def test_compiled_arithmetic_is_that_of_whole_numbers_or_refused(
    drawn: tuple[MachineSpec, list[TenantLoad], list[list[int]], int, int], policy: str
) -> None:
    exact, compiled = (_outcome(drawn, policy, compiled) for compiled in (False, True))
    if isinstance(exact, str) or isinstance(compiled, str):
        assert exact == compiled
        return
    assert exact.end_cycles == compiled.end_cycles >= 0
    assert exact.idle_cycles == compiled.idle_cycles
    for one, other in zip(exact.tenants, compiled.tenants, strict=True):
        assert one.latency_ns.tolist() == other.latency_ns.tolist()
        assert (other.latency_ns >= -1).all()
        assert one.longest_wait_cycles == other.longest_wait_cycles


MACHINE = MachineSpec.from_rates("paper", 700_000_000, 225 * 10**9, 48 * 10**6)
SLOW = MachineSpec.from_rates("slow", 1000, 1000, 48 * 10**6)


def _simulate(machine: MachineSpec, profile: ModelProfile, source: OpenLoop | ClosedLoop) -> None:
    run(SimulationInput(machine, (TenantLoad("a", (profile,), source),)), load_policy("fcfs"))


def test_more_work_than_time_is_refused() -> None:
    profile = profile_of("m", MACHINE, [(MAX_QUANTITY, 1, 0, 0)])
    with pytest.raises(TrafficError, match=r"tenant a: requests of up to .* keep the NPU busy for too long"):
        _simulate(MACHINE, profile, OpenLoop(FixedArrivals([0] * 131_072)))
    with pytest.raises(ScenarioError, match="loops' requests keep the NPU busy"):
        _simulate(MACHINE, profile, ClosedLoop(1000, min_queries=131_072))


def test_a_request_longer_than_all_time_is_refused() -> None:
    profile = profile_of("m", SLOW, [(MAX_QUANTITY, 1, 0, 0)])
    with pytest.raises(ScenarioError, match="tenant a: a request takes"):
        _simulate(SLOW, profile, OpenLoop(FixedArrivals([0])))


def test_offline_tables_of_other_rows_are_refused() -> None:
    profile = profile_of("m", MACHINE, [(7, 300, 0, 0), (9, 600, 0, 0)])
    for wrong in (
        replace(profile.offline, longest_fetch_cycles=1),
        replace(profile.offline, remaining_cycles=profile.offline.remaining_cycles * 2),
        replace(profile.offline, remaining_cycles=np.zeros(3, np.int64)),
        replace(profile.offline, remaining_cycles=profile.offline.remaining_cycles[1:]),
    ):
        with pytest.raises(ScenarioError, match="offline tables are not those of the rows"):
            _simulate(MACHINE, replace(profile, offline=wrong), OpenLoop(FixedArrivals([0])))


def test_a_pause_of_years_changes_nothing() -> None:
    profile = profile_of("m", MACHINE, [(700, 2250, 2000, 0), (7, 4500, 4000, 0)])
    alone, later = (
        run(
            SimulationInput(MACHINE, (TenantLoad("a", (profile,), OpenLoop(FixedArrivals(times))),)),
            load_policy("layerweaver+"),
        )
        for times in ([0, 0, 10**9, 10**9], [0, 0, MAX_TIME_NS, MAX_TIME_NS])
    )
    assert alone.tenants[0].latency_ns.tolist() == later.tenants[0].latency_ns.tolist()
