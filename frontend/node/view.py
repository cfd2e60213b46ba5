"""The one view of a node, for its shape rule and for its work alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from layerweaver.frontend.node.values import (
    Array,
    Info,
    ShapeConflictError,
    UnknownShapeError,
    elements_of,
    integers,
)
from layerweaver.frontend.node.work import WeightRead
from layerweaver.frontend.reader.model import Attribute, OnnxNode, TensorData
from layerweaver.ir import BatchAxis, VectorCategory, VectorWork
from layerweaver.ir.dtypes import DType
from layerweaver.ir.text import counted

__all__ = ["Call", "axis_for"]


class Call:
    """One node with what is known of its inputs, and of its outputs once its shape rule has told them.

    Attributes:
        node: The node; its names are those of the flat graph when its work is asked for.
        op: Its operator.
        attributes: Its attributes.
        inputs: What is known of each input; None for an absent one.
        outputs: What is known of each output; None for one that is not asked for. Empty for a shape rule.
        opset: Version of the node's domain that is in force.
        notes: Warnings that the shape rule wants to give, each with the input whose value would tell.
        promised: What the file declares of each output, asked for by :meth:`declared`.
    """

    __slots__ = ("attributes", "inputs", "node", "notes", "op", "opset", "outputs", "promised")

    def __init__(
        self,
        node: OnnxNode,
        inputs: Sequence[Info | None],
        opset: int,
        outputs: Sequence[Info | None] = (),
    ) -> None:
        self.node = node
        self.op = node.op_type
        self.attributes: Mapping[str, Attribute] = node.attributes
        self.inputs = inputs
        self.outputs = outputs
        self.opset = opset
        self.notes: list[tuple[str, int | None]] = []
        self.promised: Callable[[str], Info] | None = None

    # Inputs.

    def has(self, index: int) -> bool:
        """Whether input ``index`` is present."""
        return 0 <= index < len(self.inputs) and self.inputs[index] is not None

    def info(self, index: int) -> Info:
        """Input ``index``.

        Raises:
            ShapeConflictError: It is absent though the operator needs it.
        """
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise ShapeConflictError(f"input {index} is missing")
        return found

    def shape(self, index: int, *, least_rank: int = 0) -> tuple[int, ...]:
        """Shape of input ``index``.

        Raises:
            UnknownShapeError: It is not known.
            ShapeConflictError: It has fewer than ``least_rank`` axes.
        """
        found = self.info(index)
        if found.shape is None:
            raise UnknownShapeError(f"the shape of its input {found.name} is unknown")
        return _ranked(found.shape, f"input {index}", least_rank)

    def elements(self, index: int) -> int:
        """Number of elements of input ``index`` (0 when it is missing or its shape is unknown)."""
        return elements_of(self.inputs[index]) if index < len(self.inputs) else 0

    def dtype(self, index: int) -> DType:
        """Element type of input ``index``."""
        return self.info(index).dtype

    def constant(self, index: int) -> bool:
        """Whether input ``index`` is present and depends on constants only."""
        found = self.inputs[index] if index < len(self.inputs) else None
        return found is not None and found.constant

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
            missing = found.cause if found.constant else None
            what = missing.what if missing else f"the value of its input {found.name} depends on data"
            raise UnknownShapeError(what, found)
        return integers(found.value)

    # Attributes.

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
        """Integer-list attribute ``name``; None when absent.

        Raises:
            ShapeConflictError: It is something else.
        """
        found = self.attributes.get(name)
        if found is None:
            return None
        if isinstance(found, int):
            return [found]
        if isinstance(found, TensorData) and found.dtype is DType.INT64 and found.values is not None:
            return [int(item) for item in found.values.tolist()]
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
            raise ShapeConflictError(f"axis {axis} is out of range for {counted(rank, 'axis', 'axes')}")
        return axis + rank if axis < 0 else axis

    # For shape rules.

    @property
    def output_count(self) -> int:
        """Number of outputs that the node names."""
        return len(self.node.outputs)

    def declared(self, index: int) -> Info:
        """What the file declares of output ``index``, for what inputs do not tell."""
        name = self.output_name(index)
        return self.promised(name) if name and self.promised else Info(DType.UNDEFINED, None)

    def note(self, message: str, *, of: int | None = None) -> None:
        """Give a warning; the walker puts the node's name before it.

        Args:
            message: What is assumed.
            of: The input whose value would tell; None when no input's would.
        """
        self.notes.append((message, of))

    # For work: outputs, pieces of work, parameters.

    def output(self, index: int = 0) -> Info:
        """Output ``index``.

        Raises:
            ShapeConflictError: It is not asked for though the operator needs it.
        """
        found = self.outputs[index] if index < len(self.outputs) else None
        if found is None:
            raise ShapeConflictError(f"output {index} is missing")
        return found

    def output_shape(self, index: int = 0, *, least_rank: int = 0) -> tuple[int, ...]:
        """Shape of output ``index``.

        Raises:
            UnknownShapeError: It is not known.
            ShapeConflictError: It has fewer than ``least_rank`` axes.
        """
        found = self.output(index)
        if found.shape is None:
            raise UnknownShapeError(f"the shape of its output {found.name} is unknown")
        return _ranked(found.shape, f"output {index}", least_rank)

    def output_elements(self, index: int = 0) -> int:
        """Number of elements of output ``index`` (0 when it is not asked for or its shape is unknown)."""
        return elements_of(self.outputs[index]) if index < len(self.outputs) else 0

    def output_name(self, index: int) -> str:
        """Name of output ``index``, "" when it is not asked for."""
        return self.node.outputs[index] if index < len(self.node.outputs) else ""

    def input_names(self, *indices: int) -> tuple[str, ...]:
        """Names of those inputs among ``indices`` that are present."""
        return tuple(self.node.inputs[index] for index in indices if self.has(index))

    @property
    def key(self) -> str:
        """Name of the first output: unlike the node's own name, unique in a graph."""
        return next((name for name in self.node.outputs if name), self.node.name)

    @property
    def batched(self) -> bool:
        """Whether any output grows with the batch."""
        return any(found is not None and found.batched for found in self.outputs)

    def vector(
        self,
        category: VectorCategory,
        elements: int,
        *,
        window: int = 1,
        operator: str | None = None,
    ) -> VectorWork:
        """Vector work of this node over ``elements`` elements."""
        return VectorWork(operator or self.op, category, elements, window, self.batched)

    def weights(self, *indices: int, role: str = "matrix") -> tuple[WeightRead, ...]:
        """The constants among inputs ``indices``, as parameters."""
        return tuple(WeightRead(self.node.inputs[index], role) for index in indices if self.constant(index))


def _ranked(shape: tuple[int, ...], what: str, least_rank: int) -> tuple[int, ...]:
    if len(shape) < least_rank:
        raise ShapeConflictError(
            f"{what} has shape {list(shape)}", accepted=f"a rank of at least {least_rank} is needed"
        )
    return shape


def axis_for(batched: bool, axis: BatchAxis = BatchAxis.M) -> BatchAxis:
    """``axis`` for work that grows with the batch, else none."""
    return axis if batched else BatchAxis.NONE
