"""Which scenarios of results beside each other are one mix, and what the others are called.

A mix is what two scenarios share that differ in load, length and policy only: a line over load may join them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from layerweaver.backend_sim.results.naming import NOT_OF_THE_MIX, apart, by_files, by_tenants, leaves
from layerweaver.backend_sim.results.schema.peak import Peak

__all__ = ["mix_labels", "peak_labels"]

_NO_MIX = (*NOT_OF_THE_MIX, "duration_s", "min_queries", "warmup_s", "cooldown_s", "skip_bad_rows")


def mix_labels(scenarios: Sequence[object], files: Sequence[str] = ()) -> list[str]:
    """What tells the mix of each scenario from the others'; empty where all are of one.

    Args:
        scenarios: As results state them; None where one does not.
        files: The results' files: mixes of wholly different tenants are called by the first that has each.
    """
    mixes = [_mix_of(scenario if isinstance(scenario, Mapping) else {}) for scenario in scenarios]
    known: list[dict[str, str]] = []
    for mix in mixes:
        if mix not in known:
            known.append(mix)
    of = [files[mixes.index(mix)] for mix in known] if files else []
    told = by_files(by_tenants(known), [f"mix of {PurePath(file).name}" for file in of])
    names = [name.strip() for name in apart([""] * len(known), [{}] * len(known), told)]
    return [names[known.index(mix)] for mix in mixes]


def peak_labels(runs: Sequence[object], peaks: Sequence[Peak], files: Sequence[str] = ()) -> list[str]:
    """What searches are called beside each other and beside runs: by their mixes, then by how they searched.

    Args:
        runs: Scenarios of the runs that stand beside them.
        peaks: The searches.
        files: The files of both.
    """
    of_mixes = mix_labels([*runs, *(peak.get("scenario") for peak in peaks)], files)[len(runs) :]
    ways = [_way(peak) for peak in peaks]
    return [name.strip() for name in apart(of_mixes, ways, [{}] * len(peaks))]


def _way(peak: Peak) -> dict[str, str]:
    search = peak.get("search")
    stated = search if isinstance(search, Mapping) else {}
    way = {"seed": peak.get("seed"), **stated}
    if way.get("tenant", "") is None:
        way["tenant"] = "all"
    return {key: str(value) for key, value in way.items() if key != "policies"}


def _mix_of(scenario: Mapping[str, object]) -> dict[str, str]:
    """The keys that make a mix, most telling first; rates as shares of all, and no seeds."""
    if not scenario:
        return {}
    stated = dict(leaves({key: value for key, value in scenario.items() if key not in _NO_MIX}))
    rates = {
        key: float(value)
        for key, value in stated.items()
        if key.endswith("arrival.qps") and _is_number(value)
    }
    whole = sum(rates.values())
    shares = {key: f"{100 * rate / whole:.3g}% of all" if whole else "" for key, rate in rates.items()}
    seeds = {key: "" for key in stated if key.endswith("arrival.seed")}
    return {
        "npu": _npus(scenario),
        **{key: value for key, value in stated.items() if key != "npu"},
        **seeds,
        **shares,
    }


def _npus(scenario: Mapping[str, object]) -> str:
    """What serves, as runs say it: a name, or how many of each of a pool."""
    pool = scenario.get("pool")
    members = pool if isinstance(pool, list) else [{"npu": scenario.get("npu"), "count": 1}]
    told = []
    for member in members:
        npu, count = (
            (member.get("npu"), member.get("count", 1)) if isinstance(member, Mapping) else (member, 1)
        )
        name = npu.get("name") if isinstance(npu, Mapping) else npu
        told.append(f"{count} x {name}" if isinstance(pool, list) else str(name))
    return " + ".join(told)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
