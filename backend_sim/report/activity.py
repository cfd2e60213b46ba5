"""How busy the two engines were over time, and why each stood still."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.load import SimulationInput
from layerweaver.backend_sim.outcome import ScheduleLog

__all__ = ["activity_over_time"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


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
) -> dict[str, Any]:
    """What each engine did, per bin of the recorded time; the shares of an engine add up to one.

    A gap before a row counts as ``no_work`` until its request arrived. The causes are those of
    :class:`~layerweaver.backend_sim.outcome.SimulationOutcome`, with the stalls that rows cause by
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
