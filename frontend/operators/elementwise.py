"""Elementwise arithmetic, logic and comparison."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from layerweaver.frontend.node.call import Call
from layerweaver.frontend.node.operation import Operation
from layerweaver.frontend.node.registry import MICROSOFT, lowers, rule
from layerweaver.frontend.node.values import (
    FOLD_LIMIT,
    Array,
    Info,
    ShapeConflictError,
    broadcast,
    numpy_type,
    storable,
)
from layerweaver.frontend.node.work import Lowered, Step, View
from layerweaver.frontend.reader.tensor import ONNX_TYPES
from layerweaver.ir import LayerKind, VectorCategory
from layerweaver.ir.dtypes import DType

__all__ = ["broadcast_inputs", "fold"]


_Ufunc: TypeAlias = Callable[..., Any]


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


def _truncating_division(left: Array, right: Array) -> Array:
    if left.dtype.kind == "f":
        return np.asarray(np.true_divide(left, right))
    quotient = np.abs(left) // np.where(right == 0, 1, np.abs(right))
    return np.asarray(np.where((left < 0) != (right < 0), -quotient, quotient))


def _power(left: Array, right: Array) -> Array:
    if left.dtype.kind in "iu" and right.dtype.kind in "iu" and (right < 0).any():
        return np.asarray(np.power(left.astype(np.float64), right))
    return np.asarray(np.power(left, right))


def _round(value: Array) -> Array:
    return np.asarray(np.round(value))


def _sigmoid(value: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-value.astype(np.float64))))


_UNARY: dict[str, _Ufunc | None] = {
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
    **dict.fromkeys(
        (
            *("Celu", "Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish", "Hardmax", "LRN", "LeakyRelu"),
            *("LogSoftmax", "LpNormalization", "MeanVarianceNormalization", "Mish", "Selu", "Shrink"),
            *("Softmax", "Softplus", "Softsign", "Swish", "ThresholdedRelu", "Affine", "ImageScaler"),
            *("ParametricSoftplus", "ScaledTanh"),
        )
    ),
}


def _unary(call: Call) -> tuple[Info]:
    found = call.info(0)
    shape = call.shape(0)
    function = _UNARY.get(call.op)
    if function is None or found.value is None:
        return (Info(found.dtype, shape),)
    return (Info(found.dtype, shape, fold(function, (found.value,), found.dtype, shape)),)


rule(*_UNARY)(_unary)


@rule("Identity", "GreedyIdentity")
def _identity(call: Call) -> tuple[Info]:
    found = call.info(0)
    return (Info(found.dtype, found.shape, found.value, elements=found.elements, absent=found.absent),)


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


_TO_BOOL = frozenset(("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Not"))


@rule(*_BINARY)
def _binary(call: Call) -> tuple[Info]:
    left, right = call.info(0), call.info(1)
    shape = left.shape if left.shape == right.shape and left.shape is not None else broadcast_inputs(call)
    dtype = DType.BOOL if call.op in _TO_BOOL else left.dtype
    if left.value is None or right.value is None:
        return (Info(dtype, shape),)
    right_value = right.value
    if right_value.ndim and "axis" in call.attributes and call.opset < 7 and right_value.ndim < len(shape):
        return (Info(dtype, shape),)
    return (Info(dtype, shape, fold(_BINARY[call.op], (left.value, right_value), dtype, shape)),)


@rule("Mod")
def _mod(call: Call) -> tuple[Info]:
    shape, dtype = broadcast_inputs(call), call.dtype(0)
    function = np.fmod if call.integer("fmod", 0) else np.mod
    return (Info(dtype, shape, fold(function, (call.value(0), call.value(1)), dtype, shape)),)


@rule("BitShift")
def _bit_shift(call: Call) -> tuple[Info]:
    shape, dtype = broadcast_inputs(call), call.dtype(0)
    function = np.left_shift if call.text("direction", "LEFT").upper() == "LEFT" else np.right_shift
    return (Info(dtype, shape, fold(function, (call.value(0), call.value(1)), dtype, shape)),)


@rule("PRelu")
def _prelu(call: Call) -> tuple[Info]:
    return call.like(0)


_VARIADIC: dict[str, _Ufunc] = {
    "Max": np.maximum,
    "Min": np.minimum,
    "Sum": np.add,
    "Mean": np.add,
}


@rule(*_VARIADIC)
def _variadic(call: Call) -> tuple[Info]:
    shape, dtype = broadcast_inputs(call), call.dtype(0)

    def combine(*values: Array) -> Array:
        result = values[0]
        for value in values[1:]:
            result = _VARIADIC[call.op](result, value)
        return result / len(values) if call.op == "Mean" else result

    values = [found.value for found in call.inputs if found is not None]
    return (Info(dtype, shape, fold(combine, values, dtype, shape)),)


@rule("Where", roots_from=(1, 2))
def _where(call: Call) -> tuple[Info]:
    shape, dtype = broadcast_inputs(call), call.dtype(1)
    values = (call.value(0), call.value(1), call.value(2))
    return (Info(dtype, shape, fold(np.where, values, dtype, shape)),)


@rule("Clip")
def _clip(call: Call) -> tuple[Info]:
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


@rule("IsNaN", "IsInf")
def _is_special(call: Call) -> tuple[Info]:
    shape, value = call.shape(0), call.value(0)
    if value is None or value.dtype.kind != "f" or call.op == "IsInf":
        return (Info(DType.BOOL, shape),)
    return (Info(DType.BOOL, shape, np.isnan(value)),)


@rule("Dropout", roots_from=(0,))
def _dropout(call: Call) -> tuple[Info, ...]:
    found, shape = call.info(0), call.shape(0)
    mask = DType.BOOL if call.opset >= 10 else found.dtype
    mode = call.value(2)
    inference = not call.has(2) or (mode is not None and not mode.any())
    return (Info(found.dtype, shape, found.value if inference else None), Info(mask, shape))


@rule("SwiGLU")
def _swiglu(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    if call.has(1):
        return (Info(call.dtype(0), broadcast_inputs(call)),)
    axis = call.axis(call.integer("axis", -1), len(shape))
    return (Info(call.dtype(0), (*shape[:axis], shape[axis] // 2, *shape[axis + 1 :])),)


@rule("BiasGelu", "FastGelu", "Gelu", "QuickGelu", "Inverse", "BiasSplitGelu", domain=MICROSOFT)
def _contrib_activation(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    if call.op == "BiasSplitGelu":
        shape = (*shape[:-1], shape[-1] // 2)
    return (Info(call.dtype(0), shape),)


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


@rule("Cast")
def _cast(call: Call) -> tuple[Info]:
    code = call.attributes.get("to")
    if isinstance(code, str):
        target = next((dtype for dtype in DType if dtype.value == code.lower()), DType.UNDEFINED)
        target = DType.FLOAT32 if code.upper() == "FLOAT" else target
    else:
        target = ONNX_TYPES.get(call.integer("to", 0), DType.UNDEFINED)
    shape = call.shape(0)
    return (Info(target, shape, _cast_value(call.value(0), call.dtype(0), target, shape)),)


@rule("CastLike", roots_from=(0,), values_from=(0,))
def _cast_like(call: Call) -> tuple[Info]:
    target, shape = call.dtype(1), call.shape(0)
    return (Info(target, shape, _cast_value(call.value(0), call.dtype(0), target, shape)),)


@rule("BitCast")
def _bit_cast(call: Call) -> tuple[Info]:
    source, target = call.dtype(0), ONNX_TYPES.get(call.integer("to", 0), DType.UNDEFINED)
    shape = call.shape(0)
    if source.bits != target.bits and shape:
        last = shape[-1] * source.bits // target.bits
        shape = (*shape[:-1], last)
    return (Info(target, shape),)


ELEMENTWISE = VectorCategory.ELEMENTWISE


TRANSCENDENTAL = VectorCategory.TRANSCENDENTAL


def vector_step(
    operation: Operation,
    category: VectorCategory,
    elements: int,
    *,
    window: int = 1,
    kind: LayerKind = LayerKind.VECTOR,
    parameters: tuple[int, ...] | None = None,
) -> Step:
    """A vector (or move) layer; constant operands of more than one element are fetched."""
    indices = tuple(range(len(operation.node.inputs))) if parameters is None else parameters
    return Step(
        kind,
        vector=(operation.vector(category, elements, window=window),),
        weights=operation.weights(*indices, role="vector"),
    )


@lowers("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Neg", "Abs", "Sign", category=ELEMENTWISE)
@lowers("Floor", "Ceil", "Round", "Mod", "Not", "And", "Or", "Xor", "BitShift", category=ELEMENTWISE)
@lowers("BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "IsInf", "IsNaN", category=ELEMENTWISE)
@lowers("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", category=ELEMENTWISE)
def elementwise(operation: Operation) -> Step:
    """One pass over the results; variadic forms take one pass per further operand."""
    window = max(1, len(operation.node.inputs) - 1) if operation.operator in _VARIADIC_work else 1
    return vector_step(operation, ELEMENTWISE, operation.output_elements(), window=window)


_VARIADIC_work = ("Max", "Min", "Sum", "Mean")


@lowers("Where", category=ELEMENTWISE)
def where(operation: Operation) -> Step:
    """Choose; a constant condition is a mask, not a parameter."""
    return vector_step(operation, ELEMENTWISE, operation.output_elements(), parameters=(1, 2))


@lowers("Clip", category=ELEMENTWISE)
def clip(operation: Operation) -> Step:
    """Clamp between scalars."""
    return vector_step(operation, ELEMENTWISE, operation.output_elements(), parameters=(0,))


@lowers("Sqrt", "Reciprocal", "Exp", "Log", "Pow", "Erf", "Sin", "Cos", "Tan", category=TRANSCENDENTAL)
@lowers("Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", category=TRANSCENDENTAL)
def transcendental(operation: Operation) -> Step:
    """One pass of a special function over the results."""
    return vector_step(operation, TRANSCENDENTAL, operation.output_elements())


@lowers("Cast", "CastLike", category=ELEMENTWISE)
def cast(operation: Operation) -> Lowered:
    """Conversion of every element; to the same type it is a view."""
    if operation.input(0).dtype == operation.output(0).dtype:
        return View(0)
    return vector_step(operation, ELEMENTWISE, operation.output_elements(), parameters=(0,))


@lowers("StringConcat", "StringNormalizer", "StringSplit", "RegexFullMatch", category=ELEMENTWISE)
@lowers("TfIdfVectorizer", category=ELEMENTWISE)
def text(operation: Operation) -> Step:
    """Work on strings, by the number of elements."""
    elements = max(operation.output_elements(), operation.elements(0))
    return vector_step(operation, ELEMENTWISE, elements, parameters=())
