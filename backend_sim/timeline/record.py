"""What reports and traces show of a run, from a second run that records the schedule.

The engine is deterministic, so running it again with recording on gives the schedule of the very same run.
The second run stops after the recorded part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.input import SimulationInput
from layerweaver.backend_sim.engine.outcome import ScheduleLog, SimulationOutcome
from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.backend_sim.run.run import Run, run_once, sources_by_npu
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest
from layerweaver.backend_sim.traffic.source import Arrivals, OpenLoop

if TYPE_CHECKING:
    from layerweaver.backend_sim.engine.loop import Progress
    from layerweaver.scheduler.policies import Policy

__all__ = ["RECORDED_LAYERS", "TraceRun", "fresh_inputs", "record_traces", "scheduled_times"]


def scheduled_times(fresh: SimulationInput, outcome: SimulationOutcome) -> tuple[NDArray[np.int64], ...]:
    """When each request was due, in ns, per tenant.

    Open loops are generated again, so ``fresh`` must be an input whose sources nobody has consumed;
    sources that react to the machine recorded their times in the outcome.
    """
    times: list[NDArray[np.int64]] = []
    for tenant, result in zip(fresh.tenants, outcome.tenants, strict=True):
        if result.scheduled_ns is not None:
            times.append(result.scheduled_ns)
            continue
        pieces: list[NDArray[np.int64]] = []
        missing = len(result.latency_ns)
        while missing > 0 and isinstance(tenant.source, OpenLoop):
            piece = tenant.source.arrivals.take(min(missing, 65536))
            if not len(piece):
                break
            pieces.append(piece)
            missing -= len(piece)
        times.append(np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int64))
    return tuple(times)


@dataclass(frozen=True, slots=True, eq=False)
class TraceRun:
    """What a trace is made of.

    Attributes:
        simulation_input: Tenants and machine of the run (only tables, names and deadlines are read).
        log: Executed rows to show.
        latency_ns: Per tenant, shape (arrived,): latency of each request, or why it has
            none (:mod:`layerweaver.backend_sim.engine.outcome`).
        scheduled_ns: Per tenant, shape (arrived,): when each request was due; see :func:`scheduled_times`.
        policy: Name of the policy, shown as metadata.
        npu: Number of the NPU, for traces of several.
    """

    simulation_input: SimulationInput
    log: ScheduleLog
    latency_ns: tuple[NDArray[np.int64], ...]
    scheduled_ns: tuple[NDArray[np.int64], ...]
    policy: str = ""
    npu: int = 0


RECORDED_LAYERS = 200_000
"""Runs of at most so many layers are recorded whole; of longer ones, a window."""

IntArray = NDArray[np.int64]


def fresh_inputs(prepared: PreparedScenario, request: TrafficRequest) -> list[SimulationInput]:
    """Every NPU's tenants with fresh sources; for looking at, not for running."""
    return [
        SimulationInput(
            machine,
            tuple(
                prepared.tenant_load(
                    index, menus, OpenLoop(source) if isinstance(source, Arrivals) else source
                )
                for index, source in enumerate(sources)
            ),
        )
        for (machine, menus), sources in zip(
            prepared.machines, sources_by_npu(prepared, request), strict=True
        )
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


def record_traces(
    run: Run, policy: Policy, window_cycles: tuple[int, int], request: TrafficRequest | None = None
) -> list[TraceRun]:
    """Record a window of a run for a trace or the decision log, NPU by NPU.

    Recording begins early enough for rows that were decided before the window and still run in it.
    """
    asked = request or TrafficRequest()
    inputs = fresh_inputs(run.prepared, asked)
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
        traces.append(
            TraceRun(given, log, latency_ns, scheduled_times(given, outcome), run.policy.name, index)
        )
    return traces
