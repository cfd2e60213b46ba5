"""The engine's state: records and arrays that the compiled loop reads and writes.

All fields are int64. Positions of requests count within a tenant's *window*: the slice of the two flat
arrays ``sched`` and ``latency`` that holds its requests from the oldest unfinished one on. Whenever the loop
returns, Python takes the finished ones out of the window and refills it.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from layerweaver.scheduler.machine.records import record_type
from layerweaver.scheduler.machine.view import View

__all__ = [
    "CLOSED",
    "DEPTH_BITS",
    "DEPTH_BUCKETS",
    "OPEN",
    "PROFILE",
    "SATURATED",
    "TENANT",
    "TOTALS",
    "Profile",
    "State",
    "Tenant",
    "Totals",
]

OPEN, CLOSED, SATURATED = range(3)
"""Kinds of source."""

DEPTH_BITS = 5
"""Lengths of queues are counted by so many bits after the leading one: below 64 exactly."""
DEPTH_BUCKETS = 38 << DEPTH_BITS
"""Enough for 2^40 requests that wait."""


class Profile(Protocol):
    """One (tenant, batch size): where its rows are, and totals over them.

    ``batches`` counts those begun; ``batch`` is the batch size; ``compute_work`` and
    ``fetch_work`` are its model's cycles in units that keep them below 2^20 for all profiles of the tenant;
    the others as in ``Head``.
    """

    first_row: int
    rows: int
    batch: int
    batches: int
    compute_work: int
    fetch_work: int
    compute_intensive: int
    longest_fetch_cycles: int
    standalone_cycles: int
    model_compute_cycles: int
    model_fetch_cycles: int


class Tenant(Protocol):
    """Queue, source and counters of one tenant.

    Attributes:
        offset: Start of the window in the flat arrays.
        capacity: Length of the window.
        reserve: Slots that one decision may need (sources that react to the machine).
        front: Window position of the oldest request not yet finished or dropped.
        fresh: Window position of the oldest request that was not passed over as hopeless.
        passed: Requests waiting that were passed over.
        due: 1 if a request was passed over that had waited long enough for company: the next batch goes at
            once.
        head_at: Window position of the head batch's first request.
        head_end: Position after its last one, once it has begun; 0 before. Kept where requests time out.
        watched: Position of the oldest request that waits and is in no batch that has begun. Kept likewise.
        arrived: Position after the last request that arrived.
        known: Position after the last request whose scheduled time is known.
        number: Number of the request at position 0.
        ended: 1 when the source issues nothing more.
        asked: 1 when the window has to be emptied or refilled.
        next_cycle: Cycle of the next arrival; :data:`~layerweaver.scheduler.machine.view.NEVER` if none
            is known.
        timer: Cycle at which a batch that has not begun changes by itself: it goes even if it is small, or
            its oldest request can no longer meet its deadline.
        times_out: Cycle at which the watched request has waited for too long;
            :data:`~layerweaver.scheduler.machine.view.NEVER` if there is none.
        queued: Requests waiting, the head batch included.
        started: 1 when a row of the head batch has been scheduled.
        batch_start: Cycle at which its first fetch started.
        source: OPEN, CLOSED or SATURATED.
        think_ns: Closed loop: from completion to the next request.
        back_off_ns: Closed loop: from a drop to the next request of that client.
        duration_ns: Requests are issued while scheduled before it.
        min_queries: ... or until so many were issued.
        max_queries: Never more than these.
        issued: Requests issued by a source that reacts.
        issued_ns: Scheduled time of the last one issued.
        past_the_end: 1 to compare that time with the duration, not the next one's.
        deadline_ns: From scheduled time; -1 for none.
        queue_limit: Requests waiting at most.
        timeout_cycles: Longest time that a request waits for its batch to begin; NEVER without a limit.
        drop_hopeless: 1 to drop what cannot meet its deadline even alone.
        defer_hopeless: 1 to serve that after the tenant's other requests.
        heeds_backlog: 1 if what could be in time alone, but not behind what is committed, cannot be in time.
        late_from: End of the last compute beyond which that comes true for the oldest request that waits
            and was not passed over; NEVER once its batch has begun.
        hurries: 1 to start a batch before its delay is over where its oldest would become hopeless.
        delay_cycles: Longest time the oldest request waits for a fuller batch.
        first_profile: Index of the profile of the smallest batch size.
        profiles: Number of batch sizes.
        max_batch: Largest batch.
        preferred: Start of the preferred sizes in ``State.preferred``.
        preferred_count: How many there are.
        auto: 1 if the scheduler chooses batches.
        others_cycles: Standalone times of one request of every other tenant together.
        late: Requests completed after their deadline.
        completed: Requests completed.
        dropped: Requests dropped, those that waited for too long among them.
        longest_wait_cycles: Longest time a head waited for its next row.
        decoder: Number among the language models; -1 for other tenants.
    """

    offset: int
    capacity: int
    reserve: int
    front: int
    fresh: int
    passed: int
    due: int
    head_at: int
    head_end: int
    watched: int
    arrived: int
    known: int
    number: int
    ended: int
    asked: int
    next_cycle: int
    timer: int
    times_out: int
    queued: int
    started: int
    batch_start: int
    source: int
    think_ns: int
    back_off_ns: int
    duration_ns: int
    min_queries: int
    max_queries: int
    issued: int
    issued_ns: int
    past_the_end: int
    deadline_ns: int
    queue_limit: int
    timeout_cycles: int
    drop_hopeless: int
    defer_hopeless: int
    heeds_backlog: int
    late_from: int
    hurries: int
    delay_cycles: int
    first_profile: int
    profiles: int
    max_batch: int
    preferred: int
    preferred_count: int
    auto: int
    others_cycles: int
    late: int
    completed: int
    dropped: int
    longest_wait_cycles: int
    decoder: int


class Totals(Protocol):
    """Settings of the loop and what it counts.

    Attributes:
        asking: Windows that have to be emptied or refilled before the loop goes on.
        warmup_ns: Requests scheduled before it are not measured.
        cooldown_ns: Nor are those scheduled from then on.
        measured_from: Busy and idle time before this cycle is not measured: the end of the warm-up.
        measured_until: Nor is that from this cycle on: where the cool-down begins; NEVER without one.
        work_since: Cycle since which there has been a head to schedule without a break; NEVER with none.
        late_from: The least of all tenants', or less.
        full_until: Cycle until which the buffer has no room at all, as of the decisions since the last row.
        recent: Position in ``State.recent``.
        dispatch_ahead: Rows committed before the DMA needs them.
        reach_cycles: The DMA runs at most so far ahead of the compute engine, so that arithmetic is exact.
        holds: Times in a row that the policy held without anything happening.
        held_cycles: Cycles for which it held since the last row.
        overlap: 1 if requests may overlap.
        checkpoints: 1 if leaving an unfinished request costs saving its live activations.
        mode_count: Number of the policy's modes.
        lone_mode: Mode in which the rows of a lone language model are chosen, if they need no decision and
            none is asked for; else -1.
        record_from: First decision cycle that is recorded.
        record_to: First that is not any more.
        recorded: Entries in the log.
        layers: Rows scheduled.
        compute_idle_no_work: Cycles.
        compute_idle_memory: Cycles.
        dma_idle_no_work: Cycles.
        dma_idle_held: Cycles in which a fetch was possible and the policy or the machine's settings held it
            back: there was a head, and room for the row that was fetched then.
        dma_idle_full: Cycles.
        dma_idle_inherent: Cycles.
        inherent_credit: Scaled bytes of inherent memory idle that no stall has used up yet.
        checkpoint_cycles: DMA cycles spent on saving activations.
        pre_emptions: Times an unfinished request was left for another tenant's.
        unmeasured_compute_cycles: Compute cycles outside of the measured time.
        unmeasured_dram_cycles: Whole cycles' worth of traffic moved there.
        unmeasured_dram_rest: Scaled bytes beside these, less than a cycle's worth.
        unmeasured_checkpoint_cycles: DMA cycles spent on saving activations there.
    """

    asking: int
    warmup_ns: int
    cooldown_ns: int
    measured_from: int
    measured_until: int
    work_since: int
    late_from: int
    full_until: int
    recent: int
    dispatch_ahead: int
    reach_cycles: int
    holds: int
    held_cycles: int
    overlap: int
    checkpoints: int
    mode_count: int
    lone_mode: int
    record_from: int
    record_to: int
    recorded: int
    layers: int
    compute_idle_no_work: int
    compute_idle_memory: int
    dma_idle_no_work: int
    dma_idle_held: int
    dma_idle_full: int
    dma_idle_inherent: int
    inherent_credit: int
    checkpoint_cycles: int
    pre_emptions: int
    unmeasured_compute_cycles: int
    unmeasured_dram_cycles: int
    unmeasured_dram_rest: int
    unmeasured_checkpoint_cycles: int


PROFILE, TENANT, TOTALS = (record_type(fields) for fields in (Profile, Tenant, Totals))


class State(NamedTuple):
    """Everything the loop works on.

    Attributes:
        visible: What the policy sees.
        totals: Settings and counters.
        events: Next event of every tenant, see :mod:`layerweaver.backend_sim.engine.events`.
        asking: Tenants whose windows have to be emptied or refilled: the first ``totals.asking`` entries.
        tenants: Shape (tenants,).
        profiles: Shape (profiles of all tenants,).
        rows: Shape (rows of all profiles,).
        sched: Scheduled times in ns, flat over the windows.
        latency: Latencies in ns, or the mark of a drop, flat over the windows.
        batch_counts: Shape (profiles, largest batch + 1): batches that served a measured request, by size.
        service_cycles: Shape (profiles, largest batch + 1): their completion minus the start of their first
            fetch, summed by the number of measured requests in them.
        depth_counts: Shape (tenants, :data:`DEPTH_BUCKETS`): measured requests by how many of their tenant's
            were waiting when they came, by :func:`~layerweaver.backend_sim.engine.queues.depth_bucket`.
        preferred: Preferred batch sizes of all tenants, ascending within a tenant.
        mode_counts: Decisions by mode.
        recent: Ends of the last ``dispatch_ahead + 1`` fetches.
        log: Entries of the schedule log.
        llm: The language models, a :class:`~layerweaver.backend_sim.llm.state.LlmState`; empty without any,
            as functions are compiled for what it holds.
    """

    visible: View
    totals: Totals
    events: Any
    asking: NDArray[np.int64]
    tenants: Any
    profiles: Any
    rows: Any
    sched: NDArray[np.int64]
    latency: NDArray[np.int64]
    batch_counts: NDArray[np.int64]
    service_cycles: NDArray[np.int64]
    depth_counts: NDArray[np.int64]
    preferred: NDArray[np.int64]
    mode_counts: NDArray[np.int64]
    recent: NDArray[np.int64]
    log: NDArray[np.void]
    llm: Any
