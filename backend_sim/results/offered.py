"""What the tenants of a run offer together, as a number to compare and in words."""

from __future__ import annotations

from layerweaver.backend_sim.results.schema.run import Run
from layerweaver.ir.text import counted, figure

__all__ = ["at_once_count", "comparable_qps", "offered_text"]


def comparable_qps(run: Run) -> float:
    """Requests per second by which loads are compared: offered, or completed where no source has a rate."""
    return _rate(run) or float(sum(tenant["qps"] for tenant in run["tenants"]))


def _rate(run: Run) -> float:
    """What sources that have a rate offer, over the time in which any tenant offers requests; 0 for none."""
    if given := run["system"].get("offered_qps"):
        return given
    longest_s = run["system"].get("offered_s") or 0.0
    return sum(
        rate * min(1.0, (tenant.get("offered_s") or 0.0) / longest_s)
        for tenant in run["tenants"]
        if longest_s > 0 and (rate := tenant.get("offered_qps"))
    )


def at_once_count(run: Run) -> int:
    """Requests of tenants that ask all at once, which is no rate."""
    return round(
        sum(
            tenant["arrived"]
            for tenant in run["tenants"]
            if tenant.get("offered_s") == 0 and tenant.get("offered_qps") is None
        )
    )


def offered_text(run: Run, *, of_bound: bool = True) -> str:
    """The load in words: a rate, and beside it the requests that came all at once, which is none.

    An older result, or one that was interrupted, is told by what completed.

    Args:
        run: The run.
        of_bound: Whether to tell the share of the bound, where all sources have a rate.
    """
    at_once = at_once_count(run)
    bound, offered_qps = run["system"].get("bound_qps"), comparable_qps(run)
    if not at_once:
        share = f" ({offered_qps / bound:.2f} of the bound)" if bound and of_bound else ""
        return f"{figure(offered_qps)} queries per second{share}"
    if rate_qps := _rate(run):
        return f"{figure(rate_qps)} queries per second beside {at_once:,} at once"
    return f"{counted(at_once, 'query', 'queries')} at once"
