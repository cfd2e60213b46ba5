"""What every study takes: a scenario in any stage, and policies in any spelling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerweaver.backend_sim.run.prepare import PreparedScenario, prepare
from layerweaver.backend_sim.scenario.reading import builtin_scenario, load_scenario
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.scheduler.policies import load_policy
from layerweaver.scheduler.policies.words import read_policy_words

if TYPE_CHECKING:
    from layerweaver.scheduler.policies import Policy

__all__ = ["DEFAULT_POLICIES", "PolicyRef", "ScenarioRef", "as_prepared", "policy_of"]

ScenarioRef = str | Path | Mapping[str, Any] | Scenario | PreparedScenario | None
PolicyRef = str | Path | Mapping[str, Any]
DEFAULT_POLICIES: tuple[PolicyRef, ...] = ("fcfs", "layerweaver", "layerweaver+")


def as_prepared(
    source: ScenarioRef, *, skip_bad_rows: bool = False, progress: Callable[[float, str], None] | None = None
) -> PreparedScenario:
    """A scenario ready to run, from its path, keys or any later stage; None is the built-in one."""
    if isinstance(source, PreparedScenario):
        return source
    if source is None:
        scenario = builtin_scenario()
    elif isinstance(source, Scenario):
        scenario = source
    else:
        scenario = load_scenario(source)
    if skip_bad_rows:
        scenario = scenario.with_skipping(True)
    return prepare(scenario, progress=progress)


def policy_of(prepared: PreparedScenario, reference: PolicyRef | Policy | None) -> Policy:
    """The policy asked for, or the scenario's own (whose path is relative to the scenario file)."""
    if reference is not None:
        return load_policy(reference)
    scenario = prepared.scenario
    own = scenario.spec.policy
    own = read_policy_words(own) if isinstance(own, str) else own
    name = own if isinstance(own, str) else own.get("name")
    with scenario.place("policy"):
        if isinstance(name, str) and name.endswith(".py"):
            file = scenario.path_of(name)
            return load_policy(file if isinstance(own, str) else {**own, "name": str(file)})
        return load_policy(own)
