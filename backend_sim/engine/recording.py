"""The schedule as it is recorded, row by row."""

from __future__ import annotations

from layerweaver.backend_sim.engine.decoding import iteration_row_bytes
from layerweaver.backend_sim.engine.state import State
from layerweaver.scheduler.machine.jit import apart

__all__ = ["record_row"]


@apart
def record_row(state: State, index: int, compute_start: int) -> None:
    """Write the row just scheduled into the log."""
    machine, totals = state.visible.machine, state.totals
    head = state.visible.heads[index]
    entry = state.log[totals.recorded]
    entry.tenant = index
    entry.request = head.request
    entry.batch = head.batch
    entry.profile = head.profile - state.tenants[index].first_profile
    entry.row = head.row
    entry.fetch_start = machine.start
    entry.fetch_end = machine.fetch_end
    entry.compute_start = compute_start
    entry.compute_end = machine.compute_end
    entry.decided_at = machine.now
    entry.mode = machine.mode
    entry.candidates = machine.ready_count
    resident = head.weight_scaled
    for position in range(machine.first, machine.last - 1):
        live = state.visible.fetches[position & machine.mask]
        if live.done > machine.fetch_end:
            following = state.visible.fetches[(position + 1) & machine.mask]
            resident += following.before_scaled - live.before_scaled
    entry.resident_bytes = resident // machine.scale
    entry.queued = machine.queued
    entry.held_cycles = totals.held_cycles
    entry.weight_bytes = head.weight_scaled // machine.scale
    entry.fetch_cycles = head.fetch_cycles
    # Of language models the engine knows what of that is data; of others their tables tell it afterwards.
    entry.dram_bytes = head.dram_scaled // machine.scale
    if state.tenants[index].decoder >= 0:
        entry.dram_bytes = iteration_row_bytes(state, index)
    totals.recorded += 1
