"""What the engine returns: latencies per request and totals per tenant and machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.llm.outcome import DecoderRun

__all__ = ["DROPPED", "TIMED_OUT", "ScheduleLog", "SimulationOutcome", "TenantOutcome", "is_done", "is_late"]

DROPPED, TIMED_OUT = -1, -3
"""In place of the latency of a request that was dropped, and of one that waited for too long."""


def is_done(latency_ns: Any) -> Any:
    """Whether requests completed, of a single latency or of an array."""
    return latency_ns >= 0


def is_late(latency_ns: Any, deadline_ns: int) -> Any:
    """Whether completed requests missed their deadline: on the deadline is in time.

    The one definition, for a single latency (compiled or not) and for an array. A dropped request is not
    late by it: whoever counts lost requests adds those.
    """
    return latency_ns > deadline_ns


@dataclass(frozen=True, slots=True, eq=False)
class TenantOutcome:
    """What happened to one tenant's requests.

    Attributes:
        name: Tenant name.
        latency_ns: Shape (arrived,), int64, in order of arrival: completion minus scheduled time, or
            :data:`DROPPED` or :data:`TIMED_OUT`. Eight bytes a request: the only thing that grows with the
            run.
        service_cycles: Sum over measured requests of their batch's completion minus the start of its first
            fetch.
        batch_counts: Shape (len(sizes), largest size + 1): how many batches of each actual size ran at
            each profile size and served a measured request.
        depth_counts: Measured requests by how many were waiting when they came
            (:data:`~layerweaver.backend_sim.engine.state.DEPTH_BUCKETS`).
        scheduled_ns: Scheduled times, only for sources that react to the machine (closed loop, saturated);
            open-loop times are regenerated from the source.
        longest_wait_cycles: Longest time a head waited between two of its rows (starvation).
        decoder: What a language model did, token by token.
    """

    name: str
    latency_ns: NDArray[np.int64]
    service_cycles: int
    batch_counts: NDArray[np.int64]
    depth_counts: NDArray[np.int64]
    scheduled_ns: NDArray[np.int64] | None
    longest_wait_cycles: int
    decoder: DecoderRun | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ScheduleLog:
    """Executed rows inside the recorded window, as columns of shape (entries,).

    Attributes:
        tenant: Tenant index.
        request: Number of the batch's first request within its tenant.
        batch: Requests in the batch.
        profile: Index of the profile (batch size) used.
        row: Row of the cost table.
        fetch_start: Cycle at which the fetch starts.
        fetch_end: Cycle at which it ends.
        compute_start: Cycle at which the compute starts.
        compute_end: Cycle at which it ends.
        decided_at: Cycle at which the decision was taken.
        mode: Why this row: index into ``mode_names``.
        candidates: Tenants that had a head request.
        resident_bytes: Weight bytes resident when the fetch ended, this row included.
        queued: Requests waiting in all queues at the decision.
        held_cycles: How long the policy had held the DMA for this decision, although requests were waiting.
        dram_bytes: Bytes that the fetch moves, without the DRAM's latency.
        weight_bytes: Bytes that the row keeps in the weight buffer.
        fetch_cycles: Cycles of the fetch without stalls.
        mode_names: The policy's reasons (throughput, deadline, starvation rules, failsafe, ...).
    """

    tenant: NDArray[np.int64]
    request: NDArray[np.int64]
    batch: NDArray[np.int64]
    profile: NDArray[np.int64]
    row: NDArray[np.int64]
    fetch_start: NDArray[np.int64]
    fetch_end: NDArray[np.int64]
    compute_start: NDArray[np.int64]
    compute_end: NDArray[np.int64]
    decided_at: NDArray[np.int64]
    mode: NDArray[np.int64]
    candidates: NDArray[np.int64]
    resident_bytes: NDArray[np.int64]
    queued: NDArray[np.int64]
    held_cycles: NDArray[np.int64]
    dram_bytes: NDArray[np.int64]
    weight_bytes: NDArray[np.int64]
    fetch_cycles: NDArray[np.int64]
    mode_names: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SimulationOutcome:
    """Result of one engine run. Time counts in cycles from 0, the first scheduled arrival.

    Attributes:
        tenants: One per tenant, in order of the input.
        layers_executed: Rows executed.
        end_cycles: Completion of the last request.
        compute_busy_cycles: Cycles the compute engine worked.
        dram_busy_cycles: Cycles the DMA engine moved data (ideal transfer time of all traffic, rounded up,
            and saved activations).
        idle_cycles: Idle cycles of both engines together, by cause (*ours*). ``no_work``: no request to
            schedule had arrived (either engine), or all is fetched (DMA). ``waiting_for_memory``: the compute
            engine waits for a fetch. ``buffer_full``: a fetch stalls for space. ``inherent``: the part of
            these stalls that rows cause by themselves, having more compute than the rest of the buffer
            can hide. ``held_by_policy``: a fetch was possible, but the policy forbids overlap, commits late
            or holds, or decisions take time. With the busy cycles they sum up to twice ``end_cycles``, up to
            the rounding of every fetch to whole cycles. Busy and idle time, modes and waits leave the
            warm-up out.
        mode_counts: Decisions by reason, keyed by the policy's mode names.
        interrupted: Whether the run was stopped before the sources ended (Ctrl-C, or by ``progress``). Then
            only requests settled before the oldest unfinished one of their tenant are reported.
        log: The recorded window, if one was asked for.
        pre_emptions: Times an unfinished request was left for another tenant's; counted for policies without
            overlap or with checkpoints.
        checkpoint_cycles: DMA cycles spent on saving activations.
        late: Requests per tenant that completed after their deadline.
    """

    tenants: tuple[TenantOutcome, ...]
    layers_executed: int
    end_cycles: int
    compute_busy_cycles: int
    dram_busy_cycles: int
    idle_cycles: dict[str, int]
    mode_counts: dict[str, int]
    interrupted: bool
    log: ScheduleLog | None
    pre_emptions: int = 0
    checkpoint_cycles: int = 0
    late: tuple[int, ...] = ()
