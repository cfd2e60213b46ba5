"""What a comparison says, in one sentence for people."""

from __future__ import annotations

from collections.abc import Sequence

from layerweaver.backend_sim.results.gains import gains, percent, violations
from layerweaver.backend_sim.results.limits import beyond_limits, has_limit, least_headroom
from layerweaver.backend_sim.results.naming import run_names
from layerweaver.backend_sim.results.offered import comparable_qps, offered_text
from layerweaver.backend_sim.results.repetitions import averaged
from layerweaver.backend_sim.results.schema.peak import Peak, PeakRow
from layerweaver.backend_sim.results.schema.run import Run
from layerweaver.ir.text import figure, first_of

__all__ = ["answer", "compared", "peak_sentence", "verdict_sentence"]

_WEAVING = ("layerweaver+", "layerweaver", "slackweave+")
_SAME_LOAD = 0.1
_NAMED = 3
_NOT_ASKED = "which the status of offline tenants and streams does not ask for"


def compared(runs: Sequence[Run]) -> tuple[Run, Run]:
    """The run to compare with and the run that speaks; the same one if nothing can be compared.

    Where one policy ran at several loads, its highest load speaks, beside the nearest load of the other; of
    several settings of one policy and nothing else, or of two runs of one policy, the last speaks, beside
    the first.
    """
    names = [run["policy"] for run in runs]
    spoken = next((name for name in _WEAVING if name in names), names[-1])
    swept = len(set(names)) < len(names)
    woven = max((run for run in runs if run["policy"] == spoken), key=comparable_qps)
    tenants = [tenant["name"] for tenant in woven["tenants"]]
    others = [
        run
        for run in runs
        if run["policy"] != spoken and [tenant["name"] for tenant in run["tenants"]] == tenants
    ]
    if swept:
        others = [
            run
            for run in others
            if abs(comparable_qps(run) - comparable_qps(woven)) <= _SAME_LOAD * comparable_qps(woven)
        ]
    if not others:
        same_mix = all([tenant["name"] for tenant in run["tenants"]] == tenants for run in runs)
        if same_mix and (len(runs) == 2 or len({comparable_qps(run) for run in runs}) == 1):
            return runs[0], runs[-1]
        return woven, woven
    first = [run for run in others if run["policy"] == "fcfs"] or [
        run for run in others if run["policy"] == others[0]["policy"]
    ]
    return min(first, key=lambda run: abs(comparable_qps(run) - comparable_qps(woven))), woven


def _alone(run: Run, name: str) -> str:
    """What one run says by itself."""
    late = violations(run)
    if late is None:
        stp = run["system"].get("stp") or 0.0
        return f"{name} reaches a system throughput of {figure(stp)}; no tenant has a deadline."
    broken = [tenant["name"] for tenant in run["tenants"] if tenant.get("status") == "late"]
    text = f"{name} misses the deadlines of {percent(late)} of all requests"
    return f"{text}; {', '.join(broken)} {'are' if len(broken) > 1 else 'is'} late." if broken else f"{text}."


def peak_sentence(document: Peak) -> str:
    """One sentence on which policy carries the highest load in a ``peak`` document."""
    if not document["results"]:
        return "No search has ended."
    best = max(document["results"], key=lambda row: row["peak_qps"] or 0.0)
    if not best["peak_qps"]:
        return "No policy meets its deadlines at any rate tried."
    share = best.get("share_of_bound")
    text = f"{best['policy']} carries the highest load: {figure(best['peak_qps'])} queries per second"
    if share:
        text += f", {percent(share)} of the bound"
    if best.get("status") == "too_short":
        why = "".join(f" ({reason})" for reason in best.get("reasons", ())[:1])
        text += f", as far as trials tell that are too short to be sure{why}"
    return f"{text}.{_undecided(document, best)}"


def _undecided(document: Peak, best: PeakRow) -> str:
    """From whom the seeds do not tell the best policy, in words."""
    unsure: list[str] = []
    for item in document.get("differences", []):
        pair, found = (item["policy"], item["against"]), item["peak_qps"]
        if found is not None and best["policy"] in pair and found["low"] <= 0 <= found["high"]:
            unsure.extend(name for name in pair if name != best["policy"])
    low, high = best.get("peak_qps_low"), best.get("peak_qps_high")
    if not unsure or low is None or high is None:
        return ""
    return (
        f" The seeds do not tell it from {first_of(unsure, _NAMED)} (95% interval {figure(low)} to "
        f"{figure(high)})."
    )


def verdict_sentence(runs: Sequence[Run], names: Sequence[str] = ()) -> str:
    """One sentence on what weaving bought in a ``compare`` document.

    Below saturation every policy completes what is offered, so the sentence speaks of violations and tails;
    above it, of the throughput too. Of several seeds it speaks of the means, and says of what the seeds do
    not tell.

    Args:
        runs: One or more.
        names: What they are called; by default by what differs between them.
    """
    base, woven = compared(runs)
    named = {id(run): name for run, name in zip(runs, names or run_names(runs), strict=True)}
    one, other = named[id(woven)], named[id(base)]
    mean = averaged(woven)
    load = f"{_at((base, woven), 'On average over')} {offered_text(mean)}"
    if base is woven:
        return f"{load}, {_alone(mean, one)}"
    sure, unsure = gains(base, woven)
    base_mean = averaged(base)
    against, apart = f"against {other}{_elsewhere(mean, base_mean)}", " and ".join(unsure)
    if sure:
        untold = f" The seeds do not tell whether it {apart}." if unsure else ""
        return f"{load}, {one} {' and '.join(sure)} {against}.{untold}"
    if unsure:
        return f"{load}, the seeds do not tell whether {one} {apart} {against}."
    return f"{load}, {one} and {other}{_elsewhere(mean, base_mean, ',')} do not differ visibly."


def _elsewhere(woven: Run, base: Run, closed: str = "") -> str:
    """The load of the run that is compared with, where it is another, and what closes it."""
    load, other = offered_text(woven, of_bound=False), offered_text(base, of_bound=False)
    return f", at {other}{closed}" if load != other else ""


def answer(runs: Sequence[Run], names: Sequence[str]) -> str:
    """Under which runs every tenant keeps its limit, with how much headroom, and what the others lose.

    A limit that no status asks for, of offline tenants and streams, is kept or not all the same.

    Args:
        runs: One or more.
        names: What they are called.
    """
    kept: list[str] = []
    lost: dict[str, list[str]] = {}
    unsure: dict[str, list[str]] = {}
    beyond: dict[str, list[str]] = {}
    for run, name in zip(runs, names, strict=True):
        late = [tenant["name"] for tenant in run["tenants"] if tenant.get("status") == "late"]
        short = [tenant["name"] for tenant in run["tenants"] if tenant.get("status") == "too_short"]
        judged = any(tenant.get("status") and has_limit(tenant) for tenant in run["tenants"])
        if missed := beyond_limits(run):
            beyond.setdefault(_several(missed), []).append(name)
        if late:
            lost.setdefault(_several(late), []).append(name)
        elif short:
            unsure.setdefault(_several(short), []).append(name)
        elif judged and not missed:
            kept.append(f"{name}{_headroom(run)}")
    if not (kept or lost or unsure or beyond):
        return ""
    parts = [f"every tenant keeps its limit under {', '.join(kept)}"] if kept else []
    parts += [
        f"{_all(names)} {'loses' if len(names) == 1 else 'lose'} {whom}" for whom, names in lost.items()
    ]
    parts += [f"{_all(names)} ran too short to tell of {whom}" for whom, names in unsure.items()]
    parts += [
        f"{_all(names)} {'misses' if len(names) == 1 else 'miss'} the limits of {whom}"
        for whom, names in beyond.items()
    ]
    text = "; ".join(parts) + (f", {_NOT_ASKED}" if beyond else "")
    loads = {offered_text(mean, of_bound=False) for mean in map(averaged, runs) if comparable_qps(mean)}
    if len(loads) == 1:
        return f"{_at(runs, 'By the worst of')} {min(loads)} {text}."
    return f"{text[0].upper()}{text[1:]}."


def _at(runs: Sequence[Run], how: str) -> str:
    """How a sentence begins; of repetitions it says how it speaks of them."""
    seeds = {run.get("seeds", 1) for run in runs}
    most = f"{'up to ' if len(seeds) > 1 else ''}{max(seeds)}"
    return f"{how} {most} seeds, at" if max(seeds) > 1 else "At"


def _all(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _several(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _NAMED else f"{len(names)} tenants ({names[0]}, {names[1]}, ...)"


def _headroom(run: Run) -> str:
    """The tenant that comes nearest to its limit."""
    least = least_headroom(run)
    return f" (least headroom: {least[1]}, {percent(least[0])} of its limit left)" if least else ""
