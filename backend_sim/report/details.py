"""What a report draws beyond the totals of a result: distributions, time series and a window of the schedule.

Everything here is bounded: the number of bins and of drawn layers does not grow with the run. The values
are plain lists, ready for JSON, and appear under the key ``details`` of a ``simulate`` document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.latency_histogram import LATENCY_BINS, latency_histogram
from layerweaver.backend_sim.load import SimulationInput
from layerweaver.backend_sim.outcome import DROPPED, ScheduleLog, SimulationOutcome
from layerweaver.backend_sim.report.activity import activity_over_time

__all__ = [
    "LATENCY_BINS",
    "MAX_TIMELINE_ROWS",
    "TIME_BINS",
    "latency_histogram",
    "simulation_details",
    "window_of_interest",
]

TIME_BINS = 60
MAX_TIMELINE_ROWS = 1500
_MAX_IN_SYSTEM = 64

IntArray = NDArray[np.int64]
Window: TypeAlias = tuple[int, int, str]
"""Start and end in ns, and why."""


def window_of_interest(
    simulation_input: SimulationInput,
    outcome: SimulationOutcome,
    scheduled_ns: Sequence[IntArray],
    *,
    horizon_ns: int | None = None,
) -> Window:
    """The stretch of simulated time worth drawing, and why.

    That is where the first deadline was lost, or else where the slowest request ran.

    Args:
        simulation_input: The run's tenants.
        outcome: The run's result.
        scheduled_ns: When each request was due, per tenant.
        horizon_ns: Only requests due before it are looked at; None looks at all.

    Returns:
        Start and end in ns, and one sentence.
    """
    first: tuple[int, int, int] | None = None
    worst = (-1, 0, 0)
    for index, (tenant, result) in enumerate(zip(simulation_input.tenants, outcome.tenants, strict=True)):
        count = min(len(result.latency_ns), len(scheduled_ns[index]))
        if horizon_ns is not None:
            count = int(np.searchsorted(scheduled_ns[index][:count], horizon_ns))
        latency, due = result.latency_ns[:count], scheduled_ns[index][:count]
        if not count:
            continue
        slowest = int(latency.argmax())
        worst = max(worst, (int(latency[slowest]), index, slowest))
        if tenant.deadline_ns is None:
            continue
        late = np.flatnonzero(latency > tenant.deadline_ns)
        if len(late):
            lost = due[late] + tenant.deadline_ns
            soonest = int(lost.argmin())
            candidate = (int(lost[soonest]), index, int(late[soonest]))
            first = candidate if first is None else min(first, candidate)
    if worst[0] < 0:
        return 0, 1, "No request completed"
    _, index, request = first if first is not None else worst
    name = simulation_input.tenants[index].name
    latency_ns = int(outcome.tenants[index].latency_ns[request])
    due_ns = int(scheduled_ns[index][request])
    reason = "The first lost deadline" if first is not None else "The slowest request"
    start = max(0, due_ns - latency_ns // 4)
    return (
        start,
        due_ns + latency_ns + latency_ns // 4 + 1,
        f"{reason}: request {request} of {name}, {latency_ns / 1e6:.4g} ms",
    )


def _over_time(
    simulation_input: SimulationInput, outcome: SimulationOutcome, scheduled_ns: Sequence[IntArray], bins: int
) -> dict[str, Any]:
    """Arrivals, late and dropped requests per bin of scheduled time, and requests in the system."""
    ends = [
        int((due[: len(result.latency_ns)] + np.maximum(result.latency_ns[: len(due)], 0)).max(initial=1))
        for due, result in zip(scheduled_ns, outcome.tenants, strict=True)
    ]
    edges = np.linspace(0, max(ends, default=1), bins + 1)
    tenants = []
    for tenant, result, scheduled in zip(
        simulation_input.tenants, outcome.tenants, scheduled_ns, strict=True
    ):
        count = min(len(result.latency_ns), len(scheduled))
        latency, due = result.latency_ns[:count], scheduled[:count]
        late = latency > tenant.deadline_ns if tenant.deadline_ns is not None else np.zeros(count, dtype=bool)
        kept = latency != DROPPED
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


def _in_system(due: IntArray, latency_ns: IntArray) -> dict[str, Any]:
    """Share of time with so many requests of a tenant waiting or running; the last entry is 'or more'."""
    count = min(len(due), len(latency_ns))
    kept = latency_ns[:count] != DROPPED
    start, end = due[:count][kept], due[:count][kept] + latency_ns[:count][kept]
    if not len(start):
        return {"requests": [], "share_of_time": []}
    times = np.concatenate([start, end])
    change = np.concatenate([np.ones(len(start), dtype=np.int64), -np.ones(len(end), dtype=np.int64)])
    order = np.lexsort((change, times))
    level = np.minimum(np.cumsum(change[order])[:-1], _MAX_IN_SYSTEM)
    spent = np.bincount(level, weights=np.diff(times[order]))
    total = spent.sum()
    return {
        "requests": list(range(len(spent))),
        "share_of_time": (spent / total if total else spent).tolist(),
    }


def _batches(counts: IntArray) -> dict[str, Any]:
    by_size = counts.sum(axis=0)
    sizes = np.flatnonzero(by_size)
    return {"size": sizes.tolist(), "count": by_size[sizes].tolist()}


def _timeline(
    simulation_input: SimulationInput,
    log: ScheduleLog,
    window_ns: Window,
    requests: Mapping[str, Any],
) -> dict[str, Any]:
    machine = simulation_input.machine
    start = window_ns[0] * machine.clock_hz // 10**9
    end = -(-window_ns[1] * machine.clock_hz // 10**9)
    kept = np.flatnonzero((log.fetch_start < end) & (log.compute_end > start))
    total = len(kept)
    kept = kept[-MAX_TIMELINE_ROWS:]
    ms = 1e3 / machine.clock_hz
    from_ms = window_ns[0] / 1e6
    if len(kept) < total:
        from_ms = max(from_ms, float(log.fetch_start[kept].min()) * ms)
    names, dram_bytes = [], []
    for entry in kept.tolist():
        tenant = simulation_input.tenants[int(log.tenant[entry])]
        table = tenant.profiles[int(log.profile[entry])].table
        row = int(log.row[entry])
        names.append(table.layer_names[int(table.layer_index[row])])
        dram_bytes.append(int(table.dram_bytes[row]))
    return {
        "from_ms": from_ms,
        "to_ms": window_ns[1] / 1e6,
        "why": window_ns[2],
        "rows_in_window": total,
        "tenant": log.tenant[kept].tolist(),
        "request": log.request[kept].tolist(),
        "batch": log.batch[kept].tolist(),
        "layer": names,
        "dram_bytes": dram_bytes,
        "fetch_start_ms": (log.fetch_start[kept] * ms).tolist(),
        "fetch_end_ms": (log.fetch_end[kept] * ms).tolist(),
        "compute_start_ms": (log.compute_start[kept] * ms).tolist(),
        "compute_end_ms": (log.compute_end[kept] * ms).tolist(),
        "mode": [log.mode_names[mode] for mode in log.mode[kept].tolist()],
        "resident_bytes": log.resident_bytes[kept].tolist(),
        "queued": log.queued[kept].tolist(),
        "requests": requests,
    }


def _requests_in(
    simulation_input: SimulationInput,
    outcome: SimulationOutcome,
    scheduled_ns: Sequence[IntArray],
    window_ns: Window,
) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {key: [] for key in ("tenant", "request", "due_ms", "done_ms", "late")}
    for index, (tenant, result) in enumerate(zip(simulation_input.tenants, outcome.tenants, strict=True)):
        count = min(len(result.latency_ns), len(scheduled_ns[index]))
        latency, due = result.latency_ns[:count], scheduled_ns[index][:count]
        shown = np.flatnonzero((latency != DROPPED) & (due < window_ns[1]) & (due + latency > window_ns[0]))
        for request in shown[:MAX_TIMELINE_ROWS].tolist():
            columns["tenant"].append(index)
            columns["request"].append(request)
            columns["due_ms"].append(float(due[request] / 1e6))
            columns["done_ms"].append(float((due[request] + latency[request]) / 1e6))
            columns["late"].append(
                bool(tenant.deadline_ns is not None and latency[request] > tenant.deadline_ns)
            )
    return columns


def simulation_details(
    simulation_input: SimulationInput,
    outcome: SimulationOutcome,
    scheduled_ns: Sequence[IntArray],
    *,
    log: ScheduleLog | None = None,
    window_ns: Window | None = None,
    latencies: Sequence[IntArray] | None = None,
) -> dict[str, Any]:
    """Everything a report draws of one run.

    Args:
        simulation_input: Tenants and machine (only tables, names and deadlines are read).
        outcome: The run's result.
        scheduled_ns: When each request was due, per tenant
            (see :func:`layerweaver.backend_sim.timeline_trace.scheduled_times`).
        log: Executed rows; by default those of the outcome. Without any, ``utilization`` and ``timeline`` are
            None.
        window_ns: What the timeline shows, as :func:`window_of_interest` gives it.
        latencies: Latencies to count in the histograms, per tenant; by default those of the outcome.

    Returns:
        ``latency``, ``over_time``, ``in_system``, ``batches``, ``utilization`` and ``timeline``.
    """
    log = outcome.log if log is None else log
    pairs = list(zip(simulation_input.tenants, outcome.tenants, strict=True))
    window_ns = window_ns or window_of_interest(simulation_input, outcome, scheduled_ns)
    counted = latencies or [result.latency_ns for result in outcome.tenants]
    recorded = log is not None and len(log.row) > 0
    return {
        "latency": [
            {
                "tenant": tenant.name,
                "deadline_ms": None if tenant.deadline_ns is None else tenant.deadline_ns / 1e6,
                **latency_histogram(latency_ns),
            }
            for tenant, latency_ns in zip(simulation_input.tenants, counted, strict=True)
        ],
        "over_time": _over_time(simulation_input, outcome, scheduled_ns, TIME_BINS),
        "in_system": [
            {"tenant": tenant.name, **_in_system(due, result.latency_ns)}
            for (tenant, result), due in zip(pairs, scheduled_ns, strict=True)
        ],
        "batches": [{"tenant": tenant.name, **_batches(result.batch_counts)} for tenant, result in pairs],
        "utilization": activity_over_time(simulation_input, log, scheduled_ns, TIME_BINS)
        if recorded and log
        else None,
        "timeline": _timeline(
            simulation_input, log, window_ns, _requests_in(simulation_input, outcome, scheduled_ns, window_ns)
        )
        if recorded and log
        else None,
    }
