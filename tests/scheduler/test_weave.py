"""Static woven schedules: periodic, and replayed to the same times as the direct rule."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracles.random_inputs import profile_of

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.traffic.source import ClosedLoop, Saturated
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.ir import ProfileError
from layerweaver.scheduler.compile.groups import weave_group
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.policies import load_policy
from layerweaver.scheduler.profile.profile import Profile, Provenance
from layerweaver.scheduler.static.weave import find_weave
from layerweaver.scheduler.validator import find_violations

Make = Callable[..., ModelProfile]
FOREVER = (0, 2**62)
ROWS = st.lists(st.tuples(st.integers(1, 300), st.integers(1, 400)), min_size=1, max_size=5)


def _streams(models: list[ModelProfile], queries: int) -> SimulationInput:
    return SimulationInput(
        models[0].table.machine,
        tuple(TenantLoad(m.entry, (m,), Saturated(min_queries=queries)) for m in models),
    )


@given(rows=st.lists(ROWS, min_size=1, max_size=3))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_order_is_the_rules_own(make_model: Make, rows: list[list[tuple[int, int]]]) -> None:
    models = [make_model(f"m{index}", costs) for index, costs in enumerate(rows)]
    weave, starving = find_weave(models)
    order = np.concatenate([weave.prefix, weave.period, weave.period])
    log = run(_streams(models, 40), load_policy("layerweaver"), record_cycles=FOREVER, compiled=False).log
    assert log is not None
    # While every stream still has requests, the engine's decisions are the prefix and then the period.
    last = min(int(np.flatnonzero(log.tenant == t)[-1]) for t in range(len(models)) if t in log.tenant)
    compared = min(len(order), last)
    assert log.tenant[:compared].tolist() == order[:compared].tolist()
    rows_run = np.bincount(weave.period, minlength=len(models))
    lengths = np.array([model.table.rows for model in models])
    assert rows_run.tolist() == (weave.requests_per_period * lengths).tolist()
    assert starving == tuple(np.flatnonzero(rows_run == 0).tolist())


def test_replay_equals_the_direct_rule(make_model: Make) -> None:
    models = [make_model("a", [(60, 10), (50, 20), (70, 40)]), make_model("b", [(8, 50), (10, 80)])]
    direct = run(_streams(models, 50), load_policy("layerweaver"), compiled=False)
    replay = run(_streams(models, 50), load_policy("static-weave"), record_cycles=FOREVER, compiled=False)
    assert direct.end_cycles == replay.end_cycles
    for ours, theirs in zip(direct.tenants, replay.tenants, strict=True):
        np.testing.assert_array_equal(ours.latency_ns, theirs.latency_ns)
    assert replay.mode_counts["replayed"] > 0.9 * replay.layers_executed


def test_out_of_step_the_rule_decides(make_model: Make) -> None:
    models = [make_model("a", [(60, 10), (50, 20), (70, 40)]), make_model("b", [(8, 50), (10, 80)])]
    loops = SimulationInput(
        models[0].table.machine,
        tuple(TenantLoad(m.entry, (m,), ClosedLoop(1, think_ns=37, min_queries=30)) for m in models),
    )
    outcome = run(loops, load_policy("static-weave"), record_cycles=FOREVER, compiled=False)
    assert outcome.log is not None
    assert [len(tenant.latency_ns) for tenant in outcome.tenants] == [30, 30]
    tables = [[model.table] for model in models]
    scheduled = [tenant.scheduled_ns for tenant in outcome.tenants if tenant.scheduled_ns is not None]
    assert not find_violations(outcome.log, models[0].table.machine, tables, scheduled)


def test_declared_groups_are_replayed_while_nobody_else_has_work(make_model: Make) -> None:
    models = [
        make_model("a", [(60, 10), (50, 20), (70, 40)]),
        make_model("x", [(30, 30), (10, 60)]),
        make_model("b", [(8, 50), (10, 80)]),
    ]
    machine = models[0].table.machine
    streams = [TenantLoad(m.entry, (m,), Saturated(min_queries=60)) for m in models]
    streams[1] = TenantLoad("x", (models[1],), ClosedLoop(1, think_ns=4_000, min_queries=5))
    order = find_weave([models[0], models[2]])[0]
    given = SimulationInput(machine, tuple(streams), groups=((2, 0),))
    outcome = run(given, load_policy("static-weave"), record_cycles=FOREVER, compiled=False)
    log = outcome.log
    assert log is not None
    replayed = log.mode == log.mode_names.index("replayed")
    assert not replayed[log.tenant == 1].any()
    assert replayed.sum() > 50
    # Wherever it runs, the replay begins with the order's beginning, as members of the group.
    begins = np.flatnonzero(replayed & ~np.concatenate([[False], replayed[:-1]]))
    members = np.array([0, 2])[np.concatenate([order.prefix, *[order.period] * 60])]
    for begin in begins:
        end = begin + int(np.argmin(np.append(replayed[begin:], False)))
        assert log.tenant[begin:end].tolist() == members[: end - begin].tolist()
    scheduled = [tenant.scheduled_ns for tenant in outcome.tenants if tenant.scheduled_ns is not None]
    assert not find_violations(log, machine, [[model.table] for model in models], scheduled)
    compiled = run(given, load_policy("static-weave"))
    assert compiled.end_cycles == outcome.end_cycles


def test_groups_name_entries_of_a_profile(make_model: Make) -> None:
    entries = (
        make_model("a", [(60, 10)]),
        make_model("a", [(200, 10)], batch=4),
        make_model("b", [(8, 50)]),
    )
    origin = Provenance("x", "")
    profile = Profile({}, entries[0].table.machine, entries, (origin,) * 3)
    assert weave_group(profile, ["a", "b"]).members == (("a", 1), ("b", 1))
    assert weave_group(profile, ["a@4", "b"]).members == (("a", 4), ("b", 1))
    for wrong in (["c"], ["a@2"], [""], []):
        with pytest.raises(ProfileError):
            weave_group(profile, wrong)


def test_the_search_for_a_period_takes_little_memory_however_long_it_is() -> None:
    machine = MachineSpec("unit", 10**9, 1_000_003, 99_991, 1 << 40)
    models = [
        profile_of(name, machine, [(cycles, moved, 0, 0)] * 3)
        for name, cycles, moved in (("a", 1_000_003, 7_919_999), ("b", 999_983, 9_999_991))
    ]
    tracemalloc.start()
    with pytest.raises(ProfileError, match="does not repeat within 30000 rows"):
        find_weave(models, max_rows=30_000)
    most_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most_bytes < 30_000 * 300
