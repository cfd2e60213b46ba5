"""Element types as ONNX numbers them, and the operators that change them."""

from __future__ import annotations

import numpy as np

from layerweaver.frontend.propagate.call import Call, rule
from layerweaver.frontend.propagate.values import Array, Info, storable
from layerweaver.ir.dtypes import DType

__all__ = ["TYPE_CODES"]

TYPE_CODES: dict[int, DType] = {
    0: DType.UNDEFINED,
    1: DType.FLOAT32,
    2: DType.UINT8,
    3: DType.INT8,
    4: DType.UINT16,
    5: DType.INT16,
    6: DType.INT32,
    7: DType.INT64,
    8: DType.STRING,
    9: DType.BOOL,
    10: DType.FLOAT16,
    11: DType.FLOAT64,
    12: DType.UINT32,
    13: DType.UINT64,
    14: DType.COMPLEX64,
    15: DType.COMPLEX128,
    16: DType.BFLOAT16,
    17: DType.FLOAT8E4M3FN,
    18: DType.FLOAT8E4M3FNUZ,
    19: DType.FLOAT8E5M2,
    20: DType.FLOAT8E5M2FNUZ,
    21: DType.UINT4,
    22: DType.INT4,
    23: DType.FLOAT4E2M1,
    24: DType.FLOAT8E8M0,
    25: DType.UINT2,
    26: DType.INT2,
}
"""ONNX's numbers of element types (TensorProto.DataType)."""


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
        target = TYPE_CODES.get(call.integer("to", 0), DType.UNDEFINED)
    shape = call.shape(0)
    return (Info(target, shape, _cast_value(call.value(0), call.dtype(0), target, shape)),)


@rule("CastLike", roots_from=(0,), values_from=(0,))
def _cast_like(call: Call) -> tuple[Info]:
    target, shape = call.dtype(1), call.shape(0)
    return (Info(target, shape, _cast_value(call.value(0), call.dtype(0), target, shape)),)


@rule("BitCast")
def _bit_cast(call: Call) -> tuple[Info]:
    source, target = call.dtype(0), TYPE_CODES.get(call.integer("to", 0), DType.UNDEFINED)
    shape = call.shape(0)
    if source.bits != target.bits and shape:
        last = shape[-1] * source.bits // target.bits
        shape = (*shape[:-1], last)
    return (Info(target, shape),)
