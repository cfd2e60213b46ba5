"""Execution order of a graph's nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush

from layerweaver.frontend.reader.model import OnnxGraph, OnnxNode
from layerweaver.ir.errors import ModelError

__all__ = ["captured_names", "execution_order", "node_label", "subgraphs"]


def node_label(node: OnnxNode) -> str:
    """How messages name a node: its name, or its first output's, with its operator."""
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    return f"node {node.label} ({operator})" if node.label else f"an unnamed {operator} node"


def subgraphs(node: OnnxNode) -> list[OnnxGraph]:
    """Graphs among the node's attributes."""
    found: list[OnnxGraph] = []
    for attribute in node.attributes.values():
        if isinstance(attribute, OnnxGraph):
            found.append(attribute)
        elif isinstance(attribute, tuple):
            found.extend(item for item in attribute if isinstance(item, OnnxGraph))
    return found


def captured_names(graph: OnnxGraph) -> set[str]:
    """Names that ``graph`` takes from the scopes around it."""
    inner = set(graph.initializers)
    inner.update(value.name for value in graph.inputs)
    for node in graph.nodes:
        inner.update(node.outputs)
    used = {value.name for value in graph.outputs}
    for node in graph.nodes:
        used.update(node.inputs)
        for nested in subgraphs(node):
            used |= captured_names(nested)
    used -= inner
    used.discard("")
    return used


def _needs(node: OnnxNode) -> Iterable[str]:
    nested = subgraphs(node)
    if not nested:
        return node.inputs
    names = set(node.inputs)
    for graph in nested:
        names |= captured_names(graph)
    return sorted(names)


def execution_order(
    nodes: Sequence[OnnxNode], available: Callable[[str], object], source: str
) -> Sequence[OnnxNode]:
    """``nodes`` in an order in which every input is there before it is used.

    Args:
        nodes: In the order of the file, which is kept where it is an execution order.
        available: Tells whether a name exists before the first node (an input, an initializer, a value
            of a scope around); what it returns is taken as true or false.
        source: For messages.

    Raises:
        ModelError: A name is given twice, an input comes from nowhere, or the graph has a cycle.
    """
    made: dict[str, int] = {}
    ordered = True
    needs = [_needs(node) for node in nodes]
    for index, node in enumerate(nodes):
        for name in needs[index]:
            if name and name not in made and not available(name):
                ordered = False
        for name in node.outputs:
            if name:
                if name in made or available(name):
                    raise ModelError(
                        f"its output {name} is defined twice", where=f"{source}: {node_label(node)}"
                    )
                made[name] = index
    if ordered:
        return nodes
    waiting = [0] * len(nodes)
    users: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        for name in needs[index]:
            if not name or (name not in made and available(name)):
                continue
            if name not in made:
                raise ModelError(
                    f"its input {name} comes from no node, input or initializer",
                    where=f"{source}: {node_label(node)}",
                )
            users.setdefault(made[name], []).append(index)
            waiting[index] += 1
    ready = [index for index, count in enumerate(waiting) if count == 0]
    heapify(ready)
    order = []
    while ready:
        index = heappop(ready)
        order.append(nodes[index])
        for user in users.get(index, ()):
            waiting[user] -= 1
            if waiting[user] == 0:
                heappush(ready, user)
    if len(order) != len(nodes):
        stuck = next(index for index, count in enumerate(waiting) if count)
        raise ModelError(
            "the graph has a cycle through this node", where=f"{source}: {node_label(nodes[stuck])}"
        )
    return order
