"""From a tenant's ``arrival`` key to the source of requests that the engine runs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from layerweaver.backend_sim.arrival_models import (
    BurstsSpec,
    ClosedLoopSpec,
    GammaSpec,
    MmppSpec,
    MultiStreamSpec,
    OfflineSpec,
    PeriodicSpec,
    PoissonSpec,
    RampSpec,
    SaturatedSpec,
    SingleStreamSpec,
    TraceSpec,
)
from layerweaver.backend_sim.arrivals.poisson import LoadGenPoisson
from layerweaver.backend_sim.arrivals.stream import Stopping, TimeStream, derive_seed
from layerweaver.backend_sim.arrivals.trace import TraceArrivals
from layerweaver.backend_sim.arrivals.trace_rows import FORMATS, TraceFile
from layerweaver.backend_sim.arrivals.varied import (
    AllAtOnce,
    GammaArrivals,
    ModulatedPoisson,
    PeriodicArrivals,
    RampedPoisson,
    burst_phases,
    two_state_phases,
)
from layerweaver.backend_sim.load import ClosedLoop, Saturated
from layerweaver.backend_sim.mlperf_limits import mlperf_limits
from layerweaver.backend_sim.scenario import Scenario
from layerweaver.backend_sim.scenario_values import ns
from layerweaver.ir import ScenarioError

__all__ = ["TrafficRequest", "is_open_loop", "is_scalable", "make_source", "tenant_seed"]

_OFFLINE_MARGIN = 1.1
_LOOPS = (ClosedLoopSpec, SaturatedSpec, SingleStreamSpec, MultiStreamSpec)
Source = TimeStream | ClosedLoop | Saturated


@dataclass(frozen=True, slots=True)
class TrafficRequest:
    """What varies between runs of one scenario.

    Attributes:
        factor: Open-loop rates are multiplied by it.
        only: Index of the one tenant that ``factor`` applies to; None for all.
        seed: Replaces every tenant's seed by one derived from it and the tenant's index; None keeps them.
        replica: Number of the repetition; from 1 on, seeds are derived from the tenants' own.
        queries: Per tenant, exactly so many queries, whatever the scenario says; None leaves it to it.
    """

    factor: float = 1.0
    only: int | None = None
    seed: int | None = None
    replica: int = 0
    queries: tuple[int, ...] | None = None


def is_open_loop(scenario: Scenario, index: int) -> bool:
    """Whether a tenant's requests arrive by the clock, whatever the NPU does."""
    return not isinstance(scenario.spec.tenants[index].arrival, _LOOPS)


def is_scalable(scenario: Scenario, index: int) -> bool:
    """Whether a tenant has a rate that can be multiplied."""
    return is_open_loop(scenario, index) and not isinstance(scenario.spec.tenants[index].arrival, OfflineSpec)


def tenant_seed(scenario: Scenario, index: int, request: TrafficRequest) -> int:
    """The seed of one tenant's arrivals.

    Without a seed in the scenario it is derived from 0 and the tenant's index, so all tenants differ.
    """
    own = getattr(scenario.spec.tenants[index].arrival, "seed", None)
    seed = own if own is not None else derive_seed(0, index)
    if request.seed is not None:
        seed = derive_seed(request.seed, index)
    return seed if request.replica == 0 else derive_seed(seed, 1_000 + request.replica)


def make_source(scenario: Scenario, index: int, request: TrafficRequest) -> Source:
    """A fresh source of one tenant's requests.

    Raises:
        TrafficError: If a trace cannot be read or has no row for the tenant.
        ScenarioError: If the number of offline samples cannot be known.
    """
    spec, tenant = scenario.spec, scenario.spec.tenants[index]
    arrival = tenant.arrival
    factor = request.factor if request.only in (None, index) else 1.0
    duration_ns = None if spec.duration_s is None else ns(spec.duration_s)
    least, most = spec.min_queries, None
    if request.queries is not None:
        duration_ns, least, most = None, request.queries[index], request.queries[index]
    match arrival:
        case ClosedLoopSpec() | SaturatedSpec() | SingleStreamSpec() | MultiStreamSpec():
            return _loop(arrival, duration_ns or 0, least, most)
        case OfflineSpec():
            return AllAtOnce(most or _offline_samples(scenario, index, arrival))
        case PoissonSpec():
            return LoadGenPoisson(
                arrival.qps * factor,
                tenant_seed(scenario, index, request),
                min_duration_ns=duration_ns or 0,
                min_query_count=least,
                max_query_count=most,
            )
        case TraceSpec():
            if arrival.loop and duration_ns is None and most is None:
                most = least
            return _trace(scenario, index, arrival, factor, Stopping(duration_ns, least, most))
        case _:
            # Without a duration, the least number of queries is all there is.
            stopping = Stopping(duration_ns or 0, least, most)
            return _generated(arrival, tenant_seed(scenario, index, request), factor, stopping, duration_ns)


def _loop(
    arrival: ClosedLoopSpec | SaturatedSpec | SingleStreamSpec | MultiStreamSpec,
    duration_ns: int,
    least: int,
    most: int | None,
) -> ClosedLoop | Saturated:
    if arrival.queries is not None and most is None:
        duration_ns, least, most = 0, arrival.queries, arrival.queries
    if isinstance(arrival, SaturatedSpec):
        return Saturated(duration_ns=duration_ns, min_queries=least, max_queries=most)
    concurrency = arrival.concurrency if isinstance(arrival, ClosedLoopSpec) else 1
    think_ns = ns(arrival.think_ms / 1e3) if isinstance(arrival, ClosedLoopSpec) else 0
    streams = isinstance(arrival, SingleStreamSpec | MultiStreamSpec)
    return ClosedLoop(concurrency, think_ns, duration_ns, least, most, past_the_end=streams)


def _offline_samples(scenario: Scenario, index: int, arrival: OfflineSpec) -> int:
    """MLPerf: max(least samples, ceil(1.1 x rate x duration))."""
    if arrival.samples is not None:
        return arrival.samples
    model = scenario.spec.tenants[index].mlperf_model
    samples = (mlperf_limits()[model].offline_min_samples or 0) if model else 0
    if arrival.qps is not None and scenario.spec.duration_s is not None:
        samples = max(samples, math.ceil(_OFFLINE_MARGIN * arrival.qps * scenario.spec.duration_s))
    if samples < 1:
        raise ScenarioError(
            "the number of samples is not known",
            where=scenario.where("tenants", index, "arrival"),
            accepted="give samples",
        )
    return samples


def _trace(
    scenario: Scenario, index: int, arrival: TraceSpec, factor: float, stopping: Stopping
) -> TimeStream:
    if arrival.tenant == "*":
        wanted = None
    elif arrival.tenant is not None:
        wanted = frozenset([arrival.tenant] if isinstance(arrival.tenant, str) else arrival.tenant)
    else:
        own = FORMATS[arrival.format].own_tenant
        wanted = frozenset([scenario.spec.tenants[index].name]) if own else None
    return TraceArrivals(
        TraceFile(scenario.path_of(arrival.file), arrival.format, skip_bad_rows=scenario.skip_bad_rows),
        tenants=wanted,
        time_scale=arrival.time_scale / factor,
        loop=arrival.loop,
        sort=arrival.sort,
        stopping=stopping,
    )


def _generated(
    arrival: GammaSpec | MmppSpec | RampSpec | BurstsSpec | PeriodicSpec,
    seed: int,
    factor: float,
    stopping: Stopping,
    duration_ns: int | None,
) -> TimeStream:
    if isinstance(arrival, GammaSpec):
        return GammaArrivals(arrival.qps * factor, arrival.cv, seed, stopping)
    if isinstance(arrival, PeriodicSpec):
        period_ns = max(1, ns(arrival.period_ms / 1e3 / factor))
        return PeriodicArrivals(period_ns, ns(arrival.jitter_ms / 1e3), seed, stopping)
    first, second = arrival.qps[0] * factor, arrival.qps[1] * factor
    if isinstance(arrival, MmppSpec):
        return ModulatedPoisson(two_state_phases((first, second), arrival.mean_s, seed), seed, stopping)
    if isinstance(arrival, BurstsSpec):
        phases = burst_phases((first, second), ns(arrival.period_s), ns(arrival.burst_s))
        return ModulatedPoisson(phases, seed, stopping)
    ramp_ns = ns(arrival.over_s) if arrival.over_s is not None else (duration_ns or 10**9)
    return RampedPoisson((first, second), ramp_ns, seed, stopping)
