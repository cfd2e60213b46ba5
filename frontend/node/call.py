"""The view of one node that a rule for shapes gets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from layerweaver.frontend.node.values import (
    Array,
    Info,
    ShapeConflictError,
    UnknownShapeError,
    integers,
)
from layerweaver.frontend.reader.model import Attribute, OnnxNode, TensorData
from layerweaver.ir.dtypes import DType

__all__ = ["Call"]


class Call:
    """One node with what is known of its inputs.

    Attributes:
        node: The node as the file has it.
        op: Its operator.
        attributes: Its attributes.
        inputs: What is known of each input; None for an absent one.
        opset: Version of the node's domain that is in force.
        notes: Warnings that the rule wants to give, without the node's name.
    """

    __slots__ = ("attributes", "inputs", "node", "notes", "op", "opset")

    def __init__(self, node: OnnxNode, inputs: Sequence[Info | None], opset: int) -> None:
        self.node = node
        self.op = node.op_type
        self.attributes: Mapping[str, Attribute] = node.attributes
        self.inputs = inputs
        self.opset = opset
        self.notes: list[str] = []

    @property
    def output_count(self) -> int:
        """Number of outputs that the node names."""
        return len(self.node.outputs)

    def has(self, index: int) -> bool:
        """Whether input ``index`` is present."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def info(self, index: int) -> Info:
        """Input ``index``.

        Raises:
            ShapeConflictError: It is absent though the operator needs it.
        """
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise ShapeConflictError(f"input {index} is missing")
        return found

    def shape(self, index: int) -> tuple[int, ...]:
        """Shape of input ``index``.

        Raises:
            UnknownShapeError: It is not known.
        """
        found = self.info(index)
        if found.shape is None:
            raise UnknownShapeError(f"the shape of its input {found.name} is unknown")
        return found.shape

    def dtype(self, index: int) -> DType:
        """Element type of input ``index``."""
        return self.info(index).dtype

    def value(self, index: int) -> Array | None:
        """Value of input ``index`` when it is present and known."""
        found = self.inputs[index] if index < len(self.inputs) else None
        return None if found is None else found.value

    def integers(self, index: int) -> list[int]:
        """Elements of input ``index``, which the shape of the result depends on.

        Raises:
            UnknownShapeError: The value depends on the data.
        """
        found = self.info(index)
        if found.value is None:
            raise UnknownShapeError(f"the value of its input {found.name} depends on data")
        return integers(found.value)

    def integer(self, name: str, default: int) -> int:
        """Integer attribute ``name``."""
        found = self.attributes.get(name, default)
        return int(found) if isinstance(found, int | float) else default

    def real(self, name: str, default: float) -> float:
        """Real attribute ``name``."""
        found = self.attributes.get(name, default)
        return float(found) if isinstance(found, int | float) else default

    def text(self, name: str, default: str) -> str:
        """Text attribute ``name``."""
        found = self.attributes.get(name, default)
        if isinstance(found, bytes):
            return found.decode("utf-8", "replace")
        return found if isinstance(found, str) else default

    def integer_list(self, name: str) -> list[int] | None:
        """Integer-list attribute ``name``; None when absent."""
        found = self.attributes.get(name)
        if found is None:
            return None
        if isinstance(found, int):
            return [found]
        if isinstance(found, tuple) and all(isinstance(item, int) for item in found):
            return [item for item in found if isinstance(item, int)]
        raise ShapeConflictError(f"attribute {name} is not a list of integers")

    def tensor(self, name: str) -> TensorData | None:
        """Tensor attribute ``name``; None when absent."""
        found = self.attributes.get(name)
        return found if isinstance(found, TensorData) else None

    def integers_of(self, name: str, index: int) -> list[int] | None:
        """What was an attribute in old versions and is an input in new ones; None when neither is there."""
        if self.has(index):
            return self.integers(index)
        return self.integer_list(name)

    def axis(self, axis: int, rank: int) -> int:
        """``axis`` counted from the front.

        Raises:
            ShapeConflictError: It is out of range.
        """
        if not -rank <= axis < rank:
            raise ShapeConflictError(f"axis {axis} is out of range for {rank} axes")
        return axis + rank if axis < 0 else axis

    def note(self, message: str) -> None:
        """Give a warning; the walker puts the node's name before it."""
        self.notes.append(message)

    def like(self, index: int) -> tuple[Info]:
        """One output of the type and shape of input ``index``."""
        found = self.info(index)
        return (Info(found.dtype, self.shape(index)),)

    def elements(self, index: int) -> int:
        """Number of elements of input ``index``."""
        return math.prod(self.shape(index))
