"""Walking the protobuf wire format over a buffer without copying what is not asked for.

A message is a run of fields, each a tag (field number and wire type) followed by a payload. Payloads of
the length-delimited type are handed out as a pair of offsets, so a gigabyte of weights costs one addition
and, on a memory map, touches no page. See https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import TypeAlias

__all__ = [
    "FIXED32",
    "FIXED64",
    "LENGTH",
    "VARINT",
    "Buffer",
    "WireError",
    "fields",
    "int32_of",
    "int64_of",
    "packed_varints",
    "release",
    "text",
]

Buffer: TypeAlias = bytes | mmap.mmap
"""What is walked: whole files are mapped, tests and zoo models are plain bytes."""

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Wire types; a tag is ``number << 3 | wire type``."""

MAX_TEXT_BYTES = 1 << 16
"""Longest name that is read."""

MAX_FIELDS = 1 << 22
"""Most fields of one message that are walked: bounds time on hostile files."""

_MAX_VARINT_BYTES = 10


class WireError(Exception):
    """The bytes are not what the format promises.

    Attributes:
        what: What is wrong.
        offset: Byte offset in the buffer.
        place: The innermost named thing that was being read ("" until a reader adds it).
    """

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(what)
        self.what = what
        self.offset = offset
        self.place = ""

    def within(self, place: str) -> WireError:
        """Name the thing that was being read, unless an inner one is named already."""
        self.place = self.place or place
        return self


def _varint(buffer: Buffer, position: int, end: int) -> tuple[int, int]:
    """Read one varint; return its unsigned 64-bit value and the offset behind it."""
    value = shift = 0
    start = position
    while position < end:
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
        shift += 7
        if position - start >= _MAX_VARINT_BYTES:
            raise WireError("a number runs over more than 10 bytes", start)
    raise WireError("the data end within a number", start)


def release(buffer: Buffer) -> None:
    """Let go of the pages of a mapped file that were touched so far; they come back when needed.

    The system maps up to some megabytes around every byte that is looked at, which would add up to the size
    of the weights even though none of them is read.
    """
    if isinstance(buffer, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        buffer.madvise(mmap.MADV_DONTNEED)


def fields(buffer: Buffer, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield ``(tag, a, b)`` for every field of the message in ``buffer[start:end]``.

    For a varint, ``a`` is the unsigned 64-bit value and ``b`` the offset behind it; for every other wire
    type ``a`` and ``b`` are the offsets of the payload's start and end.

    Raises:
        WireError: If a length runs past ``end``, a number is malformed, a wire type is unknown, the
            obsolete groups occur, or there are more than ``MAX_FIELDS`` fields.
    """
    position = start
    count = 0
    while position < end:
        tag_start = position
        tag = buffer[position]
        position += 1
        if tag >= 0x80:
            tag, position = _varint(buffer, tag_start, end)
        wire_type = tag & 7
        if wire_type == LENGTH:
            if position >= end:
                raise WireError("the data end where a length should be", position)
            size = buffer[position]
            position += 1
            if size >= 0x80:
                size, position = _varint(buffer, position - 1, end)
            stop = position + size
            if stop > end:
                raise WireError(
                    f"a field declares {size} bytes where only {end - position} are left "
                    "(the file is truncated or damaged)",
                    tag_start,
                )
            yield tag, position, stop
            position = stop
        elif wire_type == VARINT:
            if position >= end:
                raise WireError("the data end where a number should be", position)
            value = buffer[position]
            position += 1
            if value >= 0x80:
                value, position = _varint(buffer, position - 1, end)
            yield tag, value, position
        elif wire_type in (FIXED32, FIXED64):
            stop = position + (4 if wire_type == FIXED32 else 8)
            if stop > end:
                raise WireError("the data end within a number", position)
            yield tag, position, stop
            position = stop
        else:
            raise WireError(f"wire type {wire_type} is not used by ONNX", tag_start)
        if tag < 8:
            raise WireError("a field has number 0", tag_start)
        count += 1
        if count > MAX_FIELDS:
            raise WireError(f"a message has more than {MAX_FIELDS} fields", tag_start)


def packed_varints(buffer: Buffer, start: int, end: int, limit: int = 1 << 24) -> list[int]:
    """Decode a packed run of varints into unsigned 64-bit numbers; stop after ``limit`` of them.

    Raises:
        WireError: If a number is malformed.
    """
    values: list[int] = []
    position = start
    while position < end and len(values) < limit:
        value = buffer[position]
        position += 1
        if value >= 0x80:
            value, position = _varint(buffer, position - 1, end)
        values.append(value)
    return values


def int64_of(value: int) -> int:
    """Two's complement of an unsigned 64-bit number."""
    return value - (1 << 64) if value >> 63 else value


def int32_of(value: int) -> int:
    """Two's complement of the low 32 bits, as protobuf reads an int32."""
    value &= 0xFFFF_FFFF
    return value - (1 << 32) if value >> 31 else value


def text(buffer: Buffer, start: int, end: int) -> str:
    """Decode a name.

    Control characters and other unprintable ones come out as backslash escapes, so that a name never breaks
    the line or the terminal that it is shown on.

    Raises:
        WireError: If it is longer than ``MAX_TEXT_BYTES`` or not UTF-8.
    """
    if end - start > MAX_TEXT_BYTES:
        raise WireError(f"a name has {end - start} bytes (at most {MAX_TEXT_BYTES} are read)", start)
    try:
        name = buffer[start:end].decode()
    except UnicodeDecodeError:
        raise WireError("a name is not valid UTF-8", start) from None
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
