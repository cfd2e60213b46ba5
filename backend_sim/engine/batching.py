"""Batches: admission, forming the head batch, and settling it when its last row is scheduled.

Simultaneous events have one total order. A decision at cycle ``t`` is preceded, tenant by tenant in index
order, by every arrival with a cycle ``<= t`` in order of scheduled time (whoever has waited for too long by
then goes first, and a full queue drops the newcomer), and then by the forming of the tenant's head batch,
with the batch timer counted as expired at ``t``.
"""

from __future__ import annotations

from layerweaver.backend_sim.engine.auto_batch import auto_batch
from layerweaver.backend_sim.engine.decoding import finish_iteration, form_iteration, load_iteration_row
from layerweaver.backend_sim.engine.events import EARLIEST, first_due, set_event
from layerweaver.backend_sim.engine.outcome import is_late
from layerweaver.backend_sim.engine.queues import (
    WAITING_MARK,
    _arrive,
    _longest_fetch,
    _set_ready,
    drop_front,
    issue,
    next_event,
    nth_waiting,
    time_out,
)
from layerweaver.backend_sim.engine.state import CLOSED, SATURATED, State
from layerweaver.ir.clock import cycles_to_ns_down, cycles_to_ns_up, ns_to_cycles_down, ns_to_cycles_up
from layerweaver.scheduler.machine.jit import apart, counted, inlined
from layerweaver.scheduler.machine.view import NEVER

__all__ = ["admit", "finish_batch", "load_row", "pass_late", "turn_away"]


@apart
def admit(state: State, now: int) -> None:
    """Let everything in that arrived by ``now`` and form heads."""
    while state.events[EARLIEST] <= now:
        index = first_due(state.events, now)
        tenant = state.tenants[index]
        _let_in(state, index, now)
        if tenant.started == 0:
            form_head(state, index, now)
        following = next_event(state, index)
        # Only a full window keeps an arrival from being let in; the refill notes the event again.
        set_event(state.events, index, following if following > now else NEVER)


def _let_in(state: State, index: int, now: int) -> None:
    """A tenant's arrivals by ``now``, and those who give up waiting, one after the other."""
    tenant = state.tenants[index]
    while min(tenant.next_cycle, tenant.times_out) <= now and tenant.known < tenant.capacity:
        if tenant.times_out <= tenant.next_cycle:
            time_out(state, index)
        else:
            _arrive(state, index)


@apart
def pass_late(state: State, now: int) -> None:
    """Form anew the heads whose requests cannot be in time any more behind what was committed since."""
    totals, compute_end = state.totals, state.visible.machine.compute_end
    totals.late_from = NEVER
    for index in range(state.visible.machine.tenant_count):
        tenant = state.tenants[index]
        if compute_end > tenant.late_from:
            form_head(state, index, now)
            set_event(state.events, index, next_event(state, index))
        else:
            totals.late_from = min(totals.late_from, tenant.late_from)


def _batch_size(state: State, index: int, queued: int, expired: bool) -> int:
    """How many of so many requests the head batch takes now; 0 to wait for more."""
    tenant = state.tenants[index]
    if queued >= tenant.max_batch:
        return tenant.max_batch  # type: ignore[no-any-return]
    if expired:
        return queued
    size = 0
    for k in range(tenant.preferred, tenant.preferred + tenant.preferred_count):
        if state.preferred[k] <= queued:
            size = state.preferred[k]
    return size


def _profile_of(state: State, index: int, size: int) -> int:
    """The profile at which a batch runs."""
    chosen: int = state.tenants[index].first_profile
    while state.profiles[chosen].batch < size:
        chosen += 1
    return chosen


def _goes_at(state: State, index: int, waiting: int, oldest_ns: int) -> int:
    """Cycle at which the batch of so many requests goes even if it is not full.

    That is when the oldest has waited for the tenant's delay. Where a tenant hurries, it is also when its
    slack is down to half of the batch's time: waiting for company longer would make it hopeless.
    """
    clock_hz = state.visible.machine.clock_hz
    tenant = state.tenants[index]
    cycle = ns_to_cycles_up(oldest_ns, clock_hz) + tenant.delay_cycles
    if tenant.hurries != 0 and tenant.deadline_ns >= 0 and state.visible.heads[index].hopeless == 0:
        size = min(waiting, tenant.max_batch)
        alone = state.profiles[_profile_of(state, index, size)].standalone_cycles
        cycle = min(cycle, ns_to_cycles_down(oldest_ns + tenant.deadline_ns, clock_hz) - alone - alone // 2)
    return cycle  # type: ignore[no-any-return]


def _pass_over(state: State, index: int, now: int) -> None:
    """Let the requests at the front that can no longer be in time, even if they go next, step aside.

    Where the backlog is heeded, they compute after all that is committed, else as if they were alone. A
    deadline counts from arrival, so they are always the oldest. Which batch they would be part of counts,
    unless the scheduler chooses batches: it could take them alone.
    """
    clock_hz = state.visible.machine.clock_hz
    tenant = state.tenants[index]
    fresh = max(tenant.fresh, tenant.front)
    while tenant.queued > tenant.passed:
        fresh = nth_waiting(state.latency, tenant.offset, fresh, 1)
        oldest_ns = state.sched[tenant.offset + fresh]
        expired, chosen = False, tenant.first_profile
        if tenant.auto == 0:
            waiting = tenant.queued - tenant.passed
            expired = _goes_at(state, index, waiting, oldest_ns) <= now
            size = _batch_size(state, index, waiting, expired or tenant.due != 0)
            chosen = _profile_of(state, index, size)
        profile = state.profiles[chosen]
        ends = now + profile.standalone_cycles
        if tenant.heeds_backlog != 0:
            ends = max(ends, state.visible.machine.compute_end + profile.model_compute_cycles)
        if ends <= ns_to_cycles_down(oldest_ns + tenant.deadline_ns, clock_hz):
            break
        fresh += 1
        tenant.passed += 1
        if expired:
            tenant.due = 1
    tenant.fresh = fresh


@apart
def turn_away(state: State, index: int, now: int) -> None:
    """Drop the oldest waiting request of a tenant, which cannot be in time; others become its head."""
    drop_front(state, index, now)
    form_head(state, index, now)
    set_event(state.events, index, next_event(state, index))


@apart
def form_head(state: State, index: int, now: int) -> None:
    """Put together the head batch of a tenant from its queue, as of ``now``; none of it has begun.

    Whoever calls notes the tenant's next event.
    """
    machine, clock_hz = state.visible.machine, state.visible.machine.clock_hz
    tenant = state.tenants[index]
    if tenant.decoder >= 0:
        form_iteration(state, index, now)
        return
    first_profile = state.profiles[tenant.first_profile]
    tenant.timer = tenant.late_from = NEVER
    deadline = NEVER
    while True:
        if tenant.queued == 0:
            _set_ready(state, index, False)
            return
        tenant.front = nth_waiting(state.latency, tenant.offset, tenant.front, 1)
        oldest_ns = state.sched[tenant.offset + tenant.front]
        if tenant.deadline_ns >= 0:
            deadline = ns_to_cycles_down(oldest_ns + tenant.deadline_ns, clock_hz)
            if tenant.drop_hopeless and now + first_profile.standalone_cycles > deadline:
                drop_front(state, index, now)
                continue
        break
    head = state.visible.heads[index]
    tenant.head_at, waiting, head.hopeless = tenant.front, tenant.queued, 0
    if tenant.drop_hopeless != 0 and deadline < NEVER:
        tenant.timer = deadline - first_profile.standalone_cycles + 1
    if tenant.defer_hopeless != 0 and deadline < NEVER:
        _pass_over(state, index, now)
        head.passed = tenant.passed
        if tenant.passed < tenant.queued:
            tenant.head_at, waiting = tenant.fresh, tenant.queued - tenant.passed
            oldest_ns = state.sched[tenant.offset + tenant.head_at]
            deadline = ns_to_cycles_down(oldest_ns + tenant.deadline_ns, clock_hz)
        else:
            head.hopeless = 1
    arrival = ns_to_cycles_up(oldest_ns, clock_hz)
    if tenant.auto != 0:
        formed = auto_batch(state, index, deadline, waiting, now)
        size, tenant.timer = formed.size, min(tenant.timer, formed.changes)
    else:
        goes_at = _goes_at(state, index, waiting, oldest_ns)
        size = _batch_size(state, index, waiting, tenant.due != 0 or goes_at <= now)
        if size < tenant.max_batch and size < waiting:
            tenant.timer = min(tenant.timer, goes_at)
    chosen = _profile_of(state, index, size)
    profile = state.profiles[chosen]
    if tenant.defer_hopeless != 0 and head.hopeless == 0 and deadline < NEVER:
        least = first_profile if tenant.auto != 0 else profile
        tenant.timer = min(tenant.timer, deadline - least.standalone_cycles + 1)
        if tenant.heeds_backlog != 0:
            tenant.late_from = deadline - least.model_compute_cycles
            state.totals.late_from = min(state.totals.late_from, tenant.late_from)
    if size == 0:
        _set_ready(state, index, False)
        return
    if head.rows_left == 0:
        head.since = now
        head.last_start = now
    head.request = tenant.number + tenant.head_at
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
    head.left_compute_cycles = profile.model_compute_cycles
    head.left_fetch_cycles = profile.model_fetch_cycles
    load_row(state, index)
    if _set_ready(state, index, True):
        state.totals.work_since = min(state.totals.work_since, _formed_at(state, index, waiting, arrival))
    machine.longest_fetch_cycles = _longest_fetch(state)


def _formed_at(state: State, index: int, queued: int, arrival: int) -> int:
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
    if queued >= least:
        last = tenant.offset + nth_waiting(state.latency, tenant.offset, tenant.head_at, least)
        formed = min(formed, ns_to_cycles_up(state.sched[last], state.visible.machine.clock_hz))
    return formed  # type: ignore[no-any-return]


@inlined
def load_row(state: State, index: int) -> None:
    """Copy the costs of the head's next row into the head."""
    if state.tenants[counted(index)].decoder >= 0:
        load_iteration_row(state, index)
        return
    head = state.visible.heads[counted(index)]
    row = state.rows[counted(state.profiles[counted(head.profile)].first_row + head.row)]
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


@apart
def finish_batch(state: State, index: int, done: int, now: int) -> None:
    """The head's last row has been scheduled: settle its requests, form the next head as of ``now``."""
    machine, clock_hz = state.visible.machine, state.visible.machine.clock_hz
    tenant = state.tenants[index]
    if tenant.decoder >= 0:
        finish_iteration(state, index, done, now)
        return
    head = state.visible.heads[index]
    completion_ns = cycles_to_ns_up(done, clock_hz)
    settled, measured, at = 0, 0, tenant.head_at
    while settled < head.batch:
        position = tenant.offset + at
        at += 1
        if state.latency[position] != WAITING_MARK:
            continue
        scheduled_ns = state.sched[position]
        latency_ns = completion_ns - scheduled_ns
        state.latency[position] = latency_ns
        settled += 1
        if state.totals.warmup_ns <= scheduled_ns < state.totals.cooldown_ns:
            measured += 1
        if tenant.deadline_ns >= 0 and is_late(latency_ns, tenant.deadline_ns):
            tenant.late += 1
        if tenant.source == CLOSED:
            issue(state, index, completion_ns + tenant.think_ns)
    if tenant.defer_hopeless == 0 or tenant.head_at == tenant.front:
        tenant.front = at
    if head.hopeless != 0:
        tenant.passed -= settled
    else:
        tenant.fresh = at
    tenant.completed += settled
    tenant.queued -= settled
    machine.queued -= settled
    if measured > 0:
        state.batch_counts[head.profile, head.batch] += 1
        state.service_cycles[head.profile, measured] += done - tenant.batch_start
    tenant.started = tenant.head_end = 0
    head.rows_left = 0
    if tenant.source == SATURATED:
        now_ns = cycles_to_ns_down(now, clock_hz)
        for _ in range(settled):
            issue(state, index, now_ns)
        _let_in(state, index, now)
    form_head(state, index, now)
    set_event(state.events, index, next_event(state, index))
