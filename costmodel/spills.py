"""What activations that do not fit cost in DRAM traffic, at any activation budget (decisions *ours*)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from layerweaver.ir import ModelError
from layerweaver.ir.limits import MAX_QUANTITY

__all__ = ["LatencyColumns", "SpillColumns", "one_behind_the_other"]

IntArray = NDArray[np.int64]
SMALLEST_TILE_BYTES = 16_384
"""Tile that any machine holds, in its array and registers, however small the activation budget (*ours*)."""


@dataclass(frozen=True, slots=True, eq=False)
class SpillColumns:
    """Per layer, all that is needed to cost a model again for another activation budget.

    All arrays have shape (layers,), int64, values >= 0.

    Attributes:
        live_bytes: Activations that are live while the layer runs; it spills when they exceed the budget.
        input_bytes: Channel bytes of reading the inputs once.
        output_bytes: Channel bytes of writing the outputs once.
        weight_bytes: Weights of a matrix layer, fetched again for every activation tile if that is cheaper.
        weight_chunks: Pieces in which the weights pass through the weight buffer.
        left_bytes: Streamed operand of one product of two activations, 0 elsewhere.
        right_bytes: Held operand of one product of two activations, 0 elsewhere.
        groups: Independent products of two activations.
        resting_bytes: Activation traffic of a layer that does not spill (graph inputs and outputs, if the
            config moves them through DRAM).
    """

    live_bytes: IntArray
    input_bytes: IntArray
    output_bytes: IntArray
    weight_bytes: IntArray
    weight_chunks: IntArray
    left_bytes: IntArray
    right_bytes: IntArray
    groups: IntArray
    resting_bytes: IntArray

    @classmethod
    def from_array(cls, array: IntArray) -> Self:
        """Rebuild from :meth:`to_array`."""
        return cls(*(np.ascontiguousarray(array[:, column]) for column in range(len(fields(cls)))))

    def to_array(self) -> IntArray:
        """All columns as one array of shape (layers, 9), for storing."""
        return np.stack([getattr(self, field.name) for field in fields(self)], axis=1)

    def without(self, layers: NDArray[np.bool_]) -> Self:
        """The columns with some layers taken out: their traffic is the same at every budget."""
        return type(self)(
            *(
                getattr(self, field.name)
                if field.name in ("weight_chunks", "groups")
                else np.where(layers, 0, getattr(self, field.name))
                for field in fields(self)
            )
        )

    def spilled_bytes(self, budget_bytes: int | None) -> IntArray:
        """DRAM traffic of activations per layer, shape (layers,).

        Never less than one pass over inputs and outputs when a layer spills; never more with a larger budget.

        Args:
            budget_bytes: The activation budget; None means everything fits.
        """
        if budget_bytes is None:
            return self.resting_bytes
        budget = max(SMALLEST_TILE_BYTES, budget_bytes)
        one_pass = self.input_bytes + self.output_bytes
        choices = self.again(budget, self.input_bytes, self.output_bytes, self.weight_bytes)
        again_left = np.maximum(-(-self.right_bytes // budget) - 1, 0) * self.left_bytes.astype(np.float64)
        again_right = np.maximum(-(-self.left_bytes // budget) - 1, 0) * self.right_bytes.astype(np.float64)
        extra = functools.reduce(np.minimum, choices) + self.groups * np.minimum(again_left, again_right)
        # Whole numbers below 2^53 are exact in float64, so the check below also makes the result exact.
        if extra.size and float(np.max(extra + one_pass)) > MAX_QUANTITY:
            raise ModelError(
                f"a layer moves more than {MAX_QUANTITY} bytes",
                accepted="give smaller dimensions or larger buffers",
            )
        spilled = one_pass + extra.astype(np.int64)
        return np.where(self.live_bytes > budget_bytes, spilled, self.resting_bytes)

    def again(
        self, budget_bytes: int, read: IntArray, written: IntArray, held: IntArray
    ) -> tuple[NDArray[np.float64], ...]:
        """What each tiling moves again, with so much for every pass over inputs, outputs and weights."""
        chunks = (self.weight_chunks - 1).astype(np.float64)
        tiles = np.maximum(-(-self.input_bytes // budget_bytes) - 1, 0)
        squares = np.maximum(np.ceil(np.sqrt(self.output_bytes / budget_bytes)) - 1, 0)
        return (
            chunks * read,
            2.0 * chunks * written,
            tiles.astype(np.float64) * held,
            squares * (read + held),
        )


@dataclass(frozen=True, slots=True, eq=False)
class LatencyColumns:
    """What of a layer's traffic is no data, but time that requests wait for the DRAM, counted as bytes.

    All arrays have shape (layers,), int64, values >= 0.

    Attributes:
        fixed_bytes: Of what moves at any activation budget.
        input_bytes: Of reading the inputs once.
        output_bytes: Of writing the outputs once.
        resting_bytes: Of the activation traffic of a layer that does not spill.
    """

    fixed_bytes: IntArray
    input_bytes: IntArray
    output_bytes: IntArray
    resting_bytes: IntArray

    @classmethod
    def of_any_budget(cls, waited_bytes: IntArray) -> Self:
        """Columns of layers that wait for so much whatever the activation budget."""
        none = np.zeros_like(waited_bytes)
        return cls(waited_bytes, none, none, none)

    def without(self, layers: NDArray[np.bool_]) -> Self:
        """The columns with some layers taken out."""
        return type(self)(*(np.where(layers, 0, getattr(self, field.name)) for field in fields(self)))

    def waited_bytes(self, spills: SpillColumns | None, budget_bytes: int | None) -> IntArray:
        """Such bytes per layer at an activation budget, in the tiling that the traffic is of."""
        if budget_bytes is None or spills is None:
            return self.fixed_bytes + self.resting_bytes
        budget = max(SMALLEST_TILE_BYTES, budget_bytes)
        best = np.argmin(
            spills.again(budget, spills.input_bytes, spills.output_bytes, spills.weight_bytes), axis=0
        )
        waits = spills.again(budget, self.input_bytes, self.output_bytes, np.zeros_like(self.input_bytes))
        once = self.input_bytes + self.output_bytes
        spilled = once + np.take_along_axis(np.stack(waits), best[None], axis=0)[0].astype(np.int64)
        return self.fixed_bytes + np.where(spills.live_bytes > budget_bytes, spilled, self.resting_bytes)


_Columns = TypeVar("_Columns", SpillColumns, LatencyColumns)


def one_behind_the_other(parts: Sequence[_Columns | None]) -> _Columns | None:
    """The columns of several models' layers one behind the other; None unless all have some."""
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    kind = type(known[0])
    return kind(*(np.concatenate([getattr(part, field.name) for part in known]) for field in fields(kind)))
