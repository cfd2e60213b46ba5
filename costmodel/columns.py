"""A layer graph as columns: what the cost model reads of every layer, as arrays over layers.

Columns depend on the graph alone, so one set serves any number of NPU configs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.depths import layers_abreast
from layerweaver.costmodel.joins import joins_in_place
from layerweaver.ir import (
    ConvGeometry,
    Layer,
    LayerGraph,
    MatrixWork,
    ModelError,
    TensorSpec,
    VectorCategory,
)
from layerweaver.ir.limits import MAX_LAYER_ELEMENTS, MAX_MACS

__all__ = ["CATEGORIES", "CLIPS", "LayerColumns", "TensorColumns", "VectorColumns"]

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

CATEGORIES: tuple[VectorCategory, ...] = tuple(VectorCategory)
CLIPS = ("Relu", "LeakyRelu", "Clip")
"""Operators that only clip or scale by sign: output stages do them in passing."""
_CATEGORY_CODE = {category: code for code, category in enumerate(CATEGORIES)}


def _bounded(count: int, graph: LayerGraph, layer: Layer, what: str, limit: int = MAX_LAYER_ELEMENTS) -> int:
    if count > limit:
        raise ModelError(
            f"{what} count of {count:.3e} is beyond {limit:.3e}",
            where=f"{graph.name}: layer {layer.name!r}",
            accepted="give smaller dimensions",
        )
    return count


def _conv_reads(work: MatrixWork, conv: ConvGeometry) -> int:
    """Input elements that a convolution reads if it steps over its input by the stride, 0 if transposed."""
    if conv.transposed:
        return 0
    positions, outputs = 1, 1
    for axis, extent in enumerate(conv.output_size):
        stride = conv.strides[axis]
        reach = (extent - 1) * stride + conv.dilations[axis] * (conv.kernel[axis] - 1) + 1
        positions *= min(conv.input_size[axis], -(-reach // stride))
        outputs *= extent
    return min(MAX_LAYER_ELEMENTS, positions * (work.m // max(1, outputs)) * conv.in_channels * work.groups)


def _joined(graph: LayerGraph) -> IntArray:
    """Elements of concatenations without work of their own, at the layers that list them."""
    layers, joined = graph.layers, np.zeros(len(graph), dtype=np.int64)
    for index, outputs in joins_in_place(graph).items():
        joined[index] = max(
            min(sum(tensor.elements for tensor in layers[reader].inputs) for reader in readers)
            if readers
            else tensor.elements
            for tensor, readers in zip(layers[index].outputs, outputs, strict=True)
        )
    return joined


@dataclass(frozen=True, slots=True, eq=False)
class TensorColumns:
    """Tensors of one role (say, weights) of all layers, flat.

    Attributes:
        layer: Index of the layer that each tensor belongs to, ascending, shape (tensors,).
        elements: Elements, shape (tensors,).
        bits: Bits per element in the model's own type, shape (tensors,).
        layers: Number of layers.
    """

    layer: IntArray
    elements: IntArray
    bits: IntArray
    layers: int

    @classmethod
    def collect(cls, graph: LayerGraph, select: Callable[[Layer], Iterable[TensorSpec]], what: str) -> Self:
        """Collect ``select(layer)`` over all layers."""
        layer_index: list[int] = []
        elements: list[int] = []
        bits: list[int] = []
        for index, layer in enumerate(graph.layers):
            for tensor in select(layer):
                layer_index.append(index)
                elements.append(_bounded(tensor.elements, graph, layer, what))
                bits.append(tensor.dtype.bits)
        return cls(
            np.array(layer_index, dtype=np.int64),
            np.array(elements, dtype=np.int64),
            np.array(bits, dtype=np.int64),
            len(graph),
        )

    def tensor_bytes(self, bits: int | None) -> IntArray:
        """Packed bytes per tensor; ``bits`` overrides the model's own types."""
        width = self.bits if bits is None else bits
        return -((-self.elements * width) // 8)

    def per_layer(self, values: IntArray) -> IntArray:
        """Sum of ``values`` (one per tensor) over each layer, shape (layers,)."""
        total = np.zeros(self.layers, dtype=np.int64)
        np.add.at(total, self.layer, values)
        return total

    def first_of_layer(self, values: IntArray) -> IntArray:
        """The value of each layer's first tensor, 0 where it has none, shape (layers,)."""
        first = np.zeros(self.layers, dtype=np.int64)
        layers, positions = np.unique(self.layer, return_index=True)
        first[layers] = values[positions]
        return first


@dataclass(frozen=True, slots=True, eq=False)
class VectorColumns:
    """Vector work of all layers, flat.

    Attributes:
        layer: Index of the layer, shape (works,).
        category: Index into :data:`CATEGORIES`, shape (works,).
        operands: Elements times window, shape (works,).
        clips: Whether it only clips (bool), shape (works,).
        layers: Number of layers.
    """

    layer: IntArray
    category: IntArray
    operands: IntArray
    clips: BoolArray
    layers: int

    def where(self, kept: BoolArray) -> Self:
        """The same without some of the works."""
        return replace(
            self,
            layer=self.layer[kept],
            category=self.category[kept],
            operands=self.operands[kept],
            clips=self.clips[kept],
        )


@dataclass(frozen=True, slots=True, eq=False)
class LayerColumns:
    """All that costing needs of a graph. Arrays have shape (layers,), int64 unless said otherwise.

    Attributes:
        graph: The graph itself, for names and liveness.
        matrix: Whether the layer has matrix products (bool).
        m: Rows of the streamed operand, 0 without products.
        n: Columns.
        k: Inner extent with the kernel area folded in.
        groups: Independent products per step.
        steps: Sequential repetitions.
        kernel_area: Kernel positions of a convolution, 1 elsewhere; divides ``k``.
        kernel_rows: Kernel extent along the first axis, 1 elsewhere.
        out_rows: Output extent of a convolution along all axes but the last, 1 elsewhere.
        out_columns: Output extent of a convolution along the last axis, 1 elsewhere.
        conv_reads: Input elements that a convolution reads at its stride, 0 elsewhere.
        depthwise: Grouped convolution with one input channel per group (bool).
        weighted: Whether the K x N operand is fetched (bool).
        scores: Whether the products are attention scores, softmax included (bool).
        context: Whether the products weigh attention's values by its scores (bool).
        vector: Vector work.
        joined: Elements of concatenations that were fused away, since their parts are written in place; only
            a host that joins them in software pays for them.
        abreast: Layers with work at the same depth of the graph, itself included: none waits for another.
        inputs: Activations read.
        outputs: Activations written.
        weights: Constants fetched.
        gathers: Rows looked up.
        state: State read and written.
        graph_inputs: Of the inputs, those that enter the graph.
        graph_outputs: Of the outputs, those that leave the graph.
    """

    graph: LayerGraph
    matrix: BoolArray
    m: IntArray
    n: IntArray
    k: IntArray
    groups: IntArray
    steps: IntArray
    kernel_area: IntArray
    kernel_rows: IntArray
    out_rows: IntArray
    out_columns: IntArray
    conv_reads: IntArray
    depthwise: BoolArray
    weighted: BoolArray
    scores: BoolArray
    context: BoolArray
    vector: VectorColumns
    joined: IntArray
    abreast: IntArray
    inputs: TensorColumns
    outputs: TensorColumns
    weights: TensorColumns
    gathers: TensorColumns
    state: TensorColumns
    graph_inputs: TensorColumns
    graph_outputs: TensorColumns

    @property
    def macs(self) -> IntArray:
        """Multiply-accumulates per layer."""
        return self.steps * self.groups * self.m * self.n * self.k

    @property
    def operands(self) -> TensorColumns:
        """The inputs as products read them: convolutions at their stride, nothing of what is fused behind."""
        tensors = self.inputs
        _, first = np.unique(tensors.layer, return_index=True)
        position = np.arange(len(tensors.layer)) - np.repeat(first, np.diff(first, append=len(tensors.layer)))
        needed = np.where(self.matrix, np.where(self.weighted, 1, 2), 0)[tensors.layer]
        reads = self.conv_reads[tensors.layer]
        streamed = (position == 0) & (reads > 0)
        elements = np.where(streamed, np.minimum(tensors.elements, reads), tensors.elements)
        return replace(tensors, elements=np.where(position < needed, elements, 0))

    def live_bytes(self, bits: int | None) -> IntArray:
        """Bytes of the activations alive while each layer runs; ``bits`` overrides the model's own types."""
        return self.graph.live_bytes(lambda tensor: tensor.nbytes(bits))

    @classmethod
    def from_graph(cls, graph: LayerGraph) -> Self:
        """Read the columns off a graph.

        Raises:
            ModelError: If a layer's counts do not fit 64-bit arithmetic.
        """
        extents = np.zeros((len(graph), 10), dtype=np.int64)
        extents[:, 5:9] = 1
        flags = np.zeros((len(graph), 3), dtype=np.bool_)
        works: list[tuple[int, int, int, bool]] = []
        for index, layer in enumerate(graph.layers):
            work = layer.matrix
            if work is not None:
                _bounded(max(work.m, work.n, work.k, work.groups, work.steps), graph, layer, "extent")
                _bounded(work.macs, graph, layer, "multiply-accumulate", MAX_MACS)
                conv = work.conv
                area = 1 if conv is None else conv.kernel_area
                if area < 1 or work.k % area:
                    area = 1
                extents[index, :6] = (work.m, work.n, work.k, work.groups, work.steps, area)
                if conv is not None and conv.output_size:
                    *rows, columns = conv.output_size
                    extents[index, 6:9] = (conv.kernel[0], math.prod(rows), columns)
                    extents[index, 9] = _conv_reads(work, conv)
                flags[index] = (True, conv is not None and conv.in_channels == 1 < work.groups, work.weights)
            for vector in layer.vector:
                operands = _bounded(vector.elements * vector.window, graph, layer, "vector operand")
                works.append((index, _CATEGORY_CODE[vector.category], operands, vector.operator in CLIPS))
        flat = np.array(works, dtype=np.int64).reshape(-1, 4)
        entering = {tensor.name for tensor in graph.inputs}
        leaving = {tensor.name for tensor in graph.outputs}
        axes = np.ascontiguousarray(extents.T)
        return cls(
            graph=graph,
            matrix=flags[:, 0],
            m=axes[0],
            n=axes[1],
            k=axes[2],
            groups=axes[3],
            steps=axes[4],
            kernel_area=axes[5],
            kernel_rows=axes[6],
            out_rows=axes[7],
            out_columns=axes[8],
            conv_reads=axes[9],
            depthwise=flags[:, 1],
            weighted=flags[:, 2],
            scores=np.array([layer.role == "attention-scores" for layer in graph.layers], dtype=np.bool_),
            context=np.array([layer.role == "attention-context" for layer in graph.layers], dtype=np.bool_),
            vector=VectorColumns(flat[:, 0], flat[:, 1], flat[:, 2], flat[:, 3] > 0, len(graph)),
            joined=_joined(graph),
            abreast=layers_abreast(graph),
            inputs=TensorColumns.collect(graph, lambda layer: layer.inputs, "input element"),
            outputs=TensorColumns.collect(graph, lambda layer: layer.outputs, "output element"),
            weights=TensorColumns.collect(graph, lambda layer: layer.weights, "weight element"),
            gathers=TensorColumns.collect(
                graph, lambda layer: (g.rows for g in layer.gathers), "gathered element"
            ),
            state=TensorColumns.collect(
                graph, lambda layer: layer.state_reads + layer.state_writes, "state element"
            ),
            graph_inputs=TensorColumns.collect(
                graph, lambda layer: (t for t in layer.inputs if t.name in entering), "input element"
            ),
            graph_outputs=TensorColumns.collect(
                graph, lambda layer: (t for t in layer.outputs if t.name in leaving), "output element"
            ),
        )
