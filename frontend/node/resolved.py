"""A model with everything bound: one flat list of nodes, every value with its shape.

This is what propagation hands to lowering: functions are inlined, branches chosen, loops counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from layerweaver.frontend.node.values import Info
from layerweaver.frontend.reader.model import OnnxNode
from layerweaver.ir.dtypes import DType

__all__ = ["ResolvedGraph", "ResolvedNode", "ResolvedValue", "resolved_value"]


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedValue:
    """A value of the flat graph.

    Attributes:
        name: Unique name (values of inlined bodies carry their scope).
        dtype: Element type (of the elements, for a sequence).
        shape: Extents, all known; for a sequence the shape of one element; None only when nothing could
            be found out (then a warning names the value).
        value: The value itself where it is small and follows from constants and shapes.
        constant: Whether it depends on constants and bound shapes only (a weight, a weight behind
            Transpose, Cast, ..., or shape arithmetic). What a matrix operator makes of constants is not
            constant: runtimes execute it, and so it is counted.
        batched: Whether its size grows with the batch: it depends on the values of the graph's inputs
            by more than their shapes.
        roots: For constants, the initializers (or outputs of Constant, or of ConstantOfShape with a
            constant shape) it was computed from; empty for what was made from shapes alone.
        upper_bound: Whether the shape is only an upper bound (NonZero, NonMaxSuppression, ...).
        sequence_length: Number of elements of a sequence; None for tensors.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...] | None
    value: NDArray[Any] | None = None
    constant: bool = False
    batched: bool = False
    roots: tuple[str, ...] = ()
    upper_bound: bool = False
    sequence_length: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedNode:
    """A node to be costed.

    Attributes:
        node: Operator, attributes, and *resolved* input and output names ("" for an absent one).
        opset: Version of the node's domain that is in force.
        repeats: How often it runs (loop trips); shapes are those of one run. Where shapes change from
            trip to trip, the loop is unrolled into separate nodes instead.
        folded: Whether its outputs are known from constants and shapes: nothing to run.

    Loops add nodes of their own that stand for joining what their trips put out: a ``Concat`` (or
    ``SequenceConstruct``) named ``<loop>/stack<i>`` without attributes, whose inputs are one copy of
    the body's output, or one per trip when unrolled.
    """

    node: OnnxNode
    opset: int
    repeats: int = 1
    folded: bool = False


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
    """

    source: str
    nodes: tuple[ResolvedNode, ...]
    values: Mapping[str, ResolvedValue]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    output_aliases: tuple[str, ...]
    batch: int
    warnings: tuple[str, ...]


def resolved_value(name: str, info: Info) -> ResolvedValue:
    """What is known of a value when the walk is over."""
    return ResolvedValue(
        name,
        info.dtype,
        info.shape,
        info.value,
        info.constant,
        info.batched,
        info.roots,
        info.upper,
        None if info.elements is None else len(info.elements),
    )
