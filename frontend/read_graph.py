"""Reading graphs, nodes, attributes and functions, with the graphs nested in them."""

from __future__ import annotations

import struct
from pathlib import Path
from sys import intern
from typing import Any

from layerweaver.frontend.model import (
    Attribute,
    AttributeReference,
    OnnxFunction,
    OnnxGraph,
    OnnxNode,
    TensorData,
    ValueInfo,
)
from layerweaver.frontend.read_tensor import read_sparse_tensor, read_tensor
from layerweaver.frontend.read_types import read_type, read_value_info
from layerweaver.frontend.wire import (
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

__all__ = ["GraphReader", "normal_domain", "read_opset_import"]

MAX_GRAPH_DEPTH = 32
MAX_ITEMS = 8_000_000
"""Most nodes, names, attributes and list elements of a whole file, together."""
MAX_NODES = 2_000_000

_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OP = (number << 3 | LENGTH for number in (1, 2, 3, 4))
_NODE_ATTRIBUTE, _NODE_DOMAIN, _NODE_OVERLOAD = (number << 3 | LENGTH for number in (5, 7, 8))

_GRAPH_NODE, _GRAPH_NAME, _GRAPH_INITIALIZER = (number << 3 | LENGTH for number in (1, 2, 5))
_GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE = (number << 3 | LENGTH for number in (11, 12, 13))
_GRAPH_SPARSE = 15 << 3 | LENGTH

_ATTRIBUTE_NAME, _ATTRIBUTE_STRING, _ATTRIBUTE_REFERENCE = (number << 3 | LENGTH for number in (1, 4, 21))
_ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_TYPE = 2 << 3 | FIXED32, 3 << 3 | VARINT, 20 << 3 | VARINT

_FUNCTION_NAME, _FUNCTION_DOMAIN, _FUNCTION_OVERLOAD = (number << 3 | LENGTH for number in (1, 10, 13))
_FUNCTION_INPUT, _FUNCTION_OUTPUT, _FUNCTION_ATTRIBUTE = (number << 3 | LENGTH for number in (4, 5, 6))
_FUNCTION_DEFAULT, _FUNCTION_NODE, _FUNCTION_VALUE = (number << 3 | LENGTH for number in (11, 7, 12))
_FUNCTION_OPSET = 9 << 3 | LENGTH

_OPSET_DOMAIN, _OPSET_VERSION = 1 << 3 | LENGTH, 2 << 3 | VARINT

# AttributeProto.AttributeType to the field that holds such a value, and whether it is a list.
_FIELD_OF_TYPE: dict[int, tuple[int, bool]] = {
    1: (2, False),
    2: (3, False),
    3: (4, False),
    4: (5, False),
    5: (6, False),
    6: (7, True),
    7: (8, True),
    8: (9, True),
    9: (10, True),
    10: (11, True),
    11: (22, False),
    12: (23, True),
    13: (14, False),
    14: (15, True),
}
_VALUE_FIELDS = frozenset(field for field, _ in _FIELD_OF_TYPE.values())
_LIST_FIELDS = frozenset(field for field, many in _FIELD_OF_TYPE.values() if many)
_EMPTY_SCALARS: dict[int, Attribute] = {2: 0.0, 3: 0, 4: ""}
_FLOAT = struct.Struct("<f")


def normal_domain(domain: str) -> str:
    """The default domain's long name and its short one are the same."""
    return "" if domain == "ai.onnx" else domain


def read_opset_import(buffer: Buffer, start: int, end: int) -> tuple[str, int]:
    """Domain ("" for ai.onnx) and version of an OperatorSetIdProto.

    Raises:
        WireError: If the bytes are malformed or the version is absurd.
    """
    domain = ""
    version = 0
    for tag, a, b in fields(buffer, start, end):
        if tag == _OPSET_DOMAIN:
            domain = normal_domain(text(buffer, a, b))
        elif tag == _OPSET_VERSION:
            version = int64_of(a)
    if not 0 <= version < 1 << 31:
        raise WireError(f"operator set '{domain or 'ai.onnx'}' has version {version}", start)
    return domain, version


class GraphReader:
    """Reads the graphs and functions of one file and keeps count of what it has read.

    Args:
        buffer: The file.
        folder: Where external data may lie (None: nowhere).
    """

    def __init__(self, buffer: Buffer, folder: Path | None) -> None:
        self._buffer = buffer
        self._folder = folder
        self._nodes = 0
        self._items = 0
        self._depth = 0

    def graph(self, start: int, end: int) -> OnnxGraph:
        """Read a GraphProto.

        Raises:
            WireError: If the bytes are malformed or a bound is exceeded.
        """
        buffer = self._buffer
        self._depth += 1
        if self._depth > MAX_GRAPH_DEPTH:
            raise WireError(f"graphs are nested more than {MAX_GRAPH_DEPTH} deep", start)
        name = ""
        nodes: list[OnnxNode] = []
        inputs: list[ValueInfo] = []
        outputs: list[ValueInfo] = []
        initializers: dict[str, TensorData] = {}
        value_infos: dict[str, ValueInfo] = {}
        for tag, a, b in fields(buffer, start, end):
            if tag == _GRAPH_NODE:
                nodes.append(self._node(a, b, len(nodes)))
            elif tag == _GRAPH_INITIALIZER:
                self._spend(1, a)
                tensor = read_tensor(buffer, a, b, self._folder)
                initializers[tensor.name] = tensor
            elif tag == _GRAPH_VALUE:
                self._spend(1, a)
                info = read_value_info(buffer, a, b)
                value_infos[info.name] = info
            elif tag == _GRAPH_INPUT:
                self._spend(1, a)
                inputs.append(read_value_info(buffer, a, b))
            elif tag == _GRAPH_OUTPUT:
                self._spend(1, a)
                outputs.append(read_value_info(buffer, a, b))
            elif tag == _GRAPH_SPARSE:
                self._spend(1, a)
                tensor = read_sparse_tensor(buffer, a, b)
                initializers[tensor.name] = tensor
            elif tag == _GRAPH_NAME:
                name = text(buffer, a, b)
            elif tag >> 3 in (1, 5, 11, 12, 13, 15):
                raise WireError(f"field {tag >> 3} of a graph has wire type {tag & 7}", a)
        self._depth -= 1
        return OnnxGraph(name, tuple(nodes), tuple(inputs), tuple(outputs), initializers, value_infos)

    def function(self, start: int, end: int) -> OnnxFunction:
        """Read a FunctionProto.

        Raises:
            WireError: If the bytes are malformed or a bound is exceeded.
        """
        buffer = self._buffer
        names = {_FUNCTION_NAME: "", _FUNCTION_DOMAIN: "", _FUNCTION_OVERLOAD: ""}
        lists: dict[int, list[str]] = {_FUNCTION_INPUT: [], _FUNCTION_OUTPUT: [], _FUNCTION_ATTRIBUTE: []}
        defaults: dict[str, Attribute] = {}
        nodes: list[OnnxNode] = []
        opset_imports: dict[str, int] = {}
        value_infos: dict[str, ValueInfo] = {}
        for tag, a, b in fields(buffer, start, end):
            if tag == _FUNCTION_NODE:
                nodes.append(self._node(a, b, len(nodes)))
            elif tag in lists:
                self._spend(1, a)
                lists[tag].append(text(buffer, a, b))
            elif tag in names:
                names[tag] = text(buffer, a, b)
            elif tag == _FUNCTION_DEFAULT:
                key, value = self._attribute(a, b)
                defaults[key] = value
            elif tag == _FUNCTION_OPSET:
                domain, version = read_opset_import(buffer, a, b)
                opset_imports[domain] = version
            elif tag == _FUNCTION_VALUE:
                self._spend(1, a)
                info = read_value_info(buffer, a, b)
                value_infos[info.name] = info
        return OnnxFunction(
            domain=normal_domain(names[_FUNCTION_DOMAIN]),
            name=_overloaded(names[_FUNCTION_NAME], names[_FUNCTION_OVERLOAD]),
            inputs=tuple(lists[_FUNCTION_INPUT]),
            outputs=tuple(lists[_FUNCTION_OUTPUT]),
            attribute_names=tuple(lists[_FUNCTION_ATTRIBUTE]),
            attribute_defaults=defaults,
            nodes=tuple(nodes),
            opset_imports=opset_imports,
            value_infos=value_infos,
        )

    def _spend(self, items: int, offset: int) -> None:
        self._items += items
        if self._items > MAX_ITEMS:
            raise WireError(f"the model has more than {MAX_ITEMS} names, types and numbers", offset)

    def _node(self, start: int, end: int, index: int) -> OnnxNode:
        buffer = self._buffer
        inputs: list[str] = []
        outputs: list[str] = []
        attributes: dict[str, Attribute] = {}
        name = op_type = domain = overload = ""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise WireError(f"the model has more than {MAX_NODES} nodes", start)
        try:
            for tag, a, b in fields(buffer, start, end):
                if tag == _NODE_INPUT:
                    inputs.append(text(buffer, a, b))
                elif tag == _NODE_OUTPUT:
                    outputs.append(text(buffer, a, b))
                elif tag == _NODE_ATTRIBUTE:
                    key, value = self._attribute(a, b)
                    attributes[key] = value
                elif tag == _NODE_NAME:
                    name = text(buffer, a, b)
                elif tag == _NODE_OP:
                    op_type = intern(text(buffer, a, b))
                elif tag == _NODE_DOMAIN:
                    domain = intern(normal_domain(text(buffer, a, b)))
                elif tag == _NODE_OVERLOAD:
                    overload = text(buffer, a, b)
                elif tag >> 3 in (1, 2, 4, 5, 7):
                    raise WireError(f"field {tag >> 3} of a node has wire type {tag & 7}", a)
            if not op_type:
                raise WireError("a node names no operator", start)
        except WireError as error:
            raise error.within(f"node {index} {op_type} '{name}'") from None
        self._spend(1 + len(inputs) + len(outputs) + len(attributes), start)
        return OnnxNode(
            _overloaded(op_type, overload), domain, name, tuple(inputs), tuple(outputs), attributes
        )

    def _attribute(self, start: int, end: int) -> tuple[str, Attribute]:
        buffer = self._buffer
        name = reference = ""
        declared = 0
        found = 0
        scalars: dict[int, Attribute] = {}
        lists: dict[int, list[Any]] = {}
        for tag, a, b in fields(buffer, start, end):
            number = tag >> 3
            if tag == _ATTRIBUTE_NAME:
                name = intern(text(buffer, a, b))
            elif tag == _ATTRIBUTE_TYPE:
                declared = a
            elif tag == _ATTRIBUTE_INT:
                scalars[3] = int64_of(a)
                found = 3
            elif number in _LIST_FIELDS:
                values = self._elements(number, tag & 7, a, b)
                self._spend(len(values), a)
                lists.setdefault(number, []).extend(values)
                found = number
            elif number in _VALUE_FIELDS:
                scalars[number] = self._scalar(tag, a, b)
                found = number
            elif tag == _ATTRIBUTE_REFERENCE:
                reference = text(buffer, a, b)
        if not name:
            raise WireError("an attribute has no name", start)
        if reference:
            return name, AttributeReference(reference)
        number, many = _FIELD_OF_TYPE.get(declared, (found, found in _LIST_FIELDS))
        if many:
            return name, tuple(lists.get(number, ()))
        value = scalars.get(number, _EMPTY_SCALARS.get(number))
        if value is None:
            raise WireError(f"attribute '{name}' has no value", start)
        return name, value

    def _scalar(self, tag: int, a: int, b: int) -> Attribute:
        buffer = self._buffer
        number = tag >> 3
        if tag == _ATTRIBUTE_FLOAT:
            value: float = _FLOAT.unpack(buffer[a:b])[0]
            return value
        if tag == _ATTRIBUTE_STRING:
            raw = buffer[a:b]
            try:
                return raw.decode()
            except UnicodeDecodeError:
                return raw
        if tag & 7 != LENGTH:
            raise WireError(f"field {number} of an attribute has wire type {tag & 7}", a)
        if number == 5:
            return read_tensor(buffer, a, b, self._folder)
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
                self._spend((b - a) // 4, a)
                return list(struct.unpack(f"<{(b - a) // 4}f", buffer[a:b]))
            case 8:
                self._spend((b - a) // 10, a)
                return [int64_of(value) for value in packed_varints(buffer, a, b)]
            case 9:
                return [buffer[a:b].decode(errors="backslashreplace")]
            case 10:
                return [read_tensor(buffer, a, b, self._folder)]
            case 11:
                return [self.graph(a, b)]
            case 23:
                return [read_sparse_tensor(buffer, a, b)]
            case _:
                return [read_type(buffer, a, b)]


def _overloaded(name: str, overload: str) -> str:
    return f"{name}:{overload}" if overload else name
