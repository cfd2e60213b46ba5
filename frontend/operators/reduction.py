"""Reductions, searches and scans."""

from __future__ import annotations

import math

from layerweaver.frontend.operation import Operation, Step
from layerweaver.frontend.operators.elementwise import vector_step
from layerweaver.frontend.registry import MICROSOFT, lowers
from layerweaver.ir import VectorCategory

REDUCTION = VectorCategory.REDUCTION


@lowers("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", category=REDUCTION)
@lowers("ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare", category=REDUCTION)
@lowers("ArgMax", "ArgMin", "CumSum", "CumProd", "NonZero", "Unique", "Det", category=REDUCTION)
@lowers("NegativeLogLikelihoodLoss", category=REDUCTION)
@lowers("CDist", domain=MICROSOFT, category=REDUCTION)
def reduction(operation: Operation) -> Step:
    """Every input element is read once."""
    return vector_step(operation, REDUCTION, operation.elements(0), parameters=(0,))


@lowers("TopK", category=REDUCTION)
def top_k(operation: Operation) -> Step:
    """A heap of k per row: the input's elements times the depth of the heap."""
    shape = operation.shape(0, least_rank=1)
    kept = operation.output_shape(0, least_rank=1)
    axis = operation.integer("axis", -1)
    most = kept[axis] if -len(kept) <= axis < len(kept) else 1
    depth = max(1, math.ceil(math.log2(max(2, most))))
    return vector_step(operation, REDUCTION, math.prod(shape), window=depth, parameters=(0,))


@lowers("NonMaxSuppression", category=REDUCTION)
def non_max_suppression(operation: Operation) -> Step:
    """Boxes are sorted by score and compared with those already kept (at most)."""
    boxes = operation.shape(0, least_rank=3)
    depth = max(1, math.ceil(math.log2(max(2, boxes[1]))))
    return vector_step(operation, REDUCTION, operation.elements(1), window=depth, parameters=(0,))
