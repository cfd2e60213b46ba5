"""Names of runs: by what differs between them, and by nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

from layerweaver.backend_sim.results.certified import Certificate
from layerweaver.backend_sim.results.schema.peak import Peak
from layerweaver.backend_sim.results.schema.run import Run
from layerweaver.ir.text import figure

__all__ = [
    "NOT_OF_THE_MIX",
    "POLICY_FILE",
    "apart",
    "by_files",
    "by_tenants",
    "leaves",
    "option_text",
    "policy_labels",
    "run_names",
    "setting_names",
    "settings_of",
    "settings_searched",
]

NOT_OF_THE_MIX = ("policy", "policies", "files", "plugins", "folder")
"""Keys of a scenario that say nothing of what is served."""


_MOST = 3
"""So many of the keys that differ are told, and more only where it takes them to tell runs apart."""
_LAST = ("offered", "file")
"""What follows from other things, or says nothing of the run."""
POLICY_FILE = "policy's file"
"""Key of a setting for the Python file that its policy comes from."""


def run_names(runs: Sequence[Run], files: Sequence[str] = ()) -> list[str]:
    """A name per run: the policy, and what differs between the runs.

    Options are those that differ between runs of one policy; seeds, NPUs, the scenario's keys and the hashes
    of its files are compared between all. Runs of mixes that have more than three tenants not in common go by
    the results' files instead. The offered rate and at last the result's file are told where nothing else
    tells two apart; only runs that are equal in all of these get a number.
    """
    options = [
        {POLICY_FILE: file, **{key: _text(value) for key, value in (run.get("policy_options") or {}).items()}}
        for run, file in zip(
            runs, _short(_known([run["policy"] for run in runs], list(map(_file_of, runs)))), strict=True
        )
    ]
    shared = by_tenants([_shared(run, versions) for run, versions in zip(runs, _versions(runs), strict=True)])
    shared = by_files(shared, files)
    for fact, run, file in zip(shared, runs, files or [""] * len(runs), strict=True):
        rate = run.get("system", {}).get("offered_qps")
        fact |= {"offered": "" if rate is None else f"at {figure(rate, 4)} q/s", "file": file}
    return apart([run["policy"] for run in runs], options, shared)


def setting_names(policies: Sequence[Mapping[str, object]]) -> list[str]:
    """The same for policies before they run, given by ``name``, options and, if any, :data:`POLICY_FILE`."""
    files = _short([str(policy.get(POLICY_FILE, "")) for policy in policies])
    facts = [
        {POLICY_FILE: file}
        | {key: _text(value) for key, value in policy.items() if key not in {"name", POLICY_FILE}}
        for policy, file in zip(policies, files, strict=True)
    ]
    return apart([str(policy["name"]) for policy in policies], facts, [{} for _ in policies])


def _file_of(run: Run | Certificate) -> str | None:
    """The Python file that a run's policy comes from; "" if none, None if the run does not say."""
    return _python_file(run.get("scenario", {}).get("policy"))


def _python_file(policy: object) -> str | None:
    name = policy.get("name") if isinstance(policy, Mapping) else policy
    return None if not isinstance(name, str) else name if name.endswith(".py") else ""


def _known(policies: Sequence[str], files: Sequence[str | None]) -> list[str]:
    """Files of policies, and none of a policy of which some run does not say it."""
    silent = {policy for policy, file in zip(policies, files, strict=True) if file is None}
    return ["" if policy in silent else file or "" for policy, file in zip(policies, files, strict=True)]


def _short(files: Iterable[str]) -> list[str]:
    """Files without their folders, where that tells them apart."""
    given = list(files)
    short = [PurePath(file).name for file in given]
    return short if len(set(short)) == len(set(given)) else given


def policy_labels(runs: Sequence[Run], peaks: Sequence[Peak]) -> tuple[list[str], list[list[str]]]:
    """What the policies of runs and of rows of peak searches are called beside each other.

    One setting of a policy has one name wherever it ran, and two have two.
    """
    every = [*settings_of(runs), *(setting for peak in peaks for setting in settings_searched(peak))]
    files = _known(
        [str(setting["name"]) for setting in every],
        [None if (file := setting.get(POLICY_FILE)) is None else str(file) for setting in every],
    )
    every = [{**setting, POLICY_FILE: file} for setting, file in zip(every, files, strict=True)]
    settings = [setting for place, setting in enumerate(every) if setting not in every[:place]]
    names = setting_names(settings)
    found = iter([names[settings.index(setting)] for setting in every])
    return [next(found) for _ in runs], [[next(found) for _ in peak["results"]] for peak in peaks]


def settings_of(runs: Sequence[Run | Certificate]) -> list[Mapping[str, object]]:
    """The policies of runs with their options and, in :data:`POLICY_FILE`, their files as far as known."""
    return [
        {"name": run["policy"], **(run.get("policy_options") or {}), POLICY_FILE: _file_of(run)}
        for run in runs
    ]


def settings_searched(peak: Peak) -> list[Mapping[str, object]]:
    """The policies of a search's rows with their options, as far as it says them."""
    search = peak.get("search")
    stated = search.get("policies") if isinstance(search, Mapping) else None
    if not isinstance(stated, list) or len(stated) < len(peak["results"]):
        return [{"name": row["policy"]} for row in peak["results"]]
    # Of a policy from a file, what was searched says the file; rows have its name before what differs.
    return [
        {**setting, "name": row["policy"].partition(" ")[0], POLICY_FILE: _python_file(setting)}
        if isinstance(setting, Mapping)
        else {"name": ""}
        for row, setting in zip(peak["results"], stated, strict=False)
    ]


def apart(
    policies: Sequence[str], options: Sequence[Mapping[str, str]], shared: Sequence[Mapping[str, str]]
) -> list[str]:
    """Names by policies, their options, and what runs of different policies share, most telling first."""
    facts = [{**own, **others} for own, others in zip(options, shared, strict=True)]
    varied = {
        key for key in {key for fact in shared for key in fact} if _differs(key, shared[0].get(key), shared)
    }
    names = []
    for policy, fact, others in zip(policies, facts, shared, strict=True):
        rivals = [rival for one, rival in zip(policies, facts, strict=True) if one == policy]
        differing = [
            key
            for key in fact
            if key not in _LAST and (key in varied if key in others else _differs(key, fact[key], rivals))
        ]
        if "npu" in differing:  # the name says it; the rest only tells NPUs of one name apart
            differing = [key for key in differing if not key.startswith(("scenario.npu", "npu.", "pool."))]
        if f"{_VERSION}{fact.get('scenario.npu')}" in differing:
            differing = [key for key in differing if key != "scenario.npu"]
        told = differing[:_MOST]
        rivals = [rival for rival in rivals if all(rival.get(key) == fact[key] for key in told)]
        for key in fact:
            if len(rivals) > 1 and _differs(key, fact[key], rivals):
                told.append(key)
                rivals = [rival for rival in rivals if rival.get(key) == fact[key]]
        more = len(set(differing) - set(told))
        names.append(
            " ".join([policy, *(_told(key, fact[key]) for key in told), *[f"+{more} more"] * (more > 0)])
        )
    return [
        name if names.count(name) == 1 else f"{name} #{names[: place + 1].count(name)}"
        for place, name in enumerate(names)
    ]


def _differs(key: str, value: str | None, facts: Sequence[Mapping[str, str]]) -> bool:
    return any(fact.get(key) != value for fact in facts)


def _told(key: str, value: str) -> str:
    if key in _LAST or key == _RESULT or key.startswith((_VERSION, _TENANT)):
        return value
    if key == POLICY_FILE:
        return value or "(installed)"
    return "own seeds" if (key, value) == ("seed", "None") else option_text(key, value)


def option_text(key: str, value: object) -> str:
    """An option, or another fact, as names tell it: margin_us=500."""
    return f"{key}={_text(value)}"


def _shared(run: Run, versions: Mapping[str, str]) -> dict[str, str]:
    """What may tell a run from others of any policy, most telling first."""
    facts = {"seed": str(run.get("seed")), "npu": str(run.get("npu")), **versions}
    scenario = {key: value for key, value in run.get("scenario", {}).items() if key not in NOT_OF_THE_MIX}
    if isinstance(stated := scenario.get("npu"), str):  # a file or a name; the run's own name is shorter
        facts["scenario.npu"] = stated
        del scenario["npu"]
    return facts | dict(leaves(scenario))


_VERSION, _TENANT, _RESULT = "version of ", "tenant ", "result"


def by_tenants(facts: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Facts in which a tenant that only some of the scenarios have is one fact, not one for each of its keys.

    Args:
        facts: Of every scenario, among others its :func:`leaves`.
    """
    served = [{value for key, value in fact.items() if key == f"tenants.{value}.name"} for fact in facts]
    stated = [names for names in served if names]  # older results do not state their scenario
    some = sorted(set().union(*stated) - set(stated[0]).intersection(*stated)) if stated else []
    keys = tuple(f"tenants.{name}." for name in some)
    return [
        {f"{_TENANT}{name}": f"{'with' if name in names else 'without'} {name}" for name in some if names}
        | {key: value for key, value in fact.items() if not (keys and key.startswith(keys))}
        for fact, names in zip(facts, served, strict=True)
    ]


def by_files(facts: Sequence[dict[str, str]], files: Sequence[str]) -> list[dict[str, str]]:
    """Facts of :func:`by_tenants`, or the results' files where more tenants differ than a name tells.

    Args:
        facts: Of every scenario.
        files: The file of each; none, or one for two scenarios that differ, keeps the facts.
    """
    names = _short(files)
    held = dict(zip(names, facts, strict=False))
    mixed = any(held[name] != fact for name, fact in zip(names, facts, strict=False))
    differing = {key for fact in facts for key in fact if key.startswith(_TENANT)}
    if not files or mixed or len(differing) <= _MOST:
        return list(facts)
    return [{_RESULT: name} for name in names]


def _versions(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Of files and plug-ins that changed between the runs, which version each run had."""
    recorded = [
        {
            str(path): str(found)
            for key in ("files", "plugins")
            if isinstance(hashes := run.get("scenario", {}).get(key), Mapping)
            for path, found in hashes.items()
        }
        for run in runs
    ]
    seen: dict[str, list[str]] = {}
    for found in recorded:
        for path, version in found.items():
            if version not in seen.setdefault(path, []):
                seen[path].append(version)
    return [
        {
            f"{_VERSION}{path}": f"{path}{_change(seen[path].index(version), len(seen[path]))}"
            for path, version in found.items()
            if len(seen[path]) > 1
        }
        for found in recorded
    ]


def _change(place: int, versions: int) -> str:
    """What stands behind a file's name: nothing behind the first version."""
    return "" if not place else " (changed)" if versions == 2 else f" (changed, version {place + 1})"


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
