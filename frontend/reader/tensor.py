"""Reading TensorProto and SparseTensorProto: extents and types always, values only of small constants."""

from __future__ import annotations

from math import prod
from pathlib import Path

from layerweaver.frontend.reader.model import INDEX_LIMIT, MATERIALIZE_LIMIT, TensorData
from layerweaver.frontend.reader.payload import TYPED_FIELDS, Payload, values_of
from layerweaver.frontend.reader.wire import (
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
from layerweaver.ir.dtypes import DType
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

_DATA_TYPE = 2 << 3 | VARINT
_NAME = 8 << 3 | LENGTH
_RAW_DATA = 9 << 3 | LENGTH
_EXTERNAL_ENTRY = 13 << 3 | LENGTH
_LOCATION = 14 << 3 | VARINT
_EXTERNAL = 1
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
    payload = Payload(start)
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
        elif number in TYPED_FIELDS:
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
        read = values_of(buffer, dtype, shape, payload, folder=folder, limit=limit)
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
