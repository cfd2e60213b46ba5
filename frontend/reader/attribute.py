"""Reading attributes: numbers, texts, tensors and types, and graphs where these are nested in nodes."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from pathlib import Path
from sys import intern
from typing import Any

from layerweaver.frontend.reader.long_list import read_long_list
from layerweaver.frontend.reader.model import Attribute, AttributeReference, OnnxGraph, TensorData
from layerweaver.frontend.reader.tensor import read_sparse_tensor, read_tensor
from layerweaver.frontend.reader.types import read_type
from layerweaver.frontend.reader.wire import (
    FIXED32,
    LENGTH,
    VARINT,
    Buffer,
    WireError,
    fields,
    int64_of,
    packed_varints,
    text,
)

__all__ = ["CONSTANT_ITEMS", "ITEM_CHARACTERS", "VALUE_ITEMS", "AttributeReader"]

MAX_ITEMS = 8_000_000
"""Most nodes, names, attributes and list elements of a whole file, together; a declared value counts as four,
a constant as six, its values as four more, and 32 characters as one."""
MAX_INDEX_BYTES = 1 << 26
"""Bytes of long lists of indices and masks of a whole file whose values are read."""
MAX_VALUE_BYTES = 1 << 27
"""Bytes of all constants of a whole file whose values are read; those of further ones are left out."""
MAX_LIST_BYTES = 3 << 27
"""Bytes that all long lists of attributes of a whole file may take."""

_NAME, _STRING, _REFERENCE = (number << 3 | LENGTH for number in (1, 4, 21))
_REAL, _INTEGER, _TYPE = 2 << 3 | FIXED32, 3 << 3 | VARINT, 20 << 3 | VARINT

# AttributeProto.AttributeType to the field that holds such a value.
_SCALARS = {1: 2, 2: 3, 3: 4, 4: 5, 5: 6, 11: 22, 13: 14}
_LISTS = {6: 7, 7: 8, 8: 9, 9: 10, 10: 11, 12: 23, 14: 15}
_LIST_FIELDS = frozenset(_LISTS.values())
_VALUE_FIELDS = _LIST_FIELDS | frozenset(_SCALARS.values())
_EMPTY_SCALARS: dict[int, Attribute] = {2: 0.0, 3: 0, 4: ""}
_FLOAT = struct.Struct("<f")
VALUE_ITEMS, CONSTANT_ITEMS, ITEM_CHARACTERS = 4, 6, 32
_CACHED_BYTES, _CACHED_ATTRIBUTES = 256, 4096
_LONG_BYTES = 1 << 16


class AttributeReader(ABC):
    """Reads attributes and constants of one file and keeps count of what it has read.

    Args:
        buffer: The file.
        folder: Where external data may lie (None: nowhere).
    """

    def __init__(self, buffer: Buffer, folder: Path | None) -> None:
        self._buffer = buffer
        self._folder = folder
        self._items = 0
        self._index_bytes = self._value_bytes = self._list_bytes = 0
        self._attributes: dict[bytes, tuple[str, Attribute]] = {}

    @abstractmethod
    def graph(self, start: int, end: int) -> OnnxGraph:
        """Read a GraphProto."""

    def spend(self, items: int, offset: int) -> None:
        """Count what has been read against ``MAX_ITEMS``.

        Raises:
            WireError: If the file holds more.
        """
        self._items += items
        if self._items > MAX_ITEMS:
            raise WireError(f"the model has more than {MAX_ITEMS} names, types and numbers", offset)

    def tensor(self, start: int, end: int) -> TensorData:
        """Read a TensorProto, with its values as long as there is room for them.

        Raises:
            WireError: As :func:`read_tensor`, or if a bound is exceeded.
        """
        indices, values = self._index_bytes < MAX_INDEX_BYTES, self._value_bytes < MAX_VALUE_BYTES
        tensor = read_tensor(self._buffer, start, end, self._folder, indices=indices, values=values)
        items = CONSTANT_ITEMS + (len(tensor.name) + len(tensor.missing)) // ITEM_CHARACTERS
        if tensor.values is not None:
            items += VALUE_ITEMS
            self._value_bytes += tensor.values.nbytes
            self._index_bytes += tensor.values.nbytes if tensor.values.nbytes > _LONG_BYTES else 0
        self.spend(items, start)
        return tensor

    def attribute(self, start: int, end: int) -> tuple[str, Attribute]:
        """Name and value of an AttributeProto.

        Short ones repeat from node to node (strides, axes) and are decoded once.

        Raises:
            WireError: If the bytes are malformed or the attribute lacks a name or a value.
        """
        if end - start > _CACHED_BYTES:
            if end - start > _LONG_BYTES and self._is_list(start, end):
                return self._long_list(start, end)
            return self._decode_attribute(start, end)
        raw = self._buffer[start:end]
        known = self._attributes.get(raw)
        if known is None:
            known = self._decode_attribute(start, end)
            if len(self._attributes) < _CACHED_ATTRIBUTES and not isinstance(known[1], OnnxGraph):
                self._attributes[raw] = known
        return known

    def _is_list(self, start: int, end: int) -> bool:
        """Whether an attribute is a list of numbers or texts, by its first value."""
        for tag, _, _ in fields(self._buffer, start, end):
            if tag >> 3 in _VALUE_FIELDS:
                return tag >> 3 in (7, 8, 9)
        return False

    def _long_list(self, start: int, end: int) -> tuple[str, Attribute]:
        """A list of very many numbers or texts, counted against the room for such."""
        found = read_long_list(self._buffer, start, end)
        if found is None:
            return self._decode_attribute(start, end)  # says what is wrong
        name, values, size_bytes = found
        self.spend((end - start) // _LONG_BYTES, start)
        self._list_bytes += size_bytes
        if self._list_bytes > MAX_LIST_BYTES:
            raise WireError(f"the lists of all attributes take more than {MAX_LIST_BYTES} bytes", start)
        return name, values

    def _decode_attribute(self, start: int, end: int) -> tuple[str, Attribute]:
        buffer = self._buffer
        name = reference = ""
        declared = 0
        found = 0
        scalars: dict[int, Attribute] = {}
        lists: dict[int, list[Any]] = {}
        for tag, a, b in fields(buffer, start, end):
            number = tag >> 3
            if tag == _NAME:
                name = intern(text(buffer, a, b))
            elif tag == _TYPE:
                declared = a
            elif tag == _INTEGER:
                scalars[3] = int64_of(a)
                found = 3
            elif number in _LIST_FIELDS:
                values = self._elements(number, tag & 7, a, b)
                self.spend(len(values), a)
                lists.setdefault(number, []).extend(values)
                found = number
            elif number in _VALUE_FIELDS:
                scalars[number] = self._scalar(tag, a, b)
                found = number
            elif tag == _REFERENCE:
                reference = text(buffer, a, b)
        if not name:
            raise WireError("an attribute has no name", start)
        if reference:
            return name, AttributeReference(reference)
        number = _SCALARS.get(declared) or _LISTS.get(declared) or found
        if number in _LIST_FIELDS:
            return name, tuple(lists.get(number, ()))
        value = scalars.get(number, _EMPTY_SCALARS.get(number))
        if value is None:
            raise WireError(f"attribute '{name}' has no value", start)
        return name, value

    def _scalar(self, tag: int, a: int, b: int) -> Attribute:
        buffer = self._buffer
        number = tag >> 3
        if tag == _REAL:
            value: float = _FLOAT.unpack(buffer[a:b])[0]
            return value
        if tag == _STRING:
            self.spend((b - a) // ITEM_CHARACTERS, a)
            raw = buffer[a:b]
            try:
                return raw.decode()
            except UnicodeDecodeError:
                return raw
        if tag & 7 != LENGTH:
            raise WireError(f"field {number} of an attribute has wire type {tag & 7}", a)
        if number == 5:
            return self.tensor(a, b)
        if number == 6:
            return self.graph(a, b)
        if number == 22:
            return read_sparse_tensor(buffer, a, b)
        return read_type(buffer, a, b)

    def _elements(self, number: int, wire_type: int, a: int, b: int) -> list[Any]:
        """Elements of one occurrence of a list field."""
        buffer = self._buffer
        if number == 8 and wire_type == VARINT:
            return [int64_of(a)]
        if number == 7 and wire_type == FIXED32:
            return list(_FLOAT.unpack(buffer[a:b]))
        if wire_type != LENGTH:
            raise WireError(f"field {number} of an attribute has wire type {wire_type}", a)
        match number:
            case 7:
                if (b - a) % 4:
                    raise WireError("a list of numbers is cut", a)
                self.spend((b - a) // 4, a)
                return list(struct.unpack(f"<{(b - a) // 4}f", buffer[a:b]))
            case 8:
                self.spend((b - a) // 10, a)
                return [int64_of(value) for value in packed_varints(buffer, a, b)]
            case 9:
                self.spend((b - a) // ITEM_CHARACTERS, a)
                return [buffer[a:b].decode(errors="backslashreplace")]
            case 10:
                return [self.tensor(a, b)]
            case 11:
                return [self.graph(a, b)]
            case 23:
                return [read_sparse_tensor(buffer, a, b)]
            case _:
                return [read_type(buffer, a, b)]
