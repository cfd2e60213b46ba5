"""Peak search: the largest load at which every tenant still meets its percentile.

All rates (or one tenant's) are scaled by one factor. A trial runs the same seeds and the same number of
queries at one factor, and stops as soon as its verdict is certain. No load
above the bound is tried: a short trial could pass there only because it ends. The search itself is in
:mod:`layerweaver.backend_sim.study.peak.search`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

from layerweaver.backend_sim.engine.outcome import is_done, is_late
from layerweaver.backend_sim.results.confidence import spread
from layerweaver.backend_sim.results.latency import percentile_index
from layerweaver.backend_sim.results.of_policy import policy_notes
from layerweaver.backend_sim.results.schema.peak import Peak, PeakDifference, PeakRow, TrialPoint
from layerweaver.backend_sim.results.tokens import decoder_of, token_times
from layerweaver.backend_sim.results.told import told_by
from layerweaver.backend_sim.run.hopeless_deadlines import deadline_warnings
from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.backend_sim.run.run import Run, run_once
from layerweaver.backend_sim.scenario.provenance import HASHES, PLUGINS
from layerweaver.backend_sim.study.inputs import PolicyRef, ScenarioRef, names_of, policies_of, policy_of
from layerweaver.backend_sim.study.peak.plan import PeakPlan, peak_notes, peak_warnings, plan_peak
from layerweaver.backend_sim.study.peak.points import trial_point
from layerweaver.backend_sim.study.peak.search import Search, search_peak
from layerweaver.backend_sim.study.peak.sure import shortage
from layerweaver.backend_sim.study.processes import in_processes
from layerweaver.ir import ScenarioError
from layerweaver.ir.documents import given_seed
from layerweaver.ir.given import check_flags, given_count, given_number
from layerweaver.ir.limits import MAX_CURVE, MAX_QUERIES, MAX_SEEDS, MAX_WORKERS

if TYPE_CHECKING:
    from layerweaver.scheduler.policies import Policy

__all__ = ["PeakPlan", "peak", "plan_peak", "search_one"]

_SLICE = 40_000
_USUAL_TRIALS = 16
"""About so many trials a search takes."""


def _trial(
    plan: PeakPlan, policy: PolicyRef | None, replica: int, share: float, *, whole: bool = False
) -> tuple[bool, Run]:
    """One trial: whether every tenant with a deadline has its percentile within it.

    It stops when that is certain, unless the ``whole`` run is wanted.
    """
    prepared = plan.prepared
    scenario = prepared.scenario
    request = plan.request(share, replica)
    allowed: list[int | None] = []
    for index, count in enumerate(request.queries or ()):
        due = scenario.deadline_ns(index)
        allowed.append(
            None if due is None else count - 1 - percentile_index(count, scenario.percentile(index))
        )

    def hopeless(progress: Any) -> bool:
        return any(
            limit is not None and late + dropped > limit
            for limit, late, dropped in zip(allowed, progress.late, progress.dropped, strict=True)
        )

    watch = hopeless if len(prepared.machines) == 1 and not whole else None
    run = run_once(prepared, policy_of(prepared, policy), request, progress=watch, decisions_per_slice=_SLICE)
    if run.interrupted and not run.stopped:
        raise KeyboardInterrupt
    if run.interrupted:
        return False, run
    for index in range(len(allowed)):
        due, decoder = scenario.deadline_ns(index), decoder_of(run, index)
        if decoder is not None and not token_times(run, index, decoder).meet(scenario.percentile(index)):
            return False, run
        if due is None:
            continue
        latency_ns = run.all_latencies(index)
        met = int((is_done(latency_ns) & ~is_late(latency_ns, due)).sum())
        if len(latency_ns) and met <= percentile_index(len(latency_ns), scenario.percentile(index)):
            return False, run
    return True, run


def search_one(
    plan: PeakPlan, policy: PolicyRef | None, replica: int = 0, *, tried: Callable[[int], None] | None = None
) -> Search:
    """The search under one policy with one repetition's seeds.

    Args:
        plan: What is searched.
        policy: The policy.
        replica: Number of the repetition.
        tried: Told the number of trials after each.
    """
    scenario = plan.prepared.scenario
    for index in range(len(plan.rates_qps)):
        due = scenario.deadline_ns(index)
        if due is not None and plan.prepared.standalone_s(index) * 1e9 > due:
            return Search(0.0, 0.0, (), True)
    points: list[TrialPoint] = []

    def passes(share: float) -> bool:
        passed, run = _trial(plan, policy, replica, share)
        points.append(trial_point(run, plan.total_qps(share), passed=passed))
        if tried is not None:
            tried(len(points))
        return passed

    search = search_peak(passes, plan.resolution, ceiling=1.0, lowest=plan.lowest)
    if replica == 0 and not search.interrupted:
        complete = [point["qps"] for point in points if not point["stopped_early"]]
        for share in (step / plan.curve for step in range(1, plan.curve + 1)):
            qps = plan.total_qps(share)
            if all(abs(qps - known) > plan.total_qps(plan.resolution) for known in complete):
                try:
                    passed, run = _trial(plan, policy, replica, share, whole=True)
                except KeyboardInterrupt:
                    return replace(search, points=tuple(points), interrupted=True)
                points.append(trial_point(run, qps, passed=passed))
    return replace(search, points=tuple(points))


def _searches(
    plan: PeakPlan,
    todo: Sequence[tuple[PolicyRef | None, int]],
    workers: int,
    tell: Callable[[float, int], None],
) -> list[Search | None]:
    """One search per job, in order; None where Ctrl-C came before it had begun (or ended, in processes)."""
    if workers > 1 and len(todo) > 1:
        searches = [partial(search_one, plan, *job) for job in todo]
        return in_processes(searches, workers, lambda ended: tell(ended / len(todo), ended))
    found: list[Search | None] = []
    for number, job in enumerate(todo):

        def tried(trials: int, number: int = number) -> None:
            tell((number + min(trials / _USUAL_TRIALS, 0.95)) / len(todo), number)

        search = search_one(plan, *job, tried=tried)
        if search.interrupted:
            found.append(search if search.trials else None)
            break
        found.append(search)
        tell((number + 1) / len(todo), number + 1)
    return found + [None] * (len(todo) - len(found))


def peak(
    source: ScenarioRef = None,
    policies: Sequence[PolicyRef] | None = None,
    *,
    queries: int = 20_000,
    seeds: int = 1,
    tenant: str | None = None,
    seed: int | None = None,
    workers: int = 1,
    resolution: float = 0.005,
    curve: int = 0,
    skip_bad_rows: bool = False,
    allow_code: bool = False,
    progress: Callable[[float, str], None] | None = None,
) -> Peak:
    """Search the peak rate of a scenario under one or several policies.

    Args:
        source: Path or keys of a scenario; None is the built-in one.
        policies: Policies; None takes the scenario's ``policies``, or fcfs, layerweaver, layerweaver+ and its
            ``policy``.
        queries: Queries per trial, over all tenants, divided by their rates.
        seeds: Repetitions with derived seeds.
        tenant: Scale only this tenant's rate; all tenants must still meet their percentiles.
        seed: Replaces all seeds by ones derived from it.
        workers: Processes.
        resolution: Width of the final bracket as a share of the bound; low peaks are told to a tenth.
        curve: Also run so many evenly spaced loads up to the bound to their ends, for curves over load; they
            are among ``trial_points`` and not among ``trials``.
        skip_bad_rows: Leave bad rows of traces out.
        allow_code: Run a policy that the scenario gives as a Python file.
        progress: Told the share done and what comes next.

    Returns:
        ``{"bound_qps", "results": [...]}``; rates are totals over tenants. ``peak_qps`` is the mean over the
        seeds, ``peak_qps_low`` and ``peak_qps_high`` its 95% interval and ``peaks_qps`` every seed's;
        ``status`` is ``met``, ``late`` if no rate tried keeps the deadlines, or ``too_short`` where trials
        are too short to be sure of the peak (``reasons``; ``needed_queries`` would do);
        ``differences`` compares policies seed by seed. ``bracket_qps`` is the widest bracket, ``trials`` the
        number of runs, and ``trial_points`` what each trial of the first repetition measured, by load.
        Ctrl-C gives what was reached, with ``interrupted``.

    Raises:
        LayerweaverError: If the scenario is wrong or has no peak to search for.
    """
    check_flags(ScenarioError, skip_bad_rows=skip_bad_rows, allow_code=allow_code)
    seed = given_seed(seed, ScenarioError)
    seeds = given_count("seeds", seeds, ScenarioError, most=MAX_SEEDS)
    workers = given_count("workers", workers, ScenarioError, most=MAX_WORKERS)
    queries = given_count("queries", queries, ScenarioError, most=MAX_QUERIES)
    curve = given_count("curve", curve, ScenarioError, least=0, most=MAX_CURVE)
    share = "give a number between 0 and 1"
    resolution = given_number("resolution", resolution, ScenarioError, share)
    if not 0 < resolution < 1:
        raise ScenarioError(f"resolution {resolution:g} is not accepted", accepted=share)
    plan = plan_peak(
        source,
        queries=queries,
        tenant=tenant,
        seed=seed,
        resolution=resolution,
        curve=curve,
        skip_bad_rows=skip_bad_rows,
        allow_code=allow_code,
    )
    prepared = plan.prepared
    chosen = policies_of(prepared, policies)
    policies_run = [policy_of(prepared, reference) for reference in chosen]
    names = names_of(policies_run)
    todo = [(reference, replica) for reference in chosen for replica in range(seeds)]

    def tell(share: float, ended: int) -> None:
        if progress is not None:
            progress(share, names[min(ended, len(todo) - 1) // seeds])

    tell(0.0, 0)
    found = _searches(plan, todo, workers, tell)
    results = []
    for place, (name, policy) in enumerate(zip(names, policies_run, strict=True)):
        searches = [search for search in found[place * seeds : (place + 1) * seeds] if search is not None]
        if searches:
            results.append(_result(plan, name, policy, searches))
    records = [prepared.record(policy) for policy in policies_run]
    document: Peak = {
        "bound_qps": plan.total_qps(1.0),
        "results": results,
        "seed": seed,
        "scenario": _stated(prepared, records),
        "search": {
            "policies": [record["policy"] for record in records],
            "queries": queries,
            "seeds": seeds,
            "tenant": tenant,
            "resolution": resolution,
            "curve": curve,
        },
    }
    if seeds > 1 and len(results) > 1:
        document["differences"] = _differences(results)
    of_policies = told_by(names, [[*deadline_warnings(prepared, policy)] for policy in policies_run])
    unsure = told_by([row["policy"] for row in results], [row.get("reasons", []) for row in results])
    if warnings := [*peak_warnings(plan, seeds), *of_policies, *unsure]:
        document["warnings"] = warnings
    of_policies = told_by(names, [[*policy_notes(prepared, policy)] for policy in policies_run])
    if notes := [*peak_notes(plan), *of_policies]:
        document["notes"] = notes
    if any(search is None or search.interrupted for search in found):
        document["interrupted"] = True
    return document


def _stated(prepared: PreparedScenario, records: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """The scenario as results state it, with the hash of every file and plug-in that a policy is, too."""
    files: dict[str, object] = {}
    plugins: dict[str, object] = {}
    for record in records:
        files |= cast("dict[str, object]", record[HASHES])
        plugins |= cast("dict[str, object]", record.get(PLUGINS, {}))
    both = {HASHES: files, PLUGINS: plugins} if plugins else {HASHES: files}
    return {**records[0], **prepared.stated, **both}


def _differences(results: Sequence[PeakRow]) -> list[PeakDifference]:
    """Every further policy's peak less the first one's, seed by seed: both saw the same traffic."""
    first = results[0]
    return [
        {
            "policy": row["policy"],
            "against": first["policy"],
            "level": 0.95,
            "peak_qps": spread(
                [a - b for a, b in zip(row["peaks_qps"], first["peaks_qps"], strict=False)], least=-math.inf
            ),
        }
        for row in results[1:]
    ]


def _result(plan: PeakPlan, name: str, policy: Policy, searches: Sequence[Search]) -> PeakRow:
    peaks = [plan.total_qps(search.low) for search in searches]
    bound = plan.total_qps(1.0)
    mean = math.fsum(peaks) / len(peaks)
    over_seeds = spread(peaks, most=bound)
    high = max(search.high for search in searches)
    lacking = shortage(plan, max(search.low for search in searches)) if mean else None
    document: PeakRow = {
        "policy": name,
        "policy_options": policy.as_options(),
        "peak_qps": mean,
        "peak_qps_sd": over_seeds and over_seeds["sd"],
        "peak_qps_low": over_seeds and over_seeds["low"],
        "peak_qps_high": over_seeds and over_seeds["high"],
        "share_of_bound": mean / bound,
        "status": "late" if lacking is None else "too_short" if lacking.reasons else "met",
        "bracket_qps": [min(peaks), plan.total_qps(high) if math.isfinite(high) else None],
        "trials": sum(len(search.trials) for search in searches),
        "monotone": all(search.monotone for search in searches),
        "peaks_qps": peaks,
        "trial_points": sorted(searches[0].points, key=itemgetter("qps")),
    }
    if lacking is not None and lacking.reasons:
        document["reasons"] = list(lacking.reasons)
        if lacking.queries > plan.queries:  # no number of queries lengthens a trace that ends
            document["needed_queries"] = lacking.queries
    if any(search.interrupted for search in searches):
        document["interrupted"] = True
    return document
