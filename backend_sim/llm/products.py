"""Cycles of products of two activations, summed over the members; plain functions that numba compiles."""

from __future__ import annotations

from typing import NamedTuple

from layerweaver.backend_sim.llm.decoder import Decoder
from layerweaver.backend_sim.llm.state import WAYS, LlmState

__all__ = ["attention_cycles", "cached_of", "extent_of"]

_WS, _IS, _OS, _GRID = range(4)
_SWAPPED = WAYS // 2
"""First way in which operands are swapped."""

_PARTS = 1 << 20
"""Folds are counted in these parts, as small products may share one."""


def cached_of(llm: LlmState, decoder: Decoder, cost: int, member: int) -> int:
    """Cached tokens of a member as a row sees them through its window."""
    window, cached = llm.windows[decoder.first_window + llm.window[cost]], llm.member_cached[member]
    return min(cached, window - llm.member_new[member]) if window > 0 else cached  # type: ignore[no-any-return]


def extent_of(llm: LlmState, cost: int, first: int, new: int, past: int) -> int:
    """An extent of a product of a member's new and cached tokens; its coefficients begin at ``first``."""
    shape = llm.attention
    return shape[cost, first] + shape[cost, first + 1] * new + shape[cost, first + 2] * past  # type: ignore[no-any-return]


def attention_cycles(llm: LlmState, decoder: Decoder, cost: int) -> int:
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
        new, past = llm.member_new[member], cached_of(llm, decoder, cost, member)
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
    m, n = extent_of(llm, cost, 1, new, past), extent_of(llm, cost, 4, new, past)
    k = extent_of(llm, cost, 7, new, past)
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
