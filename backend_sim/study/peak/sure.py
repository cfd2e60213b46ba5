"""Whether trials of a peak search are long enough to tell a peak."""

from __future__ import annotations

import math
from dataclasses import dataclass

from layerweaver.backend_sim.results.verdict import early_stopping_queries
from layerweaver.backend_sim.study.peak.plan import PeakPlan, judged
from layerweaver.ir.limits import MAX_QUERIES
from layerweaver.ir.text import figure, first_of

__all__ = ["Shortage", "shortage"]

_NAMED = 3
_MOST_HIDDEN = 0.05
"""By so much a peak may be overstated because trials end before a backlog makes anybody late (*ours*)."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """What trials of a peak search lack.

    Attributes:
        reasons: Why the peak is not sure, in words; empty where it is.
        queries: Queries per trial from which on it is; those of the plan where no number would do.
    """

    reasons: tuple[str, ...]
    queries: int


def shortage(plan: PeakPlan, share: float) -> Shortage:
    """What the trials around a peak lack to be sure of it.

    Of a tenant with too few queries early stopping would ask for more even with none late. And a trial at a
    load ``L`` above what a policy can serve, ``C``, ends after ``T`` with a backlog of ``(1 - C / L) T``,
    which is late only beyond the deadline ``D``: loads up to ``C / (1 - D / T)`` pass. Where the rate of a
    tenant changes, a trial that ends before it has been through may have seen none but its low ones.

    Args:
        plan: What was searched.
        share: The peak as a share of the bound.
    """
    scenario, rates = plan.prepared.scenario, plan.scaled_qps(share)
    total = math.fsum(rates)
    few, reasons, needed, ends = [], [], plan.queries, False
    longest_ns, slowest = 0.0, ""
    counts = [plan.given(index, count) for index, count in enumerate(plan.request(share, 0).queries or ())]
    for index, count in enumerate(counts):
        if not judged(scenario, index):
            continue
        tenant, due_ns = scenario.spec.tenants[index], scenario.deadline_ns(index)
        least = early_stopping_queries(0, scenario.percentile(index))
        if count < least:
            few.append(f"{tenant.name} {count:,} of {least:,}")
            ends = ends or plan.given(index, least) < least
            needed = max(needed, _asking(least, rates[index] / total))
        takes_ns = max(
            due_ns or scenario.token_limits(index).ttft_ns or 0, 1e9 * plan.prepared.standalone_s(index)
        )
        if takes_ns > longest_ns:
            longest_ns, slowest = takes_ns, tenant.name
    if few:
        reasons.append(f"a trial has too few queries to be sure of the percentile ({first_of(few, _NAMED)})")
    lasted_ns = 1e9 * plan.queries / total
    if longest_ns > _MOST_HIDDEN * lasted_ns:
        reasons.append(
            f"a trial lasts {figure(lasted_ns / 1e6)} ms and {slowest} may take {figure(longest_ns / 1e6)} "
            "ms, so that loads which no policy serves for long may pass"
        )
        needed = max(needed, math.ceil(longest_ns / 1e9 * total / _MOST_HIDDEN))
    parts = [part for index, count in enumerate(counts) if (part := _part_seen(plan, index, count, share))]
    if parts:
        reasons.append(
            f"a trial is too short for rates that change: {first_of([text for text, _ in parts], _NAMED)}"
        )
        needed = max(needed, *(queries for _, queries in parts))
    return Shortage(tuple(reasons), plan.queries if ends or needed > MAX_QUERIES else needed)


def _asking(count: int, share: float) -> int:
    """The least queries of a trial of which a tenant's share, rounded, is so many."""
    queries = math.ceil((count - 0.5) / share)
    return queries if round(queries * share) >= count else math.ceil((count + 0.5) / share)


def _part_seen(plan: PeakPlan, index: int, count: int, share: float) -> tuple[str, int] | None:
    """What a trial sees of a tenant's changing rate, and the queries that see all; None where these do."""
    spec, rates = plan.prepared.scenario.spec, plan.scaled_qps(share)
    tenant, total = spec.tenants[index], math.fsum(rates)
    whole, shape_s = plan.trace_queries[index], tenant.arrival.shape_s(spec.duration_s)
    if whole is not None and count < whole:
        return f"{count:,} of {whole:,} requests of {tenant.name}", _asking(whole, rates[index] / total)
    if shape_s is not None and plan.queries < math.floor(shape_s * total):
        lasted_s = plan.queries / total
        return f"{figure(lasted_s)} of {figure(shape_s)} s of {tenant.name}", math.ceil(shape_s * total)
    return None
