"""Values of element types that NumPy lacks: bfloat16, floats of 8, 6 and 4 bits, integers of 4 and 2 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.ir.dtypes import DType

__all__ = ["NUMPY_TYPES", "unpack_bits", "widen"]

NUMPY_TYPES: dict[DType, str] = {
    DType.FLOAT32: "<f4",
    DType.FLOAT64: "<f8",
    DType.FLOAT16: "<f2",
    DType.INT64: "<i8",
    DType.INT32: "<i4",
    DType.INT16: "<i2",
    DType.INT8: "i1",
    DType.UINT64: "<u8",
    DType.UINT32: "<u4",
    DType.UINT16: "<u2",
    DType.UINT8: "u1",
    DType.BOOL: "?",
    DType.COMPLEX64: "<c8",
    DType.COMPLEX128: "<c16",
}
"""Little-endian NumPy type of each element type that NumPy knows."""


@dataclass(frozen=True, slots=True)
class _Minifloat:
    """Layout of a small float.

    Attributes:
        infinities: Whether the highest exponent means infinity and NaN, as IEEE 754 has it.
        nan_codes: Codes that mean NaN in the formats without infinities.
    """

    exponent_bits: int
    mantissa_bits: int
    bias: int
    infinities: bool = False
    nan_codes: tuple[int, ...] = ()

    def table(self) -> NDArray[np.float32]:
        """The value of every code; shape (2 ** bits,)."""
        magnitude_bits = self.exponent_bits + self.mantissa_bits
        codes = np.arange(2 << magnitude_bits)
        exponent = codes >> self.mantissa_bits & (1 << self.exponent_bits) - 1
        fraction = (codes & (1 << self.mantissa_bits) - 1) / (1 << self.mantissa_bits)
        normal = exponent > 0
        values = np.where(normal, 1.0 + fraction, fraction) * np.exp2(
            np.where(normal, exponent, 1) - self.bias
        )
        if self.infinities:
            top = exponent == (1 << self.exponent_bits) - 1
            values[top] = np.where(fraction[top] > 0, np.nan, np.inf)
        values = np.where(codes >> magnitude_bits, -values, values)
        values[list(self.nan_codes)] = np.nan
        table: NDArray[np.float32] = values.astype(np.float32)
        return table


# OCP 8-bit floating point, OCP microscaling formats (MX) 1.0, and the "FNUZ" variants of ONNX.
_MINIFLOATS: dict[DType, _Minifloat] = {
    DType.FLOAT8E4M3FN: _Minifloat(4, 3, 7, nan_codes=(0x7F, 0xFF)),
    DType.FLOAT8E4M3FNUZ: _Minifloat(4, 3, 8, nan_codes=(0x80,)),
    DType.FLOAT8E5M2: _Minifloat(5, 2, 15, infinities=True),
    DType.FLOAT8E5M2FNUZ: _Minifloat(5, 2, 16, nan_codes=(0x80,)),
    DType.FLOAT6E2M3: _Minifloat(2, 3, 1),
    DType.FLOAT6E3M2: _Minifloat(3, 2, 3),
    DType.FLOAT4E2M1: _Minifloat(2, 1, 1),
}


def unpack_bits(packed: bytes, bits: int, elements: int) -> NDArray[np.uint8]:
    """Codes of ``elements`` values of ``bits`` (2, 4 or 6) bits, packed from the least significant bit on."""
    stream = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")[: elements * bits]
    codes: NDArray[np.uint8] = np.packbits(stream.reshape(elements, bits), axis=1, bitorder="little")[:, 0]
    return codes


def widen(codes: NDArray[Any], dtype: DType) -> NDArray[Any]:
    """Values of unsigned codes in the nearest wider NumPy type.

    Floats become float32, 4-bit and 2-bit integers int8 or uint8.

    Args:
        codes: Unsigned codes, one per element, of any shape.
        dtype: An element type that is not in ``NUMPY_TYPES`` (and not STRING or UNDEFINED).
    """
    if dtype is DType.BFLOAT16:
        return (codes.astype(np.uint32) << 16).view(np.float32)
    if dtype is DType.FLOAT8E8M0:
        is_nan = codes == 0xFF
        scale = np.ldexp(np.float32(1), np.where(is_nan, 0, codes.astype(np.int32) - 127))
        return np.where(is_nan, np.float32(np.nan), scale)
    if dtype in _MINIFLOATS:
        table = _MINIFLOATS[dtype].table()
        values: NDArray[Any] = table[codes & len(table) - 1]
        return values
    sign_bit = {DType.INT4: 8, DType.INT2: 2}.get(dtype, 0)
    narrow = codes.astype(np.int8 if sign_bit else np.uint8)
    return (narrow ^ sign_bit) - sign_bit if sign_bit else narrow
