"""Reading attributes that are lists of very many numbers or texts: the nodes of a forest."""

from __future__ import annotations

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from layerweaver.frontend.reader.model import TensorData
from layerweaver.frontend.reader.wire import LENGTH, MAX_FIELDS, Buffer, WireError, fields
from layerweaver.ir.dtypes import DType

__all__ = ["MAX_BYTES", "MAX_NUMBERS", "MAX_TEXTS", "read_long_list"]

MAX_BYTES = 1 << 26
"""Bytes of one attribute in the file."""
MAX_NUMBERS = 1 << 24
"""Numbers of one attribute."""
MAX_TEXTS = 1 << 20
"""Different texts of one attribute."""

_FLOATS, _INTS, _STRINGS = 7, 8, 9
_TEXT = bytes([_STRINGS << 3 | LENGTH])
_TEXT_BYTES = 64


def read_long_list(
    buffer: Buffer, start: int, end: int
) -> tuple[str, TensorData | tuple[str, ...], int] | None:
    """Name and elements of an AttributeProto, numbers as an array, and the bytes that they take in memory.

    It holds nothing nested, so the protobuf library takes a few bytes for each of the file's.

    Returns:
        None if it is damaged.

    Raises:
        WireError: If it is too long.
    """
    if end - start > MAX_BYTES:
        raise WireError(f"an attribute has {end - start} bytes (at most {MAX_BYTES} are read)", start)
    raw = buffer[start:end]
    # No more texts than bytes that could begin one, no more numbers than bytes that could end one.
    if raw.count(_TEXT) > MAX_FIELDS or _ends(raw) > MAX_NUMBERS:
        _check_count(buffer, start, end)
    try:
        proto = onnx.AttributeProto.FromString(raw)
    except DecodeError:
        return None
    if proto.strings:
        known: dict[bytes, str] = {}
        for each in proto.strings:
            if each not in known:
                if len(known) == MAX_TEXTS:
                    raise WireError(f"an attribute has more than {MAX_TEXTS} different texts", start)
                known[each] = each.decode(errors="backslashreplace")
        texts = tuple(map(known.__getitem__, proto.strings))
        return proto.name, texts, 8 * len(texts) + sum(_TEXT_BYTES + 4 * len(text) for text in known.values())
    floats = bool(proto.floats)
    kind, numbers = (np.float32, proto.floats) if floats else (np.int64, proto.ints)
    values = np.fromiter(numbers, kind, len(numbers))  # np.array would make a list of them first
    dtype = DType.FLOAT32 if floats else DType.INT64
    return proto.name, TensorData(proto.name, dtype, values.shape, values), values.nbytes


def _check_count(buffer: Buffer, start: int, end: int) -> None:
    """Refuse more numbers than are read; as many texts are more fields than are walked."""
    numbers = 0
    for tag, a, b in fields(buffer, start, end):
        packed = tag & 7 == LENGTH
        if tag >> 3 == _FLOATS:
            numbers += (b - a) // 4 if packed else 1
        elif tag >> 3 == _INTS:
            numbers += _ends(buffer[a:b]) if packed else 1
    if numbers > MAX_NUMBERS:
        raise WireError(f"an attribute has {numbers} numbers (at most {MAX_NUMBERS} are read)", start)


def _ends(raw: bytes) -> int:
    """Bytes that end a number of variable length."""
    return int(np.count_nonzero(np.frombuffer(raw, np.uint8) < 0x80))
