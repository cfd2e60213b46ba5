"""Reading ValueInfoProto and TypeProto: declared types of values."""

from __future__ import annotations

from dataclasses import replace

from layerweaver.frontend.reader.model import ValueInfo
from layerweaver.frontend.reader.tensor import ONNX_TYPES
from layerweaver.frontend.reader.wire import (
    LENGTH,
    VARINT,
    Buffer,
    WireError,
    fields,
    int32_of,
    int64_of,
    text,
)
from layerweaver.ir.dtypes import DType
from layerweaver.ir.limits import MAX_RANK

__all__ = ["read_type", "read_value_info"]

MAX_TYPE_DEPTH = 16

_NAME, _TYPE = 1 << 3 | LENGTH, 2 << 3 | LENGTH
_TENSOR, _SEQUENCE, _MAP = 1 << 3 | LENGTH, 4 << 3 | LENGTH, 5 << 3 | LENGTH
_OPAQUE, _SPARSE, _OPTIONAL = 7 << 3 | LENGTH, 8 << 3 | LENGTH, 9 << 3 | LENGTH
_ELEMENT_TYPE, _SHAPE, _INNER = 1 << 3 | VARINT, 2 << 3 | LENGTH, 1 << 3 | LENGTH
_MAP_VALUE = 2 << 3 | LENGTH
_DIM = 1 << 3 | LENGTH
_DIM_VALUE, _DIM_PARAM = 1 << 3 | VARINT, 2 << 3 | LENGTH
_UNTYPED = ValueInfo("", DType.UNDEFINED, None)


def read_value_info(buffer: Buffer, start: int, end: int) -> ValueInfo:
    """Read a ValueInfoProto; without a type it is a tensor of unknown type and rank.

    Raises:
        WireError: If the bytes are malformed or the type is nested too deeply.
    """
    name = ""
    declared = _UNTYPED
    for tag, a, b in fields(buffer, start, end):
        if tag == _NAME:
            name = text(buffer, a, b)
        elif tag == _TYPE:
            declared = read_type(buffer, a, b)
    return ValueInfo(name, declared.dtype, declared.shape, declared.container)


def read_type(buffer: Buffer, start: int, end: int, depth: int = 0) -> ValueInfo:
    """Read a TypeProto as a nameless :class:`ValueInfo`.

    Raises:
        WireError: If the bytes are malformed or the type is nested more than 16 deep.
    """
    if depth > MAX_TYPE_DEPTH:
        raise WireError(f"a type is nested more than {MAX_TYPE_DEPTH} deep", start)
    declared = _UNTYPED
    for tag, a, b in fields(buffer, start, end):
        if tag == _TENSOR:
            declared = _read_tensor_type(buffer, a, b)
        elif tag == _SPARSE:
            declared = replace(_read_tensor_type(buffer, a, b), container="sparse")
        elif tag in (_SEQUENCE, _OPTIONAL, _MAP):
            declared = _read_container(buffer, tag, a, b, depth)
        elif tag == _OPAQUE:
            declared = replace(_UNTYPED, container="opaque")
    return declared


def _read_container(buffer: Buffer, kind: int, start: int, end: int, depth: int) -> ValueInfo:
    element = _UNTYPED
    element_tag = _MAP_VALUE if kind == _MAP else _INNER
    for tag, a, b in fields(buffer, start, end):
        if tag == element_tag:
            element = read_type(buffer, a, b, depth + 1)
    if kind == _MAP:
        return replace(element, shape=None, container="map")
    if kind == _SEQUENCE:
        return replace(element, container="sequence")
    return element if element.container != "tensor" else replace(element, container="optional")


def _read_tensor_type(buffer: Buffer, start: int, end: int) -> ValueInfo:
    dtype = DType.UNDEFINED
    shape: tuple[int | str | None, ...] | None = None
    for tag, a, b in fields(buffer, start, end):
        if tag == _ELEMENT_TYPE:
            dtype = ONNX_TYPES.get(int32_of(a), DType.UNDEFINED)
        elif tag == _SHAPE:
            shape = _read_shape(buffer, a, b)
    return ValueInfo("", dtype, shape)


def _read_shape(buffer: Buffer, start: int, end: int) -> tuple[int | str | None, ...]:
    shape: list[int | str | None] = []
    for tag, a, b in fields(buffer, start, end):
        if tag == _DIM:
            shape.append(_read_dim(buffer, a, b))
            if len(shape) > MAX_RANK:
                raise WireError(f"a type has more than {MAX_RANK} axes", start)
    return tuple(shape)


def _read_dim(buffer: Buffer, start: int, end: int) -> int | str | None:
    dim: int | str | None = None
    for tag, a, b in fields(buffer, start, end):
        if tag == _DIM_VALUE:
            value = int64_of(a)
            dim = value if value >= 0 else None
        elif tag == _DIM_PARAM:
            dim = text(buffer, a, b) or None
    return dim
