"""How near tenants come to their limits, from result documents."""

from __future__ import annotations

from typing import cast

from layerweaver.backend_sim.results.latency import SHARES, percentile_index
from layerweaver.backend_sim.results.repetitions import slowest
from layerweaver.backend_sim.results.schema.run import Run
from layerweaver.backend_sim.results.schema.tenant import Tenant
from layerweaver.backend_sim.results.schema.token import Latency

__all__ = ["USUAL_PERCENTILE", "beyond_limits", "has_limit", "judged_tails", "least_headroom"]

USUAL_PERCENTILE = 99.0
"""What must keep a limit where an older result does not say."""


def has_limit(tenant: Tenant) -> bool:
    """Whether it has a deadline, or as a language model one of its tokens'."""
    return any(limit is not None for _, _, limit in _limits(tenant))


def judged_tails(tenant: Tenant) -> list[tuple[str, float | None]]:
    """The 99th percentiles by which a tenant is judged: of a language model those of its tokens."""
    name, tokens = tenant["name"], tenant.get("llm")
    if tokens is None:
        return [(name, tenant["latency_ms"]["p99"])]
    return [(f"{name}'s TTFT", tokens["ttft_ms"]["p99"]), (f"{name}'s TPOT", tokens["tpot_ms"]["p99"])]


def beyond_limits(run: Run) -> list[str]:
    """The tenants whose percentile is beyond a limit and whose status is met, since it asks for no limit.

    A status counts queries only of offline tenants and of streams, whatever limit they state.
    """
    return [
        tenant["name"]
        for tenant, asked in zip(slowest(run)["tenants"], run["tenants"], strict=True)
        if asked.get("status") == "met" and _is_beyond(tenant)
    ]


def _is_beyond(tenant: Tenant) -> bool:
    limits = [(tail, limit) for _, tail, limit in _limits(tenant) if limit is not None]
    if not limits:
        return False
    if tenant.get("deadline") is not None and all(tail is not None for tail, _ in limits):
        return any(tail is not None and tail > limit for tail, limit in limits)
    # Dropped requests are no part of a percentile's latency and are late all the same.
    arrived = round(tenant["arrived"])
    late = round((tenant["violation_rate"] or 0.0) * arrived)
    share = tenant.get("percentile", USUAL_PERCENTILE) / 100
    return arrived > 0 and arrived - late <= percentile_index(arrived, share)


def least_headroom(run: Run) -> tuple[float, str] | None:
    """The share of its limit that is left to who comes nearest to it, and its name; None without limits.

    Of language models it is the nearest of both times; of several seeds the slowest.
    """
    left = [
        (1 - tail / limit, what)
        for tenant in slowest(run)["tenants"]
        for what, tail, limit in _limits(tenant)
        if tail is not None and limit
    ]
    return min(left) if left else None


def _limits(tenant: Tenant) -> list[tuple[str, float | None, float | None]]:
    """What of a tenant has a limit: its name, the percentile that is judged if it is known, and the limit."""
    name, due, tokens = tenant["name"], tenant.get("deadline"), tenant.get("llm")
    if due is None or tokens is None:
        return [(name, tenant.get("percentile_ms"), tenant.get("deadline_ms"))]
    judged = tenant.get("percentile", USUAL_PERCENTILE)
    ttft_ms, tpot_ms = (_percentile_ms(times, judged) for times in (tokens["ttft_ms"], tokens["tpot_ms"]))
    return [(f"{name}'s TTFT", ttft_ms, due["ttft_ms"]), (f"{name}'s TPOT", tpot_ms, due["tpot_ms"])]


def _percentile_ms(times: Latency, percentile: float) -> float | None:
    """A percentile of a language model's times; None of others than every result has."""
    name = f"p{percentile:g}".replace(".", "")
    return cast("dict[str, float | None]", times).get(name) if name in SHARES else None
