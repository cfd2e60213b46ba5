"""Names of runs: by what differs between them, and by nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from layerweaver.backend_sim.results.schema.peak import Peak
from layerweaver.backend_sim.results.schema.run import Run

__all__ = ["NOT_OF_THE_MIX", "leaves", "policy_labels", "run_names", "setting_names"]

NOT_OF_THE_MIX = ("policy", "policies", "files", "plugins", "folder")
"""Keys of a scenario that say nothing of what is served."""


def run_names(runs: Sequence[Run], files: Sequence[str] = ()) -> list[str]:
    """A name per run: the policy, and of several runs of one policy what differs between them.

    What differs is looked for in the policy's options, the seed, the scenario's keys, the offered rate and
    at last the files; only runs that are equal in all of these get a number.
    """
    facts = [_facts(run) for run in runs]
    for fact, file in zip(facts, files or [""] * len(runs), strict=True):
        fact["file"] = file
    return _apart([run["policy"] for run in runs], facts)


def setting_names(policies: Sequence[Mapping[str, object]]) -> list[str]:
    """The same for policies before they run, each given by its ``name`` and options."""
    facts = [{key: _text(value) for key, value in policy.items() if key != "name"} for policy in policies]
    return _apart([str(policy["name"]) for policy in policies], facts)


def policy_labels(runs: Sequence[Run], peaks: Sequence[Peak]) -> tuple[list[str], list[list[str]]]:
    """What the policies of runs and of rows of peak searches are called beside each other.

    One setting of a policy has one name wherever it ran, and two have two.
    """
    of_runs: list[Mapping[str, object]] = [
        {"name": run["policy"], **(run.get("policy_options") or {})} for run in runs
    ]
    of_peaks = [_searched(peak) for peak in peaks]
    apart: list[Mapping[str, object]] = []
    for setting in (*of_runs, *(setting for peak in of_peaks for setting in peak)):
        if setting not in apart:
            apart.append(setting)
    names = setting_names(apart)
    return (
        [names[apart.index(setting)] for setting in of_runs],
        [[names[apart.index(setting)] for setting in peak] for peak in of_peaks],
    )


def _searched(peak: Peak) -> list[Mapping[str, object]]:
    """The policies of a search's rows with their options, as far as it says them."""
    search = peak.get("search")
    stated = search.get("policies") if isinstance(search, Mapping) else None
    if not isinstance(stated, list) or len(stated) < len(peak["results"]):
        return [{"name": row["policy"]} for row in peak["results"]]
    # Of a policy from a file, what was searched says the file; rows have its name before what differs.
    return [
        {**setting, "name": row["policy"].partition(" ")[0]} if isinstance(setting, Mapping) else {"name": ""}
        for row, setting in zip(peak["results"], stated, strict=False)
    ]


def _apart(policies: Sequence[str], facts: Sequence[Mapping[str, str]]) -> list[str]:
    names = []
    for policy, fact in zip(policies, facts, strict=True):
        rivals = [other for one, other in zip(policies, facts, strict=True) if one == policy]
        told: list[str] = []
        for key in fact:
            if all(rival.get(key) == fact[key] for rival in rivals):
                continue
            told.append(f"{key}={fact[key]}" if key not in ("offered", "file") else fact[key])
            rivals = [rival for rival in rivals if rival.get(key) == fact[key]]
            if len(rivals) == 1:
                break
        names.append(" ".join([policy, *told]))
    return [
        name if names.count(name) == 1 else f"{name} #{names[: place + 1].count(name)}"
        for place, name in enumerate(names)
    ]


def _facts(run: Run) -> dict[str, str]:
    """What may tell a run from others of its policy, most telling first."""
    facts = {key: _text(value) for key, value in (run.get("policy_options") or {}).items()}
    facts["seed"] = str(run.get("seed"))
    facts["npu"] = str(run.get("npu"))
    scenario = {key: value for key, value in run.get("scenario", {}).items() if key not in NOT_OF_THE_MIX}
    if isinstance(stated := scenario.get("npu"), str):  # a file or a name; the run's own name is shorter
        scenario["scenario.npu"] = stated
        del scenario["npu"]
    facts |= dict(leaves(scenario))
    rate = run.get("system", {}).get("offered_qps")
    facts["offered"] = "" if rate is None else f"at {rate:.4g} q/s"
    return facts


def leaves(value: object, place: str = "") -> Iterable[tuple[str, str]]:
    """The values of nested keys, such as ``tenants.vision.arrival.qps``."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            name = item.get("name", number) if isinstance(item, Mapping) else number
            yield from leaves(item, f"{place}.{name}")
    else:
        yield place, _text(value)


def _text(value: object) -> str:
    """A value as a name shows it: 500, not 500.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
