"""How busy the two engines were over time, and why the compute engine stood still."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.load import SimulationInput
from layerweaver.backend_sim.outcome import ScheduleLog

__all__ = ["IDLE_CAUSES", "activity_over_time"]

IDLE_CAUSES = ("no_work", "waiting_for_memory", "buffer_full", "inherent")

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def _covered(starts: FloatArray, ends: FloatArray, edges: FloatArray) -> FloatArray:
    """Time covered by disjoint ascending intervals in each bin, shape (bins,)."""
    points = np.empty(2 * len(starts))
    points[0::2], points[1::2] = starts, ends
    lengths = np.zeros_like(points)
    lengths[1::2] = ends - starts
    covered = np.interp(edges, points, np.cumsum(lengths), left=0.0)
    return np.diff(covered)


def activity_over_time(simulation_input: SimulationInput, log: ScheduleLog, bins: int) -> dict[str, Any]:
    """Utilisation of both engines and idle compute time by cause, per bin of the recorded time.

    Every gap before a row's compute is cut, in this order, into the time before its fetch could start
    (``no_work``), the time its fetch waited for space in the weight buffer (``buffer_full``) and the rest
    (``waiting_for_memory``). The transfer of a fetch that stalls is drawn evenly over its duration.

    Returns:
        ``edges_ms`` (bins + 1), ``compute`` and ``dram`` (shares of the bin), and ``idle``: per cause, the
        share of the bin.
    """
    order = np.lexsort((log.compute_start, log.fetch_start))
    fetch_start, fetch_end = log.fetch_start[order], log.fetch_end[order]
    compute_start, compute_end = log.compute_start[order], log.compute_end[order]
    ideal = np.array(
        [
            _ideal_fetch(simulation_input, tenant, profile, row)
            for tenant, profile, row in zip(
                log.tenant[order].tolist(), log.profile[order].tolist(), log.row[order].tolist(), strict=True
            )
        ],
        dtype=np.int64,
    )
    stall = np.maximum(0, fetch_end - fetch_start - ideal)
    begin = int(fetch_start[0])
    before = np.concatenate([[begin], compute_end[:-1]])
    no_work_end = np.clip(fetch_start, before, compute_start)
    full_end = np.clip(no_work_end + stall, no_work_end, compute_start)
    full_end = np.where(fetch_end > before, full_end, no_work_end)
    edges = np.linspace(begin, max(int(compute_end[-1]), begin + 1), bins + 1)
    width = np.diff(edges)
    as_float = [array.astype(np.float64) for array in (before, no_work_end, full_end, compute_start)]
    causes = {
        "no_work": _covered(as_float[0], as_float[1], edges),
        "buffer_full": _covered(as_float[1], as_float[2], edges),
        "waiting_for_memory": _covered(as_float[2], as_float[3], edges),
    }
    share = np.divide(ideal, fetch_end - fetch_start, out=np.zeros(len(ideal)), where=fetch_end > fetch_start)
    moved = np.interp(
        edges,
        np.stack([fetch_start, fetch_end], axis=1).ravel().astype(np.float64),
        np.cumsum(np.stack([np.zeros(len(ideal)), share * (fetch_end - fetch_start)], axis=1).ravel()),
        left=0.0,
    )
    busy = _covered(compute_start.astype(np.float64), compute_end.astype(np.float64), edges)
    ms = 1e3 / simulation_input.machine.clock_hz
    return {
        "edges_ms": (edges * ms).tolist(),
        "compute": (busy / width).tolist(),
        "dram": (np.diff(moved) / width).tolist(),
        "idle": {cause: (causes[cause] / width).tolist() for cause in IDLE_CAUSES if cause in causes},
    }


def _ideal_fetch(simulation_input: SimulationInput, tenant: int, profile: int, row: int) -> int:
    machine = simulation_input.machine
    dram_bytes = int(simulation_input.tenants[tenant].profiles[profile].table.dram_bytes[row])
    return -(-dram_bytes * machine.bandwidth_denominator // machine.bandwidth_numerator)
