"""What the iteration being prepared costs, row by row.

Plain functions that numba compiles. All members are counted at once by :func:`count_members`;
:func:`price` then fills in the distinct rows.
"""

from __future__ import annotations

from typing import NamedTuple

from layerweaver.backend_sim.llm.asking import ask_for_prices
from layerweaver.backend_sim.llm.batching import is_decoding, is_finished
from layerweaver.backend_sim.llm.decoder import PRICED, TIMINGS, Decoder
from layerweaver.backend_sim.llm.pricing import price_rows
from layerweaver.backend_sim.llm.state import LlmState, Shape
from layerweaver.scheduler.iterations.rows import FEATURES, SEEN
from layerweaver.scheduler.machine.jit import apart, inlined
from layerweaver.scheduler.machine.view import NEVER, Head, Machine

__all__ = [
    "Tile",
    "cold_cycles",
    "count_members",
    "go_on",
    "next_row",
    "next_row_bytes",
    "price",
    "set_row",
    "tile_of",
]

FIXED, PER_SEQUENCE, PER_CONTEXT, PER_PREFILL, PER_PAIR, PER_SQUARE, TABLES = range(7)
"""Places of the coefficients of timings in ``rates``; the tables over tokens and sequences follow."""


def count_members(llm: LlmState, decoder: Decoder) -> int:
    """Count who really takes part in the planned iteration; return how many.

    Values of the polynomials' terms are those of the longest member, and sums over all.
    """
    tokens, sequences, members, decoding, context = 0, 0, 0, 0, 0
    most_new, most_past, past, pairs, squares, whole_blocks = 0, 0, 0, 0, 0, 0
    first = decoder.first_line
    for place in range(first, first + decoder.plan_running + decoder.plan_admitted):
        new = llm.new[place]
        request = llm.requests[llm.line[place]]
        if new == 0 or is_finished(request):
            continue
        llm.member_new[first + members], llm.member_cached[first + members] = new, request.computed
        members += 1
        tokens += new
        if request.computed + new == request.prompt + request.generated:
            sequences += 1
        if is_decoding(request, new):
            decoding += 1
            context += request.computed + 1
        most_new, most_past = max(most_new, new), max(most_past, request.computed)
        past += request.computed
        pairs += new * request.computed
        squares += new * new
        whole_blocks += (request.computed + decoder.block - 1) // decoder.block * decoder.block
    features, at = llm.features, decoder.first_feature
    features[at], features[at + 1], features[at + 2] = 1, most_new, most_past
    features[at + 3], features[at + 4] = most_new * most_past, most_new * most_new
    features[at + 5], features[at + 6], features[at + 7] = members, tokens, past
    features[at + 8], features[at + 9], features[at + FEATURES] = pairs, squares, whole_blocks
    decoder.tokens, decoder.sequences, decoder.members = tokens, sequences, members
    decoder.decoding, decoder.context = decoding, context
    for window in range(1, decoder.windows):
        _count_in_window(llm, decoder, window)
    return members


def _count_in_window(llm: LlmState, decoder: Decoder, number: int) -> None:
    """Values of the polynomials' terms in a window (``rows.looked_at``), and blocks with the tokens in it."""
    window, features = llm.windows[decoder.first_window + number], llm.features
    whole, at = decoder.first_feature, decoder.first_feature + SEEN * number
    for place in range(SEEN):
        features[at + place] = features[whole + place]
    most, past, pairs, read = -features[whole + 1], 0, 0, 0
    for member in range(decoder.first_line, decoder.first_line + decoder.members):
        new, cached = llm.member_new[member], llm.member_cached[member]
        seen = min(cached, window - new)
        most = max(most, seen)
        past += seen
        pairs += new * seen
        first = max(0, cached - window + 1) // decoder.block
        read += ((cached + decoder.block - 1) // decoder.block - first) * decoder.block
    features[at + 2], features[at + 3] = most, features[at + 1] * most
    features[at + 7], features[at + 8], features[at + FEATURES] = past, pairs, read


@apart
def price(llm: LlmState, decoder: Decoder, machine: Machine) -> tuple[int, int, int, int]:
    """Fill in the costs of every distinct row of the planned iteration, and what is left after each row.

    Returns:
        Rows, tiles counted; cycles of all computes, of all fetches and of the longest fetch. Where a cost
        model failed, computes last for ever, which ends the run.
    """
    if decoder.costs == TIMINGS:
        shape = llm.shapes[decoder.first_shape]
        shape.compute_cycles, shape.tiles = _timed(llm, decoder), 1
    elif decoder.costs == PRICED:
        if not ask_for_prices(llm, decoder, machine):
            return 1, NEVER, 0, 0
    else:
        price_rows(llm, decoder, machine)
    return _sum_up(llm, decoder)


class _Sums(NamedTuple):
    """Sums over some last rows of an iteration.

    Attributes:
        rows: Tiles.
        compute_cycles: Of all of them.
        fetch_cycles: Of all of them, each row's as long as its longest.
        longest_cycles: The longest fetch.
        left: Cold makespan; meaningful if something follows the rows, or the iteration ends with them.
        data_bytes: What all of them move, without the DRAM's latency.
    """

    rows: int
    compute_cycles: int
    fetch_cycles: int
    longest_cycles: int
    left: int
    data_bytes: int


def _sum_up(llm: LlmState, decoder: Decoder) -> tuple[int, int, int, int]:
    """Fill in what is left after each row up to the first repeated block and after the last; the sums of all.

    A block makes of the cold makespan Q and the computes C after it ``max(K + C, F + Q)``, F its fetches:
    over n blocks that is ``max(n F + Q, K + C + (n - 1) max(F, block's computes))``.
    """
    sums = _sum_rows(llm, decoder, decoder.rows, decoder.blocks_end, _Sums(0, 0, 0, 0, 0, 0))
    first, end = decoder.first_repeated, decoder.blocks_end
    count = (end - first) // decoder.block_rows - 1
    decoder.summed = 1
    if count > 0:
        end = first + decoder.block_rows
        block = _sum_rows(llm, decoder, end, first, _Sums(0, 0, 0, 0, -NEVER, 0))
        step = max(block.fetch_cycles, block.compute_cycles)
        sums = _Sums(
            sums.rows + count * block.rows,
            sums.compute_cycles + count * block.compute_cycles,
            sums.fetch_cycles + count * block.fetch_cycles,
            max(sums.longest_cycles, block.longest_cycles),
            max(
                sums.left + count * block.fetch_cycles, block.left + sums.compute_cycles + (count - 1) * step
            ),
            sums.data_bytes + count * block.data_bytes,
        )
        decoder.summed = 0
    sums = _sum_rows(llm, decoder, end, 0, sums)
    decoder.plan_data_bytes = sums.data_bytes
    return sums.rows, sums.compute_cycles, sums.fetch_cycles, sums.longest_cycles


def _sum_rows(llm: LlmState, decoder: Decoder, end: int, begin: int, after: _Sums) -> _Sums:
    """Fill in what is left after each row of a part, last row first; the sums of it and what follows."""
    rows, compute_cycles, fetch_cycles, longest, left, data_bytes = after
    for row in range(decoder.first_row + end - 1, decoder.first_row + begin - 1, -1):
        llm.after_compute[row], llm.after_cycles[row] = compute_cycles, left
        shape = llm.shapes[decoder.first_shape + llm.row_shape[row]]
        fetch = shape.longest_fetch_cycles
        left = cold_cycles(shape, shape.tiles, compute_cycles, left)
        rows += shape.tiles
        compute_cycles += shape.tiles * shape.compute_cycles + shape.rest_cycles
        fetch_cycles += shape.tiles * fetch
        longest = max(longest, fetch)
        data_bytes += shape.data_bytes
    return _Sums(rows, compute_cycles, fetch_cycles, longest, left, data_bytes)


@inlined
def cold_cycles(shape: Shape, tiles: int, after_compute: int, after_cycles: int) -> int:
    """Cold makespan of some tiles of a row and everything after it.

    ``Q_k = m + max(sum of computes from k on, Q_{k+1})``, solved for tiles as long as the longest.
    """
    compute, fetch_cycles = shape.compute_cycles + min(1, shape.rest_cycles), shape.longest_fetch_cycles
    first = fetch_cycles + tiles * compute + after_compute
    last = tiles * fetch_cycles + compute + after_compute
    return max(first, last, tiles * fetch_cycles + after_cycles)


class Tile(NamedTuple):
    """One tile of a row, with fields as in :class:`~layerweaver.scheduler.machine.view.Row`."""

    compute_cycles: int
    fetch_cycles: int
    dram_scaled: int
    weight_scaled: int


@inlined
def tile_of(shape: Shape, place: int, scale: int) -> Tile:
    """A row's tile at a place: what does not divide goes to the last ones."""
    compute, fetch = shape.compute_cycles, shape.fetch_cycles
    dram_bytes, weight_bytes = shape.dram_bytes, shape.weight_bytes
    if place >= shape.tiles - shape.rest_cycles:
        compute += 1
    if place >= shape.tiles - shape.rest_bytes:
        dram_bytes += 1
        fetch = shape.longest_fetch_cycles
    if place >= shape.tiles - shape.rest_weights:
        weight_bytes += 1
    return Tile(compute, fetch, dram_bytes * scale, weight_bytes * scale)


@inlined
def set_row(llm: LlmState, decoder: Decoder, head: Head, machine: Machine) -> None:
    """Copy the costs of the iteration's next tile into the head."""
    summed_until = decoder.first_repeated + decoder.block_rows
    if decoder.summed == 0 and summed_until <= decoder.table_row < decoder.blocks_end:
        _sum_rows(llm, decoder, decoder.rows, decoder.first_repeated, _Sums(0, 0, 0, 0, 0, 0))
        decoder.summed = 1
    row = decoder.first_row + decoder.table_row
    shape = llm.shapes[decoder.first_shape + llm.row_shape[row]]
    tile = tile_of(shape, decoder.tile, machine.scale)
    head.compute_cycles = tile.compute_cycles
    head.fetch_cycles = tile.fetch_cycles
    head.dram_scaled = tile.dram_scaled
    head.weight_scaled = tile.weight_scaled
    head.compute_scaled = tile.compute_cycles * machine.rate
    beside = machine.buffer_scaled - head.weight_scaled
    head.inherent_scaled = max(0, head.compute_scaled - beside)
    head.live_bytes = shape.live_bytes
    head.remaining_cycles = cold_cycles(
        shape, shape.tiles - decoder.tile, llm.after_compute[row], llm.after_cycles[row]
    )


def next_row_bytes(llm: LlmState, decoder: Decoder) -> int:
    """What the iteration's next tile moves without the DRAM's latency."""
    row = decoder.first_row + decoder.table_row
    shape = llm.shapes[decoder.first_shape + llm.row_shape[row]]
    more = 1 if decoder.tile >= shape.tiles - shape.data_bytes % shape.tiles else 0
    return shape.data_bytes // shape.tiles + more  # type: ignore[no-any-return]


@inlined
def next_row(llm: LlmState, decoder: Decoder, head: Head, machine: Machine) -> None:
    """Count the tile that was scheduled and go on to the one after it."""
    decoder.compute_cycles += head.compute_cycles
    decoder.dram_bytes += head.dram_scaled // machine.scale
    go_on(decoder, llm.shapes[decoder.first_shape + llm.row_shape[decoder.first_row + decoder.table_row]], 1)


@inlined
def go_on(decoder: Decoder, shape: Shape, tiles: int) -> None:
    """Leave tiles of a row behind, and after its last one the row."""
    decoder.tile += tiles
    if decoder.tile == shape.tiles:
        decoder.tile = 0
        decoder.table_row += 1


def _timed(llm: LlmState, decoder: Decoder) -> int:
    """Cycles of an iteration of which only times are known, rounded down."""
    rates, at = llm.rates, decoder.first_rate
    cycles = rates[at + TABLES + decoder.tokens]
    cycles += rates[at + TABLES + decoder.most_tokens + 1 + decoder.sequences]
    cycles += rates[at + FIXED] + rates[at + PER_SEQUENCE] * decoder.decoding
    cycles += rates[at + PER_CONTEXT] * decoder.context
    if decoder.decoding < decoder.members:
        first = decoder.first_line
        for place in range(first, first + decoder.plan_running + decoder.plan_admitted):
            new = llm.new[place]
            request = llm.requests[llm.line[place]]
            if new == 0 or is_finished(request) or is_decoding(request, new):
                continue
            cycles += rates[at + PER_PREFILL] * new
            cycles += rates[at + PER_PAIR] * new * request.computed
            cycles += rates[at + PER_SQUARE] * new * new
    return int(cycles) + decoder.overhead_cycles
