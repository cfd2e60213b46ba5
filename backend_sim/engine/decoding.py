"""Language models in the engine: the head of such a tenant is its next iteration.

It is planned whenever a request arrives, a batch timer expires or its predecessor's last row is scheduled,
as long as none of its rows is; with its first row its members freeze.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from layerweaver.backend_sim.engine.events import set_event
from layerweaver.backend_sim.engine.queues import _ask_for_refill, _longest_fetch, _set_ready
from layerweaver.backend_sim.engine.state import State
from layerweaver.backend_sim.llm.batching import emit, freeze, plan
from layerweaver.backend_sim.llm.deadlines import deadline_of
from layerweaver.backend_sim.llm.iteration import (
    count_members,
    next_row,
    next_row_bytes,
    price,
    set_row,
)
from layerweaver.ir.clock import ns_to_cycles_up
from layerweaver.ir.limits import MAX_END_SECONDS
from layerweaver.scheduler.machine.jit import inlined
from layerweaver.scheduler.machine.view import NEVER
from layerweaver.scheduler.rules.patience import note_patience

__all__ = [
    "WITHOUT_DECODERS",
    "begin_iteration",
    "finish_iteration",
    "form_iteration",
    "iteration_row_bytes",
    "load_iteration_row",
    "show_iteration_row",
]


def form_iteration(state: State, index: int, now: int) -> None:
    """Plan a tenant's next iteration as of ``now``; it becomes the head if anyone takes part."""
    llm, machine = state.llm, state.visible.machine
    tenant = state.tenants[index]
    decoder = llm.decoders[tenant.decoder]
    head = state.visible.heads[index]
    tenant.timer = NEVER
    ready = False
    if now < decoder.may_begin:
        tenant.timer = decoder.may_begin
    elif tenant.queued > 0:
        plan(llm, decoder, now)
        ready = count_members(llm, decoder) > 0
    if now < decoder.flight_done:
        tenant.timer = max(now + 1, min(tenant.timer, decoder.flight_done))
    if not ready:
        _set_ready(state, index, False)
        return
    rows, compute_cycles, fetch_cycles, longest_cycles = price(llm, decoder, machine)
    if now + compute_cycles + fetch_cycles > machine.clock_hz * MAX_END_SECONDS:
        _ask_for_refill(state, index)  # which refuses it: how many iterations come is known only as they come
    if head.rows_left == 0:
        head.since = now
        head.last_start = now
    head.request = decoder.iterations
    head.batch = decoder.members
    head.profile = tenant.first_profile
    head.arrival = _oldest_arrival(state, index)
    head.queued = tenant.queued
    head.rows_left = rows
    head.row = 0
    # Alone on the machine nothing is gained by committing late, and the boundary says when members freeze.
    head.compute_intensive = 1 if compute_cycles > fetch_cycles and machine.tenant_count > 1 else 0
    head.longest_fetch_cycles = longest_cycles
    head.model_compute_cycles = compute_cycles
    head.model_fetch_cycles = fetch_cycles
    head.left_compute_cycles, head.full_compute_cycles = compute_cycles, compute_cycles
    head.left_fetch_cycles, head.full_fetch_cycles = fetch_cycles, fetch_cycles
    head.full, head.newest = max(1, tenant.queued), head.arrival
    decoder.table_row, decoder.tile = 0, 0
    set_row(llm, decoder, head, machine)
    head.standalone_cycles = head.remaining_cycles
    head.deadline = deadline_of(llm, decoder, head.standalone_cycles, machine.clock_hz)
    head.latest_start = NEVER
    if head.deadline < NEVER:
        head.latest_start = head.deadline - head.remaining_cycles
    head.full_standalone_cycles = head.standalone_cycles
    head.limit_cycles = NEVER
    if head.deadline < NEVER:
        head.limit_cycles = max(head.standalone_cycles, head.deadline - now)
    note_patience(state.visible)
    if _set_ready(state, index, True):
        state.totals.work_since = min(state.totals.work_since, max(decoder.may_begin, head.arrival))
    machine.longest_fetch_cycles = _longest_fetch(state)


def _oldest_arrival(state: State, index: int) -> int:
    """Cycle at which the oldest member of the planned iteration arrived."""
    llm = state.llm
    decoder = llm.decoders[state.tenants[index].decoder]
    place = decoder.first_line
    while llm.new[place] == 0:
        place += 1
    request = llm.requests[llm.line[place]]
    return ns_to_cycles_up(request.scheduled_ns, state.visible.machine.clock_hz)


@inlined
def load_iteration_row(state: State, index: int) -> None:
    """Go on to the head's next row."""
    decoder = state.llm.decoders[state.tenants[index].decoder]
    next_row(state.llm, decoder, state.visible.heads[index], state.visible.machine)
    show_iteration_row(state, index)


@inlined
def show_iteration_row(state: State, index: int) -> None:
    """Fill in what the head shows of its next row."""
    llm, machine, head = state.llm, state.visible.machine, state.visible.heads[index]
    decoder = llm.decoders[state.tenants[index].decoder]
    head.row = decoder.table_row
    set_row(llm, decoder, head, machine)
    head.latest_start = NEVER
    if head.deadline < NEVER:
        head.latest_start = head.deadline - head.remaining_cycles


def iteration_row_bytes(state: State, index: int) -> int:
    """Bytes that the head's row moves through DRAM, without its latency."""
    decoder = state.llm.decoders[state.tenants[index].decoder]
    return next_row_bytes(state.llm, decoder)


def begin_iteration(state: State, index: int) -> None:
    """The head's first row is about to be scheduled: freeze its members."""
    freeze(state.llm, state.llm.decoders[state.tenants[index].decoder], state.visible.machine.now)


def finish_iteration(state: State, index: int, done: int, now: int) -> None:
    """The head's last row has been scheduled: stamp its tokens, plan the next iteration as of ``now``."""
    machine = state.visible.machine
    tenant = state.tenants[index]
    decoder = state.llm.decoders[tenant.decoder]
    head = state.visible.heads[index]
    next_row(state.llm, decoder, head, machine)
    finished = emit(state.llm, decoder, done, machine.clock_hz)
    decoder.may_begin = done - head.compute_cycles
    if decoder.sync != 0:
        decoder.may_begin = done
    decoder.may_begin += decoder.gap_cycles
    tenant.completed += finished
    tenant.queued -= finished
    machine.queued -= finished
    state.batch_counts[head.profile, head.batch] += 1
    tenant.started = 0
    head.rows_left = 0
    form_iteration(state, index, now)
    set_event(state.events, index, min(tenant.next_cycle, tenant.timer))


def _no_head(state: State, index: int, now: int) -> None:
    pass


def _no_row(state: State, index: int) -> None:
    pass


def _no_rows(state: State, index: int, most: int) -> int:  # noqa: ARG001
    return 0


def _no_bytes(state: State, index: int) -> int:  # noqa: ARG001
    return 0


def _no_end(state: State, index: int, done: int, now: int) -> None:
    pass


WITHOUT_DECODERS: Mapping[str, Callable[..., Any]] = {
    "arrive_at_decoder": _no_row,
    "begin_iteration": _no_row,
    "finish_iteration": _no_end,
    "form_iteration": _no_head,
    "iteration_row_bytes": _no_bytes,
    "load_iteration_row": _no_row,
    "run_on": _no_rows,
}
"""What stands for these functions in a run without language models: half as much to compile."""
