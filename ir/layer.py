"""What a schedulable layer is: the work it does and the tensors it touches.

A layer is what an NPU runs as one unit: a matrix, recurrent, gather, vector or move operation with
everything that is fused into it. Numbers here are counts (elements, multiply-accumulates); bytes depend
on an element type, which an NPU may override, and cycles belong to the cost model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from layerweaver.ir.dtypes import DType, packed_bytes

__all__ = [
    "BatchAxis",
    "ConvGeometry",
    "GatherWork",
    "Layer",
    "LayerKind",
    "MatrixWork",
    "TensorSpec",
    "VectorCategory",
    "VectorWork",
]


class LayerKind(StrEnum):
    """Which unit of the NPU a layer mainly uses."""

    MATRIX = "matrix"
    RECURRENT = "recurrent"
    GATHER = "gather"
    VECTOR = "vector"
    MOVE = "move"


class BatchAxis(StrEnum):
    """Which extent of a matrix product grows with the batch."""

    M = "m"
    N = "n"
    GROUPS = "groups"
    NONE = "none"


class VectorCategory(StrEnum):
    """What the vector unit has to do per element; the cost model prices each category."""

    ELEMENTWISE = "elementwise"
    TRANSCENDENTAL = "transcendental"
    SOFTMAX = "softmax"
    NORMALIZATION = "normalization"
    REDUCTION = "reduction"
    POOLING = "pooling"
    MOVE = "move"


def _scaled(count: int, new_batch: int, old_batch: int) -> int:
    return -(-count * new_batch // old_batch)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor by size.

    Attributes:
        name: The ONNX value name; views (Reshape, Identity, ...) carry the name of what they view.
        elements: Number of elements.
        dtype: Element type in the model.
        batched: Whether the element count grows with the batch.
    """

    name: str
    elements: int
    dtype: DType = DType.FLOAT32
    batched: bool = True

    def nbytes(self, bits: int | None = None) -> int:
        """Packed bytes; ``bits`` overrides the width of the model's own type."""
        return packed_bytes(self.elements, self.dtype.bits if bits is None else bits)

    def with_batch(self, new_batch: int, old_batch: int) -> TensorSpec:
        """The same tensor at another batch size."""
        if not self.batched:
            return self
        return replace(self, elements=_scaled(self.elements, new_batch, old_batch))


@dataclass(frozen=True, slots=True)
class ConvGeometry:
    """Spatial shape of a convolution, for mappings that need more than (M, N, K).

    Attributes:
        kernel: Kernel extent per spatial axis.
        strides: Stride per spatial axis.
        dilations: Dilation per spatial axis.
        input_size: Input extent per spatial axis, without padding.
        output_size: Output extent per spatial axis.
        in_channels: Input channels per group.
        out_channels: Output channels per group.
        transposed: Whether this is a transposed convolution.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    input_size: tuple[int, ...]
    output_size: tuple[int, ...]
    in_channels: int
    out_channels: int
    transposed: bool = False

    @property
    def kernel_area(self) -> int:
        """Number of kernel positions."""
        area = 1
        for extent in self.kernel:
            area *= extent
        return area


@dataclass(frozen=True, slots=True)
class MatrixWork:
    """``steps`` times ``groups`` independent products of (M x K) by (K x N).

    Attributes:
        groups: Independent products per step (convolution groups, batch x heads, directions).
        m: Rows of the left operand: output pixels x batch, tokens x batch, batch for a recurrent step.
        n: Columns of the right operand: output channels per group, gates x hidden.
        k: Inner extent: kernel area x input channels per group, input + hidden for a recurrent step.
        weights: True when one operand (K x N) is constant and fetched; False when both are activations.
        steps: Sequential repetitions that reuse the same weights (recurrent steps, loop trips).
        batch_axis: Which extent grows with the batch.
        conv: Geometry when the product is a convolution.
    """

    groups: int
    m: int
    n: int
    k: int
    weights: bool = True
    steps: int = 1
    batch_axis: BatchAxis = BatchAxis.M
    conv: ConvGeometry | None = None

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all products."""
        return self.steps * self.groups * self.m * self.n * self.k

    def with_batch(self, new_batch: int, old_batch: int) -> MatrixWork:
        """The same work at another batch size."""
        match self.batch_axis:
            case BatchAxis.M:
                return replace(self, m=_scaled(self.m, new_batch, old_batch))
            case BatchAxis.N:
                return replace(self, n=_scaled(self.n, new_batch, old_batch))
            case BatchAxis.GROUPS:
                return replace(self, groups=_scaled(self.groups, new_batch, old_batch))
            case BatchAxis.NONE:
                return self


@dataclass(frozen=True, slots=True)
class VectorWork:
    """Work of the vector unit.

    Attributes:
        operator: ONNX operator type that causes it.
        category: How the cost model prices an element.
        elements: Elements to process: outputs, or inputs for reductions and softmax.
        window: Operands per element (kernel area of a pooling layer, 1 elsewhere).
        batched: Whether the element count grows with the batch.
    """

    operator: str
    category: VectorCategory
    elements: int
    window: int = 1
    batched: bool = True

    def with_batch(self, new_batch: int, old_batch: int) -> VectorWork:
        """The same work at another batch size."""
        if not self.batched:
            return self
        return replace(self, elements=_scaled(self.elements, new_batch, old_batch))


@dataclass(frozen=True, slots=True)
class GatherWork:
    """Rows read from a constant table (an embedding), of which only the used rows are fetched.

    Attributes:
        table: The whole table, a parameter of the model.
        rows: The elements actually read, as a tensor.
    """

    table: TensorSpec
    rows: TensorSpec

    def with_batch(self, new_batch: int, old_batch: int) -> GatherWork:
        """The same lookup at another batch size (the table stays)."""
        return replace(self, rows=self.rows.with_batch(new_batch, old_batch))


def _rescale_tensors(tensors: Iterable[TensorSpec], new: int, old: int) -> tuple[TensorSpec, ...]:
    return tuple(tensor.with_batch(new, old) for tensor in tensors)


@dataclass(frozen=True, slots=True)
class Layer:
    """One schedulable layer with what is fused into it.

    Attributes:
        name: ONNX node name of the anchor, or its first output's name; unique in a graph.
        kind: Which unit it mainly uses.
        operators: ONNX operator types in execution order; that of a matrix, recurrent or gather layer's
            anchor comes first, before what was fused in front of it.
        nodes: Names of the ONNX nodes it stands for, in the order of ``operators``.
        inputs: Activations read (results of other layers, graph inputs), each once.
        outputs: Activations written, each once.
        matrix: Matrix products, for matrix and recurrent layers.
        vector: Vector work: the layer's own, or what is fused with its products.
        weights: Constants fetched: weights, biases, scales (gather tables are in ``gathers``).
        gathers: Table look-ups.
        state_reads: Graph inputs that carry state (KV cache, RNN state), always DRAM traffic.
        state_writes: Results that feed back as state, always DRAM traffic.
        role: What the layer is known as beyond its operators ("attention-projection", "attention-scores",
            "attention-context"), else empty.
        window: Tokens that its attention looks at, at most; 0 for all.
    """

    name: str
    kind: LayerKind
    operators: tuple[str, ...]
    nodes: tuple[str, ...] = ()
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    matrix: MatrixWork | None = None
    vector: tuple[VectorWork, ...] = ()
    weights: tuple[TensorSpec, ...] = ()
    gathers: tuple[GatherWork, ...] = ()
    state_reads: tuple[TensorSpec, ...] = ()
    state_writes: tuple[TensorSpec, ...] = ()
    role: str = ""
    window: int = 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates; bias and elementwise work is not counted."""
        return self.matrix.macs if self.matrix else 0

    @property
    def parameters(self) -> tuple[TensorSpec, ...]:
        """Every constant the layer refers to, gather tables whole."""
        return self.weights + tuple(gather.table for gather in self.gathers)

    def with_batch(self, new_batch: int, old_batch: int) -> Layer:
        """The same layer at another batch size: activations and work scale, weights do not."""
        return replace(
            self,
            inputs=_rescale_tensors(self.inputs, new_batch, old_batch),
            outputs=_rescale_tensors(self.outputs, new_batch, old_batch),
            matrix=self.matrix.with_batch(new_batch, old_batch) if self.matrix else None,
            vector=tuple(work.with_batch(new_batch, old_batch) for work in self.vector),
            gathers=tuple(gather.with_batch(new_batch, old_batch) for gather in self.gathers),
            state_reads=_rescale_tensors(self.state_reads, new_batch, old_batch),
            state_writes=_rescale_tensors(self.state_writes, new_batch, old_batch),
        )
