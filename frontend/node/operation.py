"""What an operator function sees of a node."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from layerweaver.frontend.node.resolved import ResolvedNode, ResolvedValue
from layerweaver.frontend.node.work import FREE, Free, GatherRead, Lowered, Step, View, WeightRead
from layerweaver.frontend.reader.model import OnnxGraph
from layerweaver.ir import BatchAxis, ModelError, VectorCategory, VectorWork

__all__ = [
    "FREE",
    "Free",
    "GatherRead",
    "Lowered",
    "Operation",
    "Step",
    "UnknownShapeError",
    "View",
    "WeightRead",
    "axis_for",
    "elements_of",
]


class Operation:
    """One node with its resolved operands, as the operator functions see it.

    Args:
        resolved: The node.
        values: All values of the graph.
        source: Model, for messages.
        name: Name of the node, for messages.
    """

    __slots__ = ("name", "node", "opset", "repeats", "source", "values")

    def __init__(
        self, resolved: ResolvedNode, values: Mapping[str, ResolvedValue], source: str, name: str
    ) -> None:
        self.node = resolved.node
        self.opset = resolved.opset
        self.repeats = resolved.repeats
        self.values = values
        self.source = source
        self.name = name

    @property
    def operator(self) -> str:
        """ONNX operator type."""
        return self.node.op_type

    def error(self, what: str, accepted: str = "") -> ModelError:
        """A :class:`ModelError` that names the model, the node and its operator."""
        return ModelError(
            what, where=f"{self.source}: node {self.name!r} ({self.operator})", accepted=accepted
        )

    @property
    def key(self) -> str:
        """Name of the first result: unlike the node's own name, unique in a graph."""
        return next((name for name in self.node.outputs if name), self.name)

    # Operands and results.

    def has_input(self, index: int) -> bool:
        """Whether operand ``index`` is given."""
        return index < len(self.node.inputs) and self.node.inputs[index] != ""

    def input_name(self, index: int) -> str:
        """Resolved name of operand ``index``.

        Raises:
            ModelError: If the operand is missing.
        """
        if not self.has_input(index):
            raise self.error(f"operand {index} is missing")
        return self.node.inputs[index]

    def input(self, index: int) -> ResolvedValue:
        """Operand ``index``.

        Raises:
            ModelError: If the operand is missing or nobody defines it.
        """
        name = self.input_name(index)
        value = self.values.get(name)
        if value is None:
            raise self.error(f"operand {name!r} is not defined")
        return value

    def has_output(self, index: int) -> bool:
        """Whether result ``index`` is asked for."""
        return index < len(self.node.outputs) and self.node.outputs[index] != ""

    def output(self, index: int = 0) -> ResolvedValue:
        """Result ``index``.

        Raises:
            ModelError: If the result is missing.
        """
        if not self.has_output(index):
            raise self.error(f"result {index} is missing")
        value = self.values.get(self.node.outputs[index])
        if value is None:
            raise self.error(f"result {self.node.outputs[index]!r} has no type")
        return value

    def shape(self, index: int, *, least_rank: int = 0) -> tuple[int, ...]:
        """Shape of operand ``index``.

        Raises:
            ModelError: If it is unknown or has fewer than ``least_rank`` axes.
        """
        return self._checked(self.input(index), f"operand {index}", least_rank)

    def output_shape(self, index: int = 0, *, least_rank: int = 0) -> tuple[int, ...]:
        """Shape of result ``index``.

        Raises:
            ModelError: If it is unknown or has fewer than ``least_rank`` axes.
        """
        return self._checked(self.output(index), f"result {index}", least_rank)

    def _checked(self, value: ResolvedValue, what: str, least_rank: int) -> tuple[int, ...]:
        if value.shape is None:
            raise UnknownShapeError(
                f"the shape of {what}, {value.name!r}, is unknown",
                where=f"{self.source}: node {self.name!r} ({self.operator})",
                accepted="bind the model's inputs with --shape or --dim",
            )
        if len(value.shape) < least_rank:
            raise self.error(
                f"{what}, {value.name!r}, has shape {list(value.shape)}",
                accepted=f"a rank of at least {least_rank} is needed",
            )
        return value.shape

    def elements(self, index: int) -> int:
        """Number of elements of operand ``index`` (0 when it is missing or its shape is unknown)."""
        if not self.has_input(index):
            return 0
        value = self.values.get(self.node.inputs[index])
        return elements_of(value) if value is not None else 0

    def output_elements(self, index: int = 0) -> int:
        """Number of elements of result ``index`` (0 when it is missing or its shape is unknown)."""
        if not self.has_output(index):
            return 0
        value = self.values.get(self.node.outputs[index])
        return elements_of(value) if value is not None else 0

    def constant(self, index: int) -> bool:
        """Whether operand ``index`` is given and depends on constants only."""
        if not self.has_input(index):
            return False
        value = self.values.get(self.node.inputs[index])
        return value is not None and value.constant

    def value(self, index: int) -> NDArray[Any] | None:
        """The values of operand ``index`` where they are known."""
        if not self.has_input(index):
            return None
        operand = self.values.get(self.node.inputs[index])
        return operand.value if operand is not None else None

    @property
    def batched(self) -> bool:
        """Whether any result grows with the batch."""
        values = self.values
        return any(name != "" and name in values and values[name].batched for name in self.node.outputs)

    # Attributes.

    def integer(self, name: str, default: int) -> int:
        """Integer attribute ``name``."""
        value = self.node.attributes.get(name, default)
        return int(value) if isinstance(value, (int, float)) else default

    def text(self, name: str, default: str) -> str:
        """Text attribute ``name``."""
        value = self.node.attributes.get(name, default)
        return value if isinstance(value, str) else default

    def integers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Attribute ``name``, a list of integers."""
        value = self.node.attributes.get(name)
        if not isinstance(value, tuple) or not all(isinstance(entry, int) for entry in value):
            return default
        return tuple(int(entry) for entry in value if isinstance(entry, int))

    def graph(self, name: str) -> OnnxGraph | None:
        """Attribute ``name``, a graph."""
        value = self.node.attributes.get(name)
        return value if isinstance(value, OnnxGraph) else None

    # Work.

    def vector(
        self,
        category: VectorCategory,
        elements: int,
        *,
        window: int = 1,
        operator: str | None = None,
        batched: bool | None = None,
    ) -> VectorWork:
        """Vector work of this node over ``elements`` elements."""
        return VectorWork(
            operator or self.operator,
            category,
            elements,
            window,
            self.batched if batched is None else batched,
        )

    def weights(self, *indices: int, role: str = "matrix") -> tuple[WeightRead, ...]:
        """The constants among operands ``indices``, as parameters."""
        return tuple(WeightRead(self.node.inputs[index], role) for index in indices if self.constant(index))


class UnknownShapeError(ModelError):
    """A shape that work depends on could not be found out."""


def elements_of(value: ResolvedValue) -> int:
    """Number of elements of a value, of all elements of a sequence; 0 when its shape is unknown."""
    if value.shape is None:
        return 0
    return math.prod(value.shape) * (1 if value.sequence_length is None else value.sequence_length)


def axis_for(batched: bool, axis: BatchAxis = BatchAxis.M) -> BatchAxis:
    """``axis`` for work that grows with the batch, else none."""
    return axis if batched else BatchAxis.NONE
