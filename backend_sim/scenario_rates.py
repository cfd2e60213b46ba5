"""Rates that cannot be meant: fewer than one query in the duration, or a run without an end."""

from __future__ import annotations

from collections.abc import Callable

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
from layerweaver.backend_sim.scenario_models import ScenarioSpec, TenantSpec
from layerweaver.ir import ScenarioError

__all__ = ["check_rates", "mean_rate_qps"]

_MAX_SECONDS = 1e8
_MAX_QUERIES = 1e9


def mean_rate_qps(tenant: TenantSpec, duration_s: float | None) -> float | None:
    """Mean arrival rate of a generated open-loop source, in queries per second; None for other kinds."""
    arrival = tenant.arrival
    match arrival:
        case PoissonSpec() | GammaSpec():
            return arrival.qps
        case MmppSpec():
            low_s, high_s = arrival.mean_s
            return (arrival.qps[0] * low_s + arrival.qps[1] * high_s) / (low_s + high_s)
        case BurstsSpec():
            share = arrival.burst_s / arrival.period_s
            return arrival.qps[0] * (1 - share) + arrival.qps[1] * share
        case RampSpec():
            mean = (arrival.qps[0] + arrival.qps[1]) / 2
            ramp_s = arrival.over_s
            if ramp_s is None or duration_s is None:
                return mean
            if duration_s >= ramp_s:
                return mean * ramp_s / duration_s + arrival.qps[1] * (1 - ramp_s / duration_s)
            return arrival.qps[0] + (arrival.qps[1] - arrival.qps[0]) * duration_s / ramp_s / 2
        case PeriodicSpec():
            return 1e3 / arrival.period_ms
        case _:
            return None


def check_rates(spec: ScenarioSpec, where: Callable[..., str]) -> None:
    """Refuse impossible rates and runs that would never end.

    Raises:
        ScenarioError: With the reason.
    """
    for index, tenant in enumerate(spec.tenants):
        place = where("tenants", index, "arrival")
        arrival = tenant.arrival
        if isinstance(arrival, OfflineSpec):
            unknown = arrival.samples is None and (arrival.qps is None or spec.duration_s is None)
            if unknown and tenant.mlperf_model is None:
                raise ScenarioError(
                    "the number of samples is not known",
                    where=place,
                    accepted="give samples, or qps and duration_s",
                )
            continue
        endless = spec.duration_s is None and not spec.min_queries
        if isinstance(arrival, ClosedLoopSpec | SaturatedSpec | SingleStreamSpec | MultiStreamSpec):
            endless = endless and arrival.queries is None
        elif isinstance(arrival, TraceSpec):
            endless = endless and arrival.loop
        if endless:
            raise ScenarioError(
                "the arrivals would never end", where=place, accepted="give duration_s or min_queries"
            )
        if isinstance(arrival, RampSpec) and arrival.over_s is None and spec.duration_s is None:
            raise ScenarioError(
                "the length of the ramp is not known", where=place, accepted="give over_s or duration_s"
            )
        rate_qps = mean_rate_qps(tenant, spec.duration_s)
        if rate_qps is None:
            continue
        _check_rate(rate_qps, spec, place)


def _check_rate(rate_qps: float, spec: ScenarioSpec, place: str) -> None:
    if spec.duration_s is not None:
        expected = rate_qps * spec.duration_s
        if expected < 1:
            raise ScenarioError(
                f"{rate_qps:g} queries per second is below one query in {spec.duration_s:g} s",
                where=place,
                accepted=f"give at least {1 / spec.duration_s:g} per second",
            )
        if expected > _MAX_QUERIES:
            raise ScenarioError(
                f"{rate_qps:g} queries per second over {spec.duration_s:g} s are {expected:.3g} queries",
                where=place,
                accepted=f"at most {_MAX_QUERIES:g} are simulated",
            )
    if spec.min_queries and spec.min_queries / rate_qps > _MAX_SECONDS:
        raise ScenarioError(
            f"{spec.min_queries} queries at {rate_qps:g} per second last {spec.min_queries / rate_qps:.3g} s",
            where=place,
            accepted=f"at most {_MAX_SECONDS:g} s are simulated",
        )
