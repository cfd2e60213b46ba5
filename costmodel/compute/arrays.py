"""Array models: cycles of matrix products on systolic arrays and MAC grids, vectorised over layers.

An array model is a function ``(work, array) -> cycles``; packages add their own under the entry-point group
``layerweaver.array_models`` and configs choose one by ``array.dataflow``. The serial systolic formulas count
exactly what SCALE-Sim 3 counts (plus one: its reported cycle is a 0-based index).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.npu.fields import Split
from layerweaver.costmodel.npu.sections import ArrayConfig
from layerweaver.costmodel.plugins import ARRAY_MODELS
from layerweaver.ir import ModelError

__all__ = [
    "ArrayModel",
    "ArrayWork",
    "array_model",
    "checked_cycles",
    "input_stationary",
    "mac_grid",
    "output_stationary",
    "weight_stationary",
]


def array_model(name: str) -> ArrayModel:
    """The array model of a dataflow name.

    Raises:
        ConfigError: If no package registers the name or the plug-in does not import.
    """
    model: ArrayModel = ARRAY_MODELS.load(name)
    return model


IntArray = NDArray[np.int64]
MAX_CYCLES = 2**62


@dataclass(frozen=True, slots=True)
class ArrayWork:
    """Matrix products of many layers, one entry per layer, int64 arrays of one shape.

    Attributes:
        m: Rows of the streamed operand (output pixels x batch).
        n: Columns of the stationary operand (output channels per group).
        k: Inner extent mapped on array rows (input channels, times kernel area when it is folded in).
        groups: Independent products.
        kernel_passes: Passes per product, one per kernel position when these are not folded into ``k``.
        kernel_rows: Kernel extent along the first axis, 1 elsewhere.
        out_rows: Output rows of a convolution, 1 elsewhere.
        out_columns: Output columns of a convolution, 1 elsewhere.
        weighted: Whether the stationary operand is weights (bool), else an activation.
        operand_bytes: Bytes of one operand.
        scores: Whether the products are attention scores (bool); None: none are.
        context: Whether the products weigh attention's values (bool); None: none do.
        reads: Input elements that a convolution reads, 0 elsewhere; None: unknown.
    """

    m: IntArray
    n: IntArray
    k: IntArray
    groups: IntArray
    kernel_passes: IntArray
    kernel_rows: IntArray
    out_rows: IntArray
    out_columns: IntArray
    weighted: NDArray[np.bool_]
    operand_bytes: int = 2
    scores: NDArray[np.bool_] | None = None
    context: NDArray[np.bool_] | None = None
    reads: IntArray | None = None

    @classmethod
    def products(cls, m: IntArray, n: IntArray, k: IntArray) -> Self:
        """Plain matrix products with weights, one per layer."""
        one = np.ones_like(m)
        return cls(m, n, k, one, one, one, one, one, np.ones(m.shape, dtype=np.bool_))


ArrayModel = Callable[[ArrayWork, ArrayConfig], IntArray]


def ceil_ratio(numerator: IntArray, denominator: IntArray | int) -> IntArray:
    """Integer division rounded up, element by element."""
    return -(-numerator // denominator)


def checked_cycles(*factors: IntArray | int) -> IntArray:
    """Product of integer factors.

    Raises:
        ModelError: If it does not fit 62 bits, so that sums over layers cannot wrap either.
    """
    estimate: NDArray[np.float64] = np.asarray(1.0)
    result: IntArray = np.asarray(1, dtype=np.int64)
    for factor in factors:
        estimate = estimate * np.asarray(factor, dtype=np.float64)
        if estimate.size and float(np.max(estimate)) >= MAX_CYCLES:
            raise ModelError(
                "a layer takes more than 2^62 cycles or bytes",
                accepted="give smaller dimensions or a larger array",
            )
        result = result * factor
    return result


def _packed(work: ArrayWork, rows: int, columns: int, on_rows: IntArray, on_columns: IntArray) -> ArrayWork:
    """Groups with small extents share one fold block-diagonally: ``max(1, min(R // K, C // N))`` of them."""
    together = np.minimum(rows // np.maximum(on_rows, 1), columns // np.maximum(on_columns, 1))
    return replace(work, groups=ceil_ratio(work.groups, np.maximum(together, 1)))


def _on_arrays(work: ArrayWork, array: ArrayConfig, on_one: Callable[[ArrayWork, int], IntArray]) -> IntArray:
    """Cycles when ``array.count`` arrays share the products as ``array.split`` says.

    Args:
        work: The products.
        array: The arrays.
        on_one: Cycles of the busiest array, given its work and by how many arrays the folds are shared.
    """
    if array.count == 1:
        return on_one(work, 1)
    choices: list[IntArray] = []
    if array.split in (Split.FOLDS, Split.EVEN, Split.BEST):
        choices.append(on_one(work, array.count))
    if array.split in (Split.CHANNELS, Split.BEST):
        choices.append(on_one(replace(work, n=ceil_ratio(work.n, array.count)), 1))
    if array.split in (Split.ROWS, Split.BEST):
        choices.append(on_one(replace(work, m=ceil_ratio(work.m, array.count)), 1))
    return functools.reduce(np.minimum, choices)


def _shared(folds: IntArray, each: IntArray, array: ArrayConfig, sharing: int) -> IntArray:
    """Cycles of the busiest of the arrays that share folds of some cycles each.

    Whole folds go to one array, or (split ``even``) all arrays work equally long, though no less than a fold:
    what does not divide is shared along its stream.
    """
    if array.split is not Split.EVEN:
        return checked_cycles(ceil_ratio(folds, sharing), each)
    shared = np.where(folds > 0, np.maximum(folds, sharing), 0)
    return ceil_ratio(checked_cycles(shared, each), sharing)


def _systolic(work: ArrayWork, array: ArrayConfig, axes: tuple[str, str, str], *, held: bool) -> IntArray:
    """Cycles of a systolic array whose rows, columns and stream take the extents named by ``axes``.

    One fold costs ``load + stream + R + C - 2``, where ``load`` is the time to fill the rows with the operand
    that is held: R cycles at one row per cycle, nothing when outputs are held. Serially folds follow each
    other; double-buffered, ``load + (F - 1) max(stream, R) + stream + R + C - 2`` (with the time to fill in
    place of R where several rows are filled per cycle): fill and drain are paid once for products that
    follow each other back to back.
    """
    rows, columns = array.rows, array.columns
    swap_cycles = -(-rows // array.load_rows_per_cycle)
    load = swap_cycles if held else 0
    on_rows, on_columns, streamed = axes
    if array.pack_groups:
        work = _packed(work, rows, columns, getattr(work, on_rows), getattr(work, on_columns))

    def on_one(part: ArrayWork, sharing: int) -> IntArray:
        folds = checked_cycles(
            part.groups,
            part.kernel_passes,
            ceil_ratio(getattr(part, on_rows), rows),
            ceil_ratio(getattr(part, on_columns), columns),
        )
        stream: IntArray = getattr(part, streamed)
        edge = load + rows + columns - 2
        if not array.double_buffered:
            return _shared(folds, stream + edge, array, sharing)
        each = np.maximum(stream, swap_cycles)
        return np.where(folds > 0, _shared(folds, each, array, sharing) - each + stream + edge, 0)

    return _on_arrays(work, array, on_one)


def weight_stationary(work: ArrayWork, array: ArrayConfig) -> IntArray:
    """Weights stay, inputs stream: serially ``ceil(K/R) ceil(N/C) (M + 2R + C - 2)`` per product."""
    return _systolic(work, array, ("k", "n", "m"), held=True)


def input_stationary(work: ArrayWork, array: ArrayConfig) -> IntArray:
    """Inputs stay, weights stream: serially ``ceil(K/R) ceil(M/C) (N + 2R + C - 2)`` per product."""
    return _systolic(work, array, ("k", "m", "n"), held=True)


def output_stationary(work: ArrayWork, array: ArrayConfig) -> IntArray:
    """Outputs stay, both operands stream: serially ``ceil(M/R) ceil(N/C) (K + R + C - 2)`` per product.

    Kernel positions that are not folded into K accumulate in place: they lengthen the stream.
    """
    in_place = replace(work, k=work.k * work.kernel_passes, kernel_passes=np.ones_like(work.kernel_passes))
    return _systolic(in_place, array, ("m", "n", "k"), held=False)


def mac_grid(work: ArrayWork, array: ArrayConfig) -> IntArray:
    """A grid of MACs without fill or drain: input channels x output channels x pixels in parallel.

    ``rows`` input channels, ``columns`` output channels and ``pixels`` output pixels are done per cycle;
    groups follow each other unless ``pack_groups`` lets small ones share the grid.
    """
    if array.pack_groups:
        work = _packed(work, array.rows, array.columns, work.k, work.n)

    def on_one(part: ArrayWork, sharing: int) -> IntArray:
        blocks = checked_cycles(
            part.groups,
            part.kernel_passes,
            ceil_ratio(part.k, array.rows),
            ceil_ratio(part.n, array.columns),
        )
        return _shared(blocks, ceil_ratio(part.m, array.pixels), array, sharing)

    return _on_arrays(work, array, on_one)
