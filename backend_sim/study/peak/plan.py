"""What a peak search searches: checked, and bounded by the two resources."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest, make_source
from layerweaver.backend_sim.scenario.checks import check_rates
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.study.inputs import ScenarioRef, as_prepared
from layerweaver.backend_sim.study.peak.search import LOWEST
from layerweaver.backend_sim.traffic.modulated import RampSpec
from layerweaver.backend_sim.traffic.recorded import TraceSpec
from layerweaver.backend_sim.traffic.source import Arrivals, skipped_text
from layerweaver.ir import ScenarioError
from layerweaver.ir.given import check_given
from layerweaver.ir.limits import MAX_QUERIES
from layerweaver.ir.spelling import nearest
from layerweaver.ir.text import counted, figure, first_of
from layerweaver.scheduler.bounds import pool_bound

__all__ = ["PeakPlan", "bound_factor", "judged", "peak_notes", "peak_warnings", "plan_peak"]

_NAMED = 3


@dataclass(frozen=True, slots=True, eq=False)
class PeakPlan:
    """What is searched.

    Attributes:
        prepared: The scenario.
        rates_qps: Mean arrival rate per tenant as the scenario states it.
        trace_queries: Per tenant, requests of its trace, once through; None without a trace.
        said: What of the traces the peak does not explain.
        only: Index of the tenant whose rate is scaled; None for all.
        queries: Queries per trial, over all tenants.
        bound_factor: Factor at which the two-resource bound is reached.
        seed: As :func:`~layerweaver.backend_sim.study.simulate.simulate`.
        resolution: Width of the final bracket as a share of the bound.
        curve: Evenly spaced loads up to the bound that are run to their ends besides the search.
    """

    prepared: PreparedScenario
    rates_qps: tuple[float, ...]
    trace_queries: tuple[int | None, ...]
    said: tuple[str, ...]
    only: int | None
    queries: int
    bound_factor: float
    seed: int | None
    resolution: float
    curve: int = 0

    @property
    def lowest(self) -> float:
        """The share of the bound down to which loads are tried: half of the stated load, if that is low.

        A trace whose requests come in few of its moments has a mean rate far below what it asks for then.
        """
        return min(LOWEST, 0.5 / self.bound_factor)

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

    def given(self, index: int, asked: int) -> int:
        """How many of the requests that a trial asks for a tenant's arrivals have: a trace may end before."""
        whole = self.trace_queries[index]
        ends = whole is not None and not self.prepared.scenario.spec.tenants[index].arrival.lasts()
        return min(asked, whole) if ends and whole is not None else asked

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
    curve: int = 0,
    skip_bad_rows: bool = False,
    allow_code: bool = False,
) -> PeakPlan:
    """Check that a scenario has a peak to search for, and bound it.

    Raises:
        ScenarioError: If a tenant has no rate to scale, none has a deadline, requests take no time, or there
            is no such tenant.
    """
    prepared = as_prepared(source, skip_bad_rows=skip_bad_rows, allow_code=allow_code)
    scenario = prepared.scenario
    spec = scenario.spec
    names = [item.name for item in spec.tenants]
    if tenant is not None:
        check_given(tenant, str, ScenarioError, "give a tenant's name, or None for all")
    if tenant is not None and tenant not in names:
        raise ScenarioError(
            f"there is no tenant {tenant!r}", where=scenario.source.source, accepted=nearest(tenant, names)
        )
    if queries < len(names):
        raise ScenarioError(
            f"{counted(queries, 'query', 'queries')} for {len(names)} tenants",
            accepted="give at least one per tenant",
        )
    rates = _rates(prepared)
    if not any(judged(scenario, index) for index in range(len(names))):
        raise ScenarioError(
            "no tenant has a deadline, so every load passes",
            where=scenario.source.source,
            accepted="give deadline_ms, or a language model's deadline",
        )
    only = None if tenant is None else names.index(tenant)
    factor = _bound_factor(prepared, rates.qps, only)
    return PeakPlan(
        prepared, rates.qps, rates.trace_queries, rates.said, only, queries, factor, seed, resolution, curve
    )


def judged(scenario: Scenario, index: int) -> bool:
    """Whether a tenant has a limit that trials hold it to."""
    tenant = scenario.spec.tenants[index]
    return scenario.deadline_ns(index) is not None or (tenant.is_llm and scenario.token_limits(index).stated)


def bound_factor(prepared: PreparedScenario) -> float:
    """The factor on all rates of a scenario at which its two-resource bound is reached.

    Raises:
        ScenarioError: If a tenant has no rate to scale, or requests take no time.
    """
    return _bound_factor(prepared, _rates(prepared).qps, None)


class _Rates(NamedTuple):
    """What of all tenants' arrivals is known before a search; see :class:`PeakPlan`."""

    qps: tuple[float, ...]
    trace_queries: tuple[int | None, ...]
    said: tuple[str, ...]


def _rates(prepared: PreparedScenario) -> _Rates:
    """Mean arrival rate of every tenant; traces are read for it."""
    check_rates(prepared.scenario)
    spec = prepared.scenario.spec
    rates, counts, said = [], list[int | None](), list[str]()
    for index, tenant in enumerate(spec.tenants):
        rate = tenant.arrival.mean_rate_qps(spec.duration_s)
        count = None
        if rate is None:
            rate, count, source = _read_rate(prepared, index)
            if skipped := getattr(source, "skipped", 0):
                said.append(skipped_text(tenant.name, skipped))
            said += [f"{tenant.name}: {text}" for text in getattr(source, "said", ())]
        rates.append(rate)
        counts.append(count)
    return _Rates(tuple(rates), tuple(counts), tuple(said))


def _read_rate(prepared: PreparedScenario, index: int) -> tuple[float, int, object]:
    """The mean rate of a source that does not know it, the requests that it is taken over, and the source.

    A trace is read once through, whatever the scenario's duration: trials go by queries, not by the clock.
    """
    a_trace = isinstance(prepared.scenario.spec.tenants[index].arrival, TraceSpec)
    most = MAX_QUERIES if a_trace else None
    source = make_source(prepared.scenario, index, TrafficRequest(), exactly=most)
    count, first_ns, last_ns, once = 0, None, 0, None
    while once is None and isinstance(source, Arrivals) and len(times := source.take(1 << 16)):
        first_ns = int(times[0]) if first_ns is None else first_ns
        once = getattr(source, "pass_queries", None)
        times = times if once is None else times[: once - count]
        if len(times):
            count, last_ns = count + len(times), int(times[-1])
    if count < 2 or first_ns is None or last_ns == first_ns:
        raise ScenarioError(
            "the trace is too short to have a rate",
            where=prepared.scenario.where("tenants", index, "arrival"),
        )
    return (count - 1) * 1e9 / (last_ns - first_ns), count, source


def _bound_factor(prepared: PreparedScenario, rates: Sequence[float], only: int | None) -> float:
    """The factor at which the pool's linear programme has no room left."""
    menus, counts = prepared.bound_menus, [npu.count for npu in prepared.npus]

    def room(factor: float) -> float:
        scaled = [rate * (factor if only in (None, index) else 1.0) for index, rate in enumerate(rates)]
        return pool_bound(menus, scaled, counts) / math.fsum(scaled)

    alone = [rate if only in (None, index) else 0.0 for index, rate in enumerate(rates)]
    if math.isinf(pool_bound(menus, alone, counts)):
        raise ScenarioError(
            "requests take no time, so every load passes",
            where=prepared.scenario.source.source,
            accepted="give costs or timings above 0",
        )
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


def peak_warnings(plan: PeakPlan, seeds: int) -> Iterator[str]:
    """What importing assumed, and what trials do not look at."""
    prepared = plan.prepared
    scenario = prepared.scenario
    yield from prepared.warnings
    yield from scenario.of_seeds(plan.seed, seeds)
    spec = scenario.spec
    if unused := [key for key in ("min_queries", "warmup_s", "cooldown_s", "groups") if getattr(spec, key)]:
        yield f"peak runs a fixed number of requests and measures them all: {', '.join(unused)} not used"
    if unjudged := [tenant.name for index, tenant in enumerate(spec.tenants) if not judged(scenario, index)]:
        yield (
            f"without a deadline: {first_of(unjudged, _NAMED, 'tenants')}; a peak does not ask how long "
            "their requests wait, nor whether all of them are served in the end"
        )
    yield from plan.said
    yield from _other_rates(plan)


def peak_notes(plan: PeakPlan) -> Iterator[str]:
    """What runs of the scenario note, whose rate is scaled, and whose batches are full in the bound."""
    prepared = plan.prepared
    yield from prepared.notes
    tenants = prepared.scenario.spec.tenants
    if plan.only is not None and len(tenants) > 1:
        others_qps = math.fsum(rate for index, rate in enumerate(plan.rates_qps) if index != plan.only)
        yield (
            f"only the rate of {tenants[plan.only].name} is scaled, in the bound, too: of every rate here "
            f"{figure(others_qps, 4)} q/s are of the others"
        )
    if shared := [tenant.name for tenant in tenants if tenant.is_llm or max(tenant.batch_sizes()) > 1]:
        yield (
            f"the bound takes batches and iterations of {first_of(shared, _NAMED, 'tenants')} as full; where "
            "a peak has less full ones, an engine is busier than its share of the bound"
        )


def _other_rates(plan: PeakPlan) -> Iterator[str]:
    """Tenants whose rate in a trial may be another than the one that it stands for."""
    spec = plan.prepared.scenario.spec
    asked = plan.request(1.0, 0).queries or ()
    for index, tenant in enumerate(spec.tenants):
        arrival, count = tenant.arrival, asked[index]
        if (given := plan.given(index, count)) < count:
            yield (
                f"{tenant.name}: a trial asks for {count:,} requests and the trace has {given:,}, so it ends "
                "early; say loop: true, or fewer --queries"
            )
        if isinstance(arrival, RampSpec) and arrival.over_s is not None and spec.duration_s is not None:
            yield (
                f"{tenant.name}: the rate of its ramp is the mean over duration_s ({spec.duration_s:g} s); "
                "a trial that lasts longer stays at the last rate"
            )
