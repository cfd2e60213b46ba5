"""Repeated blocks of a lone language model's rows: those that find the machine alike take equally long.

The two timelines only look at times relative to each other. Where a block has left them, in that sense, as it
found them, every further one does the same, and all of them are accounted for at once.
"""

from __future__ import annotations

from typing import NamedTuple

from layerweaver.backend_sim.engine.state import State
from layerweaver.backend_sim.llm.decoder import Decoder
from layerweaver.backend_sim.llm.state import SEEN_FETCHES
from layerweaver.scheduler.machine.jit import counted, inlined
from layerweaver.scheduler.machine.view import COUNT_LIMIT, NEVER, Head

__all__ = ["jump", "next_boundary", "note_block"]

_UNKNOWN = -1


class _Noted(NamedTuple):
    """The machine and what was counted at the beginning of a block; the fetches lie in ``seen_fetches``.

    Attributes:
        fetches: Those in flight; _UNKNOWN if no block begins here, or they are too many.
        row: Row of the iteration.
        ran: Tiles that ran.
        fetch_end: End of the last fetch.
        lead: How much later the last compute ends.
        behind: How much earlier the last fetch started.
        credit: Inherent idle that no stall has used up.
        memory: Cycles for which computes waited for fetches.
        full: Stalls.
        inherent: Stalls that the rows cause by themselves.
        served_compute: Compute cycles of the tenant.
        served_fetch: Fetch cycles of the tenant.
        dram_bytes: Traffic of the tenant.
    """

    fetches: int
    row: int
    ran: int
    fetch_end: int
    lead: int
    behind: int
    credit: int
    memory: int
    full: int
    inherent: int
    served_compute: int
    served_fetch: int
    dram_bytes: int


@inlined
def next_boundary(decoder: Decoder) -> int:
    """The next row at which a block begins, the one that follows aside; _UNKNOWN for none."""
    if decoder.table_row < decoder.first_repeated:
        boundary = decoder.first_repeated
    else:
        done = (decoder.table_row - decoder.first_repeated) // decoder.block_rows
        boundary = decoder.first_repeated + (done + 1) * decoder.block_rows
    return boundary if boundary < decoder.blocks_end else _UNKNOWN


@inlined
def note_block(state: State, index: int, ran: int) -> _Noted:
    """Note the machine where a block begins."""
    machine, ring, seen = state.visible.machine, state.visible.fetches, state.llm.seen_fetches
    totals, head = state.totals, state.visible.heads[index]
    decoder = state.llm.decoders[state.tenants[index].decoder]
    _drop_done(state)
    fetches = machine.last - machine.first
    begins = decoder.tile == 0 and decoder.table_row >= decoder.first_repeated
    if not begins or 2 * fetches > SEEN_FETCHES:
        fetches = _UNKNOWN
    for number in range(fetches):
        entry = ring[counted((machine.first + number) & machine.mask)]
        seen[counted(2 * number)] = entry.done - machine.fetch_end
        seen[counted(2 * number + 1)] = machine.appended_scaled - entry.before_scaled
    return _Noted(
        fetches,
        decoder.table_row,
        ran,
        machine.fetch_end,
        machine.compute_end - machine.fetch_end,
        machine.fetch_end - head.last_start,
        totals.inherent_credit,
        totals.compute_idle_memory,
        totals.dma_idle_full,
        totals.dma_idle_inherent,
        head.served_compute_cycles,
        head.served_fetch_cycles,
        decoder.dram_bytes,
    )


def jump(state: State, index: int, before: _Noted, most: int, ran: int) -> int:
    """Account for the blocks from here on that do as the one that ends here.

    Args:
        state: The engine's state, at the beginning of a block.
        index: The tenant.
        before: What was noted last.
        most: Rows at most, those that ran included.
        ran: Rows that ran.

    Returns:
        Rows scheduled.
    """
    machine, totals, head = state.visible.machine, state.totals, state.visible.heads[index]
    decoder = state.llm.decoders[state.tenants[index].decoder]
    length = machine.fetch_end - before.fetch_end
    if decoder.table_row != before.row + decoder.block_rows or length == 0 or not _is_as(state, head, before):
        return 0
    tiles = ran - before.ran
    blocks = min((decoder.blocks_end - decoder.table_row) // decoder.block_rows, (most - ran) // tiles)
    if totals.measured_until < NEVER:
        blocks = min(blocks, max(0, totals.measured_until - machine.compute_end) // length)
    inherent, full = totals.dma_idle_inherent - before.inherent, totals.dma_idle_full - before.full
    gained = totals.inherent_credit - before.credit
    if gained != 0:
        # The next block has other credit: nothing changes as long as that covers all stalls and is not cut.
        spent = (inherent + (1 if inherent > 0 else 0)) * machine.rate
        if full > 0:
            return 0
        if gained < 0:
            blocks = min(blocks, max(0, totals.inherent_credit - spent) // -gained)
        else:
            blocks = min(blocks, max(0, COUNT_LIMIT - totals.inherent_credit - spent) // gained - 1)
    if blocks <= 0:
        return 0
    shift = blocks * length
    for position in range(machine.first, machine.last):
        state.visible.fetches[counted(position & machine.mask)].done += shift
    machine.start += shift
    machine.fetch_end += shift
    machine.compute_end += shift
    machine.origin += shift
    head.last_start += shift
    totals.inherent_credit += blocks * gained
    totals.compute_idle_memory += blocks * (totals.compute_idle_memory - before.memory)
    totals.dma_idle_full += blocks * full
    totals.dma_idle_inherent += blocks * inherent
    compute = blocks * (head.served_compute_cycles - before.served_compute)
    fetch = blocks * (head.served_fetch_cycles - before.served_fetch)
    head.served_compute_cycles += compute
    head.served_fetch_cycles += fetch
    head.left_compute_cycles -= compute
    head.left_fetch_cycles -= fetch
    decoder.compute_cycles += compute
    decoder.dram_bytes += blocks * (decoder.dram_bytes - before.dram_bytes)
    decoder.table_row += blocks * decoder.block_rows
    return int(blocks * tiles)


def _is_as(state: State, head: Head, before: _Noted) -> bool:
    """Whether the machine is as it was at the beginning of the last block, but for the time."""
    machine, ring, seen = state.visible.machine, state.visible.fetches, state.llm.seen_fetches
    _drop_done(state)
    same = before.fetches == machine.last - machine.first
    same = same and before.lead == machine.compute_end - machine.fetch_end
    same = same and before.behind == machine.fetch_end - head.last_start
    if same:
        for number in range(before.fetches):
            entry = ring[counted((machine.first + number) & machine.mask)]
            same = same and seen[counted(2 * number)] == entry.done - machine.fetch_end
            same = same and seen[counted(2 * number + 1)] == machine.appended_scaled - entry.before_scaled
    return same


@inlined
def _drop_done(state: State) -> None:
    """Drop fetches whose computes end before the next fetch can begin."""
    machine, ring = state.visible.machine, state.visible.fetches
    while (
        machine.first < machine.last and ring[counted(machine.first & machine.mask)].done <= machine.fetch_end
    ):
        machine.first += 1
