"""Every shipped policy terminates, loses nothing and leaves a valid schedule, hostile mixes included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from oracles.random_inputs import FixedArrivals, Recipe, recipes

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.engine.outcome import SimulationOutcome
from layerweaver.backend_sim.traffic.source import OpenLoop, Saturated
from layerweaver.ir import ProfileError
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.policies import load_policy, policy_names
from layerweaver.scheduler.validator import find_violations

Make = Callable[..., ModelProfile]
FOREVER = (0, 2**62)


def _invalid(given_input: SimulationInput, outcome: SimulationOutcome, scheduled: list[Any]) -> list[Any]:
    tables = [[profile.table for profile in tenant.profiles] for tenant in given_input.tenants]
    assert outcome.log is not None
    # Some policies let requests that can be in time pass those that cannot.
    return list(find_violations(outcome.log, given_input.machine, tables, scheduled, in_order=False))


@pytest.mark.parametrize("name", ["sjf", "dysta", "sdrm3", "planaria"])
@given(recipe=recipes())
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_nothing_is_lost_under_any_traffic(name: str, recipe: Recipe) -> None:
    outcome = run(recipe.make(), load_policy(name), record_cycles=FOREVER, compiled=False)
    for tenant, times in zip(outcome.tenants, recipe.times_ns, strict=True):
        if tenant.scheduled_ns is None:
            assert len(tenant.latency_ns) == len(times)


def _hostile(make: Make) -> dict[str, list[TenantLoad]]:
    compute, memory = make("compute", [(90, 10), (50, 20)]), make("memory", [(8, 60), (5, 90)])
    huge = make("huge", [(5, 10), (9000, 1000), (5, 10)])
    large = make("large", [(10, 1000), (10, 1000), (10, 999)])

    def load(model: ModelProfile, name: str, times: list[int], **options: Any) -> TenantLoad:
        return TenantLoad(name, (model,), OpenLoop(FixedArrivals(times)), **options)

    calm, flood = list(range(0, 6000, 600)), [0] * 30
    return {
        "one overloads": [load(compute, "a", flood), load(memory, "b", calm, deadline_ns=500)],
        "one enormous layer": [load(huge, "a", calm[:4]), load(memory, "b", calm)],
        "weights as large as the buffer": [load(large, "a", calm[:4]), load(compute, "b", calm)],
        "equal models": [load(compute, name, calm) for name in "abc"],
        "all memory-bound": [load(memory, name, calm, deadline_ns=300) for name in "ab"],
        "deadlines that cannot be met": [load(m, m.entry, calm, deadline_ns=1) for m in (compute, memory)],
        "priorities": [
            load(compute, "a", calm, priority=9, deadline_ns=400),
            load(memory, "b", calm, deadline_ns=400),
        ],
        "no work but time": [load(make("free", [(0, 0)]), "a", calm), load(compute, "b", calm)],
    }


@pytest.mark.parametrize("name", policy_names())
def test_hostile_mixes_end_and_are_valid(make_model: Make, name: str) -> None:
    for mix in _hostile(make_model):
        tenants = _hostile(make_model)[mix]
        given_input = SimulationInput(tenants[0].profiles[0].table.machine, tuple(tenants))
        if name == "static-weave" and mix == "no work but time":
            with pytest.raises(ProfileError, match="costs nothing"):
                run(given_input, load_policy(name), compiled=False)
            continue
        outcome = run(given_input, load_policy(name), record_cycles=FOREVER, compiled=False)
        sources = [tenant.source for tenant in _hostile(make_model)[mix]]
        scheduled = [source.arrivals.take(10**6) for source in sources if isinstance(source, OpenLoop)]
        for tenant, times in zip(outcome.tenants, scheduled, strict=True):
            assert len(tenant.latency_ns) == len(times), mix
            assert (tenant.latency_ns >= 0).all(), mix
        assert not _invalid(given_input, outcome, scheduled), mix


def test_starvation_under_saturation_is_reported(make_model: Make) -> None:
    # Two memory-intensive streams and one compute-intensive: the rule has no reason to turn to the third.
    models = [
        make_model("a", [(90, 10), (50, 20)]),
        make_model("b", [(8, 60), (5, 90)]),
        make_model("c", [(8, 70), (5, 95)]),
    ]
    tenants = tuple(TenantLoad(m.entry, (m,), Saturated(min_queries=30)) for m in models)
    policy = load_policy("layerweaver")
    outcome = run(SimulationInput(models[0].table.machine, tenants), policy, compiled=False)
    waits = [tenant.longest_wait_cycles for tenant in outcome.tenants]
    assert max(waits) > 20 * max(model.standalone_cycles for model in models)
    assert np.argmax(waits) == 2
