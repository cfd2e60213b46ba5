"""Values that loops carry from trip to trip, and what a loop's condition depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from layerweaver.frontend.node.values import Info, numpy_type
from layerweaver.frontend.reader.model import OnnxGraph, OnnxNode
from layerweaver.frontend.resolve.order import captured_names, execution_order, subgraphs
from layerweaver.ir.dtypes import DType

__all__ = [
    "SEQUENCE_LIMIT",
    "alike",
    "blurred",
    "condition_moves",
    "condition_slice",
    "copied",
    "grown",
    "hands_on_condition",
    "known_scalar",
    "passed_through",
]

SEQUENCE_LIMIT = 1 << 16
"""Longest sequence that a loop may build."""


def known_scalar(value: int, dtype: DType = DType.INT64) -> Info:
    """A scalar whose value is known."""
    info = Info(dtype, (), np.array(value, dtype=numpy_type(dtype)))
    info.constant = True
    return info


def copied(info: Info) -> Info:
    """A copy of ``info`` that can be changed."""
    return replace(info, slope=None)


def blurred(info: Info) -> Info:
    """``info`` as one trip of many sees it: the same shape, the value unknown."""
    copy = copied(info)
    copy.value = None
    copy.varying = True
    return copy


def alike(old: Info, new: Info) -> bool:
    """Whether a carried value comes out of a trip as it went in, or as a sequence that only grew."""
    if old.dtype != new.dtype and old.elements is None:
        return False
    if old.elements is None or new.elements is None:
        return old.elements is new.elements and old.shape == new.shape and old.shape is not None
    kept = len(old.elements)
    return new.elements[:kept] == old.elements


def grown(old: Info, new: Info, trips: int) -> Info:
    """What a carried value is after ``trips`` trips: a sequence that each trip lengthens grows with them."""
    if old.elements is None or new.elements is None or len(new.elements) == len(old.elements):
        return new
    added = new.elements[len(old.elements) :]
    longer = copied(new)
    longer.varying = False
    longer.elements = old.elements + added * min(trips, SEQUENCE_LIMIT)
    return longer


def passed_through(graph: OnnxGraph, lead: int, tail: int) -> frozenset[int]:
    """Carried values that the body hands on untouched."""
    source = {
        node.outputs[0]: node.inputs[0]
        for node in graph.nodes
        if node.op_type == "Identity" and len(node.inputs) == 1 and node.outputs
    }
    result = set()
    for place, value in enumerate(graph.outputs[tail : tail + len(graph.inputs) - lead]):
        name = value.name
        for _ in range(len(source) + 1):
            if name not in source:
                break
            name = source[name]
        if name == graph.inputs[lead + place].name:
            result.add(place)
    return frozenset(result)


def condition_moves(graph: OnnxGraph, lead: int, tail: int, source: str) -> bool:
    """Whether the body's condition depends on the counter or on a carried value."""
    _, needed = condition_slice(graph, lead, tail, source)
    return any(value.name in needed for place, value in enumerate(graph.inputs) if place != 1)


def hands_on_condition(graph: OnnxGraph, source: str) -> bool:
    """Whether the body of a Loop hands its condition on as it is, or a true one of its own."""
    nodes, needed = condition_slice(graph, 2, 1, source)
    made = {name for node in nodes for name in node.outputs}
    outside = needed - made
    own = [graph.initializers[name].values for name in outside if name in graph.initializers]
    true = all(value is not None and bool(np.all(value)) for value in own)
    known = outside <= {graph.inputs[1].name, *graph.initializers}
    return bool(outside) and known and true and all(node.op_type in ("Identity", "Cast") for node in nodes)


def condition_slice(
    graph: OnnxGraph, lead: int, tail: int, source: str
) -> tuple[Sequence[OnnxNode], set[str]]:
    """Nodes and names of the body that its condition depends on, through the carried values too."""
    makers = {output: node for node in graph.nodes for output in node.outputs if output}
    carried = {
        graph.inputs[lead + place].name: value.name
        for place, value in enumerate(graph.outputs[tail : tail + len(graph.inputs) - lead])
    }
    needed: set[str] = set()
    chosen: dict[int, OnnxNode] = {}
    stack = [graph.outputs[0].name]
    while stack:
        name = stack.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in carried:
            stack.append(carried[name])
        node = makers.get(name)
        if node is not None:
            chosen[id(node)] = node
            stack.extend(source for source in node.inputs if source)
            for nested in subgraphs(node):
                stack.extend(sorted(captured_names(nested)))
    ordered = [node for node in graph.nodes if id(node) in chosen]
    return execution_order(ordered, lambda name: name not in makers, source), needed
