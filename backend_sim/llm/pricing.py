"""Costs of an iteration's distinct rows from its members; plain functions that numba compiles.

The rules are those of :mod:`layerweaver.costmodel`, with sums over the members in place of a batch: for equal
members every number is that of the graph bound to their sizes.
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import NamedTuple

from layerweaver.backend_sim.llm.asking import cut
from layerweaver.backend_sim.llm.batching import kind_of
from layerweaver.backend_sim.llm.decoder import Decoder
from layerweaver.backend_sim.llm.state import KNOWN, WAYS, LlmState
from layerweaver.costmodel.spills import SMALLEST_TILE_BYTES
from layerweaver.scheduler.iterations.rows import FEATURES, SEEN
from layerweaver.scheduler.machine.view import Machine

__all__ = ["price_rows"]

_ATTENTION = 4
_WS, _IS, _OS, _GRID = range(4)
_VECTOR, _GATHERS, _READS, _WRITES, _INPUTS, _OUTPUTS, _ENTERING, _LEAVING, _LIVE = range(9)
_TOTAL = 5
"""Place of the first term that is summed over sequences, which is their number."""

_SWAPPED = WAYS // 2
"""First way in which operands are swapped."""

_PARTS = 1 << 20
"""Folds are counted in these parts, as small products may share one."""


def price_rows(llm: LlmState, decoder: Decoder, machine: Machine) -> None:
    """Fill in the costs of every distinct row of the planned iteration, but for those that are as before."""
    first = decoder.first_cost + kind_of(decoder) % decoder.kinds * decoder.shapes
    same = _counts_as_before(llm, decoder, first)
    for shape in range(decoder.shapes):
        cost = first + shape
        if not same or llm.steady[cost] == 0:
            _price_row(llm, decoder, machine, shape, cost)


def _counts_as_before(llm: LlmState, decoder: Decoder, costs: int) -> bool:
    """Whether all that rows without a look at the cache depend on is as in the iteration priced before."""
    features, known, same = decoder.first_feature, decoder.first_known, True
    now = (
        costs,
        decoder.sequences,
        llm.features[features + 1],
        llm.features[features + _TOTAL],
        llm.features[features + _TOTAL + 1],
        llm.features[features + _TOTAL + 4],
    )
    for place in range(KNOWN):
        same = same and llm.known[known + place] == now[place]
        llm.known[known + place] = now[place]
    return same


def _seen_by(llm: LlmState, decoder: Decoder, cost: int) -> int:
    """Start of the values of the polynomials' terms as a row sees them through its window."""
    return decoder.first_feature + SEEN * llm.window[cost]  # type: ignore[no-any-return]


def _cached_of(llm: LlmState, decoder: Decoder, cost: int, member: int) -> int:
    """Cached tokens of a member as a row sees them through its window."""
    window, cached = llm.windows[decoder.first_window + llm.window[cost]], llm.member_cached[member]
    return min(cached, window - llm.member_new[member]) if window > 0 else cached  # type: ignore[no-any-return]


def _count(llm: LlmState, at: int, term: int, sequences: int) -> int:
    """A term's polynomial of values from ``at`` on times its scale; ``sequences`` is their number."""
    total = llm.terms[term, 1 + _TOTAL] * sequences
    for place in range(_TOTAL):
        total += llm.terms[term, 1 + place] * llm.features[at + place]
    for place in range(_TOTAL + 1, 2 * _TOTAL):
        total += llm.terms[term, 1 + place] * llm.features[at + place]
    return total * llm.terms[term, 0]  # type: ignore[no-any-return]


def _on_channel(decoder: Decoder, size: int) -> int:
    """Channel bytes of one transfer: whole bursts and the latency of a request."""
    if size == 0:
        return 0
    bursts = (size + decoder.burst_bytes - 1) // decoder.burst_bytes
    return bursts * decoder.burst_bytes + decoder.request_bytes


def _moved(llm: LlmState, decoder: Decoder, cost: int, which: int, sequences: int) -> int:
    """Channel bytes of all tensors of one role."""
    total, at = 0, _seen_by(llm, decoder, cost)
    for term in range(llm.ranges[cost, which], llm.ranges[cost, which + 1]):
        total += _on_channel(decoder, (_count(llm, at, term, sequences) + 7) // 8)
    return total


def _cached(llm: LlmState, decoder: Decoder, cost: int, sequences: int) -> int:
    """Channel bytes of cached keys and values, which are read by whole blocks."""
    total, at = 0, _seen_by(llm, decoder, cost)
    beyond = llm.features[at + FEATURES] - llm.features[at + _TOTAL + 2]
    for term in range(llm.ranges[cost, _READS], llm.ranges[cost, _READS + 1]):
        bits = _count(llm, at, term, sequences)
        bits += llm.terms[term, 1 + _TOTAL + 2] * beyond * llm.terms[term, 0]
        total += _on_channel(decoder, (bits + 7) // 8)
    return total


def _price_row(llm: LlmState, decoder: Decoder, machine: Machine, shape_index: int, cost: int) -> None:
    features, by = _seen_by(llm, decoder, cost), llm.by[cost]
    members, sequences = llm.features[features + _TOTAL], llm.features[features + _TOTAL]
    if by != _ATTENTION and (kind_of(decoder) % 2 == 0 or by == 2):
        sequences = decoder.sequences
    array = 0
    if by == 1:
        array = llm.cycles[llm.table[cost] + decoder.tokens]
    elif by == 2:
        array = llm.cycles[llm.table[cost] + decoder.sequences]
    elif by == 3:
        array = llm.cycles[llm.table[cost] + 1]
    elif by == _ATTENTION and members > 0:
        array = _attention_cycles(llm, decoder, cost)
    operations = 0
    for term in range(llm.ranges[cost, _VECTOR], llm.ranges[cost, _VECTOR + 1]):
        lane_cycles = _count(llm, features, term, sequences)
        operations += (lane_cycles + decoder.lane_denominator - 1) // decoder.lane_denominator
    busy = max(array, (operations + decoder.lanes - 1) // decoder.lanes)
    compute = busy + decoder.fixed_cycles if busy > 0 else 0
    cache = _cached(llm, decoder, cost, sequences)
    traffic = llm.weight_traffic[cost] + cache
    traffic += _moved(llm, decoder, cost, _GATHERS, sequences)
    traffic += _moved(llm, decoder, cost, _WRITES, sequences)
    live = _count(llm, decoder.first_feature, llm.ranges[cost, _LIVE], sequences)
    for term in range(llm.ranges[cost, _LIVE] + 1, llm.ranges[cost, _LIVE + 1]):
        live += _count(llm, features, term, sequences)
    live = (live + 7) // 8
    if decoder.activation_budget >= 0 and live > decoder.activation_budget:
        traffic += _spilled(llm, decoder, cost, sequences)
    elif decoder.resting == 1:
        traffic += _moved(llm, decoder, cost, _ENTERING, sequences)
        traffic += _moved(llm, decoder, cost, _LEAVING, sequences)
    elif decoder.resting == 2:
        traffic += _moved(llm, decoder, cost, _INPUTS, sequences)
        traffic += _moved(llm, decoder, cost, _OUTPUTS, sequences)
    weights = llm.weight_bytes[cost]
    tiles = 1
    if weights > decoder.buffer_bytes:
        tiles = (2 * weights + decoder.buffer_bytes - 1) // decoder.buffer_bytes
    if decoder.piece_bytes > 0 and traffic > decoder.whole_bytes:
        tiles = max(tiles, (traffic + decoder.piece_bytes - 1) // decoder.piece_bytes)
    if cache > 0:
        # The cache passes through the buffer tile by tile; what is fetched ahead takes room like weights.
        tiles = max(tiles, (cache + decoder.tile_bytes - 1) // decoder.tile_bytes)
        weights += cache
    cut(llm, decoder, machine, shape_index, (compute, traffic, weights, live, tiles))


def _spilled(llm: LlmState, decoder: Decoder, cost: int, sequences: int) -> int:
    """Channel bytes of a row whose live activations exceed the budget."""
    budget = max(SMALLEST_TILE_BYTES, decoder.activation_budget)
    read = _moved(llm, decoder, cost, _INPUTS, sequences)
    written = _moved(llm, decoder, cost, _OUTPUTS, sequences)
    chunks, held = llm.weight_chunks[cost] - 1, llm.held[cost]
    tiles = max((read + budget - 1) // budget - 1, 0)
    squares = max(ceil(sqrt(written / budget)) - 1, 0)
    extra = min(chunks * read, 2 * chunks * written, tiles * held, squares * (read + held))
    if llm.by[cost] == _ATTENTION:
        extra += _streamed_again(llm, decoder, cost, budget)
    return read + written + extra  # type: ignore[no-any-return]


def _extent(llm: LlmState, cost: int, first: int, new: int, past: int) -> int:
    shape = llm.attention
    return shape[cost, first] + shape[cost, first + 1] * new + shape[cost, first + 2] * past  # type: ignore[no-any-return]


def _streamed_again(llm: LlmState, decoder: Decoder, cost: int, budget: int) -> int:
    """Bytes of operands of attention that pass the held ones more than once."""
    total = 0
    for member in range(decoder.first_line, decoder.first_line + decoder.members):
        new, past = llm.member_new[member], _cached_of(llm, decoder, cost, member)
        m, n = _extent(llm, cost, 1, new, past), _extent(llm, cost, 4, new, past)
        k = _extent(llm, cost, 7, new, past)
        left = (m * k + 7) // 8 * decoder.operand_bits
        right = (k * n + 7) // 8 * decoder.operand_bits
        again_left = max((right + budget - 1) // budget - 1, 0) * left
        again_right = max((left + budget - 1) // budget - 1, 0) * right
        total += llm.attention[cost, 0] * min(again_left, again_right)
    return total


def _attention_cycles(llm: LlmState, decoder: Decoder, cost: int) -> int:
    """Cycles of the products of all members: the shortest of the ways in which the arrays can share them."""
    _sum_products(llm, decoder, cost)
    best = -1
    for way in range(_ways(decoder)):
        if _is_open(decoder, way):
            cycles = _shared_cycles(llm, decoder, way)
            best = cycles if best < 0 or cycles < best else best
    return best * llm.attention[cost, 10]  # type: ignore[no-any-return]


def _ways(decoder: Decoder) -> int:
    """Ways to look at: those with operands swapped only where the array can."""
    return _SWAPPED * (1 + decoder.swap_operands)


def _is_open(decoder: Decoder, way: int) -> bool:
    """Whether the arrays can share products in a way."""
    shared = way % _SWAPPED
    if shared == 0:
        return decoder.by_folds != 0
    return decoder.by_channels != 0 if shared == 1 else decoder.by_rows != 0


def _sum_products(llm: LlmState, decoder: Decoder, cost: int) -> None:
    """Fill in ``shared`` of all members."""
    furthest, first, ways = -1, decoder.first_line, _ways(decoder)
    for place in range(3 * WAYS):
        llm.shared[place] = 0
    for member in range(first, first + decoder.members):
        new, past = llm.member_new[member], _cached_of(llm, decoder, cost, member)
        if new > 1 or past >= decoder.works:
            for way in range(ways):
                own = _work(llm, decoder, cost, (new, past, way))
                llm.shared[way] += own.cycles
                _note_longest(llm, way, own)
            continue
        known = llm.table[cost] + WAYS * past
        if llm.works[known] == 0:
            for way in range(ways):
                llm.works[known + way] = _work(llm, decoder, cost, (1, past, way)).cycles
        for way in range(ways):
            llm.shared[way] += llm.works[known + way]
        furthest = max(furthest, past)
    if furthest >= 0:
        for way in range(ways):
            _note_longest(llm, way, _work(llm, decoder, cost, (1, furthest, way)))


def _note_longest(llm: LlmState, way: int, own: _Work) -> None:
    llm.shared[WAYS + way] = max(llm.shared[WAYS + way], own.fold)
    llm.shared[2 * WAYS + way] = max(llm.shared[2 * WAYS + way], own.stream)


def _shared_cycles(llm: LlmState, decoder: Decoder, way: int) -> int:
    """Cycles where arrays share the products in a way.

    Folds follow each other whoever they belong to: with M* the longest stream, ``load + sum F_i max(M_i,
    swap) - max(M*, swap) + M* + R + C - 2``.
    """
    rows, columns, flow = decoder.rows_of_array, decoder.columns_of_array, decoder.flow
    load = decoder.swap_cycles if flow in (_WS, _IS) else 0
    edge = 0 if flow == _GRID else load + rows + columns - 2
    serial = flow != _GRID and decoder.double_buffered == 0
    work, longest, longest_stream = llm.shared[way], llm.shared[WAYS + way], llm.shared[2 * WAYS + way]
    if longest == 0:
        return 0
    sharing = decoder.arrays if way % _SWAPPED == 0 else 1
    parts = _PARTS * longest * sharing
    # Packed products of equal folds leave the last fold partly empty, which takes as long.
    whole = sharing > 1 or (decoder.pack != 0 and work % longest == 0)
    busy = (work + parts - 1) // parts * longest if whole else (work + _PARTS - 1) // _PARTS
    if serial or flow == _GRID:
        return busy  # type: ignore[no-any-return]
    return busy - longest + longest_stream + edge  # type: ignore[no-any-return]


class _Work(NamedTuple):
    """Products of one member.

    Attributes:
        cycles: Of all folds, in parts.
        fold: Of one.
        stream: Length of what streams past a fold.
    """

    cycles: int
    fold: int
    stream: int


def _work(llm: LlmState, decoder: Decoder, cost: int, asked: tuple[int, int, int]) -> _Work:
    """Products of a member of so many new and computed tokens, shared in a way."""
    new, past, way = asked
    rows, columns, flow = decoder.rows_of_array, decoder.columns_of_array, decoder.flow
    m, n = _extent(llm, cost, 1, new, past), _extent(llm, cost, 4, new, past)
    k = _extent(llm, cost, 7, new, past)
    if way >= _SWAPPED:
        m, n = n, m
    folds = llm.attention[cost, 0] * _PARTS
    if decoder.pack != 0:
        across, along = (m, n) if flow == _OS else (k, m if flow == _IS else n)
        folds //= max(1, min(rows // max(1, across), columns // max(1, along)))
    if way % _SWAPPED == 1:
        n = (n + decoder.arrays - 1) // decoder.arrays
    elif way % _SWAPPED == 2:
        m = (m + decoder.arrays - 1) // decoder.arrays
    across, along, stream = k, n, m
    if flow == _IS:
        along, stream = m, n
    elif flow == _OS:
        across, along, stream = m, n, k
    elif flow == _GRID:
        stream = (m + decoder.pixels - 1) // decoder.pixels
    folds *= ((across + rows - 1) // rows) * ((along + columns - 1) // columns)
    fold = stream
    if flow != _GRID:
        if decoder.double_buffered == 0:
            load = decoder.swap_cycles if flow in (_WS, _IS) else 0
            fold = stream + load + rows + columns - 2
        else:
            fold = max(stream, decoder.swap_cycles)
    return _Work(folds * fold, fold, stream)
