"""The engine against its naive twin, the validator, and itself compiled, on random input."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.engine.outcome import SimulationOutcome
from layerweaver.scheduler.policies import load_policy, policy_names
from layerweaver.scheduler.policies.contract import HOLD, Memory, Policy, PolicySpec, View
from layerweaver.scheduler.validator import find_violations
from oracles.naive_engine import naive_run
from oracles.random_inputs import Recipe, recipes

FOREVER = (0, 2**62)
RIVALS = ("fcfs-prefetch", "edf", "llf", "layerweaver")
GUARDED: list[dict[str, Any]] = [
    {},
    {"margin_us": 1, "hopeless": "last"},
    {"margin_us": 1, "evaluate": "now", "hopeless": "drop"},
]
CASES: list[dict[str, Any]] = [
    {"name": "fcfs"},
    *({"name": name, "commit": commit} for name in RIVALS for commit in ("late", "early")),
    *({"name": name, **options} for name in ("layerweaver+", "slackweave") for options in GUARDED),
    {"name": "slackweave", "margin_remaining": 1.0, "hopeless": "last"},
]
QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def _plain(outcome: SimulationOutcome) -> dict[str, Any]:
    """Everything an outcome holds, comparable."""

    def value(item: Any) -> Any:
        if isinstance(item, np.ndarray):
            return item.tolist()
        if dataclasses.is_dataclass(item):
            return {field.name: value(getattr(item, field.name)) for field in dataclasses.fields(item)}
        return [value(part) for part in item] if isinstance(item, tuple) else item

    result: dict[str, Any] = value(outcome)
    return result


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(str(part) for part in case.values()))
@given(recipe=recipes())
@QUICK
def test_engine_equals_its_naive_twin(case: dict[str, Any], recipe: Recipe) -> None:
    _compare_with_twin(load_policy(case), recipe)


@dataclasses.dataclass(frozen=True, slots=True)
class PulseOptions:
    """Rows are scheduled at multiples of ``pulse`` cycles only."""

    pulse: int = 7


def on_a_pulse(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    machine = view.machine
    if machine.now % options.pulse == 0:
        return view.ready[0]
    machine.hold_until = machine.now - machine.now % options.pulse + options.pulse
    return HOLD


@pytest.mark.parametrize("commit", ["late", "early"])
@given(recipe=recipes(), cycles=st.sampled_from([1, 2, 7, 50]))
@QUICK
def test_a_policy_that_holds_equals_its_naive_twin(commit: str, recipe: Recipe, cycles: int) -> None:
    spec = PolicySpec("pulse", on_a_pulse, "rows start on a pulse", options=PulseOptions)
    _compare_with_twin(spec.configure(pulse=cycles, commit=commit), recipe)


def _compare_with_twin(policy: Policy, recipe: Recipe) -> None:
    outcome = run(recipe.make(), policy, record_cycles=FOREVER, compiled=False)
    twin = naive_run(recipe.make(), policy.name, policy.as_dict(), policy.spec)
    log = outcome.log
    assert log is not None
    columns = (log.tenant, log.request, log.batch, log.profile, log.row)
    times = (
        log.fetch_start,
        log.fetch_end,
        log.compute_start,
        log.compute_end,
        log.decided_at,
        log.held_cycles,
    )
    assert list(zip(*(column.tolist() for column in columns + times), strict=True)) == twin.entries
    assert [tenant.latency_ns.tolist() for tenant in outcome.tenants] == twin.latencies
    assert (outcome.end_cycles, outcome.compute_busy_cycles) == (twin.end, twin.compute_busy)
    for tenant, scheduled, batches in zip(outcome.tenants, twin.scheduled, twin.batches, strict=True):
        if tenant.scheduled_ns is not None:
            assert tenant.scheduled_ns.tolist() == scheduled
        counted = {
            (profile, size): int(count)
            for (profile, size), count in np.ndenumerate(tenant.batch_counts)
            if count
        }
        assert counted == batches


@given(
    recipe=recipes(),
    name=st.sampled_from(
        ["fcfs", "edf", "layerweaver", "layerweaver+", "slackweave", "prema", "aimt", "fair"]
    ),
)
@QUICK
def test_every_executed_schedule_is_valid_and_nothing_is_lost(recipe: Recipe, name: str) -> None:
    outcome = run(recipe.make(), load_policy(name), record_cycles=FOREVER, compiled=False)
    clock_hz = recipe.machine.clock_hz
    arrivals = []
    for tenant, times in zip(outcome.tenants, recipe.times_ns, strict=True):
        scheduled = times if tenant.scheduled_ns is None else tenant.scheduled_ns.tolist()
        assert len(tenant.latency_ns) == len(scheduled)
        arrivals.append(np.array([math.ceil(Fraction(ns * clock_hz, 10**9)) for ns in scheduled], np.int64))
    tables = [[profile.table for profile in tenant.profiles] for tenant in recipe.tenants]
    assert outcome.log is not None
    found = find_violations(outcome.log, recipe.machine, tables, arrivals)
    assert not found, "\n".join(map(str, found))
    busy = outcome.compute_busy_cycles + outcome.dram_busy_cycles
    idle = sum(outcome.idle_cycles.values())
    assert min(outcome.idle_cycles.values()) >= 0
    assert 2 * outcome.end_cycles + outcome.layers_executed >= busy + idle
    assert 2 * outcome.end_cycles <= busy + idle + 2 * outcome.layers_executed


@pytest.mark.parametrize(
    "name",
    [
        "fcfs",
        "layerweaver+",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in policy_names()
            if name not in ("fcfs", "layerweaver+", "static-weave")
        ),
    ],
)
@given(recipe=recipes())
@QUICK
def test_compiled_equals_uncompiled(name: str, recipe: Recipe) -> None:
    policy = load_policy(name)
    compiled = run(recipe.make(), policy, record_cycles=FOREVER)
    assert _plain(compiled) == _plain(run(recipe.make(), policy, record_cycles=FOREVER, compiled=False))
    again = run(recipe.make(), policy, record_cycles=FOREVER, decisions_per_slice=3)
    assert _plain(again) == _plain(compiled)
