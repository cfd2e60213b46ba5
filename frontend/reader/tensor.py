"""Reading TensorProto and SparseTensorProto: extents and types always, values only of small constants."""

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
from layerweaver.frontend.reader.model import INDEX_LIMIT, MATERIALIZE_LIMIT, TensorData
from layerweaver.frontend.reader.wire import (
    FIXED32,
    FIXED64,
    LENGTH,
    VARINT,
    Buffer,
    WireError,
    fields,
    int32_of,
    int64_of,
    packed_varints,
    text,
)
from layerweaver.ir.dtypes import DType, packed_bytes
from layerweaver.ir.limits import MAX_RANK, MAX_SHAPE_ELEMENTS

__all__ = ["ONNX_TYPES", "read_sparse_tensor", "read_tensor"]

ONNX_TYPES: dict[int, DType] = {
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
    27: DType.FLOAT6E2M3,
    28: DType.FLOAT6E3M2,
}
"""TensorProto.DataType to element type. Numbers of later versions read as UNDEFINED."""

_NUMPY_RANK = 32

_DATA_TYPE = 2 << 3 | VARINT
_NAME = 8 << 3 | LENGTH
_RAW_DATA = 9 << 3 | LENGTH
_EXTERNAL_ENTRY = 13 << 3 | LENGTH
_LOCATION = 14 << 3 | VARINT
_EXTERNAL = 1
_FLOAT_DATA, _INT32_DATA, _STRING_DATA, _INT64_DATA, _DOUBLE_DATA, _UINT64_DATA = 4, 5, 6, 7, 10, 11
_TYPED_FIELDS = (_FLOAT_DATA, _INT32_DATA, _INT64_DATA, _DOUBLE_DATA, _UINT64_DATA)
_SPARSE_VALUES, _SPARSE_INDICES = 1 << 3 | LENGTH, 2 << 3 | LENGTH


def _dims(buffer: Buffer, tag: int, a: int, b: int, limit: int) -> list[int]:
    """At most ``limit`` numbers of one ``repeated int64`` field, packed or not."""
    if tag & 7 == VARINT:
        return [int64_of(a)][:limit]
    return [int64_of(value) for value in packed_varints(buffer, a, b, limit)]


def _checked_extents(dims: list[int], offset: int) -> tuple[int, ...]:
    """Extents of a constant, which must be given, not negative and not absurd.

    Raises:
        WireError: If the rank is over 64, an extent is negative, or there are more than 2**50 elements.
    """
    if len(dims) > MAX_RANK:
        raise WireError(f"a tensor has more than {MAX_RANK} axes", offset)
    if any(dim < 0 for dim in dims):
        raise WireError(f"a tensor has the negative extent {min(dims)}", offset)
    if prod(dim for dim in dims if dim) > MAX_SHAPE_ELEMENTS:
        raise WireError(f"a tensor has the extents {dims}: more than 2**50 elements", offset)
    return tuple(dims)


@dataclass(slots=True)
class _Payload:
    """Where a tensor's values are: spans of the buffer by field number, or a file of their own."""

    offset: int
    raw: tuple[int, int] | None = None
    spans: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)
    external: bool = False
    entries: dict[str, str] = field(default_factory=dict)


def read_tensor(
    buffer: Buffer,
    start: int,
    end: int,
    folder: Path | None = None,
    *,
    indices: bool = True,
    values: bool = True,
) -> TensorData:
    """Read a TensorProto; values come along where there are few, or indices.

    Args:
        buffer: The file.
        start: Offset of the message.
        end: Offset behind it.
        folder: Where external data may lie; only small constants are looked up, and only inside it.
        indices: Whether there is room for long lists of indices.
        values: Whether there is room for values at all.

    Raises:
        WireError: If extents are absurd or the payload does not match them.
    """
    name = ""
    code = 0
    dims: list[int] = []
    payload = _Payload(start)
    for tag, a, b in fields(buffer, start, end):
        number = tag >> 3
        if number == 1:
            dims += _dims(buffer, tag, a, b, MAX_RANK + 1 - len(dims))
        elif tag == _DATA_TYPE:
            code = int32_of(a)
        elif tag == _NAME:
            name = text(buffer, a, b)
        elif tag == _RAW_DATA:
            payload.raw = (a, b)
        elif number in _TYPED_FIELDS:
            spans = payload.spans.setdefault(number, [])
            if len(spans) <= INDEX_LIMIT:
                spans.append((tag, a, b))
        elif tag == _EXTERNAL_ENTRY:
            key, value = _entry(buffer, a, b)
            payload.entries[key] = value
        elif tag == _LOCATION:
            payload.external = a == _EXTERNAL
    try:
        shape = _checked_extents(dims, start)
        dtype = ONNX_TYPES.get(code, DType.UNDEFINED)
        limit = 0 if not values else _limit(dtype) if indices else MATERIALIZE_LIMIT
        read = _values(buffer, dtype, shape, payload, folder=folder, limit=limit)
        lost = payload.external and read is None and prod(shape) <= limit
        return TensorData(name, dtype, shape, read, payload.entries.get("location", "") if lost else "")
    except WireError as error:
        raise error.within(f"tensor '{name}'") from None


def read_sparse_tensor(buffer: Buffer, start: int, end: int) -> TensorData:
    """Read a SparseTensorProto as a constant of its dense extents, without values.

    Raises:
        WireError: As :func:`read_tensor`.
    """
    values: TensorData | None = None
    dims: list[int] = []
    for tag, a, b in fields(buffer, start, end):
        if tag == _SPARSE_VALUES:
            values = read_tensor(buffer, a, b)
        elif tag >> 3 == 3:
            dims += _dims(buffer, tag, a, b, MAX_RANK + 1 - len(dims))
    if values is None:
        raise WireError("a sparse tensor has no values", start)
    return TensorData(values.name, values.dtype, _checked_extents(dims, start))


def _entry(buffer: Buffer, start: int, end: int) -> tuple[str, str]:
    """Key and value of a StringStringEntryProto."""
    pair = ["", ""]
    for tag, a, b in fields(buffer, start, end):
        if tag in (1 << 3 | LENGTH, 2 << 3 | LENGTH):
            pair[(tag >> 3) - 1] = text(buffer, a, b)
    return pair[0], pair[1]


def _limit(dtype: DType) -> int:
    """Most elements of a constant whose values are read."""
    return INDEX_LIMIT if dtype in (DType.INT64, DType.INT32, DType.BOOL) else MATERIALIZE_LIMIT


def _values(
    buffer: Buffer,
    dtype: DType,
    shape: tuple[int, ...],
    payload: _Payload,
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


def _from_typed(buffer: Buffer, dtype: DType, shape: tuple[int, ...], payload: _Payload) -> NDArray[Any]:
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
        raise WireError(f"extents {list(shape)} promise {elements} values, but there are more", offset)
    entries: list[Any] = []
    for tag, a, b in spans:
        entries += _numbers(buffer, number, tag, a, b)
    if len(entries) != expected:
        raise WireError(
            f"extents {list(shape)} promise {expected} entries, but there are {len(entries)}", offset
        )
    if number in (_FLOAT_DATA, _DOUBLE_DATA):
        kind = np.dtype(np.float32 if number == _FLOAT_DATA else np.float64)
        return np.array(entries, kind).view(NUMPY_TYPES[dtype]).reshape(shape)
    unsigned = np.array(entries, np.uint64)
    if number == _INT32_DATA and dtype not in NUMPY_TYPES:
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
            return (_FLOAT_DATA,)
        case DType.FLOAT64 | DType.COMPLEX128:
            return (_DOUBLE_DATA,)
        case DType.INT64:
            return (_INT64_DATA,)
        case DType.UINT32 | DType.UINT64:
            return (_UINT64_DATA,)
        case _:
            return (_INT32_DATA,)


def _numbers(buffer: Buffer, number: int, tag: int, a: int, b: int) -> list[Any]:
    """Numbers of one occurrence of a typed field: unsigned integers or floats."""
    wire_type = tag & 7
    if number in (_INT32_DATA, _INT64_DATA, _UINT64_DATA):
        if wire_type == VARINT:
            return [a]
        if wire_type == LENGTH:
            return list(packed_varints(buffer, a, b))
    size = 4 if number == _FLOAT_DATA else 8
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
