"""Element types of tensors, with their packed sizes."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["DType", "packed_bytes"]


class DType(StrEnum):
    """Element type of a tensor, named as ONNX names it."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FLOAT8E4M3FN = "float8e4m3fn"
    FLOAT8E4M3FNUZ = "float8e4m3fnuz"
    FLOAT8E5M2 = "float8e5m2"
    FLOAT8E5M2FNUZ = "float8e5m2fnuz"
    FLOAT8E8M0 = "float8e8m0"
    FLOAT6E2M3 = "float6e2m3"
    FLOAT6E3M2 = "float6e3m2"
    FLOAT4E2M1 = "float4e2m1"
    INT64 = "int64"
    INT32 = "int32"
    INT16 = "int16"
    INT8 = "int8"
    INT4 = "int4"
    INT2 = "int2"
    UINT64 = "uint64"
    UINT32 = "uint32"
    UINT16 = "uint16"
    UINT8 = "uint8"
    UINT4 = "uint4"
    UINT2 = "uint2"
    BOOL = "bool"
    COMPLEX64 = "complex64"
    COMPLEX128 = "complex128"
    STRING = "string"
    UNDEFINED = "undefined"

    @property
    def bits(self) -> int:
        """Bits of one element; strings count as one 64-bit reference, unknown types as 32 bits."""
        return _BITS[self]


_BITS: dict[DType, int] = {
    DType.FLOAT32: 32,
    DType.FLOAT64: 64,
    DType.FLOAT16: 16,
    DType.BFLOAT16: 16,
    DType.FLOAT8E4M3FN: 8,
    DType.FLOAT8E4M3FNUZ: 8,
    DType.FLOAT8E5M2: 8,
    DType.FLOAT8E5M2FNUZ: 8,
    DType.FLOAT8E8M0: 8,
    DType.FLOAT6E2M3: 6,
    DType.FLOAT6E3M2: 6,
    DType.FLOAT4E2M1: 4,
    DType.INT64: 64,
    DType.INT32: 32,
    DType.INT16: 16,
    DType.INT8: 8,
    DType.INT4: 4,
    DType.INT2: 2,
    DType.UINT64: 64,
    DType.UINT32: 32,
    DType.UINT16: 16,
    DType.UINT8: 8,
    DType.UINT4: 4,
    DType.UINT2: 2,
    DType.BOOL: 8,
    DType.COMPLEX64: 64,
    DType.COMPLEX128: 128,
    DType.STRING: 64,
    DType.UNDEFINED: 32,
}


def packed_bytes(elements: int, bits: int) -> int:
    """Bytes that ``elements`` values of ``bits`` bits take when packed, rounded up."""
    return -(-elements * bits // 8)
