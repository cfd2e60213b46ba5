"""Layers cut to measure: a row runs to its end, so long rows are what makes others late (*ours*).

A layer whose row would take longer than asked is several rows, in one of two ways:

- along its *output channels* (or groups): each piece has its own weights, so nothing is fetched twice;
- along its *output rows*: the weights come with the first piece and stay for the others. The buffer counts
  them until that piece is computed, so this is for weights that fill a small part of the buffer only.

Every piece is costed by the cost model as a layer of its extents: fill and drain of the array, padding of
folds and fixed overhead are paid by each. Of the cuts that keep the length, the one with the fewest cycles in
all is taken, then the one with fewer pieces. Vector work that is fused behind is divided likewise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.columns import LayerColumns
from layerweaver.costmodel.compute.analytical import ComputeCosts
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.table import split_into_rows
from layerweaver.ir import ModelError
from layerweaver.ir.clock import cycles_to_ns_up

__all__ = ["Cuts", "cut_layers", "cut_rows"]

IntArray = NDArray[np.int64]
Compute = Callable[[LayerColumns], ComputeCosts]

MOST_PIECES = 1024
"""Rows of a layer at most."""
_RESIDENT_PART = 16
"""Weights of a layer cut along its rows fill at most one part in so many of the buffer."""

WHOLE, CHANNELS, ROWS = range(3)


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """How every layer is cut; arrays of shape (layers,).

    Attributes:
        pieces: Rows of each layer, at least 1.
        along: :data:`WHOLE`, :data:`CHANNELS` or :data:`ROWS`.
        long_cycles: Compute cycles of the pieces that are one unit longer, where extents do not divide.
        short_cycles: Of the others.
        long_pieces: How many longer ones there are; they come first.
        fetch_cycles: Fetch cycles of the piece that fetches most.
    """

    pieces: IntArray
    along: IntArray
    long_cycles: IntArray
    short_cycles: IntArray
    long_pieces: IntArray
    fetch_cycles: IntArray

    @property
    def compute_cycles(self) -> IntArray:
        """Compute cycles of all pieces of each layer, shape (layers,)."""
        shorter = self.pieces - self.long_pieces
        return self.long_pieces * self.long_cycles + shorter * self.short_cycles

    def improved(self, other: Cuts, longest_cycles: int) -> Cuts:
        """Layer by layer the better of two: kept length, then fewest cycles in all, then fewest pieces."""
        mine, others = (
            np.maximum(longest_cycles, np.maximum(cuts.long_cycles, cuts.fetch_cycles))
            for cuts in (self, other)
        )
        fewer = (other.compute_cycles == self.compute_cycles) & (other.pieces < self.pieces)
        cheaper = (other.compute_cycles < self.compute_cycles) | fewer
        better = (others < mine) | ((others == mine) & cheaper)
        return Cuts(
            *(np.where(better, getattr(other, item.name), getattr(self, item.name)) for item in fields(self))
        )

    def rows(self) -> IntArray:
        """Compute cycles of every row, shape (sum of pieces,)."""
        layer = np.repeat(np.arange(len(self.pieces)), self.pieces)
        position = np.arange(len(layer)) - (np.cumsum(self.pieces) - self.pieces)[layer]
        return np.where(position < self.long_pieces[layer], self.long_cycles[layer], self.short_cycles[layer])


def cut_layers(
    columns: LayerColumns,
    compute: Compute,
    whole: ComputeCosts,
    *,
    weight_bytes: IntArray,
    dram_bytes: IntArray,
    machine: MachineSpec,
    longest_cycles: int,
) -> Cuts:
    """Cut every layer whose row takes longer than ``longest_cycles`` on either engine.

    Args:
        columns: The layers.
        compute: The cost model, for one NPU.
        whole: What it says of whole layers.
        weight_bytes: Weights of each layer, shape (layers,).
        dram_bytes: DRAM traffic of each layer, shape (layers,).
        machine: The machine.
        longest_cycles: Cycles that a row should take at most.

    Raises:
        ModelError: If a layer cannot be cut so short; which, and what it can be cut to.
    """
    one, none = np.ones(len(columns.graph), np.int64), np.zeros(len(columns.graph), np.int64)
    fetch = machine.fetch_cycles(dram_bytes)
    best = Cuts(one, none, whole.compute_cycles, whole.compute_cycles, one, fetch)
    resident = weight_bytes * _RESIDENT_PART <= machine.weight_buffer_bytes
    at_once = machine.fetch_cycles(weight_bytes)
    for along, extent, first in (
        (CHANNELS, _channels(columns), none),
        (ROWS, np.where(resident, _rows(columns), 1), np.minimum(at_once, fetch)),
    ):
        trial = _Trial(columns, compute, along, extent, fetch - first, first, longest_cycles)
        best = best.improved(trial.cut(), longest_cycles)
    length = np.maximum(best.long_cycles, best.fetch_cycles)
    worst = int(np.argmax(length))
    if length[worst] > longest_cycles:
        least_us = cycles_to_ns_up(int(length[worst]), machine.clock_hz) / 1e3
        raise ModelError(
            f"no row of it can be shorter than {least_us:g} us",
            where=f"{columns.graph.name}: layer {columns.graph.layers[worst].name!r}",
            accepted=f"longest_us of {least_us:g} or more",
        )
    return best


def cut_rows(
    cuts: Cuts, pieces: IntArray, cycles: IntArray, weight_bytes: IntArray, dram_bytes: IntArray
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Rows of a model whose layers are cut.

    Args:
        cuts: How.
        pieces: Rows that each layer has for other reasons, such as weights larger than the buffer.
        cycles: Compute cycles of these rows.
        weight_bytes: Weights of each layer.
        dram_bytes: DRAM traffic of each layer.

    Returns:
        Rows of each layer; compute cycles, weights and traffic of every row.
    """
    used = cuts.pieces > pieces
    count = np.where(used, cuts.pieces, pieces)
    layer = np.repeat(np.arange(len(count)), count)
    computed = np.empty(len(layer), np.int64)
    computed[used[layer]] = cuts.rows()[used[np.repeat(np.arange(len(count)), cuts.pieces)]]
    computed[~used[layer]] = cycles[~used[np.repeat(np.arange(len(count)), pieces)]]
    at_once = np.where(used & (cuts.along == ROWS), weight_bytes, 0)
    first = np.cumsum(count) - count
    weights = split_into_rows(weight_bytes - at_once, count)
    traffic = split_into_rows(dram_bytes - at_once, count)
    weights[first] += at_once
    traffic[first] += at_once
    return count, computed, weights, traffic


def _channels(columns: LayerColumns) -> IntArray:
    """Into how many parts a layer can be cut along its output channels."""
    extent = np.where(columns.groups > 1, columns.groups, np.where(columns.weighted, columns.n, 1))
    return np.where((columns.steps == 1) & columns.matrix, np.maximum(1, extent), 1)


def _rows(columns: LayerColumns) -> IntArray:
    """Into how many parts a layer can be cut along its output rows; without products it is cut anywhere."""
    return np.where(columns.matrix, np.where(columns.steps == 1, np.maximum(1, columns.m), 1), MOST_PIECES)


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """Cuts in one direction; arrays of shape (layers,).

    Attributes:
        columns: The layers.
        compute: The cost model.
        along: The direction.
        extent: Units that can be divided.
        fetch: Fetch cycles that are divided among pieces.
        first: Fetch cycles that come with the first piece.
        longest_cycles: Cycles that a row should take at most.
    """

    columns: LayerColumns
    compute: Compute
    along: int
    extent: IntArray
    fetch: IntArray
    first: IntArray
    longest_cycles: int

    def cut(self) -> Cuts:
        """The fewest pieces that keep the length, or as many as there can be.

        Their number doubles until no piece is too long, and is then narrowed down between the last two.
        """
        most = np.minimum(self.extent, MOST_PIECES)
        low, high = np.ones_like(most), np.ones_like(most)
        fit = self._fits(high)
        while not (fit | (high >= most)).all():
            grows = ~fit & (high < most)
            low = np.where(grows, high, low)
            high = np.where(grows, np.minimum(2 * high, most), high)
            fit = self._fits(high)
        while (high - low > 1).any():
            middle = (low + high) // 2
            enough = self._fits(middle)
            between = high - low > 1
            low, high = np.where(between & ~enough, middle, low), np.where(between & enough, middle, high)
        long, short = self._pieces(high)
        remainder = self.extent % high
        return Cuts(
            high,
            np.where(high > 1, self.along, WHOLE),
            long,
            short,
            np.where(remainder > 0, remainder, high),
            self.first - (-self.fetch // high),
        )

    def _fits(self, pieces: IntArray) -> NDArray[np.bool_]:
        fetched = self.first - (-self.fetch // pieces)
        return (self._pieces(pieces)[0] <= self.longest_cycles) & (fetched <= self.longest_cycles)

    def _pieces(self, pieces: IntArray) -> tuple[IntArray, IntArray]:
        """Compute cycles of a longer and of a shorter piece, costed as layers of their extents."""
        larger = self.compute(self._part(-(-self.extent // pieces))).compute_cycles
        return larger, self.compute(self._part(self.extent // pieces)).compute_cycles

    def _part(self, part: IntArray) -> LayerColumns:
        """The layers with so many of their units."""
        columns, extent = self.columns, self.extent

        def share(values: IntArray) -> IntArray:
            return -(-values * part // extent)

        of, operands = columns.vector.layer, columns.vector.operands
        vector = replace(columns.vector, operands=-(-operands * part[of] // extent[of]))
        joined = share(columns.joined)
        if self.along == ROWS:
            m, reads = share(columns.m), share(columns.conv_reads)
            return replace(
                columns, m=m, out_rows=share(columns.out_rows), conv_reads=reads, vector=vector, joined=joined
            )
        grouped = columns.groups > 1
        groups = np.where(grouped, share(columns.groups), columns.groups)
        n = np.where(grouped, columns.n, share(columns.n))
        return replace(columns, groups=groups, n=n, vector=vector, joined=joined)
