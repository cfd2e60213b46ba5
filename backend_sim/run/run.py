"""One run of a prepared scenario: sources into the engine, NPU by NPU, and what came out."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.input import SimulationInput
from layerweaver.backend_sim.engine.outcome import SimulationOutcome, is_done
from layerweaver.backend_sim.run.decision_time import decision_cycles
from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.backend_sim.run.progress import share_done
from layerweaver.backend_sim.run.router import route_requests
from layerweaver.backend_sim.run.token_requests import TokenRequests
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest
from layerweaver.backend_sim.traffic.source import Arrivals, OpenLoop
from layerweaver.backend_sim.traffic.stream import Tap
from layerweaver.ir.clock import cycles_to_ns_up
from layerweaver.ir.limits import MAX_TIME_NS

if TYPE_CHECKING:
    from layerweaver.backend_sim.engine.loop import Progress, ProgressCallback
    from layerweaver.scheduler.policies import Policy

__all__ = ["Run", "run_once", "sources_by_npu"]


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What one simulation gave.

    Attributes:
        prepared: The scenario.
        policy: The policy.
        request: What was asked of its arrivals.
        outcomes: One per NPU.
        measured: Per NPU and tenant, which of its requests were scheduled between warm-up and cool-down.
        finished: Per tenant, how many requests completed between warm-up and cool-down, whenever they were
            scheduled; None without a cool-down, where measuring ends with the last completion.
        last_scheduled_ns: Per tenant, the last scheduled time.
        skipped_rows: Per tenant, bad rows of its trace that were left out.
        said: What of the traces results do not explain.
        stopped: Whether ``progress`` asked to stop (and not Ctrl-C).
    """

    prepared: PreparedScenario
    policy: Policy
    request: TrafficRequest
    outcomes: tuple[SimulationOutcome, ...]
    measured: tuple[tuple[slice, ...], ...]
    finished: tuple[int, ...] | None
    last_scheduled_ns: tuple[int, ...]
    skipped_rows: tuple[int, ...]
    said: tuple[str, ...] = ()
    stopped: bool = False

    @property
    def fixed_queries(self) -> bool:
        """Whether the number of queries was set for the run (then no duration is asked for)."""
        return self.request.queries is not None

    @property
    def span_ns(self) -> int:
        """From the first scheduled arrival (0) to the last completion."""
        return max(
            cycles_to_ns_up(outcome.end_cycles, machine.clock_hz)
            for outcome, (machine, _) in zip(self.outcomes, self.prepared.machines, strict=False)
        )

    @property
    def window_ns(self) -> tuple[int, int]:
        """Begin and end of the measured time: warm-up, and cool-down or, if sooner, the last completion."""
        warmup_ns = self.prepared.warmup_ns(self.request)
        cooldown_ns = self.prepared.cooldown_ns(self.request)
        return warmup_ns, self.span_ns if cooldown_ns is None else min(self.span_ns, cooldown_ns)

    @property
    def interrupted(self) -> bool:
        """Whether the run was stopped before its sources ended."""
        return any(outcome.interrupted for outcome in self.outcomes)

    def all_latencies(self, index: int) -> NDArray[np.int64]:
        """One tenant's latencies in ns, warm-up and dropped ones included, NPU after NPU."""
        return np.concatenate([outcome.tenants[index].latency_ns for outcome in self.outcomes])

    def lasted_ns(self, index: int) -> int:
        """How long a tenant's queries went on, as LoadGen counts it: to the scheduled time of the last one.

        Offline queries all come at 0: they go on until the last of them is done, warm-up or not.
        """
        if self.prepared.scenario.spec.tenants[index].arrival.kind != "offline":
            return self.last_scheduled_ns[index]
        latency_ns = self.all_latencies(index)
        return int(latency_ns[is_done(latency_ns)].max(initial=0))

    def last_done_ns(self, index: int) -> int:
        """When the last completed request of a tenant in loops was done; 0 if there are none."""
        last_ns = 0
        for outcome in self.outcomes:
            scheduled_ns, latency_ns = outcome.tenants[index].scheduled_ns, outcome.tenants[index].latency_ns
            if scheduled_ns is not None:
                done = is_done(latency_ns)
                last_ns = max(last_ns, int((scheduled_ns[done] + latency_ns[done]).max(initial=0)))
        return last_ns

    def latencies(self, index: int) -> NDArray[np.int64]:
        """One tenant's measured latencies in ns, dropped ones included, NPU after NPU."""
        parts = [
            outcome.tenants[index].latency_ns[measured[index]]
            for outcome, measured in zip(self.outcomes, self.measured, strict=True)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def run_once(
    prepared: PreparedScenario,
    policy: Policy,
    request: TrafficRequest | None = None,
    *,
    record_cycles: tuple[int, int] | None = None,
    compiled: bool = True,
    progress: ProgressCallback | None = None,
    decisions_per_slice: int | None = None,
) -> Run:
    """One simulation; with a pool, one engine run per NPU.

    Args:
        prepared: The scenario.
        policy: A configured policy.
        request: Seeds, rates and number of queries; default as the scenario says.
        record_cycles: Decisions in this range of cycles go into the schedule log.
        compiled: Whether numba compiles the engine.
        progress: Called about once per million rows; returns True to stop.
        decisions_per_slice: Rows between two calls of ``progress`` instead.
    """
    from layerweaver.backend_sim.engine import loop as engine  # noqa: PLC0415 - loads numba

    asked = request or TrafficRequest()
    spec = prepared.scenario.spec
    warmup_ns, cooldown_ns = prepared.warmup_ns(asked), prepared.cooldown_ns(asked)
    stopped = False
    outcomes: list[SimulationOutcome] = []
    measured: list[tuple[slice, ...]] = []

    def watch(reached: Progress, tell: ProgressCallback) -> bool:
        nonlocal stopped
        share = share_done(prepared, asked, reached, len(outcomes))
        stopped = bool(tell(replace(reached, share=share)))
        return stopped

    listener = None if progress is None else functools.partial(watch, tell=progress)
    last_ns = [0] * len(spec.tenants)
    skipped = [0] * len(spec.tenants)
    finished = [0] * len(spec.tenants)
    said: list[str] = []
    for (machine, menus), sources in zip(prepared.machines, sources_by_npu(prepared, asked), strict=True):
        taps: list[Tap | None] = []
        loads = []
        for index, source in enumerate(sources):
            tap = Tap(source, warmup_ns, cooldown_ns) if isinstance(source, Arrivals) else None
            taps.append(tap)
            loads.append(prepared.tenant_load(index, menus, OpenLoop(tap) if tap else source))
        given = SimulationInput(
            machine,
            tuple(loads),
            dispatch_ahead=spec.dispatch_ahead,
            decision_cycles=decision_cycles(prepared.scenario, policy, machine.clock_hz),
            groups=prepared.scenario.group_indices,
            warmup_ns=warmup_ns,
            cooldown_ns=cooldown_ns,
        )
        outcome = engine.run(
            given,
            policy,
            record_cycles=record_cycles,
            compiled=compiled,
            progress=listener,
            decisions_per_slice=decisions_per_slice or engine.DECISIONS_PER_SLICE,
        )
        kept = []
        for index, (tap, source, tenant) in enumerate(zip(taps, sources, outcome.tenants, strict=True)):
            scheduled_ns = tenant.scheduled_ns
            said += [f"{spec.tenants[index].name}: {text}" for text in getattr(source, "said", ())]
            if tap is not None:
                kept.append(slice(tap.warm, tap.kept))
                last_ns[index] = max(last_ns[index], tap.last_ns)
                skipped[index] += getattr(source, "skipped", 0)
            elif scheduled_ns is not None and len(scheduled_ns):
                skipped[index] += source.skipped if isinstance(source, TokenRequests) else 0
                ends = np.searchsorted(scheduled_ns, [warmup_ns, cooldown_ns or MAX_TIME_NS])
                kept.append(slice(*ends.tolist()))
                last_ns[index] = max(last_ns[index], int(scheduled_ns[-1]))
            else:
                kept.append(slice(0, 0))
            if cooldown_ns is not None:
                due_ns = tap.times() if scheduled_ns is None and tap is not None else scheduled_ns
                finished[index] += _finished(due_ns, tenant.latency_ns, warmup_ns, cooldown_ns)
        outcomes.append(outcome)
        measured.append(tuple(kept))
        if outcome.interrupted:
            break
    return Run(
        prepared=prepared,
        policy=policy,
        request=asked,
        outcomes=tuple(outcomes),
        measured=tuple(measured),
        finished=None if cooldown_ns is None else tuple(finished),
        last_scheduled_ns=tuple(last_ns),
        skipped_rows=tuple(skipped),
        said=tuple(said),
        stopped=stopped,
    )


def _finished(
    scheduled_ns: NDArray[np.int64] | None,
    latency_ns: NDArray[np.int64],
    warmup_ns: int,
    cooldown_ns: int,
) -> int:
    """How many requests completed from the end of the warm-up to the beginning of the cool-down."""
    if scheduled_ns is None:
        return 0
    done = is_done(latency_ns)
    completed_ns = scheduled_ns[: len(latency_ns)][done] + latency_ns[done]
    return int(np.count_nonzero((completed_ns >= warmup_ns) & (completed_ns <= cooldown_ns)))


def sources_by_npu(prepared: PreparedScenario, request: TrafficRequest) -> Iterator[Sequence[Any]]:
    """Fresh sources of all tenants, NPU by NPU."""
    if len(prepared.machines) == 1:
        yield prepared.sources(request)
        return
    yield from route_requests(prepared, request)
