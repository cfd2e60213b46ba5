"""The vector unit: what elementwise work, softmax, normalisation, pooling and reductions cost (*ours*)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.columns import CATEGORIES, LayerColumns, VectorColumns
from layerweaver.costmodel.compute.arrays import checked_cycles
from layerweaver.costmodel.npu.sections import VectorConfig
from layerweaver.ir import VectorCategory

__all__ = ["category_costs", "charged_works", "cycles_per_operand", "vector_cycles", "vector_operations"]

IntArray = NDArray[np.int64]
MAX_DENOMINATOR = 1000


def cycles_per_operand(vector: VectorConfig) -> dict[VectorCategory, float]:
    """Lane cycles that one operand of each category costs."""
    return {
        VectorCategory.ELEMENTWISE: vector.elementwise_cycles,
        VectorCategory.TRANSCENDENTAL: vector.transcendental_cycles,
        VectorCategory.SOFTMAX: vector.softmax_passes * vector.elementwise_cycles
        + vector.transcendental_cycles,
        VectorCategory.NORMALIZATION: vector.normalization_passes * vector.elementwise_cycles,
        VectorCategory.REDUCTION: vector.reduction_cycles,
        VectorCategory.POOLING: vector.pooling_cycles,
        VectorCategory.MOVE: vector.move_cycles,
    }


def _lane_cycles(operands: IntArray, cost: IntArray, denominator: int) -> IntArray:
    return -(-checked_cycles(operands, cost) // denominator)


def category_costs(vector: VectorConfig) -> tuple[IntArray, int]:
    """Lane cycles of an operand of every category, as whole numbers over one denominator."""
    exact = [
        Fraction(cycles_per_operand(vector)[category]).limit_denominator(MAX_DENOMINATOR)
        for category in CATEGORIES
    ]
    denominator = int(np.lcm.reduce([cost.denominator for cost in exact]))
    return np.array([int(cost * denominator) for cost in exact], dtype=np.int64), denominator


def charged_works(columns: LayerColumns, vector: VectorConfig) -> VectorColumns:
    """Vector work that costs anything: without clips where the config has them free."""
    works = columns.vector
    return works.where(~works.clips) if vector.free_clips else works


def vector_operations(columns: LayerColumns, vector: VectorConfig) -> IntArray:
    """Lane cycles per layer on one lane, without depthwise products, shape (layers,)."""
    numerators, denominator = category_costs(vector)
    works = charged_works(columns, vector)
    total = np.zeros(works.layers, dtype=np.int64)
    np.add.at(total, works.layer, _lane_cycles(works.operands, numerators[works.category], denominator))
    return total


def mac_operations(macs: IntArray, vector: VectorConfig) -> IntArray:
    """Lane cycles of multiply-accumulates on one lane."""
    exact = Fraction(vector.mac_cycles).limit_denominator(MAX_DENOMINATOR)
    return _lane_cycles(macs, np.asarray(exact.numerator, dtype=np.int64), exact.denominator)


def vector_cycles(operations: IntArray, vector: VectorConfig) -> IntArray:
    """Cycles on all lanes."""
    if vector.speed is not None:
        return np.ceil(operations / (vector.lanes * vector.speed)).astype(np.int64)
    return -(-operations // vector.lanes)
