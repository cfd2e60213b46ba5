"""A model with everything bound: one flat list of nodes, every value with its shape.

This is what propagation hands to lowering: functions are inlined, branches chosen, loops counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from layerweaver.frontend.node.values import Info
from layerweaver.frontend.reader.model import OnnxNode

__all__ = ["ResolvedGraph", "ResolvedNode"]


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedNode:
    """A node to be costed.

    Attributes:
        node: Operator, attributes, and *resolved* input and output names ("" for an absent one).
        opset: Version of the node's domain that is in force.
        repeats: How often it runs (loop trips); shapes are those of one run.
        trips: How many trips of a loop it stands for besides, where extents grow by the ``slope`` of its
            values from each to the next; shapes are those of the last. Where they change otherwise, the loop
            is unrolled into separate nodes.
        folded: Whether its outputs are known from constants and shapes: nothing to run.

    Loops add nodes of their own that stand for joining what their trips put out: a ``Concat`` (or
    ``SequenceConstruct``) named ``<loop>/stack<i>`` without attributes, whose inputs are one copy of
    the body's output, or one per trip when unrolled.
    """

    node: OnnxNode
    opset: int
    repeats: int = 1
    folded: bool = False
    trips: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedGraph:
    """The flat, bound graph.

    Attributes:
        source: Path or zoo name, for messages.
        nodes: In execution order.
        values: Every value by resolved name.
        inputs: Names of the graph's real inputs (initializers that are also inputs are not among them).
        outputs: Names of the graph's outputs (resolved).
        output_aliases: The graph's own output names, in the same order.
        batch: Extent of the batch dimension.
        warnings: What had to be assumed, one sentence each, naming the node.
        lacking: Those of them that say why work is missing from the totals.
    """

    source: str
    nodes: tuple[ResolvedNode, ...]
    values: Mapping[str, Info]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    output_aliases: tuple[str, ...]
    batch: int
    warnings: tuple[str, ...]
    lacking: tuple[str, ...] = ()
