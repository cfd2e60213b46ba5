"""Constants and shapes: free."""

from __future__ import annotations

import math

import numpy as np

from layerweaver.frontend.node.registry import Treatment, operator
from layerweaver.frontend.node.values import FOLD_LIMIT, Info, ShapeConflictError, storable
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Lowered
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, TRANSCENDENTAL, vector_step
from layerweaver.frontend.operators.movement import move_step
from layerweaver.frontend.operators.views import free
from layerweaver.frontend.reader.model import TensorData
from layerweaver.frontend.reader.tensor import ONNX_TYPES
from layerweaver.ir import DType


def _constant_of_shape(call: Call) -> tuple[Info]:
    shape = tuple(call.integers(0))
    if min(shape, default=0) < 0:
        raise ShapeConflictError(f"{list(shape)} is not a shape")
    fill = call.tensor("value")
    dtype = DType.FLOAT32 if fill is None else fill.dtype
    value = None
    if math.prod(shape) <= FOLD_LIMIT:
        one = np.zeros(1, np.float32) if fill is None else fill.values
        if one is not None and one.size == 1:
            value = storable(np.broadcast_to(one.reshape(()), shape), dtype, shape)
    return (Info(dtype, shape, value),)


def _like_shape(call: Call) -> tuple[Info]:
    dtype = call.dtype(0)
    if "dtype" in call.attributes:
        dtype = ONNX_TYPES.get(call.integer("dtype", 0), DType.FLOAT32)
    return (Info(dtype, call.shape(0)),)


def _range_shape(call: Call) -> tuple[Info]:
    dtype = call.dtype(0)
    bounds = [call.value(index) for index in range(3)]
    start, limit, step = (None if bound is None or bound.size != 1 else bound.item() for bound in bounds)
    if start is None or limit is None or step is None or step == 0:
        call.integers(0), call.integers(1), call.integers(2)
        raise ShapeConflictError("start, limit and delta must be scalars and delta not 0")
    length = (limit - start) / step if dtype in (DType.FLOAT32, DType.FLOAT64, DType.FLOAT16) else None
    if length is not None and not math.isfinite(length):
        raise ShapeConflictError(f"a range from {start} to {limit} by {step} has no length")
    count = max(0, math.ceil(length) if length is not None else -(-(limit - start) // step))
    value = None
    if count <= FOLD_LIMIT:
        value = storable(start + step * np.arange(count), dtype, (count,))
    upper = any(found is not None and found.upper for found in call.inputs)
    return (Info(dtype, (count,), value, upper=upper),)


@operator(
    "ConstantOfShape", shape=_constant_of_shape, treatment=Treatment.CONSTANT, roots_from=(), generates=True
)
@operator(
    "EyeLike", shape=_like_shape, treatment=Treatment.CONSTANT, roots_from=(), values_from=(), generates=True
)
@operator("Range", shape=_range_shape, treatment=Treatment.CONSTANT, roots_from=())
def filled(call: Call) -> Lowered:
    """Free where everything is known beforehand; else the values are written by a move."""
    return move_step(call, call.output_elements(), ())


def _random_shape(call: Call) -> tuple[Info]:
    shape = call.integer_list("shape") or []
    dtype = ONNX_TYPES.get(call.integer("dtype", 1), DType.FLOAT32)
    if min(shape, default=0) < 0:
        raise ShapeConflictError(f"{shape} is not a shape")
    return (Info(dtype, tuple(shape)),)


def _multinomial_shape(call: Call) -> tuple[Info]:
    dtype = ONNX_TYPES.get(call.integer("dtype", 6), DType.INT32)
    return (Info(dtype, (call.shape(0)[0], call.integer("sample_size", 1))),)


@operator("RandomNormal", "RandomUniform", shape=_random_shape, category=ELEMENTWISE, random=True)
@operator("RandomNormalLike", shape=_like_shape, category=ELEMENTWISE, values_from=(), random=True)
@operator("RandomUniformLike", shape=_like_shape, category=ELEMENTWISE, values_from=(), random=True)
@operator("Bernoulli", shape=_like_shape, category=ELEMENTWISE, random=True)
@operator("Multinomial", shape=_multinomial_shape, category=ELEMENTWISE, random=True)
def random(call: Call) -> Lowered:
    """One pass over the results."""
    return vector_step(call, ELEMENTWISE, call.output_elements(), parameters=())


def _window_shape(call: Call) -> tuple[Info]:
    return (Info(ONNX_TYPES.get(call.integer("output_datatype", 1), DType.FLOAT32), (call.integers(0)[0],)),)


def _mel_weight_matrix_shape(call: Call) -> tuple[Info]:
    dtype = ONNX_TYPES.get(call.integer("output_datatype", 1), DType.FLOAT32)
    bins, length = call.integers(0)[0], call.integers(1)[0]
    return (Info(dtype, (length // 2 + 1, bins)),)


@operator("BlackmanWindow", "HammingWindow", "HannWindow", shape=_window_shape, category=TRANSCENDENTAL)
@operator("MelWeightMatrix", shape=_mel_weight_matrix_shape, category=TRANSCENDENTAL)
def window(call: Call) -> Lowered:
    """One pass of a special function over the results."""
    return vector_step(call, TRANSCENDENTAL, call.output_elements(), parameters=())


def _constant_shape(call: Call) -> tuple[Info]:
    attributes = call.attributes
    for name in ("value", "sparse_value", "value_ints", "value_floats"):
        found = attributes.get(name)
        if isinstance(found, TensorData):
            return (Info(found.dtype, found.shape, storable(found.values, found.dtype, found.shape)),)
    for name, dtype in (("value_int", DType.INT64), ("value_float", DType.FLOAT32)):
        scalar = attributes.get(name)
        if isinstance(scalar, int | float):
            return (Info(dtype, (), storable(np.array(scalar), dtype, ())),)
    for name, dtype in (("value_ints", DType.INT64), ("value_floats", DType.FLOAT32)):
        listed = attributes.get(name)
        if isinstance(listed, tuple):
            shape = (len(listed),)
            value = np.array(listed, dtype=np.float64 if dtype is DType.FLOAT32 else np.int64)
            return (Info(dtype, shape, storable(value, dtype, shape)),)
    if "value_string" in attributes:
        return (Info(DType.STRING, ()),)
    strings = attributes.get("value_strings")
    if isinstance(strings, tuple):
        return (Info(DType.STRING, (len(strings),)),)
    raise ShapeConflictError("it holds no value")


operator("Constant", shape=_constant_shape, treatment=Treatment.CONSTANT, generates=True)(free)
