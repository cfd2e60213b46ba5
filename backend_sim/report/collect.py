"""What reports and traces show of a run, from a second run that records the schedule.

The engine is deterministic, so running it again with recording on gives the schedule of the very same run.
The second run stops after the recorded part.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.load import OpenLoop, SimulationInput
from layerweaver.backend_sim.outcome import ScheduleLog
from layerweaver.backend_sim.pool import ArrayArrivals, route_requests
from layerweaver.backend_sim.prepare import PreparedScenario
from layerweaver.backend_sim.report.details import Window, simulation_details, window_of_interest
from layerweaver.backend_sim.run import Run, run_once
from layerweaver.backend_sim.sources import TrafficRequest
from layerweaver.backend_sim.timeline_trace import TraceRun, scheduled_times

if TYPE_CHECKING:
    from layerweaver.backend_sim.engine import Progress
    from layerweaver.scheduler.policies import Policy

__all__ = ["RECORDED_LAYERS", "collect_details", "record_traces"]

RECORDED_LAYERS = 200_000
"""Runs of at most so many layers are recorded whole; of longer ones, a window."""

_HORIZON_LAYERS = 2_000_000

IntArray = NDArray[np.int64]


def _inputs(prepared: PreparedScenario, request: TrafficRequest) -> list[SimulationInput]:
    """Every NPU's tenants with fresh sources; for looking at, not for running."""
    if len(prepared.machines) == 1:
        by_npu = [prepared.sources(request)]
    else:
        by_npu = [[ArrayArrivals(piece) for piece in times] for times in route_requests(prepared, request)]
    return [
        SimulationInput(
            machine,
            tuple(
                prepared.tenant_load(index, menus, OpenLoop(source) if hasattr(source, "take") else source)
                for index, source in enumerate(sources)
            ),
        )
        for (machine, menus), sources in zip(prepared.machines, by_npu, strict=True)
    ]


def _record(
    prepared: PreparedScenario, policy: Policy, request: TrafficRequest, window: tuple[int, int]
) -> list[ScheduleLog | None]:
    """Schedule of every NPU in a window of cycles; an NPU after the first stopped one has none."""

    def past_the_window(progress: Progress) -> bool:
        return len(prepared.machines) == 1 and progress.now_cycles > window[1]

    again = run_once(
        prepared,
        policy,
        request,
        record_cycles=window,
        progress=past_the_window,
        decisions_per_slice=RECORDED_LAYERS,
    )
    return [outcome.log for outcome in again.outcomes]


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


def collect_details(run: Run, policy: Policy, request: TrafficRequest | None = None) -> dict[str, Any]:
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
    inputs = _inputs(run.prepared, asked)
    scheduled = [scheduled_times(given, outcome) for given, outcome in zip(inputs, run.outcomes, strict=True)]
    index, window_ns = _first_of_interest(run, inputs, scheduled)
    given, outcome = inputs[index], run.outcomes[index]
    clock_hz = given.machine.clock_hz
    if outcome.layers_executed <= RECORDED_LAYERS:
        window = (0, outcome.end_cycles + 1)
    else:
        margin = outcome.end_cycles * RECORDED_LAYERS // outcome.layers_executed // 2
        first, last = (edge * clock_hz // 10**9 for edge in window_ns[:2])
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
    return details | {"configuration": _configuration(run.prepared)}


def _configuration(prepared: PreparedScenario) -> dict[str, Any]:
    """The scenario with every default filled in, and what its models came to."""
    spec = prepared.scenario.spec
    return {
        "scenario": spec.model_dump(mode="json"),
        "machines": [{**asdict(npu.machine), "count": npu.count} for npu in prepared.npus],
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
                "dram_bytes": int(profile.table.dram_bytes.sum()),
            }
            for npu in prepared.npus
            for tenant, menu in zip(spec.tenants, npu.menus, strict=True)
            for profile in menu
        ],
    }


def record_traces(
    run: Run, policy: Policy, window_cycles: tuple[int, int], request: TrafficRequest | None = None
) -> list[TraceRun]:
    """Record a window of a run for :func:`~layerweaver.backend_sim.timeline_trace.write_trace`, NPU by NPU.

    Recording begins early enough for rows that were decided before the window and still run in it.
    """
    asked = request or TrafficRequest()
    inputs = _inputs(run.prepared, asked)
    traces = []
    machine = inputs[0].machine
    longest = max(
        profile.standalone_cycles
        for given in inputs
        for tenant in given.tenants
        for profile in tenant.profiles
    )
    ahead = (
        4 * longest
        + machine.weight_buffer_bytes * machine.bandwidth_denominator // machine.bandwidth_numerator
    )
    logs = _record(run.prepared, policy, asked, (max(0, window_cycles[0] - ahead), window_cycles[1]))
    for index, (given, outcome, log) in enumerate(zip(inputs, run.outcomes, logs, strict=True)):
        if log is None:
            continue
        latency_ns = tuple(tenant.latency_ns for tenant in outcome.tenants)
        traces.append(TraceRun(given, log, latency_ns, scheduled_times(given, outcome), run.policy, index))
    return traces
