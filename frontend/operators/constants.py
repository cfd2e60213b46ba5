"""Constants and shapes: free."""

from __future__ import annotations

import math

import numpy as np

from layerweaver.frontend.node.call import Call
from layerweaver.frontend.node.operation import Operation
from layerweaver.frontend.node.registry import Treatment, lowers, rule
from layerweaver.frontend.node.values import FOLD_LIMIT, Info, ShapeConflictError, storable
from layerweaver.frontend.node.work import FREE, Free, Lowered
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, TRANSCENDENTAL, vector_step
from layerweaver.frontend.operators.movement import move_step
from layerweaver.frontend.reader.model import TensorData
from layerweaver.frontend.reader.tensor import ONNX_TYPES
from layerweaver.ir.dtypes import DType


@lowers("Constant", "Shape", "Size", "SequenceLength", "SequenceEmpty", treatment=Treatment.CONSTANT)
@lowers("OptionalHasElement", treatment=Treatment.CONSTANT)
def free(_operation: Operation) -> Free:
    """Known before anything runs, or read off a descriptor."""
    return FREE


@lowers("ConstantOfShape", "EyeLike", "Range", treatment=Treatment.CONSTANT)
def filled(operation: Operation) -> Lowered:
    """Free where everything is known beforehand; else the values are written by a move."""
    return move_step(operation, operation.output_elements(), ())


@lowers("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", category=ELEMENTWISE)
@lowers("Bernoulli", "Multinomial", category=ELEMENTWISE)
def random(operation: Operation) -> Lowered:
    """One pass over the results."""
    return vector_step(operation, ELEMENTWISE, operation.output_elements(), parameters=())


@lowers("BlackmanWindow", "HammingWindow", "HannWindow", "MelWeightMatrix", category=TRANSCENDENTAL)
def window(operation: Operation) -> Lowered:
    """One pass of a special function over the results."""
    return vector_step(operation, TRANSCENDENTAL, operation.output_elements(), parameters=())


@rule("Constant", generates=True)
def _constant(call: Call) -> tuple[Info]:
    attributes = call.attributes
    for name in ("value", "sparse_value"):
        found = attributes.get(name)
        if isinstance(found, TensorData):
            value = (
                None if found.values is None else storable(np.asarray(found.values), found.dtype, found.shape)
            )
            return (Info(found.dtype, found.shape, value),)
    for name, dtype in (("value_int", DType.INT64), ("value_float", DType.FLOAT32)):
        scalar = attributes.get(name)
        if isinstance(scalar, int | float):
            return (Info(dtype, (), storable(np.array(scalar), dtype, ())),)
    for name, dtype in (("value_ints", DType.INT64), ("value_floats", DType.FLOAT32)):
        listed = attributes.get(name)
        if isinstance(listed, tuple):
            shape = (len(listed),)
            return (
                Info(
                    dtype,
                    shape,
                    storable(
                        np.array(listed, dtype=np.float64 if dtype is DType.FLOAT32 else np.int64),
                        dtype,
                        shape,
                    ),
                ),
            )
    if "value_string" in attributes:
        return (Info(DType.STRING, ()),)
    strings = attributes.get("value_strings")
    if isinstance(strings, tuple):
        return (Info(DType.STRING, (len(strings),)),)
    raise ShapeConflictError("it holds no value")


@rule("ConstantOfShape", roots_from=(), generates=True)
def _constant_of_shape(call: Call) -> tuple[Info]:
    shape = tuple(call.integers(0))
    if min(shape, default=0) < 0:
        raise ShapeConflictError(f"{list(shape)} is not a shape")
    fill = call.tensor("value")
    dtype = DType.FLOAT32 if fill is None else fill.dtype
    value = None
    if math.prod(shape) <= FOLD_LIMIT:
        if fill is None:
            value = storable(np.zeros(shape, dtype=np.float32), dtype, shape)
        elif fill.values is not None and fill.values.size == 1:
            value = storable(np.full(shape, fill.values.ravel()[0]), dtype, shape)
    return (Info(dtype, shape, value),)


@rule("EyeLike", roots_from=(), values_from=(), generates=True)
def _eye_like(call: Call) -> tuple[Info]:
    dtype = ONNX_TYPES.get(call.integer("dtype", 0)) if "dtype" in call.attributes else call.dtype(0)
    return (Info(dtype or DType.FLOAT32, call.shape(0)),)


@rule("Range", roots_from=())
def _range(call: Call) -> tuple[Info]:
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


@rule("RandomNormal", "RandomUniform", random=True)
def _random(call: Call) -> tuple[Info]:
    shape = call.integer_list("shape") or []
    dtype = ONNX_TYPES.get(call.integer("dtype", 1), DType.FLOAT32)
    if min(shape, default=0) < 0:
        raise ShapeConflictError(f"{shape} is not a shape")
    return (Info(dtype, tuple(shape)),)


@rule("RandomNormalLike", "RandomUniformLike", values_from=(), random=True)
def _random_like(call: Call) -> tuple[Info]:
    dtype = (
        ONNX_TYPES.get(call.integer("dtype", 0), DType.FLOAT32)
        if "dtype" in call.attributes
        else call.dtype(0)
    )
    return (Info(dtype, call.shape(0)),)


@rule("Bernoulli", random=True)
def _bernoulli(call: Call) -> tuple[Info]:
    dtype = (
        ONNX_TYPES.get(call.integer("dtype", 0), DType.FLOAT32)
        if "dtype" in call.attributes
        else call.dtype(0)
    )
    return (Info(dtype, call.shape(0)),)


@rule("Multinomial", random=True)
def _multinomial(call: Call) -> tuple[Info]:
    dtype = ONNX_TYPES.get(call.integer("dtype", 6), DType.INT32)
    return (Info(dtype, (call.shape(0)[0], call.integer("sample_size", 1))),)


@rule("BlackmanWindow", "HammingWindow", "HannWindow")
def _window(call: Call) -> tuple[Info]:
    return (Info(ONNX_TYPES.get(call.integer("output_datatype", 1), DType.FLOAT32), (call.integers(0)[0],)),)


@rule("MelWeightMatrix")
def _mel_weight_matrix(call: Call) -> tuple[Info]:
    dtype = ONNX_TYPES.get(call.integer("output_datatype", 1), DType.FLOAT32)
    bins, length = call.integers(0)[0], call.integers(1)[0]
    return (Info(dtype, (length // 2 + 1, bins)),)
