"""Reductions, searches and scans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from layerweaver.frontend.node.registry import operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, storable, text
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Step
from layerweaver.frontend.operators.activation import SOFTMAX
from layerweaver.frontend.operators.elementwise import vector_step
from layerweaver.ir import DType, VectorCategory


def _cross_entropy_shape(call: Call) -> tuple[Info, Info]:
    scores, labels = call.shape(0), call.shape(1)
    loss = labels if call.text("reduction", "mean") == "none" else ()
    return Info(call.dtype(0), loss), Info(call.dtype(0), scores)


@operator("SoftmaxCrossEntropyLoss", shape=_cross_entropy_shape, category=SOFTMAX)
def cross_entropy(call: Call) -> Step:
    """Softmax and the loss of its labels."""
    return vector_step(call, SOFTMAX, call.elements(0), parameters=(2,))


REDUCTION = VectorCategory.REDUCTION

_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceMax": np.max,
    "ReduceMean": np.mean,
    "ReduceMin": np.min,
    "ReduceProd": np.prod,
    "ReduceSum": np.sum,
}


def reduced(call: Call, axes: Sequence[int] | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape of input 0 reduced along ``axes`` (all of them where none are named), and those axes in order."""
    shape = call.shape(0)
    dropped = {call.axis(axis, len(shape)) for axis in axes} if axes else set(range(len(shape)))
    keep = call.integer("keepdims", 1)
    result = tuple(
        1 if axis in dropped else extent for axis, extent in enumerate(shape) if keep or axis not in dropped
    )
    return result, tuple(sorted(dropped))


def _reduce_shape(call: Call) -> tuple[Info]:
    found, shape = call.info(0), call.shape(0)
    axes, function = call.integers_of("axes", 1), _REDUCTIONS.get(call.op)
    if not axes and call.integer("noop_with_empty_axes", 0):
        return (Info(found.dtype, shape, found.value if function else None),)
    result, dropped = reduced(call, axes)
    value = None
    if found.value is not None and function is not None and found.value.size:
        total = function(found.value, axis=dropped, keepdims=bool(call.integer("keepdims", 1)))
        value = storable(np.asarray(total), found.dtype, result)
    return (Info(found.dtype, result, value),)


def _arg_shape(call: Call) -> tuple[Info]:
    shape, value = call.shape(0), call.value(0)
    axis = call.axis(call.integer("axis", 0), len(shape))
    keep = call.integer("keepdims", 1)
    result = (*shape[:axis], *((1,) if keep else ()), *shape[axis + 1 :])
    index = None
    if value is not None and value.size and not call.integer("select_last_index", 0):
        function = np.argmax if call.op == "ArgMax" else np.argmin
        index = storable(np.asarray(function(value, axis=axis)).reshape(result), DType.INT64, result)
    return (Info(DType.INT64, result, index),)


def _cumulate_shape(call: Call) -> tuple[Info]:
    found, shape = call.info(0), call.shape(0)
    place = call.value(1)
    if found.value is None or place is None or not shape:
        return (Info(found.dtype, shape),)
    axis = call.axis(int(place.ravel()[0]) if place.size else 0, len(shape))
    reverse, exclusive = call.integer("reverse", 0), call.integer("exclusive", 0)
    adds = call.op == "CumSum"
    data = np.flip(found.value, axis) if reverse else found.value
    if exclusive and shape[axis]:
        neutral = np.full_like(data.take([0], axis), 0 if adds else 1)
        data = np.concatenate([neutral, data.take(range(shape[axis] - 1), axis)], axis)
    total = (np.cumsum if adds else np.cumprod)(data, axis=axis)
    return (
        Info(found.dtype, shape, storable(np.flip(total, axis) if reverse else total, found.dtype, shape)),
    )


def _det_shape(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeConflictError(f"{text(shape)} is not square")
    return (Info(call.dtype(0), shape[:-2]),)


def _likelihood_shape(call: Call) -> tuple[Info]:
    labels = call.shape(1)
    if len(call.shape(0)) < 2:
        raise ShapeConflictError("its input has fewer than two axes")
    return (Info(call.dtype(0), labels if call.text("reduction", "mean") == "none" else ()),)


@operator("ReduceSum", "ReduceMean", "ReduceMax", shape=_reduce_shape, category=REDUCTION, roots_from=(0,))
@operator("ReduceMin", "ReduceProd", "ReduceL1", shape=_reduce_shape, category=REDUCTION, roots_from=(0,))
@operator("ReduceL2", "ReduceLogSum", shape=_reduce_shape, category=REDUCTION, roots_from=(0,))
@operator("ReduceLogSumExp", "ReduceSumSquare", shape=_reduce_shape, category=REDUCTION, roots_from=(0,))
@operator("ArgMax", "ArgMin", shape=_arg_shape, category=REDUCTION)
@operator("CumSum", "CumProd", shape=_cumulate_shape, category=REDUCTION, roots_from=(0,))
@operator("Det", shape=_det_shape, category=REDUCTION)
@operator("NegativeLogLikelihoodLoss", shape=_likelihood_shape, category=REDUCTION)
def reduction(call: Call) -> Step:
    """Every input element is read once."""
    return vector_step(call, REDUCTION, call.elements(0), parameters=(0,))
