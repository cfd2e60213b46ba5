"""Reading graphs and their nodes."""

from __future__ import annotations

from pathlib import Path
from sys import intern

from layerweaver.frontend.reader.attribute import (
    CONSTANT_ITEMS,
    ITEM_CHARACTERS,
    VALUE_ITEMS,
    AttributeReader,
)
from layerweaver.frontend.reader.model import Attribute, OnnxGraph, OnnxNode, TensorData, ValueInfo
from layerweaver.frontend.reader.tensor import read_sparse_tensor
from layerweaver.frontend.reader.types import read_value_info
from layerweaver.frontend.reader.wire import LENGTH, Buffer, WireError, fields, release, text

__all__ = ["GraphReader", "normal_domain", "overloaded"]

MAX_GRAPH_DEPTH = 32
MAX_NODES = 2_000_000

_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OP = (number << 3 | LENGTH for number in (1, 2, 3, 4))
_NODE_ATTRIBUTE, _NODE_DOMAIN, _NODE_OVERLOAD = (number << 3 | LENGTH for number in (5, 7, 8))

_GRAPH_NODE, _GRAPH_NAME, _GRAPH_INITIALIZER = (number << 3 | LENGTH for number in (1, 2, 5))
_GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE = (number << 3 | LENGTH for number in (11, 12, 13))
_GRAPH_SPARSE = 15 << 3 | LENGTH
_RELEASE_BYTES = 1 << 24


def normal_domain(domain: str) -> str:
    """The default domain's long name and its short one are the same."""
    return "" if domain == "ai.onnx" else domain


class GraphReader(AttributeReader):
    """Reads the graphs and functions of one file, with everything in them."""

    def __init__(self, buffer: Buffer, folder: Path | None) -> None:
        super().__init__(buffer, folder)
        self._nodes = 0
        self._depth = 0
        self._released = 0

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
            if b - self._released > _RELEASE_BYTES:
                release(buffer)
                self._released = b
            if tag == _GRAPH_NODE:
                nodes.append(self.node(a, b, len(nodes)))
            elif tag == _GRAPH_INITIALIZER:
                tensor = self.tensor(a, b)
                initializers[tensor.name] = tensor
            elif tag == _GRAPH_VALUE:
                info = self.value_info(a, b)
                value_infos[info.name] = info
            elif tag == _GRAPH_INPUT:
                inputs.append(self.value_info(a, b))
            elif tag == _GRAPH_OUTPUT:
                outputs.append(self.value_info(a, b))
            elif tag == _GRAPH_SPARSE:
                tensor = read_sparse_tensor(buffer, a, b)
                self.spend(CONSTANT_ITEMS + len(tensor.name) // ITEM_CHARACTERS, a)
                initializers[tensor.name] = tensor
            elif tag == _GRAPH_NAME:
                name = text(buffer, a, b)
            elif tag >> 3 in (1, 5, 11, 12, 13, 15):
                raise WireError(f"field {tag >> 3} of a graph has wire type {tag & 7}", a)
        self._depth -= 1
        return OnnxGraph(name, tuple(nodes), tuple(inputs), tuple(outputs), initializers, value_infos)

    def value_info(self, start: int, end: int) -> ValueInfo:
        """Read a ValueInfoProto.

        Raises:
            WireError: If the bytes are malformed or a bound is exceeded.
        """
        info = read_value_info(self._buffer, start, end)
        self.spend(VALUE_ITEMS + (end - start) // ITEM_CHARACTERS, start)
        return info

    def node(self, start: int, end: int, index: int) -> OnnxNode:
        """Read a NodeProto; ``index`` is its place in its graph, for messages.

        Raises:
            WireError: If the bytes are malformed, no operator is named, or a bound is exceeded.
        """
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
                    key, value = self.attribute(a, b)
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
        characters = len(name) + sum(map(len, inputs)) + sum(map(len, outputs))
        self.spend(1 + len(inputs) + len(outputs) + len(attributes) + characters // ITEM_CHARACTERS, start)
        return OnnxNode(
            overloaded(op_type, overload), domain, name, tuple(inputs), tuple(outputs), attributes
        )


def overloaded(name: str, overload: str) -> str:
    """Operator name by which an overload of a model-local function is called."""
    return f"{name}:{overload}" if overload else name
