"""Tiles: a layer cut by scratchpad and accumulator capacity, each tile on one array (``split: tiles``).

The rules are those of ONNXim's compiler, which took them from Gemmini: a tile's operands fit half the
scratchpad and its results half the accumulators (the other halves are being loaded or drained), and the tiles
go round the arrays in turn. The tile of a convolution shrinks along its largest extent until it fits and then
grows back where it can; the tile of a matrix product is square in arrays, narrowed until every array has one.
A layer that fits one tile runs on one array. Kernel positions are separate passes over the input channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.compute.arrays import ArrayWork, ceil_ratio, checked_cycles
from layerweaver.costmodel.npu.sections import ArrayConfig
from layerweaver.ir import ceil_div

__all__ = ["ACCUMULATOR_BYTES", "TileCosts", "tile_costs"]

IntArray = NDArray[np.int64]
ACCUMULATOR_BYTES = 4
"""Bytes of one accumulator."""
FINEST_STEP = 2048
"""Extents beyond this shrink in larger steps, so that planning takes bounded time."""
_ROWS, _COLUMNS, _OUT, _KERNEL_ROWS, _KERNEL_COLUMNS, _IN = range(6)


@dataclass(frozen=True, slots=True, eq=False)
class TileCosts:
    """What cutting into tiles costs; int64 arrays of shape (layers,).

    Attributes:
        cycles: Cycles of the busiest array, one step.
        input_passes: How often the inputs are loaded: once per tile of output channels.
        weight_passes: How often the weights are loaded: once per tile of output pixels.
    """

    cycles: IntArray
    input_passes: IntArray
    weight_passes: IntArray


@dataclass(frozen=True, slots=True)
class _Plan:
    """Tiles of one layer: how many, and the extents of one."""

    pixel_tiles: int
    channel_tiles: int
    stream: int
    folds: int


def tile_costs(work: ArrayWork, array: ArrayConfig) -> TileCosts:
    """Plan every layer's tiles and count the cycles of the busiest array.

    An array runs its tiles back to back: ``2R - 1`` to bring the first weights from the scratchpad,
    ``max(stream, R)`` per fold, and the drain of the last. Convolution groups are one tile each; products of
    two activations run one after the other on one array, unless they are attention.
    """
    plans = [_plan(work, array, layer) for layer in range(len(work.m))]
    pixel_tiles = np.array([plan.pixel_tiles for plan in plans], dtype=np.int64)
    channel_tiles = np.array([plan.channel_tiles for plan in plans], dtype=np.int64)
    stream = np.array([plan.stream for plan in plans], dtype=np.int64)
    folds = np.array([plan.folds for plan in plans], dtype=np.int64)
    edge = 3 * array.rows + array.columns - 3
    tiles = pixel_tiles * channel_tiles
    share = np.where(work.groups > 1, tiles, ceil_ratio(tiles, array.count))
    first = checked_cycles(np.maximum(share * folds - 1, 0), np.maximum(stream, array.rows)) + stream + edge
    serial = np.where(work.weighted, ceil_ratio(work.groups, array.count), work.groups)
    cycles = np.where(folds > 0, checked_cycles(first, serial), 0)
    cycles = np.where(folds > 0, _attention_cycles(work, array, cycles), 0)
    cycles = _through_ports(work, array, cycles, (pixel_tiles, channel_tiles))
    once = work.groups > 1
    return TileCosts(cycles, np.where(once, 1, channel_tiles), np.where(once, 1, pixel_tiles))


def _through_ports(
    work: ArrayWork, array: ArrayConfig, cycles: IntArray, tiles: tuple[IntArray, IntArray]
) -> IntArray:
    """Convolutions whose arrays take their operands and give their results through ports of limited width.

    An array starts a tile when all inputs of the tile are there; inputs of its later tiles and all weights
    come while it computes. A layer takes no less than its busiest port.
    """
    if array.port_bytes_per_cycle is None or work.reads is None:
        return cycles
    pixel_tiles, channel_tiles = tiles
    share = np.minimum(array.count, pixel_tiles * channel_tiles)
    moved = work.reads * channel_tiles + work.n * (work.k * work.kernel_passes * pixel_tiles + work.m)
    port = ceil_ratio(moved * work.operand_bytes, share * array.port_bytes_per_cycle)
    first = ceil_ratio(work.reads * work.operand_bytes, pixel_tiles * array.port_bytes_per_cycle)
    convolutions = (work.reads > 0) & (work.groups == 1)
    return np.where(convolutions, np.maximum(cycles + first, port), cycles)


def _attention_cycles(work: ArrayWork, array: ArrayConfig, otherwise: IntArray) -> IntArray:
    """What ONNXim's fused attention counts: heads go round the arrays, without loads of weights.

    A head's scores stream once per row of arrays and drain before two reductions per row of the softmax; its
    context product streams one cycle per *element* of its result, and drains under the next head's scores.
    """
    if work.scores is None or work.context is None:
        return otherwise
    heads = ceil_ratio(work.groups, array.count)
    drain = array.rows + array.columns - 2
    scores = checked_cycles(ceil_ratio(work.m, array.rows), work.n) + drain + 2 * work.m
    context = checked_cycles(heads, work.m, work.n) + drain
    of_scores = np.where(work.scores, checked_cycles(heads, scores), otherwise)
    return np.where(work.context, context, of_scores)


def _capacity(array: ArrayConfig, operand_bytes: int) -> tuple[int, int]:
    """Rows of array width in half the scratchpad and half the accumulators."""
    scratchpad = (array.scratchpad_kib or 0) * 1024 // (2 * array.rows * operand_bytes)
    accumulators = (array.accumulator_kib or 0) * 1024 // (2 * array.columns * ACCUMULATOR_BYTES)
    return max(1, scratchpad), max(1, accumulators)


def _plan(work: ArrayWork, array: ArrayConfig, layer: int) -> _Plan:
    m, n, k = int(work.m[layer]), int(work.n[layer]), int(work.k[layer])
    if min(m, n, k) == 0:
        return _Plan(1, 1, 0, 0)
    kernel = int(work.kernel_passes[layer])
    rows, columns = int(work.out_rows[layer]), int(work.out_columns[layer])
    if rows * columns > 1 and int(work.groups[layer]) == 1:
        kernel_rows = int(work.kernel_rows[layer])
        extents = (rows, columns, n, kernel_rows, max(1, kernel // kernel_rows), k)
        return _convolution_plan(array, work.operand_bytes, max(1, m // (rows * columns)), extents)
    return _product_plan(array, work.operand_bytes, (m, n, k), kernel)


def _product_plan(array: ArrayConfig, operand_bytes: int, mnk: tuple[int, int, int], kernel: int) -> _Plan:
    m, n, k = mnk
    rows, columns = array.rows, array.columns
    _, accumulators = _capacity(array, operand_bytes)
    side = max(1, math.isqrt(max(1, accumulators // rows)))
    m_tiles, n_tiles = ceil_div(m, side * rows), ceil_div(n, side * columns)
    if m_tiles * n_tiles < array.count:
        more = ceil_div(array.count, m_tiles * n_tiles)
        m_tiles, n_tiles = _more_tiles((m, n), array.count, (m_tiles, n_tiles), lambda tiles: tiles * more)
    odd = (m_tiles * n_tiles) % array.count
    m_tiles, n_tiles = _more_tiles((m, n), array.count, (m_tiles, n_tiles), lambda tiles: tiles + odd)
    m_tile = max(rows, ceil_div(m, rows) * rows // m_tiles // rows * rows)
    n_tile = max(columns, ceil_div(n, columns) * columns // n_tiles // columns * columns)
    folds = kernel * ceil_div(k, rows) * ceil_div(min(n, n_tile), columns)
    return _Plan(ceil_div(m, m_tile), ceil_div(n, n_tile), min(m, m_tile), folds)


def _more_tiles(
    extents: tuple[int, int], count: int, tiles: tuple[int, int], more: Callable[[int], int]
) -> tuple[int, int]:
    """Cut the longer extent further, if it is longer than the number of arrays."""
    (m, n), (m_tiles, n_tiles) = extents, tiles
    if n > m and n > count:
        return m_tiles, more(n_tiles)
    if m > n and m > count:
        return more(m_tiles), n_tiles
    return tiles


def _convolution_plan(
    array: ArrayConfig, operand_bytes: int, batch: int, extents: tuple[int, int, int, int, int, int]
) -> _Plan:
    """Tile of one convolution; extents: output rows, columns and channels, kernel, input channels."""
    capacity = _capacity(array, operand_bytes)

    def fits(tile: list[int]) -> bool:
        in_rows, in_columns = tile[_ROWS] + tile[_KERNEL_ROWS] - 1, tile[_COLUMNS] + tile[_KERNEL_COLUMNS] - 1
        inputs = ceil_div(tile[_IN], array.rows) * in_rows * in_columns
        out_banks = ceil_div(tile[_OUT], array.columns)
        weights = out_banks * tile[_KERNEL_ROWS] * tile[_KERNEL_COLUMNS] * tile[_IN]
        results = out_banks * tile[_ROWS] * tile[_COLUMNS]
        return inputs + weights <= capacity[0] and results <= capacity[1]

    tile = list(extents)
    while not fits(tile) and max(tile) > 1:
        # Columns feed the array; they shrink last while they are no wider than it.
        kept = tile[_COLUMNS] <= array.rows and tile[_ROWS] > 1
        index = max((i for i in range(6) if not (kept and i == _COLUMNS)), key=lambda i: (tile[i], -i))
        if index in (_OUT, _IN):
            width = array.columns if index == _OUT else array.rows
            tile[index] = max(1, (tile[index] - 1) // width * width)
        else:
            tile[index] -= max(1, tile[index] // FINEST_STEP)
    for index in (_COLUMNS, *range(6)):
        while tile[index] < extents[index]:
            larger = list(tile)
            larger[index] += max(1, tile[index] // FINEST_STEP)
            larger[index] = min(larger[index], extents[index])
            if not fits(larger):
                break
            tile = larger
    cut = [ceil_div(extents[i], tile[i]) for i in range(6)]
    folds = (
        extents[_KERNEL_ROWS]
        * extents[_KERNEL_COLUMNS]
        * cut[_IN]
        * ceil_div(tile[_IN], array.rows)
        * ceil_div(tile[_OUT], array.columns)
    )
    return _Plan(batch * cut[_ROWS] * cut[_COLUMNS], cut[_OUT], tile[_ROWS] * tile[_COLUMNS], folds)
