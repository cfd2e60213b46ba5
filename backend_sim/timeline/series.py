"""What happened over time: arrivals, requests in the system, batches, and how busy the engines were."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.input import SimulationInput
from layerweaver.backend_sim.engine.outcome import ScheduleLog, SimulationOutcome, is_done, is_late
from layerweaver.backend_sim.results.schema.details import (
    Batches,
    InSystem,
    OverTime,
    TenantSeries,
    Utilization,
)

__all__ = ["activity_over_time", "batch_sizes", "requests_over_time", "time_in_system"]
IntArray = NDArray[np.int64]
_MAX_IN_SYSTEM = 64


def requests_over_time(
    simulation_input: SimulationInput, outcome: SimulationOutcome, scheduled_ns: Sequence[IntArray], bins: int
) -> OverTime:
    """Arrivals, late and dropped requests per bin of scheduled time, and requests in the system."""
    ends = [
        int((due[: len(result.latency_ns)] + np.maximum(result.latency_ns[: len(due)], 0)).max(initial=1))
        for due, result in zip(scheduled_ns, outcome.tenants, strict=True)
    ]
    edges = np.linspace(0, max(ends, default=1), bins + 1)
    tenants: list[TenantSeries] = []
    for tenant, result, scheduled in zip(
        simulation_input.tenants, outcome.tenants, scheduled_ns, strict=True
    ):
        count = min(len(result.latency_ns), len(scheduled))
        latency, due = result.latency_ns[:count], scheduled[:count]
        late = (
            is_late(latency, tenant.deadline_ns)
            if tenant.deadline_ns is not None
            else np.zeros(count, dtype=bool)
        )
        kept = is_done(latency)
        inside = np.searchsorted(due[kept], edges, side="right") - np.searchsorted(
            np.sort(due[kept] + latency[kept]), edges, side="right"
        )
        tenants.append(
            {
                "tenant": tenant.name,
                "arrived": np.histogram(due, edges)[0].tolist(),
                "late": np.histogram(due[late], edges)[0].tolist(),
                "dropped": np.histogram(due[~kept], edges)[0].tolist(),
                "in_system": inside.tolist(),
            }
        )
    return {"edges_ms": (edges / 1e6).tolist(), "tenants": tenants}


def time_in_system(tenant: str, due: IntArray, latency_ns: IntArray) -> InSystem:
    """Share of time with so many requests of a tenant waiting or running; the last entry is 'or more'."""
    count = min(len(due), len(latency_ns))
    kept = is_done(latency_ns[:count])
    start, end = due[:count][kept], due[:count][kept] + latency_ns[:count][kept]
    if not len(start):
        return {"tenant": tenant, "requests": [], "share_of_time": []}
    times = np.concatenate([start, end])
    change = np.concatenate([np.ones(len(start), dtype=np.int64), -np.ones(len(end), dtype=np.int64)])
    order = np.lexsort((change, times))
    # Between events at one time, a request that takes none may leave before it came; that lasts 0 ns.
    level = np.clip(np.cumsum(change[order])[:-1], 0, _MAX_IN_SYSTEM)
    spent = np.bincount(level, weights=np.diff(times[order]))
    total = spent.sum()
    return {
        "tenant": tenant,
        "requests": list(range(len(spent))),
        "share_of_time": (spent / total if total else spent).tolist(),
    }


def batch_sizes(tenant: str, counts: IntArray) -> Batches:
    """How many batches of each size ran."""
    by_size = counts.sum(axis=0)
    sizes = np.flatnonzero(by_size)
    return {"tenant": tenant, "size": sizes.tolist(), "count": by_size[sizes].tolist()}


FloatArray = NDArray[np.float64]


def _share(
    starts: IntArray, ends: IntArray, edges: FloatArray, weight: FloatArray | None = None
) -> list[float]:
    """Share of each bin that disjoint ascending intervals cover, each with its weight (default 1)."""
    points = np.stack([starts, ends], axis=1).ravel().astype(np.float64)
    lengths = np.zeros_like(points)
    lengths[1::2] = (ends - starts) * (1.0 if weight is None else weight)
    covered = np.interp(edges, points, np.cumsum(lengths), left=0.0)
    share: list[float] = (np.diff(covered) / np.diff(edges)).tolist()
    return share


def activity_over_time(
    simulation_input: SimulationInput, log: ScheduleLog, scheduled_ns: Sequence[IntArray], bins: int
) -> Utilization:
    """What each engine did, per bin of the recorded time; the shares of an engine add up to one.

    A gap before a row counts as ``no_work`` until its request arrived. The causes are those of
    :class:`~layerweaver.backend_sim.engine.outcome.SimulationOutcome`, with the stalls that rows cause by
    themselves counted under ``buffer_full``. A fetch that stalls is drawn as moving and stalling side by
    side over its duration.

    Returns:
        ``edges_ms`` (bins + 1); ``compute`` with ``busy``, ``no_work`` and ``waiting_for_memory``; ``dram``
        with ``busy``, ``no_work``, ``buffer_full`` and ``held_by_policy``.
    """
    order = np.lexsort((log.compute_start, log.fetch_start))
    fetch_start, fetch_end = log.fetch_start[order], log.fetch_end[order]
    compute_start, compute_end = log.compute_start[order], log.compute_end[order]
    begin, end = int(fetch_start[0]), int(compute_end[-1])
    edges = np.linspace(begin, max(end, begin + 1), bins + 1)
    last_fetch = np.concatenate([[begin], fetch_end[:-1]])
    last_compute = np.concatenate([[begin], compute_end[:-1]])
    waited = np.minimum(_arrival_cycles(simulation_input, log, scheduled_ns), log.decided_at)[order]
    arrived = np.clip(waited, last_fetch, fetch_start)
    resumed = np.clip(np.minimum(waited, fetch_end), last_compute, compute_start)
    length = fetch_end - fetch_start
    ideal = np.minimum(_ideal_fetch_cycles(simulation_input, log)[order], length)
    moving = np.divide(ideal, length, out=np.zeros(len(ideal)), where=length > 0)
    all_fetched = np.array([fetch_end[-1]]), np.array([max(end, int(fetch_end[-1]))])
    ms = 1e3 / simulation_input.machine.clock_hz
    return {
        "edges_ms": (edges * ms).tolist(),
        "compute": {
            "busy": _share(compute_start, compute_end, edges),
            "no_work": _share(last_compute, resumed, edges),
            "waiting_for_memory": _share(resumed, compute_start, edges),
        },
        "dram": {
            "busy": _share(fetch_start, fetch_end, edges, moving),
            "no_work": _share(
                np.concatenate([last_fetch, all_fetched[0]]), np.concatenate([arrived, all_fetched[1]]), edges
            ),
            "buffer_full": _share(fetch_start, fetch_end, edges, 1 - moving),
            "held_by_policy": _share(arrived, fetch_start, edges),
        },
    }


def _arrival_cycles(
    simulation_input: SimulationInput, log: ScheduleLog, scheduled_ns: Sequence[IntArray]
) -> IntArray:
    """When each logged row's request arrived, in cycles, rounded up."""
    cycles = np.zeros(len(log.row), dtype=np.int64)
    clock_hz = simulation_input.machine.clock_hz
    for index, due in enumerate(scheduled_ns):
        mine = np.flatnonzero((log.tenant == index) & (log.request < len(due)))
        whole, rest = np.divmod(due[log.request[mine]], 10**9)
        cycles[mine] = whole * clock_hz - (-rest * clock_hz // 10**9)
    return cycles


def _ideal_fetch_cycles(simulation_input: SimulationInput, log: ScheduleLog) -> IntArray:
    """Cycles each logged row's traffic takes without stalls."""
    ideal = np.zeros(len(log.row), dtype=np.int64)
    for index, tenant in enumerate(simulation_input.tenants):
        for place, profile in enumerate(tenant.profiles):
            mine = (log.tenant == index) & (log.profile == place)
            ideal[mine] = profile.table.memory_cycles[log.row[mine]]
    return ideal
