"""Two metrics: how far latencies of a tenant lie apart, and how evenly tenants progress."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerweaver.backend_sim.results.own_metrics import MeasuredTenant, OwnMetric

__all__ = ["JAIN", "SPREAD"]


def _spread_ms(tenant: MeasuredTenant) -> float | None:
    done = tenant.completed_ns
    return float(np.percentile(done, 95) - np.percentile(done, 5)) / 1e6 if len(done) else None


def _jain(tenants: Sequence[MeasuredTenant]) -> float | None:
    served = [tenant for tenant in tenants if len(tenant.completed_ns)]
    progress = [tenant.standalone_s * 1e9 / float(tenant.completed_ns.mean()) for tenant in served]
    return sum(progress) ** 2 / (len(progress) * sum(share**2 for share in progress)) if progress else None


SPREAD = OwnMetric("spread ms", "From the 5th to the 95th percentile of latencies.", of_tenant=_spread_ms)
JAIN = OwnMetric("Jain", "Jain's index of progress: time alone by mean latency.", of_system=_jain)
