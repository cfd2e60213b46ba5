"""A language model alone on the machine: the rest of an iteration that has begun, without decisions.

Nobody else can be chosen, so all that is left of the general loop is the recurrence of the two timelines.
Rows follow each other without a pause of the DMA; a run of equal tiles whose fetches hide their computes
ends where its fetches end. The outcome is the one of the general loop to the last bit, which goes on by
itself wherever something else may happen: at the first and the last row of an iteration, at the edges of the
measured time, and where the ring of fetches is full or the DMA too far ahead. Blocks of rows that are
repeated are jumped over once they find the machine as the block before did.
"""

from __future__ import annotations

from layerweaver.backend_sim.engine.batching import admit
from layerweaver.backend_sim.engine.blocks import jump, next_boundary, note_block
from layerweaver.backend_sim.engine.decoding import show_iteration_row
from layerweaver.backend_sim.engine.events import EARLIEST
from layerweaver.backend_sim.engine.state import State
from layerweaver.backend_sim.llm.decoder import Decoder
from layerweaver.backend_sim.llm.iteration import go_on, tile_of
from layerweaver.backend_sim.llm.state import Shape
from layerweaver.scheduler.machine.jit import apart, counted, inlined
from layerweaver.scheduler.machine.timelines import rebase, recount
from layerweaver.scheduler.machine.view import COUNT_LIMIT, NEVER, Head

__all__ = ["run_on"]


@apart
def run_on(state: State, index: int, most: int) -> int:
    """Schedule rows of the iteration that the lone tenant has begun, but not its last one.

    Args:
        state: The engine's state.
        index: The tenant.
        most: Rows at most.

    Returns:
        Rows scheduled.
    """
    view, totals = state.visible, state.totals
    machine, head, tenant = view.machine, view.heads[index], state.tenants[index]
    decoder = state.llm.decoders[tenant.decoder]
    most = min(most, head.rows_left - 1)
    if most <= 0 or machine.fetch_end < totals.measured_from:
        return 0
    ran = 0
    boundary = next_boundary(decoder)
    before = note_block(state, index, ran)
    while ran < most and machine.appended_scaled <= COUNT_LIMIT:
        if decoder.table_row == boundary and decoder.tile == 0:
            ran += jump(state, index, before, most, ran)
            before = note_block(state, index, ran)
            boundary = next_boundary(decoder)
            if ran == most:
                break
        distinct = state.llm.row_shape[counted(decoder.first_row + decoder.table_row)]
        shape = state.llm.shapes[counted(decoder.first_shape + distinct)]
        wanted = min(most - ran, shape.tiles - decoder.tile)
        tiles = _run_tiles(state, index, decoder, shape, wanted)
        _count_tiles(head, decoder, shape, tiles)
        ran += tiles
        if tiles < wanted:
            break
    if ran == 0:
        return 0
    recount(view)
    far = machine.compute_end - machine.origin > 2 * totals.reach_cycles
    if machine.appended_scaled > COUNT_LIMIT or far:
        rebase(view, machine.start)
    totals.layers += ran
    head.rows_left -= ran
    state.mode_counts[totals.lone_mode] += ran
    state.recent[0] = machine.fetch_end
    machine.now = machine.start
    if state.events[EARLIEST] <= machine.now:
        admit(state, machine.now)
    show_iteration_row(state, index)
    return ran


@inlined
def _run_tiles(state: State, index: int, decoder: Decoder, shape: Shape, wanted: int) -> int:
    """Schedule up to so many tiles of the next row; return how many."""
    view, totals = state.visible, state.totals
    machine, fetches, head, tenant = view.machine, view.fetches, view.heads[index], state.tenants[index]
    first, last, mask, rate = machine.first, machine.last, machine.mask, machine.rate
    fetch_end, compute_end, appended = machine.fetch_end, machine.compute_end, machine.appended_scaled
    last_start, longest_wait, credit = head.last_start, tenant.longest_wait_cycles, totals.inherent_credit
    waited, stalled, inherent, ran = 0, 0, 0, 0
    hidden = wanted > 2 and _hides_computes(state, shape)
    while ran < wanted:
        if last - first > mask or compute_end - totals.reach_cycles > fetch_end or appended > COUNT_LIMIT:
            break
        tile = tile_of(shape, decoder.tile + ran, machine.scale)
        start = fetch_end
        while first < last and fetches[counted(first & mask)].done <= start:
            first += 1
        free = machine.buffer_scaled
        if first == last:
            appended, machine.origin = 0, start
        else:
            free += fetches[counted(first & mask)].before_scaled - appended
        if hidden and ran > 0 and last - first <= 1 and compute_end <= start + shape.fetch_cycles:
            # From here on every tile computes under the next one's fetch and leaves the buffer with its end.
            place, rest = decoder.tile + ran, wanted - ran
            last_tile, fetched = tile_of(shape, place + rest - 1, machine.scale), _fetched(shape, place, rest)
            longest_wait = max(longest_wait, start - last_start)
            if rest > 1:
                longest_wait = max(longest_wait, tile_of(shape, place + rest - 2, machine.scale).fetch_cycles)
            waited += start + fetched - compute_end - _computed(shape, place, rest - 1)
            fetch_end = start + fetched
            compute_end = fetch_end + last_tile.compute_cycles
            last_start = fetch_end - last_tile.fetch_cycles
            appended, machine.origin, first = last_tile.weight_scaled, last_start, last
            fetches[counted(last & mask)].before_scaled, fetches[counted(last & mask)].done = 0, compute_end
            last += 1
            ran = wanted
            break
        end = start + tile.fetch_cycles
        if tile.weight_scaled > free:
            latest, position = tile.dram_scaled, first
            missing = tile.weight_scaled - free
            while position < last and missing > 0:
                latest = max(latest, (fetches[counted(position & mask)].done - start) * rate + missing)
                position += 1
                if position < last:
                    missing = tile.weight_scaled - machine.buffer_scaled + appended
                    missing -= fetches[counted(position & mask)].before_scaled
            end = start + (latest + rate - 1) // rate
        computed_from = max(compute_end, end)
        done = computed_from + tile.compute_cycles
        if done > totals.measured_until:
            break
        waited += computed_from - compute_end
        if end - start > tile.fetch_cycles:
            stall = end - start - tile.fetch_cycles
            own = min(stall, credit // rate)
            credit -= own * rate
            inherent += own
            stalled += stall - own
        beside = machine.buffer_scaled - tile.weight_scaled
        if tile.compute_cycles * rate > beside:
            credit = min(COUNT_LIMIT, credit + tile.compute_cycles * rate - beside)
        longest_wait = max(longest_wait, start - last_start)
        last_start, fetch_end, compute_end = start, end, done
        # As the ring is kept: an entry without weight is dominated by its successor.
        if last > first and fetches[counted((last - 1) & mask)].before_scaled == appended:
            last -= 1
        fetches[counted(last & mask)].before_scaled = appended
        fetches[counted(last & mask)].done = done
        last += 1
        appended += tile.weight_scaled
        ran += 1
    machine.start, machine.first, machine.last = last_start, first, last
    machine.fetch_end, machine.compute_end, machine.appended_scaled = fetch_end, compute_end, appended
    head.last_start, tenant.longest_wait_cycles, totals.inherent_credit = last_start, longest_wait, credit
    totals.compute_idle_memory += waited
    totals.dma_idle_full += stalled
    totals.dma_idle_inherent += inherent
    return ran


@inlined
def _hides_computes(state: State, shape: Shape) -> bool:
    """Whether every tile of a row computes for no longer than one is fetched, and two have room."""
    machine, totals = state.visible.machine, state.totals
    compute, weight_scaled = shape.compute_cycles + 1, (shape.weight_bytes + 1) * machine.scale
    short = compute <= min(shape.fetch_cycles, totals.reach_cycles)
    small = 2 * weight_scaled <= machine.buffer_scaled
    inherent = compute * machine.rate > machine.buffer_scaled - weight_scaled
    return short and small and not inherent and totals.measured_until == NEVER


@inlined
def _longer(place: int, count: int, tiles: int, rest: int) -> int:
    """How many of ``count`` tiles from a place on are among the last ``rest`` of all."""
    return max(0, place + count - max(place, tiles - rest))


@inlined
def _computed(shape: Shape, place: int, count: int) -> int:
    """Compute cycles of so many tiles from a place on."""
    return count * shape.compute_cycles + _longer(place, count, shape.tiles, shape.rest_cycles)


@inlined
def _fetched(shape: Shape, place: int, count: int) -> int:
    """Fetch cycles of so many tiles from a place on."""
    longer = _longer(place, count, shape.tiles, shape.rest_bytes)
    return count * shape.fetch_cycles + longer * (shape.longest_fetch_cycles - shape.fetch_cycles)


@inlined
def _count_tiles(head: Head, decoder: Decoder, shape: Shape, count: int) -> None:
    """Account for tiles that were scheduled and go on to the one after them."""
    place = decoder.tile
    compute, fetch = _computed(shape, place, count), _fetched(shape, place, count)
    head.served_compute_cycles += compute
    head.served_fetch_cycles += fetch
    head.left_compute_cycles -= compute
    head.left_fetch_cycles -= fetch
    decoder.compute_cycles += compute
    decoder.dram_bytes += count * shape.dram_bytes + _longer(place, count, shape.tiles, shape.rest_bytes)
    go_on(decoder, shape, count)
