"""Elementwise arithmetic, logic and comparison."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from layerweaver.frontend.node.registry import operator, shape_only
from layerweaver.frontend.node.values import (
    FOLD_LIMIT,
    Array,
    Info,
    ShapeConflictError,
    broadcast,
    numpy_type,
    storable,
)
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Lowered, Step, View
from layerweaver.frontend.reader.tensor import ONNX_TYPES
from layerweaver.ir import DType, LayerKind, VectorCategory


def vector_step(
    call: Call,
    category: VectorCategory,
    elements: int,
    *,
    window: int = 1,
    kind: LayerKind = LayerKind.VECTOR,
    parameters: tuple[int, ...] | None = None,
) -> Step:
    """A vector (or move) layer; constant operands of more than one element are fetched."""
    indices = tuple(range(len(call.node.inputs))) if parameters is None else parameters
    return Step(
        kind,
        vector=(call.vector(category, elements, window=window),),
        weights=call.weights(*indices, role="vector"),
    )


ELEMENTWISE = VectorCategory.ELEMENTWISE


def _truncating_division(left: Array, right: Array) -> Array:
    if left.dtype.kind == "f":
        return np.asarray(np.true_divide(left, right))
    quotient = np.abs(left) // np.where(right == 0, 1, np.abs(right))
    return np.asarray(np.where((left < 0) != (right < 0), -quotient, quotient))


def _power(left: Array, right: Array) -> Array:
    if left.dtype.kind in "iu" and right.dtype.kind in "iu" and (right < 0).any():
        return np.asarray(np.power(left.astype(np.float64), right))
    return np.asarray(np.power(left, right))


_Ufunc: TypeAlias = Callable[..., Any]

_BINARY: dict[str, _Ufunc] = {
    "Add": np.add,
    "And": np.logical_and,
    "BitwiseAnd": np.bitwise_and,
    "BitwiseOr": np.bitwise_or,
    "BitwiseXor": np.bitwise_xor,
    "Div": _truncating_division,
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Mul": np.multiply,
    "Or": np.logical_or,
    "Pow": _power,
    "Sub": np.subtract,
    "Xor": np.logical_xor,
}


def broadcast_inputs(call: Call) -> tuple[int, ...]:
    """Broadcast of all present inputs, heeding the ``axis`` and ``broadcast`` attributes of opset 1 to 6."""
    shapes = [call.shape(index) for index, found in enumerate(call.inputs) if found is not None]
    if not shapes:
        raise ShapeConflictError("it has no inputs")
    if len(shapes) == 2 and call.opset < 7 and "axis" in call.attributes and call.node.domain == "":
        left, right = shapes
        axis = call.axis(call.integer("axis", 0), len(left) or 1)
        right = right + (1,) * (len(left) - axis - len(right))
        shapes = [left, right]
    return broadcast(shapes)


_TO_BOOL = frozenset(("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Not"))


def fold(
    function: _Ufunc, values: Sequence[Array | None], dtype: DType, shape: tuple[int, ...]
) -> Array | None:
    """``function`` of the values when all are known and the result is small, else None."""
    if math.prod(shape) > FOLD_LIMIT or numpy_type(dtype) is None:
        return None
    for value in values:
        if value is None:
            return None
    return storable(np.asarray(function(*values)), dtype, shape)


def _binary_shape(call: Call) -> tuple[Info]:
    left, right = call.info(0), call.info(1)
    shape = left.shape if left.shape == right.shape and left.shape is not None else broadcast_inputs(call)
    dtype = DType.BOOL if call.op in _TO_BOOL else left.dtype
    if left.value is None or right.value is None:
        return (Info(dtype, shape),)
    right_value = right.value
    if right_value.ndim and "axis" in call.attributes and call.opset < 7 and right_value.ndim < len(shape):
        return (Info(dtype, shape),)
    return (Info(dtype, shape, fold(_BINARY[call.op], (left.value, right_value), dtype, shape)),)


_VARIADIC: dict[str, _Ufunc] = {
    "Max": np.maximum,
    "Min": np.minimum,
    "Sum": np.add,
    "Mean": np.add,
}


def _variadic_shape(call: Call) -> tuple[Info]:
    shape, dtype = broadcast_inputs(call), call.dtype(0)

    def combine(*values: Array) -> Array:
        result = values[0]
        for value in values[1:]:
            result = _VARIADIC[call.op](result, value)
        return result / len(values) if call.op == "Mean" else result

    values = [found.value for found in call.inputs if found is not None]
    return (Info(dtype, shape, fold(combine, values, dtype, shape)),)


def _round(value: Array) -> Array:
    return np.asarray(np.round(value))


def _sigmoid(value: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-value.astype(np.float64))))


_UNARY: dict[str, _Ufunc] = {
    "Abs": np.abs,
    "Acos": np.arccos,
    "Acosh": np.arccosh,
    "Asin": np.arcsin,
    "Asinh": np.arcsinh,
    "Atan": np.arctan,
    "Atanh": np.arctanh,
    "BitwiseNot": np.invert,
    "Ceil": np.ceil,
    "Cos": np.cos,
    "Cosh": np.cosh,
    "Exp": np.exp,
    "Floor": np.floor,
    "Log": np.log,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Reciprocal": np.reciprocal,
    "Relu": lambda value: np.maximum(value, 0),
    "Round": _round,
    "Sigmoid": _sigmoid,
    "Sign": np.sign,
    "Sin": np.sin,
    "Sinh": np.sinh,
    "Sqrt": np.sqrt,
    "Tan": np.tan,
    "Tanh": np.tanh,
}


def unary_shape(call: Call) -> tuple[Info]:
    """Shape rule of functions of single elements, folded where NumPy has them."""
    found = call.info(0)
    shape = call.shape(0)
    function = _UNARY.get(call.op)
    if function is None or found.value is None:
        return (Info(found.dtype, shape),)
    return (Info(found.dtype, shape, fold(function, (found.value,), found.dtype, shape)),)


def _mod_shape(call: Call) -> tuple[Info]:
    shape, dtype = broadcast_inputs(call), call.dtype(0)
    function = np.fmod if call.integer("fmod", 0) else np.mod
    return (Info(dtype, shape, fold(function, (call.value(0), call.value(1)), dtype, shape)),)


def _bit_shift_shape(call: Call) -> tuple[Info]:
    shape, dtype = broadcast_inputs(call), call.dtype(0)
    function = np.left_shift if call.text("direction", "LEFT").upper() == "LEFT" else np.right_shift
    return (Info(dtype, shape, fold(function, (call.value(0), call.value(1)), dtype, shape)),)


def _is_special_shape(call: Call) -> tuple[Info]:
    shape, value = call.shape(0), call.value(0)
    if value is None or value.dtype.kind != "f" or call.op == "IsInf":
        return (Info(DType.BOOL, shape),)
    return (Info(DType.BOOL, shape, np.isnan(value)),)


@operator("Add", "Sub", "Mul", "Div", shape=_binary_shape, category=ELEMENTWISE)
@operator("Neg", "Abs", "Sign", shape=unary_shape, category=ELEMENTWISE)
@operator("Floor", "Ceil", "Round", "Not", shape=unary_shape, category=ELEMENTWISE)
@operator("Mod", shape=_mod_shape, category=ELEMENTWISE)
@operator("And", "Or", "Xor", shape=_binary_shape, category=ELEMENTWISE)
@operator("BitShift", shape=_bit_shift_shape, category=ELEMENTWISE)
@operator("BitwiseAnd", "BitwiseOr", "BitwiseXor", shape=_binary_shape, category=ELEMENTWISE)
@operator("BitwiseNot", shape=unary_shape, category=ELEMENTWISE)
@operator("IsInf", "IsNaN", shape=_is_special_shape, category=ELEMENTWISE)
@operator("Equal", "Greater", "GreaterOrEqual", "Less", shape=_binary_shape, category=ELEMENTWISE)
@operator("LessOrEqual", shape=_binary_shape, category=ELEMENTWISE)
def elementwise(call: Call) -> Step:
    """One pass over the results."""
    return vector_step(call, ELEMENTWISE, call.output_elements())


@operator("Max", "Min", "Sum", "Mean", shape=_variadic_shape, category=ELEMENTWISE)
def variadic(call: Call) -> Step:
    """One pass over the results per operand beyond the first."""
    window = max(1, len(call.node.inputs) - 1)
    return vector_step(call, ELEMENTWISE, call.output_elements(), window=window)


def _where_shape(call: Call) -> tuple[Info]:
    shape, dtype = broadcast_inputs(call), call.dtype(1)
    values = (call.value(0), call.value(1), call.value(2))
    return (Info(dtype, shape, fold(np.where, values, dtype, shape)),)


@operator("Where", shape=_where_shape, category=ELEMENTWISE, roots_from=(1, 2))
def where(call: Call) -> Step:
    """Choose; a constant condition is a mask, not a parameter."""
    return vector_step(call, ELEMENTWISE, call.output_elements(), parameters=(1, 2))


def _clip_shape(call: Call) -> tuple[Info]:
    shape, dtype, value = call.shape(0), call.dtype(0), call.value(0)
    if value is None:
        return (Info(dtype, shape),)
    for name, index, function in (("min", 1, np.maximum), ("max", 2, np.minimum)):
        if call.has(index):
            bound = call.value(index)
            if bound is None:
                return (Info(dtype, shape),)
            value = function(value, bound)
        elif name in call.attributes:
            value = function(value, call.real(name, 0.0))
    return (Info(dtype, shape, storable(value, dtype, shape)),)


@operator("Clip", shape=_clip_shape, category=ELEMENTWISE)
def clip(call: Call) -> Step:
    """Clamp between scalars."""
    return vector_step(call, ELEMENTWISE, call.output_elements(), parameters=(0,))


TRANSCENDENTAL = VectorCategory.TRANSCENDENTAL


@operator("Sqrt", "Reciprocal", "Exp", "Log", "Erf", "Sin", shape=unary_shape, category=TRANSCENDENTAL)
@operator("Cos", "Tan", shape=unary_shape, category=TRANSCENDENTAL)
@operator("Pow", shape=_binary_shape, category=TRANSCENDENTAL)
@operator("Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", shape=unary_shape, category=TRANSCENDENTAL)
@operator("Acosh", "Atanh", shape=unary_shape, category=TRANSCENDENTAL)
def transcendental(call: Call) -> Step:
    """One pass of a special function over the results."""
    return vector_step(call, TRANSCENDENTAL, call.output_elements())


def _cast_value(value: Array | None, source: DType, target: DType, shape: tuple[int, ...]) -> Array | None:
    if value is None:
        return None
    if target is DType.BOOL:
        return np.asarray(value != 0)
    if value.dtype.kind == "f" and target not in (
        DType.FLOAT32,
        DType.FLOAT64,
        DType.FLOAT16,
        DType.BFLOAT16,
    ):
        value = np.trunc(np.nan_to_num(value))
    if source is DType.STRING:
        return None
    return storable(value, target, shape)


def _cast_shape(call: Call) -> tuple[Info]:
    code = call.attributes.get("to")
    if isinstance(code, str):
        target = next((dtype for dtype in DType if dtype.value == code.lower()), DType.UNDEFINED)
        target = DType.FLOAT32 if code.upper() == "FLOAT" else target
    else:
        target = ONNX_TYPES.get(call.integer("to", 0), DType.UNDEFINED)
    shape = call.shape(0)
    return (Info(target, shape, _cast_value(call.value(0), call.dtype(0), target, shape)),)


def _cast_like_shape(call: Call) -> tuple[Info]:
    target, shape = call.dtype(1), call.shape(0)
    return (Info(target, shape, _cast_value(call.value(0), call.dtype(0), target, shape)),)


@operator("Cast", shape=_cast_shape, category=ELEMENTWISE)
@operator("CastLike", shape=_cast_like_shape, category=ELEMENTWISE, roots_from=(0,), values_from=(0,))
def cast(call: Call) -> Lowered:
    """Conversion of every element; to the same type it is a view."""
    if call.info(0).dtype == call.output(0).dtype:
        return View(0)
    return vector_step(call, ELEMENTWISE, call.output_elements(), parameters=(0,))


shape_only("Affine", "ImageScaler", "ParametricSoftplus", "ScaledTanh", shape=unary_shape, domain="")
