"""Caches that are not named as such: inputs that new rows are joined to and that only attention reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from layerweaver.frontend.node.resolved import ResolvedGraph
from layerweaver.frontend.reader.model import OnnxNode

__all__ = ["grown_caches", "is_longer", "stacked_caches"]

_VIEWS = frozenset(("Identity", "Cast", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Transpose"))
_GROWING = frozenset(("Concat", "ScatterND", "ScatterElements", "TensorScatter"))
_TO_ATTENTION = _VIEWS | {"Expand", "Tile", "Mul", "Div", "Slice", "Split", "Gather", "Concat"}
_PRODUCTS = frozenset(("MatMul", "Einsum", "Gemm", "FusedMatMul", "Attention", "MultiHeadAttention"))
_MOVES = _VIEWS | {"Concat", "Gather", "Slice", "Split"}
_LONGEST = 12
"""Most nodes between a cache and the product that reads it."""


def grown_caches(graph: ResolvedGraph) -> Iterator[tuple[str, str]]:
    """Graph inputs that are caches, each with the output that it is fed from; "" when there is none.

    An input counts when it has three axes or more, a Concat or a scatter (behind views) alone reads it,
    before the new rows, and the result is an operand of a product of two activations. It is fed from the
    result where that is a graph output, else from the new rows where those are. An input also counts, whoever
    reads the result, when an output is as large a part of the result: a window that moves on.
    """
    makers, readers = _neighbours(graph)
    outputs = set(graph.outputs)
    for name in graph.inputs:
        shape = graph.values[name].shape
        if shape is None or len(shape) < 3:
            continue
        last, concat = _only_concat(name, readers)
        if concat is None:
            continue
        moved = next(_moved(concat.outputs[0], shape, graph, readers), "")
        if moved:
            yield name, moved
        if moved or not _reaches_product(concat.outputs[0], graph, readers):
            continue
        result = next(_forward(concat.outputs[0], readers, outputs), "")
        rows = [operand for operand in concat.inputs if operand and operand != last]
        if not result and len(rows) == 1 and concat.op_type == "Concat":
            result = next(_backward(rows[0], makers, readers, outputs), "")
        yield name, result


def stacked_caches(graph: ResolvedGraph) -> Iterator[tuple[str, str]]:
    """Graph inputs that hold the caches of several layers, each with the output that it is fed from.

    Such an input has four axes or more, products of two activations read parts of it, and an output that is
    longer in one axis has its elements, moved only.
    """
    makers, readers = _neighbours(graph)
    for output in graph.outputs:
        if (shape := graph.values[output].shape) is None or len(shape) < 4:
            continue
        for name in sorted(_moved_from(output, makers) & set(graph.inputs)):
            before = graph.values[name].shape
            if before is not None and is_longer(before, shape) and _reaches_product(name, graph, readers):
                yield name, output


def is_longer(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Whether a shape is another one that has grown in one axis."""
    if len(before) != len(after):
        return False
    return [old < new for old, new in zip(before, after, strict=True) if old != new] == [True]


def _neighbours(graph: ResolvedGraph) -> tuple[dict[str, OnnxNode], dict[str, list[OnnxNode]]]:
    """The node that makes each value, and those that read it."""
    makers: dict[str, OnnxNode] = {}
    readers: dict[str, list[OnnxNode]] = {}
    for resolved in graph.nodes:
        for name in resolved.node.inputs:
            readers.setdefault(name, []).append(resolved.node)
        for name in resolved.node.outputs:
            makers[name] = resolved.node
    return makers, readers


def _moved_from(output: str, makers: Mapping[str, OnnxNode]) -> set[str]:
    """Everything whose elements are in ``output``, moved only."""
    waiting, seen = [output], {output}
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.op_type not in _MOVES:
            continue
        for name in node.inputs if node.op_type == "Concat" else node.inputs[:1]:
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return seen


def _only_concat(name: str, readers: Mapping[str, list[OnnxNode]]) -> tuple[str, OnnxNode | None]:
    """The name under which a Concat reads ``name``, and that Concat; None when something else reads it."""
    for _ in range(_LONGEST):
        found = [node for node in readers.get(name, []) if node.op_type not in ("Shape", "Size")]
        if len(found) != 1:
            return name, None
        if found[0].op_type in _GROWING:
            return name, found[0] if found[0].inputs[0] == name else None
        if found[0].op_type not in _VIEWS or found[0].inputs[0] != name:
            return name, None
        name = found[0].outputs[0]
    return name, None


def _moved(
    joined: str, shape: tuple[int, ...], graph: ResolvedGraph, readers: Mapping[str, list[OnnxNode]]
) -> Iterator[str]:
    """Graph outputs that are parts of ``joined`` of the given shape."""
    for node in readers.get(joined, []):
        if node.op_type == "Slice" and node.inputs[0] == joined:
            outputs = _forward(node.outputs[0], readers, set(graph.outputs))
            yield from (name for name in outputs if graph.values[name].shape == shape)


def _forward(
    name: str, readers: Mapping[str, list[OnnxNode]], outputs: set[str], depth: int = 0
) -> Iterator[str]:
    """Graph outputs that are ``name`` or views of it."""
    if name in outputs:
        yield name
    if depth < _LONGEST:
        for node in readers.get(name, []):
            if node.op_type in _VIEWS and node.inputs[0] == name:
                yield from _forward(node.outputs[0], readers, outputs, depth + 1)


def _backward(
    name: str, makers: Mapping[str, OnnxNode], readers: Mapping[str, list[OnnxNode]], outputs: set[str]
) -> Iterator[str]:
    """Graph outputs that hold the same rows as ``name``."""
    for _ in range(_LONGEST):
        yield from _forward(name, readers, outputs)
        node = makers.get(name)
        if node is None or node.op_type not in _VIEWS:
            return
        name = node.inputs[0]


def _reaches_product(start: str, graph: ResolvedGraph, readers: Mapping[str, list[OnnxNode]]) -> bool:
    """Whether ``start`` becomes an operand of a product of two activations."""
    waiting, seen = [(start, 0)], {start}
    while waiting:
        name, depth = waiting.pop()
        for node in readers.get(name, []):
            if node.op_type in _PRODUCTS:
                if not any(
                    graph.values[other].constant for other in node.inputs[:2] if other in graph.values
                ):
                    return True
            elif node.op_type in _TO_ATTENTION and depth < _LONGEST:
                fresh = [output for output in node.outputs if output not in seen]
                seen.update(fresh)
                waiting.extend((output, depth + 1) for output in fresh)
    return False
