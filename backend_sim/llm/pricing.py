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
from layerweaver.backend_sim.llm.products import attention_cycles, cached_of, extent_of
from layerweaver.backend_sim.llm.state import KNOWN, LlmState
from layerweaver.costmodel.spills import SMALLEST_TILE_BYTES
from layerweaver.scheduler.iterations.rows import FEATURES, SEEN
from layerweaver.scheduler.machine.view import Machine

__all__ = ["price_rows"]

_ATTENTION = 4
_VECTOR, _GATHERS, _READS, _WRITES, _INPUTS, _OUTPUTS, _ENTERING, _LEAVING, _LIVE = range(9)
_TOTAL = 5
"""Place of the first term that is summed over sequences, which is their number."""


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


def _count(llm: LlmState, at: int, term: int, sequences: int) -> int:
    """A term's polynomial of values from ``at`` on times its scale; ``sequences`` is their number."""
    total = llm.terms[term, 1 + _TOTAL] * sequences
    for place in range(_TOTAL):
        total += llm.terms[term, 1 + place] * llm.features[at + place]
    for place in range(_TOTAL + 1, 2 * _TOTAL):
        total += llm.terms[term, 1 + place] * llm.features[at + place]
    return total * llm.terms[term, 0]  # type: ignore[no-any-return]


class _Moved(NamedTuple):
    """Transfers of a row.

    Attributes:
        traffic: Channel bytes: whole bursts, and the latency of every request as what could move meanwhile.
        requests: Their number.
    """

    traffic: int
    requests: int


def _with_transfer(decoder: Decoder, before: _Moved, size: int) -> _Moved:
    """Transfers with one more, if there is anything to move."""
    if size == 0:
        return before
    bursts = (size + decoder.burst_bytes - 1) // decoder.burst_bytes
    traffic = before.traffic + bursts * decoder.burst_bytes + decoder.request_bytes
    return _Moved(traffic, before.requests + 1)


def _with_role(llm: LlmState, decoder: Decoder, cost: int, of: tuple[int, int], before: _Moved) -> _Moved:
    """Transfers with those of all tensors of a role, of so many sequences."""
    which, sequences = of
    at = _seen_by(llm, decoder, cost)
    for term in range(llm.ranges[cost, which], llm.ranges[cost, which + 1]):
        before = _with_transfer(decoder, before, (_count(llm, at, term, sequences) + 7) // 8)
    return before


def _cached(llm: LlmState, decoder: Decoder, cost: int, sequences: int) -> _Moved:
    """Transfers of cached keys and values, which are read by whole blocks."""
    total, at = _Moved(0, 0), _seen_by(llm, decoder, cost)
    beyond = llm.features[at + FEATURES] - llm.features[at + _TOTAL + 2]
    for term in range(llm.ranges[cost, _READS], llm.ranges[cost, _READS + 1]):
        bits = _count(llm, at, term, sequences)
        bits += llm.terms[term, 1 + _TOTAL + 2] * beyond * llm.terms[term, 0]
        total = _with_transfer(decoder, total, (bits + 7) // 8)
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
        array = attention_cycles(llm, decoder, cost)
    operations = 0
    for term in range(llm.ranges[cost, _VECTOR], llm.ranges[cost, _VECTOR + 1]):
        lane_cycles = _count(llm, features, term, sequences)
        operations += (lane_cycles + decoder.lane_denominator - 1) // decoder.lane_denominator
    busy = max(array, (operations + decoder.lanes - 1) // decoder.lanes)
    compute = busy + decoder.fixed_cycles if busy > 0 else 0
    cache = _cached(llm, decoder, cost, sequences)
    moved = _Moved(llm.weight_traffic[cost] + cache.traffic, llm.weight_requests[cost] + cache.requests)
    moved = _with_role(llm, decoder, cost, (_GATHERS, sequences), moved)
    moved = _with_role(llm, decoder, cost, (_WRITES, sequences), moved)
    live = _count(llm, decoder.first_feature, llm.ranges[cost, _LIVE], sequences)
    for term in range(llm.ranges[cost, _LIVE] + 1, llm.ranges[cost, _LIVE + 1]):
        live += _count(llm, features, term, sequences)
    live = (live + 7) // 8
    if decoder.activation_budget >= 0 and live > decoder.activation_budget:
        moved = _with_spills(llm, decoder, cost, sequences, moved)
    elif decoder.resting == 1:
        moved = _with_role(llm, decoder, cost, (_ENTERING, sequences), moved)
        moved = _with_role(llm, decoder, cost, (_LEAVING, sequences), moved)
    elif decoder.resting == 2:
        moved = _with_role(llm, decoder, cost, (_INPUTS, sequences), moved)
        moved = _with_role(llm, decoder, cost, (_OUTPUTS, sequences), moved)
    weights = llm.weight_bytes[cost]
    tiles = 1
    if weights > decoder.buffer_bytes:
        tiles = (2 * weights + decoder.buffer_bytes - 1) // decoder.buffer_bytes
    if decoder.piece_bytes > 0 and moved.traffic > decoder.whole_bytes:
        tiles = max(tiles, (moved.traffic + decoder.piece_bytes - 1) // decoder.piece_bytes)
    if cache.traffic > 0:
        # The cache passes through the buffer tile by tile; what is fetched ahead takes room like weights.
        tiles = max(tiles, (cache.traffic + decoder.tile_bytes - 1) // decoder.tile_bytes)
        weights += cache.traffic
    cut(llm, decoder, machine, shape_index, (compute, moved.traffic, weights, live, tiles))
    shape = llm.shapes[decoder.first_shape + shape_index]
    shape.data_bytes = moved.traffic - moved.requests * decoder.request_bytes


def _with_spills(llm: LlmState, decoder: Decoder, cost: int, sequences: int, before: _Moved) -> _Moved:
    """Transfers with those of the activations of a row, which exceed the budget."""
    budget = max(SMALLEST_TILE_BYTES, decoder.activation_budget)
    reads = _with_role(llm, decoder, cost, (_INPUTS, sequences), _Moved(0, 0))
    writes = _with_role(llm, decoder, cost, (_OUTPUTS, sequences), _Moved(0, 0))
    read, written = reads.traffic, writes.traffic
    chunks, held = llm.weight_chunks[cost] - 1, llm.held[cost]
    tiles = max((read + budget - 1) // budget - 1, 0)
    squares = max(ceil(sqrt(written / budget)) - 1, 0)
    extra, again = chunks * read, chunks * reads.requests
    if 2 * chunks * written < extra:
        extra, again = 2 * chunks * written, 2 * chunks * writes.requests
    if tiles * held < extra:
        extra, again = tiles * held, 0
    if squares * (read + held) < extra:
        extra, again = squares * (read + held), squares * reads.requests
    if llm.by[cost] == _ATTENTION:
        extra += _streamed_again(llm, decoder, cost, budget)
    return _Moved(
        before.traffic + read + written + extra, before.requests + reads.requests + writes.requests + again
    )


def _streamed_again(llm: LlmState, decoder: Decoder, cost: int, budget: int) -> int:
    """Bytes of operands of attention that pass the held ones more than once."""
    total = 0
    for member in range(decoder.first_line, decoder.first_line + decoder.members):
        new, past = llm.member_new[member], cached_of(llm, decoder, cost, member)
        m, n = extent_of(llm, cost, 1, new, past), extent_of(llm, cost, 4, new, past)
        k = extent_of(llm, cost, 7, new, past)
        left = (m * k + 7) // 8 * decoder.operand_bits
        right = (k * n + 7) // 8 * decoder.operand_bits
        again_left = max((right + budget - 1) // budget - 1, 0) * left
        again_right = max((left + budget - 1) // budget - 1, 0) * right
        total += llm.attention[cost, 0] * min(again_left, again_right)
    return total
