"""Queues: requests that are issued, arrive, wait and are dropped. Plain functions that numba compiles."""

from __future__ import annotations

from typing import Any

from layerweaver.backend_sim.engine.state import DEPTH_BITS, OPEN, State
from layerweaver.ir.clock import cycles_to_ns_up, ns_to_cycles_up
from layerweaver.scheduler.machine.view import NEVER

DROPPED_MARK, WAITING_MARK, TIMED_OUT_MARK = -1, -2, -3
"""In place of a latency: of requests that were dropped, of those that wait or run, and of those that
waited for too long."""


def issue(state: State, index: int, time_ns: int) -> None:
    """A source that reacts to the machine issues a request, unless it has ended.

    Whoever calls notes the tenant's next event, which may be this request.
    """
    tenant = state.tenants[index]
    compared_ns = tenant.issued_ns if tenant.past_the_end else time_ns
    if tenant.issued >= tenant.max_queries or (
        compared_ns >= tenant.duration_ns and tenant.issued >= tenant.min_queries
    ):
        return
    tenant.issued += 1
    tenant.issued_ns = time_ns
    position = tenant.offset + tenant.known
    earliest = tenant.offset + tenant.arrived
    while position > earliest and state.sched[position - 1] > time_ns:
        state.sched[position] = state.sched[position - 1]
        position -= 1
    state.sched[position] = time_ns
    tenant.known += 1
    if position == earliest:
        tenant.next_cycle = ns_to_cycles_up(time_ns, state.visible.machine.clock_hz)
    if tenant.known + tenant.reserve > tenant.capacity:
        _ask_for_refill(state, index)


def _ask_for_refill(state: State, index: int) -> None:
    """Have the loop return soon, for the tenant's window to be emptied or refilled."""
    tenant, totals = state.tenants[index], state.totals
    if tenant.asked == 0:
        tenant.asked = 1
        state.asking[totals.asking] = index
        totals.asking += 1


def next_request(state: State, index: int) -> None:
    """The cycle at which the next request of a language model arrives."""
    tenant = state.tenants[index]
    decoder = state.llm.decoders[tenant.decoder]
    tenant.next_cycle = NEVER
    if decoder.arrived < decoder.requests:
        request = state.llm.requests[decoder.first_request + decoder.arrived]
        tenant.next_cycle = ns_to_cycles_up(request.scheduled_ns, state.visible.machine.clock_hz)


def arrive_at_decoder(state: State, index: int) -> None:
    """The next request of a language model arrives."""
    tenant = state.tenants[index]
    decoder = state.llm.decoders[tenant.decoder]
    _count_depth(state, index, state.llm.requests[decoder.first_request + decoder.arrived].scheduled_ns)
    decoder.arrived += 1
    tenant.number += 1
    tenant.queued += 1
    state.visible.machine.queued += 1
    state.visible.heads[index].queued = tenant.queued
    next_request(state, index)


def _arrive(state: State, index: int) -> None:
    machine = state.visible.machine
    tenant, head = state.tenants[index], state.visible.heads[index]
    if tenant.decoder >= 0:
        arrive_at_decoder(state, index)
        return
    position = tenant.offset + tenant.arrived
    _count_depth(state, index, state.sched[position])
    tenant.arrived += 1
    head.arrived += 1
    head.newest = tenant.next_cycle
    if tenant.arrived < tenant.known:
        tenant.next_cycle = ns_to_cycles_up(state.sched[position + 1], machine.clock_hz)
    else:
        tenant.next_cycle = NEVER
        if tenant.ended == 0:
            _ask_for_refill(state, index)
    if tenant.queued >= tenant.queue_limit:
        tenant.dropped += 1
        state.latency[position] = DROPPED_MARK
        if tenant.source != OPEN:
            issue(state, index, state.sched[position] + tenant.back_off_ns)
    else:
        state.latency[position] = WAITING_MARK
        tenant.queued += 1
        machine.queued += 1
        head.queued = tenant.queued
        if tenant.times_out == NEVER:
            watch(state, index)


def _count_depth(state: State, index: int, scheduled_ns: int) -> None:
    """A request comes: count how many it finds waiting."""
    if state.totals.warmup_ns <= scheduled_ns < state.totals.cooldown_ns:
        state.depth_counts[index, depth_bucket(state.tenants[index].queued)] += 1


def depth_bucket(waiting: int) -> int:
    """Where so many waiting requests are counted: by their leading bits."""
    shift = 0
    while waiting >> shift >= 2 << DEPTH_BITS:
        shift += 1
    return (shift << DEPTH_BITS) + (waiting >> shift)


def nth_waiting(latency: Any, offset: int, at: int, count: int) -> int:
    """Window position of the ``count``-th request from ``at`` on that waits; there must be so many."""
    found = at
    while True:
        if latency[offset + found] == WAITING_MARK:
            count -= 1
            if count == 0:
                return found
        found += 1


def drop_front(state: State, index: int, now: int) -> None:
    """Drop the oldest waiting request: it can no longer meet its deadline."""
    tenant = state.tenants[index]
    position = tenant.front
    tenant.front += 1
    _drop(state, index, position, DROPPED_MARK, now)
    state.visible.heads[index].rows_left = 0


def time_out(state: State, index: int) -> None:
    """Drop the watched request, as of the cycle at which it has waited for too long, and watch the next."""
    tenant = state.tenants[index]
    if tenant.started == 0 and tenant.watched == tenant.head_at:
        state.visible.heads[index].rows_left = 0
    _drop(state, index, tenant.watched, TIMED_OUT_MARK, tenant.times_out)


def _drop(state: State, index: int, position: int, mark: int, now: int) -> None:
    """Drop a waiting request."""
    tenant = state.tenants[index]
    state.latency[tenant.offset + position] = mark
    head = state.visible.heads[index]
    if tenant.passed > 0 and position < max(tenant.fresh, tenant.front):
        tenant.passed -= 1
        head.passed = tenant.passed
    tenant.queued -= 1
    tenant.dropped += 1
    state.visible.machine.queued -= 1
    head.queued = tenant.queued
    watch(state, index)
    if tenant.source != OPEN:
        now_ns = cycles_to_ns_up(now, state.visible.machine.clock_hz)
        issue(state, index, now_ns + tenant.back_off_ns)


def watch(state: State, index: int) -> None:
    """Find the oldest request that waits and is in no batch that has begun, and when it times out.

    Those before it never wait again, so the search goes on where it ended.
    """
    tenant = state.tenants[index]
    if tenant.timeout_cycles == NEVER:
        return
    at = tenant.watched
    while at < tenant.arrived:
        if tenant.head_at <= at < tenant.head_end:
            at = tenant.head_end
        elif state.latency[tenant.offset + at] == WAITING_MARK:
            break
        else:
            at += 1
    tenant.watched = at
    tenant.times_out = NEVER
    if at < tenant.arrived:
        arrival = ns_to_cycles_up(state.sched[tenant.offset + at], state.visible.machine.clock_hz)
        tenant.times_out = arrival + tenant.timeout_cycles + 1


def begin_waiting(state: State, index: int) -> None:
    """The head batch begins: its requests wait no longer, whoever is next may time out."""
    tenant = state.tenants[index]
    if tenant.timeout_cycles == NEVER:
        return
    batch = state.visible.heads[index].batch
    tenant.head_end = nth_waiting(state.latency, tenant.offset, tenant.head_at, batch) + 1
    watch(state, index)


def next_event(state: State, index: int) -> int:
    """Cycle of a tenant's next event: an arrival, the end of its batch timer, or of a request's patience."""
    tenant = state.tenants[index]
    return min(tenant.next_cycle, tenant.timer, tenant.times_out)  # type: ignore[no-any-return]


def _set_ready(state: State, index: int, wanted: bool) -> bool:
    """Insert or remove a tenant in the ascending list of those with a head; whether that changed it."""
    machine, ready = state.visible.machine, state.visible.ready
    count = machine.ready_count
    at = 0
    while at < count and ready[at] < index:
        at += 1
    present = at < count and ready[at] == index
    if present == wanted:
        return False
    if wanted:
        for k in range(count, at, -1):
            ready[k] = ready[k - 1]  # type: ignore[index]
        ready[at] = index  # type: ignore[index]
        machine.ready_count = count + 1
    else:
        for k in range(at, count - 1):
            ready[k] = ready[k + 1]  # type: ignore[index]
        machine.ready_count = count - 1
        if count == 1:
            state.totals.work_since = NEVER
        state.visible.heads[index].rows_left = 0
        machine.longest_fetch_cycles = _longest_fetch(state)
    return True


def _longest_fetch(state: State) -> int:
    longest = 0
    for k in range(state.visible.machine.ready_count):
        longest = max(longest, state.visible.heads[state.visible.ready[k]].longest_fetch_cycles)
    return longest
