"""The engine's loop: decide, schedule one row on the two timelines, repeat.

Plain functions over :class:`~layerweaver.backend_sim.engine.state.State`; ``choose`` is replaced by the
policy when the loop is compiled or bound (see :mod:`layerweaver.scheduler.machine.jit`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from layerweaver.backend_sim.engine.batching import admit, finish_batch, load_row, pass_late, turn_away
from layerweaver.backend_sim.engine.decoding import begin_iteration
from layerweaver.backend_sim.engine.events import EARLIEST, set_event
from layerweaver.backend_sim.engine.lone import run_on
from layerweaver.backend_sim.engine.queues import begin_waiting, next_event
from layerweaver.backend_sim.engine.recording import record_row
from layerweaver.backend_sim.engine.state import State, Totals
from layerweaver.scheduler.machine.jit import apart, counted, inlined
from layerweaver.scheduler.machine.timelines import append_fetch, fetch_end_of, rebase, release
from layerweaver.scheduler.machine.view import COUNT_LIMIT, HOLD, NEVER, Head, Memory, View
from layerweaver.scheduler.rules.commitment import decide

__all__ = ["BAD_CHOICE", "BAD_MODE", "FINISHED", "GROW", "LOG_FULL", "PAUSED", "REFILL", "STUCK", "advance"]

FINISHED, PAUSED, REFILL, LOG_FULL, GROW, BAD_CHOICE, BAD_MODE, STUCK = range(8)
"""Why the loop returned."""

MOST_HOLDS = 100_000
"""Decisions in a row that may hold although nothing happens: a policy that waits longer waits for ever."""


def advance(state: State, options: Any, memory: Memory, decisions: int) -> int:
    """Run until nothing is left to do, or something is needed, or after so many decisions.

    The policy's options and memory are not part of the state: only they differ in type from policy to policy,
    and what works on the state alone is compiled once for all.

    Returns:
        One of the codes of this module.
    """
    view, totals, events = state.visible, state.totals, state.events
    machine = view.machine
    left = decisions
    while left > 0:
        if totals.asking != 0:
            return REFILL
        if totals.lone_mode >= 0 and machine.running >= 0:
            left -= run_on(state, machine.running, left)
            if left == 0:
                break
        left -= 1
        now = _next_decision(state)
        while True:
            if events[EARLIEST] <= now:
                admit(state, now)
                if totals.asking != 0:
                    machine.now = now
                    return REFILL
            if machine.compute_end > totals.late_from:
                pass_late(state, now)
            if machine.ready_count > 0:
                break
            if events[EARLIEST] == NEVER:
                machine.now = now
                return FINISHED
            now = max(now, events[EARLIEST])
        machine.now = now
        if machine.last - machine.first > machine.mask:
            return GROW
        recording = totals.record_from <= now < totals.record_to
        if recording and totals.recorded == len(state.log):
            return LOG_FULL
        machine.start = max(machine.fetch_end, now + machine.decision_cycles)
        if machine.start > machine.fetch_end:
            totals.full_until = max(totals.full_until, _full_until(view))
        release(view)
        machine.mode = 0
        machine.hold_until = NEVER
        index = decide(view, options, memory)
        if index == HOLD:
            if not _hold(state):
                return STUCK
            continue
        if index < 0 or index >= machine.tenant_count or view.heads[counted(index)].rows_left <= 0:
            return BAD_CHOICE
        if machine.mode < 0 or machine.mode >= totals.mode_count:
            return BAD_MODE
        head = view.heads[counted(index)]
        tenant = state.tenants[counted(index)]
        if (
            tenant.started == 0
            and tenant.drop_hopeless != 0
            and machine.start + head.standalone_cycles > head.deadline
        ):
            turn_away(state, index, now)
            continue
        _schedule(state, index, recording)
    return PAUSED


@inlined
def _next_decision(state: State) -> int:
    """Cycle at which the DMA needs the next row, ``dispatch_ahead`` rows early."""
    machine, totals = state.visible.machine, state.totals
    now: int = max(
        machine.now, state.recent[counted(totals.recent)], machine.compute_end - totals.reach_cycles
    )
    if totals.overlap == 0 and machine.running < 0:
        now = max(now, machine.compute_end)
    return now


def _hold(state: State) -> bool:
    """Schedule nothing until the cycle that the policy named, or until something happens; False for ever.

    What can happen is an arrival, the end of a batch timer, and the end of the last compute.
    """
    machine, totals, events = state.visible.machine, state.totals, state.events
    until = min(machine.hold_until, events[EARLIEST])
    if machine.compute_end > machine.now:
        until = min(until, machine.compute_end)
    totals.holds += 1
    if until >= events[EARLIEST]:
        totals.holds = 0
    elif until - machine.now > totals.reach_cycles or totals.holds > MOST_HOLDS:
        return False
    if until <= machine.now or until == NEVER:
        return False
    totals.held_cycles += until - machine.now
    machine.now = until
    return True


@inlined
def _schedule(state: State, index: int, recording: bool) -> None:
    """Append the next row of a tenant's head to the timelines and account for it."""
    view, totals = state.visible, state.totals
    machine = view.machine
    head = view.heads[counted(index)]
    tenant = state.tenants[counted(index)]
    if tenant.started == 0:
        _begin(state, index)
    saved = 0
    if machine.running != index and (totals.overlap == 0 or totals.checkpoints != 0):
        saved = _switch(state)
    start, last_fetch, last_compute = machine.start, machine.fetch_end, machine.compute_end
    fetch_end = fetch_end_of(view, head)
    compute_start = max(last_compute, fetch_end)
    done = compute_start + head.compute_cycles

    worked = min(max(totals.work_since, last_fetch), start - saved)
    possible = worked
    if head.weight_scaled > 0:
        possible = min(max(totals.full_until, worked), start - saved)
    totals.dma_idle_no_work += worked - last_fetch
    totals.dma_idle_full += possible - worked
    totals.dma_idle_held += start - saved - possible
    totals.full_until = 0
    resumed = min(max(totals.work_since, last_compute), max(fetch_end, last_compute))
    totals.compute_idle_no_work += resumed - last_compute
    totals.compute_idle_memory += compute_start - resumed
    stall = fetch_end - start - head.fetch_cycles
    inherent = 0
    if stall > 0:
        inherent = min(stall, totals.inherent_credit // machine.rate)
        totals.inherent_credit -= inherent * machine.rate
        totals.dma_idle_inherent += inherent
        totals.dma_idle_full += stall - inherent
    if head.inherent_scaled > 0:
        totals.inherent_credit = min(COUNT_LIMIT, totals.inherent_credit + head.inherent_scaled)
    totals.holds = 0
    totals.layers += 1
    if last_fetch < totals.measured_from or done > totals.measured_until:
        _leave_out(state, head, _Moments(worked, possible, saved, resumed, fetch_end, inherent))
    measured = totals.measured_from <= start < totals.measured_until
    if measured:
        state.mode_counts[machine.mode] += 1

    if tenant.started == 0:
        tenant.started = 1
        tenant.batch_start = start
    if measured:
        wait = start - head.last_start
        tenant.longest_wait_cycles = max(tenant.longest_wait_cycles, wait)
    head.last_start = start

    append_fetch(view, head.weight_scaled, done)
    machine.fetch_end, machine.compute_end = fetch_end, done
    if recording:
        record_row(state, index, compute_start)
    totals.held_cycles = 0
    state.recent[counted(totals.recent)] = fetch_end
    if totals.recent < totals.dispatch_ahead:
        totals.recent += 1
    else:
        totals.recent = 0
    if machine.appended_scaled > COUNT_LIMIT or done - machine.origin > 2 * totals.reach_cycles:
        rebase(view, start)

    head.served_compute_cycles += head.compute_cycles
    head.served_fetch_cycles += head.fetch_cycles
    head.left_compute_cycles -= head.compute_cycles
    head.left_fetch_cycles -= head.fetch_cycles
    head.rows_left -= 1
    if head.rows_left == 0:
        machine.running = -1
        finish_batch(state, index, done, machine.now)
    else:
        machine.running = index
        head.row += 1
        load_row(state, index)


def _begin(state: State, index: int) -> None:
    """A batch begins: it no longer changes."""
    head = state.visible.heads[index]
    state.profiles[head.profile].batches += 1
    tenant = state.tenants[index]
    tenant.due = 0
    tenant.late_from = NEVER
    begin_waiting(state, index)
    if tenant.timer != NEVER or tenant.timeout_cycles != NEVER:
        tenant.timer = NEVER
        set_event(state.events, index, next_event(state, index))
    if tenant.decoder >= 0:
        begin_iteration(state, index)


def _switch(state: State) -> int:
    """Turn to another request: wait for the last compute and save activations, as the policy demands.

    Returns:
        The cycles that saving takes, the last ones before ``machine.start``.
    """
    machine, totals = state.visible.machine, state.totals
    cycles = 0
    if totals.overlap == 0 and machine.start < machine.compute_end:
        totals.full_until = _full_until(state.visible)
        machine.start = machine.compute_end
    if machine.running >= 0:
        totals.pre_emptions += 1
        if totals.checkpoints != 0:
            live_scaled = state.visible.heads[machine.running].live_bytes * machine.scale
            cycles = (live_scaled + machine.rate - 1) // machine.rate
            totals.checkpoint_cycles += cycles
            machine.start += cycles
    release(state.visible)
    return cycles


def _full_until(view: View) -> int:
    """Cycle until which the buffer has no room for a single byte; 0 if it has some."""
    machine, until = view.machine, 0
    for position in range(machine.first, machine.last):
        entry = view.fetches[counted(position & machine.mask)]
        if machine.appended_scaled - entry.before_scaled < machine.buffer_scaled:
            break
        until = entry.done
    return until


class _Moments(NamedTuple):
    """What happened around a row.

    Attributes:
        worked: Cycle from which on there was a head, after the last fetch.
        possible: Cycle from which on the row's fetch had room.
        saved: Cycles of saving activations, just before the fetch.
        resumed: Cycle from which on the compute engine waited for the fetch.
        fetch_end: End of the fetch.
        inherent: Cycles for which the fetch stalled, as far as the rows cause that by themselves.
    """

    worked: int
    possible: int
    saved: int
    resumed: int
    fetch_end: int
    inherent: int


@apart
def _leave_out(state: State, head: Head, at: _Moments) -> None:
    """Take back what a row counted outside of the measured time; a fetch moves before it stalls."""
    machine, totals = state.visible.machine, state.totals
    begin, end, start, last_fetch = (
        totals.measured_from,
        totals.measured_until,
        machine.start,
        machine.fetch_end,
    )
    ready, compute_start = start - at.saved, max(machine.compute_end, at.fetch_end)
    totals.dma_idle_no_work -= _outside(totals, last_fetch, at.worked)
    totals.dma_idle_full -= _outside(totals, at.worked, at.possible)
    totals.dma_idle_held -= _outside(totals, at.possible, ready)
    totals.unmeasured_checkpoint_cycles += _outside(totals, ready, start)
    totals.compute_idle_no_work -= _outside(totals, machine.compute_end, at.resumed)
    totals.compute_idle_memory -= _outside(totals, at.resumed, compute_start)
    totals.unmeasured_compute_cycles += _outside(totals, compute_start, compute_start + head.compute_cycles)
    moved_end = start + head.fetch_cycles
    moved = head.dram_scaled
    if begin < moved_end:
        moved = min(moved, max(0, begin - start) * machine.rate)
    if end < moved_end:
        moved += head.dram_scaled - min(head.dram_scaled, max(0, end - start) * machine.rate)
    totals.unmeasured_dram_rest += moved % machine.rate
    totals.unmeasured_dram_cycles += moved // machine.rate + totals.unmeasured_dram_rest // machine.rate
    totals.unmeasured_dram_rest %= machine.rate
    stalled = _outside(totals, moved_end, at.fetch_end)
    totals.dma_idle_inherent -= min(stalled, at.inherent)
    totals.dma_idle_full -= stalled - min(stalled, at.inherent)


def _outside(totals: Totals, begin: int, end: int) -> int:
    """How much of an interval lies before or after the measured time."""
    return max(0, min(totals.measured_from, end) - begin) + max(0, end - max(totals.measured_until, begin))
