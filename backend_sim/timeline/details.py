"""What a report draws beyond the totals of a result: distributions, time series and a window of the schedule.

Everything here is bounded: the number of bins and of drawn layers does not grow with the run. The values
are plain lists, ready for JSON, and appear under the key ``details`` of a ``simulate`` document.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.input import SimulationInput
from layerweaver.backend_sim.engine.outcome import ScheduleLog, SimulationOutcome, is_done, is_late
from layerweaver.backend_sim.results.latency import latency_histogram
from layerweaver.backend_sim.results.schema.details import (
    Configuration,
    DetailsDocument,
    Timeline,
    TimelineRequests,
)
from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.backend_sim.run.run import Run
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest
from layerweaver.backend_sim.timeline.interest import Window, window_of_interest
from layerweaver.backend_sim.timeline.record import RECORDED_LAYERS, _record, fresh_inputs, scheduled_times
from layerweaver.backend_sim.timeline.series import (
    activity_over_time,
    batch_sizes,
    requests_over_time,
    time_in_system,
)
from layerweaver.backend_sim.timeline.token_series import token_series
from layerweaver.ir.clock import ns_to_cycles_down, ns_to_cycles_up

if TYPE_CHECKING:
    from layerweaver.scheduler.policies import Policy

__all__ = ["MAX_TIMELINE_ROWS", "TIME_BINS", "collect_details", "simulation_details"]
IntArray = NDArray[np.int64]
_HORIZON_LAYERS = 2_000_000


def _first_of_interest(
    run: Run, inputs: list[SimulationInput], scheduled: list[tuple[IntArray, ...]]
) -> tuple[int, Window]:
    """The NPU and the window to draw: the earliest lost deadline, else the first NPU's slowest request."""
    found: list[tuple[bool, int, int, Window]] = []
    for index, (given, outcome) in enumerate(zip(inputs, run.outcomes, strict=True)):
        horizon_ns = None
        if outcome.layers_executed > _HORIZON_LAYERS:
            share = _HORIZON_LAYERS / outcome.layers_executed
            horizon_ns = int(outcome.end_cycles * share * 1e9 / given.machine.clock_hz)
        window = window_of_interest(given, outcome, scheduled[index], horizon_ns=horizon_ns)
        lost = window[2].startswith("The first lost")
        found.append((not lost, window[0] if lost else index, index, window))
    _, _, index, window = min(found)
    if len(found) > 1:
        window = (window[0], window[1], f"{window[2]}, on NPU {index}")
    return index, window


def collect_details(run: Run, policy: Policy, request: TrafficRequest | None = None) -> DetailsDocument:
    """What a report draws of a run beyond its totals.

    Distributions are those of the whole run after its warm-up. Of a pool, the time series, the timeline
    and the utilisation over time are those of one NPU: where the first deadline was lost.

    Args:
        run: The run, not interrupted.
        policy: Its policy.
        request: Its seeds and rates.

    Returns:
        The value of the key ``details`` of a ``simulate`` document.
    """
    asked = request or TrafficRequest()
    inputs = fresh_inputs(run.prepared, asked)
    scheduled = [scheduled_times(given, outcome) for given, outcome in zip(inputs, run.outcomes, strict=True)]
    index, window_ns = _first_of_interest(run, inputs, scheduled)
    given, outcome = inputs[index], run.outcomes[index]
    clock_hz = given.machine.clock_hz
    if outcome.layers_executed <= RECORDED_LAYERS:
        window = (0, outcome.end_cycles + 1)
    else:
        margin = outcome.end_cycles * RECORDED_LAYERS // outcome.layers_executed // 2
        first, last = (ns_to_cycles_down(edge, clock_hz) for edge in window_ns[:2])
        window = (max(0, first - margin), last + margin)
    log = _record(run.prepared, policy, asked, window)[index]
    tenants = range(len(given.tenants))
    details = simulation_details(
        given,
        outcome,
        scheduled[index],
        log=log,
        window_ns=window_ns,
        latencies=[run.latencies(tenant) for tenant in tenants],
    )
    details["configuration"] = _configuration(run.prepared)
    return details


def _configuration(prepared: PreparedScenario) -> Configuration:
    """The machines, and what the models came to on them."""
    spec = prepared.scenario.spec
    return {
        "machines": [
            {
                "name": npu.machine.name,
                "clock_hz": npu.machine.clock_hz,
                "bandwidth_numerator": npu.machine.bandwidth_numerator,
                "bandwidth_denominator": npu.machine.bandwidth_denominator,
                "weight_buffer_bytes": npu.machine.weight_buffer_bytes,
                "activation_buffer_bytes": npu.machine.activation_buffer_bytes,
                "count": npu.count,
            }
            for npu in prepared.npus
        ],
        "models": [
            {
                "tenant": tenant.name,
                "npu": npu.machine.name,
                "batch": profile.table.batch,
                "layers": len(profile.table.layer_names),
                "rows": profile.table.rows,
                "kind": str(profile.offline.kind),
                "standalone_cycles": profile.standalone_cycles,
                "compute_cycles": int(profile.table.compute_cycles.sum()),
                "memory_cycles": int(profile.table.memory_cycles.sum()),
                "dram_bytes": profile.table.data_bytes,
            }
            for npu in prepared.npus
            for tenant, menu in zip(spec.tenants, npu.menus, strict=True)
            for profile in menu
        ],
    }


TIME_BINS = 60
MAX_TIMELINE_ROWS = 1500


def _timeline(
    simulation_input: SimulationInput,
    log: ScheduleLog,
    window_ns: Window,
    requests: TimelineRequests,
) -> Timeline:
    machine = simulation_input.machine
    start = ns_to_cycles_down(window_ns[0], machine.clock_hz)
    end = ns_to_cycles_up(window_ns[1], machine.clock_hz)
    kept = np.flatnonzero((log.fetch_start < end) & (log.compute_end > start))
    total = len(kept)
    kept = kept[-MAX_TIMELINE_ROWS:]
    ms = 1e3 / machine.clock_hz
    from_ms = window_ns[0] / 1e6
    if len(kept) < total:
        from_ms = max(from_ms, float(log.fetch_start[kept].min()) * ms)
    names = []
    for entry in kept.tolist():
        tenant = simulation_input.tenants[int(log.tenant[entry])]
        table = tenant.profiles[int(log.profile[entry])].table
        row = int(log.row[entry])
        names.append(table.layer_names[int(table.layer_index[row])])
    return {
        "from_ms": from_ms,
        "to_ms": window_ns[1] / 1e6,
        "why": window_ns[2],
        "rows_in_window": total,
        "tenant": log.tenant[kept].tolist(),
        "request": log.request[kept].tolist(),
        "batch": log.batch[kept].tolist(),
        "layer": names,
        "dram_bytes": log.dram_bytes[kept].tolist(),
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
) -> TimelineRequests:
    columns: TimelineRequests = {"tenant": [], "request": [], "due_ms": [], "done_ms": [], "late": []}
    for index, (tenant, result) in enumerate(zip(simulation_input.tenants, outcome.tenants, strict=True)):
        count = min(len(result.latency_ns), len(scheduled_ns[index]))
        latency, due = result.latency_ns[:count], scheduled_ns[index][:count]
        shown = np.flatnonzero(is_done(latency) & (due < window_ns[1]) & (due + latency > window_ns[0]))
        for request in shown[:MAX_TIMELINE_ROWS].tolist():
            columns["tenant"].append(index)
            columns["request"].append(request)
            columns["due_ms"].append(float(due[request] / 1e6))
            columns["done_ms"].append(float((due[request] + latency[request]) / 1e6))
            columns["late"].append(
                bool(tenant.deadline_ns is not None and is_late(latency[request], tenant.deadline_ns))
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
) -> DetailsDocument:
    """Everything a report draws of one run.

    Args:
        simulation_input: Tenants and machine (only tables, names and deadlines are read).
        outcome: The run's result.
        scheduled_ns: When each request was due, per tenant
            (see :func:`layerweaver.backend_sim.timeline.record.scheduled_times`).
        log: Executed rows; by default those of the outcome. Without any, ``utilization`` and ``timeline`` are
            None.
        window_ns: What the timeline shows, as :func:`window_of_interest` gives it.
        latencies: Latencies to count in the histograms, per tenant; by default those of the outcome.

    Returns:
        ``latency``, ``over_time``, ``in_system``, ``batches``, ``utilization`` and ``timeline``; with
        language models ``tokens`` too.
    """
    log = outcome.log if log is None else log
    pairs = list(zip(simulation_input.tenants, outcome.tenants, strict=True))
    window_ns = window_ns or window_of_interest(simulation_input, outcome, scheduled_ns)
    counted = latencies or [result.latency_ns for result in outcome.tenants]
    recorded = log is not None and len(log.row) > 0
    details: DetailsDocument = {
        "latency": [
            {
                "tenant": tenant.name,
                "deadline_ms": None if tenant.deadline_ns is None else tenant.deadline_ns / 1e6,
                **latency_histogram(latency_ns),
            }
            for tenant, latency_ns in zip(simulation_input.tenants, counted, strict=True)
        ],
        "over_time": requests_over_time(simulation_input, outcome, scheduled_ns, TIME_BINS),
        "in_system": [
            time_in_system(tenant.name, due, result.latency_ns)
            for (tenant, result), due in zip(pairs, scheduled_ns, strict=True)
        ],
        "batches": [batch_sizes(tenant.name, result.batch_counts) for tenant, result in pairs],
        "tokens": token_series(simulation_input, outcome, log, TIME_BINS),
        "utilization": activity_over_time(simulation_input, log, scheduled_ns, TIME_BINS)
        if recorded and log
        else None,
        "timeline": _timeline(
            simulation_input, log, window_ns, _requests_in(simulation_input, outcome, scheduled_ns, window_ns)
        )
        if recorded and log
        else None,
    }
    if not details["tokens"]:
        del details["tokens"]
    return details
