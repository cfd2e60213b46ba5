"""Operators that change element types."""

from __future__ import annotations

import numpy as np

from layerweaver.frontend.propagate.call import Call, rule
from layerweaver.frontend.propagate.values import Array, Info, storable
from layerweaver.frontend.read_tensor import ONNX_TYPES
from layerweaver.ir.dtypes import DType


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
