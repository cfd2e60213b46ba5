"""What every study takes: a scenario in any stage, and policies in any spelling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerweaver.backend_sim.results.naming import POLICY_FILE, setting_names
from layerweaver.backend_sim.run.prepare import prepare
from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.backend_sim.scenario.reading import builtin_scenario, load_scenario
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.ir import PolicyError
from layerweaver.ir.given import given_list
from layerweaver.scheduler.policies import load_policy
from layerweaver.scheduler.policies.words import read_policy_words

if TYPE_CHECKING:
    from layerweaver.scheduler.policies import Policy

__all__ = [
    "DEFAULT_POLICIES",
    "PolicyRef",
    "ScenarioRef",
    "as_prepared",
    "as_scenario",
    "names_of",
    "own_policy",
    "policies_of",
    "policy_of",
]

ScenarioRef = str | Path | Mapping[str, Any] | Scenario | PreparedScenario | None
PolicyRef = str | Path | Mapping[str, Any]
DEFAULT_POLICIES: tuple[PolicyRef, ...] = ("fcfs", "layerweaver", "layerweaver+")
_POLICIES = "give a list of one policy or more, or None for those of the scenario"


def as_prepared(
    source: ScenarioRef,
    *,
    skip_bad_rows: bool = False,
    allow_code: bool = False,
    progress: Callable[[float, str], None] | None = None,
) -> PreparedScenario:
    """A scenario ready to run, from its path, keys or any later stage; None is the built-in one."""
    if isinstance(source, PreparedScenario):
        return source
    scenario = as_scenario(source)
    scenario = replace(
        scenario,
        skip_bad_rows=skip_bad_rows or scenario.skip_bad_rows,
        allow_code=allow_code or scenario.allow_code,
    )
    return prepare(scenario, progress=progress)


def as_scenario(source: ScenarioRef) -> Scenario:
    """A checked scenario, nothing compiled yet, from its path, keys or any later stage."""
    if isinstance(source, PreparedScenario):
        return source.scenario
    if isinstance(source, Scenario):
        return source
    return builtin_scenario() if source is None else load_scenario(source)


def policy_of(prepared: PreparedScenario, reference: PolicyRef | Policy | None) -> Policy:
    """The policy asked for, or the scenario's own.

    Raises:
        PolicyError: If there is no such policy, or the scenario's is a program that it may not run.
    """
    if reference is not None:
        return load_policy(reference)
    return _stated_policy(prepared.scenario)[1]


def _stated_policy(scenario: Scenario) -> tuple[PolicyRef, Policy]:
    """The scenario's own policy, if it may run, as stated and loaded."""
    with scenario.place("policy"):
        stated = own_policy(scenario.spec.policy, scenario.allow_code, scenario.path_of)
        return stated, load_policy(stated)


def policies_of(prepared: PreparedScenario, references: Sequence[PolicyRef] | None) -> list[PolicyRef]:
    """The policies asked for, the scenario's ``policies``, or three to compare and its ``policy`` as stated.

    Raises:
        PolicyError: If one of the scenario's is a program that it may not run, or one stands twice.
    """
    if isinstance(references, (str, Path, Mapping)):
        raise PolicyError(f"{str(references)[:40]!r} is one policy", accepted="give a list of them")
    seen: list[object] = []
    if references is not None:
        chosen = given_list("policies", references, PolicyError, _POLICIES)
        if not chosen:
            raise PolicyError("no policy is given", accepted=_POLICIES)
        return [_new(reference, seen) for reference in chosen]
    scenario, own = prepared.scenario, list[PolicyRef]()
    for place, policy in enumerate(scenario.spec.policies):
        with scenario.place("policies", place):
            own.append(_new(own_policy(policy, scenario.allow_code, scenario.path_of), seen))
    if own:
        return own
    stated, found = _stated_policy(scenario)
    chosen = [stated if found.name == other else other for other in DEFAULT_POLICIES]
    return chosen if found.name in DEFAULT_POLICIES else [*chosen, stated]


def names_of(policies: Sequence[Policy]) -> list[str]:
    """What policies are called beside each other: by their options, and their files, where these differ."""
    return setting_names([{**policy.as_dict(), POLICY_FILE: str(policy.file or "")} for policy in policies])


def _new(reference: PolicyRef, seen: list[object]) -> PolicyRef:
    """Refuse to run one setting of a policy twice, which tells nothing; adds to what was seen."""
    policy = load_policy(reference)
    setting = (policy.file, policy.as_dict())
    if setting in seen:
        raise PolicyError("stands twice", where=f"policy {policy.name}", accepted="name every setting once")
    seen.append(setting)
    return reference


def own_policy(own: PolicyRef, allow_code: bool, path_of: Callable[[str], Path]) -> PolicyRef:
    """A policy that a document names: a file is relative to it, and runs only where that was allowed.

    Args:
        own: The policy as the document writes it.
        allow_code: Whether a Python file may run.
        path_of: Where a path of the document leads.

    Raises:
        PolicyError: If it is a program that may not run.
    """
    own = read_policy_words(own) if isinstance(own, str) else own
    name = own.get("name") if isinstance(own, Mapping) else own
    if not isinstance(name, str) or not name.endswith(".py"):
        return own
    if not allow_code:
        raise PolicyError(
            f"{name[:80]!r} is a program, and none runs unasked",
            accepted="--allow-code (in Python allow_code=True) runs it",
        )
    file = path_of(name)
    return {**own, "name": str(file)} if isinstance(own, Mapping) else file
