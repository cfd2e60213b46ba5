"""Batches: admission, forming the head batch, and settling it when its last row is scheduled.

Simultaneous events have one total order. A decision at cycle ``t`` is preceded, tenant by tenant in index
order, by every arrival with a cycle ``<= t`` in order of scheduled time (a full queue drops the newcomer),
and then by the forming of the tenant's head batch, with the batch timer counted as expired at ``t``.
"""

from __future__ import annotations

from layerweaver.backend_sim.engine.auto_batch import auto_batch
from layerweaver.backend_sim.engine.decoding import finish_iteration, form_iteration, load_iteration_row
from layerweaver.backend_sim.engine.events import EARLIEST, first_due, set_event
from layerweaver.backend_sim.engine.outcome import is_late
from layerweaver.backend_sim.engine.queues import (
    DROPPED_MARK,
    _arrive,
    _longest_fetch,
    _set_ready,
    drop_front,
    issue,
)
from layerweaver.backend_sim.engine.state import CLOSED, SATURATED, State
from layerweaver.ir.clock import cycles_to_ns_down, cycles_to_ns_up, ns_to_cycles_down, ns_to_cycles_up
from layerweaver.scheduler.machine.jit import inlined
from layerweaver.scheduler.machine.timelines import NEVER

__all__ = ["admit", "finish_batch", "form_head", "load_row"]


def admit(state: State, now: int) -> None:
    """Let everything in that arrived by ``now`` and form heads."""
    while state.events[EARLIEST] <= now:
        index = first_due(state.events, now)
        tenant = state.tenants[index]
        while tenant.next_cycle <= now and tenant.known < tenant.capacity:
            _arrive(state, index)
        if tenant.started == 0:
            _form_head(state, index, now)
        following = min(tenant.next_cycle, tenant.timer)
        # Only a full window keeps an arrival from being let in; the refill notes the event again.
        set_event(state.events, index, following if following > now else NEVER)


def _batch_size(state: State, index: int, expired: bool) -> int:
    """How many requests the head batch takes now; 0 to wait for more."""
    tenant = state.tenants[index]
    queued = tenant.queued
    if queued >= tenant.max_batch:
        return tenant.max_batch  # type: ignore[no-any-return]
    if expired:
        return queued  # type: ignore[no-any-return]
    size = 0
    for k in range(tenant.preferred, tenant.preferred + tenant.preferred_count):
        if state.preferred[k] <= queued:
            size = state.preferred[k]
    return size


def form_head(state: State, index: int, now: int) -> None:
    """Put together the head batch of a tenant from its queue, as of ``now``; none of it has begun."""
    _form_head(state, index, now)
    tenant = state.tenants[index]
    set_event(state.events, index, min(tenant.next_cycle, tenant.timer))


def _form_head(state: State, index: int, now: int) -> None:
    machine, clock_hz = state.visible.machine, state.visible.machine.clock_hz
    tenant = state.tenants[index]
    if tenant.decoder >= 0:
        form_iteration(state, index, now)
        return
    first_profile = state.profiles[tenant.first_profile]
    tenant.timer = NEVER
    while True:
        if tenant.queued == 0:
            _set_ready(state, index, False)
            return
        while state.latency[tenant.offset + tenant.front] == DROPPED_MARK:
            tenant.front += 1
        oldest_ns = state.sched[tenant.offset + tenant.front]
        deadline = NEVER
        if tenant.deadline_ns >= 0:
            deadline = ns_to_cycles_down(oldest_ns + tenant.deadline_ns, clock_hz)
            if tenant.drop_hopeless and now + first_profile.standalone_cycles > deadline:
                drop_front(state, index, now)
                continue
        break
    arrival = ns_to_cycles_up(oldest_ns, clock_hz)
    if tenant.auto != 0:
        formed = auto_batch(state, index, now)
        size, deadline, tenant.timer = formed.size, formed.deadline, formed.changes
    else:
        size = _batch_size(state, index, arrival + tenant.delay_cycles <= now)
        if size < tenant.max_batch and size < tenant.queued:
            tenant.timer = arrival + tenant.delay_cycles
    if tenant.drop_hopeless != 0 and deadline < NEVER:
        tenant.timer = min(tenant.timer, deadline - first_profile.standalone_cycles + 1)
    if size == 0:
        _set_ready(state, index, False)
        return
    chosen = tenant.first_profile
    while state.profiles[chosen].batch < size:
        chosen += 1
    profile = state.profiles[chosen]
    head = state.visible.heads[index]
    if head.rows_left == 0:
        head.since = now
        head.last_start = now
    head.request = tenant.number + tenant.front
    head.batch = size
    head.profile = chosen
    head.arrival = arrival
    head.deadline = deadline
    head.queued = tenant.queued
    head.rows_left = profile.rows
    head.row = 0
    head.compute_intensive = profile.compute_intensive
    head.longest_fetch_cycles = profile.longest_fetch_cycles
    head.standalone_cycles = profile.standalone_cycles
    head.model_compute_cycles = profile.model_compute_cycles
    head.model_fetch_cycles = profile.model_fetch_cycles
    load_row(state, index)
    if _set_ready(state, index, True):
        state.totals.work_since = min(state.totals.work_since, _formed_at(state, index, arrival))
    machine.longest_fetch_cycles = _longest_fetch(state)


def _formed_at(state: State, index: int, arrival: int) -> int:
    """Cycle since which the head could have been formed; the machine may look at it later.

    Where the scheduler chooses batches, that is since the oldest came: it held the others' work back.
    """
    tenant = state.tenants[index]
    if tenant.auto != 0:
        return arrival
    least = tenant.max_batch
    if tenant.preferred_count > 0:
        least = min(least, state.preferred[tenant.preferred])
    formed = arrival + tenant.delay_cycles
    if tenant.queued >= least:
        position = tenant.offset + tenant.front
        waiting = 1
        while waiting < least:
            position += 1
            if state.latency[position] != DROPPED_MARK:
                waiting += 1
        formed = min(formed, ns_to_cycles_up(state.sched[position], state.visible.machine.clock_hz))
    return formed  # type: ignore[no-any-return]


@inlined
def load_row(state: State, index: int) -> None:
    """Copy the costs of the head's next row into the head."""
    if state.tenants[index].decoder >= 0:
        load_iteration_row(state, index)
        return
    head = state.visible.heads[index]
    row = state.rows[state.profiles[head.profile].first_row + head.row]
    head.compute_cycles = row.compute_cycles
    head.fetch_cycles = row.fetch_cycles
    head.dram_scaled = row.dram_scaled
    head.weight_scaled = row.weight_scaled
    head.compute_scaled = row.compute_scaled
    head.inherent_scaled = row.inherent_scaled
    head.remaining_cycles = row.remaining_cycles
    head.live_bytes = row.live_bytes
    head.latest_start = NEVER
    if head.deadline < NEVER:
        head.latest_start = head.deadline - row.remaining_cycles


def finish_batch(state: State, index: int, done: int, now: int) -> None:
    """The head's last row has been scheduled: settle its requests, form the next head as of ``now``."""
    machine, clock_hz = state.visible.machine, state.visible.machine.clock_hz
    tenant = state.tenants[index]
    if tenant.decoder >= 0:
        finish_iteration(state, index, done, now)
        return
    head = state.visible.heads[index]
    completion_ns = cycles_to_ns_up(done, clock_hz)
    settled, measured = 0, 0
    while settled < head.batch:
        position = tenant.offset + tenant.front
        tenant.front += 1
        if state.latency[position] == DROPPED_MARK:
            continue
        scheduled_ns = state.sched[position]
        latency_ns = completion_ns - scheduled_ns
        state.latency[position] = latency_ns
        settled += 1
        if scheduled_ns >= state.totals.warmup_ns:
            measured += 1
        if tenant.deadline_ns >= 0 and is_late(latency_ns, tenant.deadline_ns):
            tenant.late += 1
        if tenant.source == CLOSED:
            issue(state, index, completion_ns + tenant.think_ns)
    tenant.completed += settled
    tenant.queued -= settled
    machine.queued -= settled
    if measured > 0:
        state.batch_counts[head.profile, head.batch] += 1
        state.service_cycles[head.profile, measured] += done - tenant.batch_start
    tenant.started = 0
    head.rows_left = 0
    if tenant.source == SATURATED:
        now_ns = cycles_to_ns_down(now, clock_hz)
        for _ in range(settled):
            issue(state, index, now_ns)
        while tenant.next_cycle <= now and tenant.known < tenant.capacity:
            _arrive(state, index)
    form_head(state, index, now)
