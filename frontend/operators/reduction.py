"""Reductions, searches and scans."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from layerweaver.frontend.node.call import Call
from layerweaver.frontend.node.operation import Operation
from layerweaver.frontend.node.registry import MICROSOFT, lowers, rule
from layerweaver.frontend.node.values import Info, ShapeConflictError, storable
from layerweaver.frontend.node.work import Step
from layerweaver.frontend.operators.elementwise import vector_step
from layerweaver.ir import VectorCategory
from layerweaver.ir.dtypes import DType

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


_REDUCTIONS: dict[str, Callable[..., Any] | None] = {
    "ReduceMax": np.max,
    "ReduceMean": np.mean,
    "ReduceMin": np.min,
    "ReduceProd": np.prod,
    "ReduceSum": np.sum,
    "ReduceL1": None,
    "ReduceL2": None,
    "ReduceLogSum": None,
    "ReduceLogSumExp": None,
    "ReduceSumSquare": None,
}


@rule(*_REDUCTIONS, roots_from=(0,))
def _reduce(call: Call) -> tuple[Info]:
    found, shape = call.info(0), call.shape(0)
    axes = call.integers_of("axes", 1)
    if not axes and call.integer("noop_with_empty_axes", 0):
        return (Info(found.dtype, shape, found.value if _REDUCTIONS[call.op] else None),)
    dropped = {call.axis(axis, len(shape)) for axis in axes} if axes else set(range(len(shape)))
    keep = call.integer("keepdims", 1)
    result = tuple(
        1 if axis in dropped else extent for axis, extent in enumerate(shape) if keep or axis not in dropped
    )
    value, function = None, _REDUCTIONS[call.op]
    if found.value is not None and function is not None and found.value.size:
        reduced = function(found.value, axis=tuple(sorted(dropped)), keepdims=bool(keep))
        value = storable(np.asarray(reduced), found.dtype, result)
    return (Info(found.dtype, result, value),)


@rule("ArgMax", "ArgMin")
def _arg(call: Call) -> tuple[Info]:
    shape, value = call.shape(0), call.value(0)
    axis = call.axis(call.integer("axis", 0), len(shape))
    keep = call.integer("keepdims", 1)
    result = (*shape[:axis], *((1,) if keep else ()), *shape[axis + 1 :])
    index = None
    if value is not None and value.size and not call.integer("select_last_index", 0):
        function = np.argmax if call.op == "ArgMax" else np.argmin
        index = storable(np.asarray(function(value, axis=axis)).reshape(result), DType.INT64, result)
    return (Info(DType.INT64, result, index),)


@rule("CumSum", "CumProd", roots_from=(0,))
def _cumulate(call: Call) -> tuple[Info]:
    found, shape = call.info(0), call.shape(0)
    place = call.value(1)
    if found.value is None or place is None or not shape:
        return (Info(found.dtype, shape),)
    axis = call.axis(int(place.ravel()[0]) if place.size else 0, len(shape))
    reverse, exclusive = call.integer("reverse", 0), call.integer("exclusive", 0)
    if exclusive:
        return (Info(found.dtype, shape),)
    data = np.flip(found.value, axis) if reverse else found.value
    total = (np.cumsum if call.op == "CumSum" else np.cumprod)(data, axis=axis)
    return (
        Info(found.dtype, shape, storable(np.flip(total, axis) if reverse else total, found.dtype, shape)),
    )


@rule("SoftmaxCrossEntropyLoss")
def _cross_entropy(call: Call) -> tuple[Info, Info]:
    scores, labels = call.shape(0), call.shape(1)
    loss = labels if call.text("reduction", "mean") == "none" else ()
    return Info(call.dtype(0), loss), Info(call.dtype(0), scores)


@rule("NegativeLogLikelihoodLoss")
def _likelihood(call: Call) -> tuple[Info]:
    labels = call.shape(1)
    if len(call.shape(0)) < 2:
        raise ShapeConflictError("its input has fewer than two axes")
    return (Info(call.dtype(0), labels if call.text("reduction", "mean") == "none" else ()),)
