"""Which tenants are looked at first, and which are drawn: the worst, where there are too many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from layerweaver.backend_sim.results.reading import LabelledRun
from layerweaver.backend_sim.results.repetitions import STATUSES
from layerweaver.backend_sim.results.schema.tenant import Tenant

__all__ = ["DRAWN_TENANTS", "drawn_names", "worst_first"]

DRAWN_TENANTS = 12
"""Up to so many tenants have charts; tables have all."""

_RANK = {status: rank for rank, status in enumerate(STATUSES)}


def _badness(tenant: Tenant) -> tuple[float, float, float]:
    """Ascending: by status, then by requests lost, then by the tail's share of the limit."""
    tail, deadline_ms = tenant["latency_ms"]["p99"], tenant.get("deadline_ms")
    used = (tail or 0.0) / deadline_ms if deadline_ms else 0.0
    return _RANK.get(tenant.get("status") or "", 3), -(tenant["violation_rate"] or 0.0), -used


def worst_first(runs: Sequence[LabelledRun]) -> list[str]:
    """Names of all tenants by the worst that any run says of them; of a few, in the order of the runs."""
    worst: dict[str, tuple[float, float, float]] = {}
    for run in runs:
        for tenant in run.tenants:
            found = _badness(tenant)
            worst[tenant["name"]] = min(found, worst.get(tenant["name"], found))
    if len(worst) <= DRAWN_TENANTS:
        return list(worst)
    return sorted(worst, key=lambda name: worst[name])


def drawn_names(runs: Sequence[LabelledRun], more: Iterable[str] = ()) -> list[str]:
    """Names of the tenants that get charts."""
    return list(dict.fromkeys([*worst_first(runs), *more]))[:DRAWN_TENANTS]
