"""Peak search: the largest load at which every tenant still meets its percentile.

All rates (or one tenant's) are scaled by one factor. A trial runs the same seeds and the same number of
queries at one factor, and stops as soon as its verdict is certain. No load
above the bound is tried: a short trial could pass there only because it ends. The search itself is in
:mod:`layerweaver.backend_sim.peak_search`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

from layerweaver.backend_sim.peak_search import Search, search_peak
from layerweaver.backend_sim.percentiles import percentile_index
from layerweaver.backend_sim.prepare import PreparedScenario
from layerweaver.backend_sim.run import run_once
from layerweaver.backend_sim.scenario_rates import mean_rate_qps
from layerweaver.backend_sim.simulate import (
    DEFAULT_POLICIES,
    PolicyRef,
    ScenarioRef,
    as_prepared,
    policy_of,
)
from layerweaver.backend_sim.sources import TrafficRequest, is_scalable, make_source
from layerweaver.ir import ScenarioError
from layerweaver.ir.yaml_source import nearest
from layerweaver.scheduler.bounds import pool_bound

__all__ = ["PeakPlan", "peak", "plan_peak", "search_one"]

_SLICE = 40_000


@dataclass(frozen=True, slots=True, eq=False)
class PeakPlan:
    """What is searched.

    Attributes:
        prepared: The scenario.
        rates_qps: Mean arrival rate per tenant as the scenario states it.
        only: Index of the tenant whose rate is scaled; None for all.
        queries: Queries per trial, over all tenants.
        bound_factor: Factor at which the two-resource bound is reached.
        seed: As :func:`~layerweaver.backend_sim.simulate.simulate`.
        resolution: Width of the final bracket as a share of the bound.
    """

    prepared: PreparedScenario
    rates_qps: tuple[float, ...]
    only: int | None
    queries: int
    bound_factor: float
    seed: int | None
    resolution: float

    def scaled_qps(self, share: float) -> tuple[float, ...]:
        """Rates of all tenants at a share of the bound."""
        factor = share * self.bound_factor
        return tuple(
            rate * (factor if self.only in (None, index) else 1.0)
            for index, rate in enumerate(self.rates_qps)
        )

    def request(self, share: float, replica: int) -> TrafficRequest:
        """The traffic of a trial: the queries are divided by rate, so that all tenants end together."""
        rates = self.scaled_qps(share)
        total = math.fsum(rates)
        return TrafficRequest(
            factor=share * self.bound_factor,
            only=self.only,
            seed=self.seed,
            replica=replica,
            queries=tuple(max(1, round(self.queries * rate / total)) for rate in rates),
        )

    def total_qps(self, share: float) -> float:
        """Total rate at a share of the bound."""
        return math.fsum(self.scaled_qps(share)) if share else 0.0


def plan_peak(
    source: ScenarioRef = None,
    *,
    queries: int = 20_000,
    tenant: str | None = None,
    seed: int | None = None,
    resolution: float = 0.005,
    skip_bad_rows: bool = False,
) -> PeakPlan:
    """Check that a scenario has a peak to search for, and bound it.

    Raises:
        ScenarioError: If a tenant has no rate to scale, none has a deadline, or there is no such tenant.
    """
    prepared = as_prepared(source, skip_bad_rows=skip_bad_rows)
    scenario = prepared.scenario
    spec = scenario.spec
    names = [item.name for item in spec.tenants]
    if tenant is not None and tenant not in names:
        raise ScenarioError(
            f"there is no tenant {tenant!r}", where=scenario.source.source, accepted=nearest(tenant, names)
        )
    if queries < len(names):
        raise ScenarioError(
            f"{queries} queries for {len(names)} tenants", accepted="give at least one per tenant"
        )
    for index, item in enumerate(spec.tenants):
        if not is_scalable(scenario, index):
            raise ScenarioError(
                f"{item.arrival.kind} has no rate that can be scaled",
                where=scenario.where("tenants", index, "arrival"),
                accepted="a peak search takes generated arrivals and traces",
            )
    if all(scenario.deadline_ns(index) is None for index in range(len(names))):
        raise ScenarioError(
            "no tenant has a deadline, so every load passes",
            where=scenario.source.source,
            accepted="give deadline_ms",
        )
    rates = tuple(_rate_qps(prepared, index) for index in range(len(names)))
    only = None if tenant is None else names.index(tenant)
    factor = _bound_factor(prepared, rates, only)
    return PeakPlan(prepared, rates, only, queries, factor, seed, resolution)


def _rate_qps(prepared: PreparedScenario, index: int) -> float:
    """Mean arrival rate of one tenant; a trace is read for it."""
    spec = prepared.scenario.spec
    rate = mean_rate_qps(spec.tenants[index], spec.duration_s)
    if rate is not None:
        return rate
    source = make_source(prepared.scenario, index, TrafficRequest())
    count, first_ns, last_ns = 0, None, 0
    while hasattr(source, "take") and len(times := source.take(1 << 16)):
        first_ns = int(times[0]) if first_ns is None else first_ns
        count, last_ns = count + len(times), int(times[-1])
    if count < 2 or first_ns is None or last_ns == first_ns:
        raise ScenarioError(
            "the trace is too short to have a rate",
            where=prepared.scenario.where("tenants", index, "arrival"),
        )
    return (count - 1) * 1e9 / (last_ns - first_ns)


def _bound_factor(prepared: PreparedScenario, rates: Sequence[float], only: int | None) -> float:
    """The factor at which the pool's linear programme has no room left."""
    menus, counts = [npu.menus for npu in prepared.npus], [npu.count for npu in prepared.npus]

    def room(factor: float) -> float:
        scaled = [rate * (factor if only in (None, index) else 1.0) for index, rate in enumerate(rates)]
        return pool_bound(menus, scaled, counts) / math.fsum(scaled)

    if only is None:
        return room(1.0)
    if room(1e-9) < 1:
        raise ScenarioError("the other tenants alone are above the bound", accepted="lower their rates")
    low, high = 0.0, 1.0
    while room(high) >= 1 and high < 1e12:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if room(middle) >= 1 else (low, middle)
    return low


def _passes(plan: PeakPlan, policy: PolicyRef | None, replica: int, share: float) -> bool:
    """One trial: whether every tenant with a deadline has its percentile within it."""
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

    watch = hopeless if len(prepared.machines) == 1 else None
    run = run_once(prepared, policy_of(prepared, policy), request, progress=watch, decisions_per_slice=_SLICE)
    if run.interrupted and not run.stopped:
        raise KeyboardInterrupt
    if run.interrupted:
        return False
    for index in range(len(allowed)):
        due = scenario.deadline_ns(index)
        if due is None:
            continue
        latency_ns = run.all_latencies(index)
        met = int(((latency_ns >= 0) & (latency_ns <= due)).sum())
        if len(latency_ns) and met <= percentile_index(len(latency_ns), scenario.percentile(index)):
            return False
    return True


def search_one(plan: PeakPlan, policy: PolicyRef | None, replica: int = 0) -> Search:
    """The search under one policy with one repetition's seeds."""
    scenario = plan.prepared.scenario
    for index in range(len(plan.rates_qps)):
        due = scenario.deadline_ns(index)
        if due is not None and plan.prepared.standalone_s(index) * 1e9 > due:
            return Search(0.0, 0.0, (), True)
    return search_peak(partial(_passes, plan, policy, replica), plan.resolution, ceiling=1.0)


def _searches(plan: PeakPlan, todo: Sequence[tuple[PolicyRef | None, int]], jobs: int) -> Iterator[Search]:
    if jobs <= 1 or len(todo) == 1:
        yield from (search_one(plan, *job) for job in todo)
        return
    with ProcessPoolExecutor(min(jobs, len(todo)), mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(partial(search_one, plan), *zip(*todo, strict=True))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def peak(
    source: ScenarioRef = None,
    policies: Sequence[PolicyRef] | None = None,
    *,
    queries: int = 20_000,
    seeds: int = 1,
    tenant: str | None = None,
    seed: int | None = None,
    jobs: int = 1,
    resolution: float = 0.005,
    skip_bad_rows: bool = False,
    progress: Callable[[float, str], None] | None = None,
) -> dict[str, Any]:
    """Search the peak rate of a scenario under one or several policies.

    Args:
        source: Path or keys of a scenario; None is the built-in one.
        policies: Policies; None takes the scenario's ``policies``, or fcfs, layerweaver and layerweaver+.
        queries: Queries per trial, over all tenants, divided by their rates.
        seeds: Repetitions with derived seeds.
        tenant: Scale only this tenant's rate; all tenants must still meet their percentiles.
        seed: Replaces all seeds by ones derived from it.
        jobs: Processes.
        resolution: Width of the final bracket as a share of the bound.
        skip_bad_rows: Leave bad rows of traces out.
        progress: Told the share done and what comes next.

    Returns:
        ``{"bound_qps", "results": [...]}``; rates are totals over tenants. ``peak_qps`` is the mean over the
        seeds, ``bracket_qps`` the widest bracket, ``trials`` the number of runs.

    Raises:
        LayerweaverError: If the scenario is wrong or has no peak to search for.
    """
    if seeds < 1 or jobs < 1 or not 0 < resolution < 1:
        raise ScenarioError("seeds and jobs are 1 or more, the resolution lies between 0 and 1")
    plan = plan_peak(
        source, queries=queries, tenant=tenant, seed=seed, resolution=resolution, skip_bad_rows=skip_bad_rows
    )
    prepared = plan.prepared
    chosen = list(policies or prepared.scenario.spec.policies or DEFAULT_POLICIES)
    names = [policy_of(prepared, reference).name for reference in chosen]
    todo = [(reference, replica) for reference in chosen for replica in range(seeds)]
    found: list[Search] = []
    for number, search in enumerate(_searches(plan, todo, jobs), start=1):
        found.append(search)
        if progress is not None:
            progress(number / len(todo), names[(number - 1) // seeds])
    results = [
        _result(plan, name, found[place * seeds : (place + 1) * seeds]) for place, name in enumerate(names)
    ]
    return {"bound_qps": plan.total_qps(1.0), "results": results}


def _result(plan: PeakPlan, policy: str, searches: Sequence[Search]) -> dict[str, Any]:
    peaks = [plan.total_qps(search.low) for search in searches]
    mean = math.fsum(peaks) / len(peaks)
    deviation = None
    if len(peaks) > 1:
        deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in peaks) / (len(peaks) - 1))
    high = max(search.high for search in searches)
    return {
        "policy": policy,
        "peak_qps": mean,
        "peak_qps_sd": deviation,
        "share_of_bound": mean / plan.total_qps(1.0),
        "bracket_qps": [min(peaks), plan.total_qps(high) if math.isfinite(high) else None],
        "trials": sum(len(search.trials) for search in searches),
        "monotone": all(search.monotone for search in searches),
        "peaks_qps": peaks,
    }
