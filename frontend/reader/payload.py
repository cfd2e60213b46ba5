"""The values of small constants: raw bytes, lists of numbers, or a file beside the model."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.frontend.reader.minifloat import NUMPY_TYPES, unpack_bits, widen
from layerweaver.frontend.reader.wire import (
    FIXED32,
    FIXED64,
    LENGTH,
    VARINT,
    Buffer,
    WireError,
    packed_varints,
)
from layerweaver.ir.dtypes import DType, packed_bytes
from layerweaver.ir.text import counted

__all__ = ["TYPED_FIELDS", "Payload", "values_of"]

_NUMPY_RANK = 32
FLOAT_DATA, INT32_DATA, INT64_DATA, DOUBLE_DATA, UINT64_DATA = 4, 5, 7, 10, 11
TYPED_FIELDS = (FLOAT_DATA, INT32_DATA, INT64_DATA, DOUBLE_DATA, UINT64_DATA)
"""Fields of numbers of one type each; their bytes otherwise stand in one field of raw data, or in a file."""


@dataclass(slots=True)
class Payload:
    """Where a tensor's values are: spans of the buffer by field number, or a file of their own."""

    offset: int
    raw: tuple[int, int] | None = None
    spans: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)
    external: bool = False
    entries: dict[str, str] = field(default_factory=dict)


def values_of(
    buffer: Buffer,
    dtype: DType,
    shape: tuple[int, ...],
    payload: Payload,
    *,
    folder: Path | None,
    limit: int,
) -> NDArray[Any] | None:
    """The values if the constant is small and they are there; checks the payload's length."""
    elements = prod(shape)
    if dtype in (DType.STRING, DType.UNDEFINED):
        return None
    expected_bytes = packed_bytes(elements, dtype.bits)
    small = elements <= limit and len(shape) <= _NUMPY_RANK
    if payload.external:
        raw = _external_bytes(payload.entries, expected_bytes, folder) if small else None
        return _from_raw(raw, dtype, shape) if raw is not None else None
    if payload.raw is not None and payload.raw[0] < payload.raw[1]:
        a, b = payload.raw
        if b - a != expected_bytes:
            raise WireError(f"extents {list(shape)} of {dtype} take {expected_bytes} bytes, not {b - a}", a)
        return _from_raw(buffer[a:b], dtype, shape) if small else None
    if elements == 0 and small:
        return _from_raw(b"", dtype, shape)
    if not small or not payload.spans:
        return None
    return _from_typed(buffer, dtype, shape, payload)


def _from_raw(raw: bytes, dtype: DType, shape: tuple[int, ...]) -> NDArray[Any]:
    """Values of raw_data: little endian, narrow types packed."""
    if dtype is DType.BOOL:
        return np.frombuffer(raw, np.uint8).astype(np.bool_).reshape(shape)
    if dtype in NUMPY_TYPES:
        kind = np.dtype(NUMPY_TYPES[dtype])
        return np.frombuffer(raw, kind).astype(kind.newbyteorder("=")).reshape(shape)
    if dtype is DType.BFLOAT16:
        codes: NDArray[Any] = np.frombuffer(raw, "<u2")
    elif dtype.bits == 8:
        codes = np.frombuffer(raw, np.uint8)
    else:
        codes = unpack_bits(raw, dtype.bits, prod(shape))
    return widen(codes, dtype).reshape(shape)


def _from_typed(buffer: Buffer, dtype: DType, shape: tuple[int, ...], payload: Payload) -> NDArray[Any]:
    """Values of float_data, int32_data, int64_data, double_data or uint64_data."""
    if len(payload.spans) > 1:
        raise WireError("a tensor has its values in two fields", payload.offset)
    ((number, spans),) = payload.spans.items()
    offset = payload.offset
    if number not in _fields_of(dtype):
        raise WireError(f"values of type {dtype} are in field {number} of the tensor", offset)
    elements = prod(shape)
    # Nibbles and crumbs: an int32_data entry holds one byte of the packed form.
    per_entry = 8 // dtype.bits if dtype.bits in (2, 4) else 1
    expected = elements * 2 if dtype in (DType.COMPLEX64, DType.COMPLEX128) else -(-elements // per_entry)
    if sum(b - a for tag, a, b in spans if tag & 7 == LENGTH) > 10 * expected:
        raise WireError(
            f"extents {list(shape)} promise {counted(elements, 'value')}, but there are more", offset
        )
    entries: list[Any] = []
    for tag, a, b in spans:
        entries += _numbers(buffer, number, tag, a, b)
    if len(entries) != expected:
        raise WireError(
            f"extents {list(shape)} promise {counted(expected, 'entry', 'entries')}, "
            f"but there are {len(entries)}",
            offset,
        )
    if number in (FLOAT_DATA, DOUBLE_DATA):
        kind = np.dtype(np.float32 if number == FLOAT_DATA else np.float64)
        return np.array(entries, kind).view(NUMPY_TYPES[dtype]).reshape(shape)
    unsigned = np.array(entries, np.uint64)
    if number == INT32_DATA and dtype not in NUMPY_TYPES:
        if dtype.bits in (2, 4):
            codes: NDArray[Any] = unpack_bits(unsigned.astype(np.uint8).tobytes(), dtype.bits, elements)
        else:
            codes = unsigned.astype(np.uint16 if dtype is DType.BFLOAT16 else np.uint8)
        return widen(codes, dtype).reshape(shape)
    if dtype is DType.FLOAT16:
        return unsigned.astype(np.uint16).view(np.float16).reshape(shape)
    return unsigned.astype(np.int64).astype(NUMPY_TYPES[dtype]).reshape(shape)


def _fields_of(dtype: DType) -> tuple[int, ...]:
    """The typed fields that may hold values of a type."""
    match dtype:
        case DType.FLOAT32 | DType.COMPLEX64:
            return (FLOAT_DATA,)
        case DType.FLOAT64 | DType.COMPLEX128:
            return (DOUBLE_DATA,)
        case DType.INT64:
            return (INT64_DATA,)
        case DType.UINT32 | DType.UINT64:
            return (UINT64_DATA,)
        case _:
            return (INT32_DATA,)


def _numbers(buffer: Buffer, number: int, tag: int, a: int, b: int) -> list[Any]:
    """Numbers of one occurrence of a typed field: unsigned integers or floats."""
    wire_type = tag & 7
    if number in (INT32_DATA, INT64_DATA, UINT64_DATA):
        if wire_type == VARINT:
            return [a]
        if wire_type == LENGTH:
            return list(packed_varints(buffer, a, b))
    size = 4 if number == FLOAT_DATA else 8
    scalar = FIXED32 if size == 4 else FIXED64
    if wire_type not in (LENGTH, scalar) or (b - a) % size:
        raise WireError("the values of a tensor are cut", a)
    return list(struct.unpack(f"<{(b - a) // size}{'f' if size == 4 else 'd'}", buffer[a:b]))


def _external_bytes(entries: dict[str, str], expected_bytes: int, folder: Path | None) -> bytes | None:
    """A small constant from its external file, or None if that is not to be had.

    Only a regular file inside the model's folder is opened; weights are never needed, so anything odd
    about the entry means "no values" and not an error.
    """
    location = entries.get("location", "")
    offset = entries.get("offset", "0")
    if folder is None or not location or "\0" in location or not offset.isdecimal() or len(offset) > 18:
        return None
    try:
        path = Path(os.path.realpath(folder / location))  # Path.resolve raises for links in a circle
        if not path.is_relative_to(os.path.realpath(folder)) or not path.is_file():
            return None
        with path.open("rb") as stream:
            stream.seek(int(offset))
            raw = stream.read(expected_bytes)
    except (OSError, ValueError):  # no file can be called that
        return None
    return raw if len(raw) == expected_bytes else None
