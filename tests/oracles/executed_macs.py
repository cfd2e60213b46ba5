"""Multiply-accumulates of an ONNX model by running it: a naive twin of the importer's counts.

Beside every product in the graph, in bodies of `Loop`, `Scan` and `If` too, nodes are added that multiply the
extents that really came; every graph gives back the sum as one more output, so that a body is counted as
often as it ran and only the branch that was taken counts. ONNX Runtime runs the result unoptimised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import onnx.inliner
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

PRODUCTS = (
    "MatMul",
    "MatMulInteger",
    "QLinearMatMul",
    "FusedMatMul",
    "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul",
)
RECURRENT = ("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM")
CONVOLUTIONS = {"Conv": 1, "ConvInteger": 1, "FusedConv": 1, "QLinearConv": 3, "DeformConv": 1}
COUNTED = {
    *PRODUCTS,
    *RECURRENT,
    *CONVOLUTIONS,
    *("Gemm", "QGemm", "FusedGemm", "ConvTranspose", "Einsum", "MatMulNBits"),
}
UNKNOWN = {
    *("Attention", "MultiHeadAttention", "GroupQueryAttention", "QAttention"),
    *("RotaryAttention", "DecoderMaskedMultiHeadAttention", "PackedAttention", "MoE", "QMoE"),
    *("BeamSearch", "GreedySearch", "Sampling", "WhisperBeamSearch"),
}


class UncountedError(Exception):
    """The model has a product that this counter does not know."""


class _Sum:
    """Nodes that add up products of extents in one graph."""

    def __init__(self, prefix: str) -> None:
        self.nodes: list[NodeProto] = []
        self.prefix = prefix
        self.total = self.constant(0)

    def name(self) -> str:
        return f"{self.prefix}/{len(self.nodes)}"

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = self.name()
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: int) -> str:
        tensor = helper.make_tensor("value", TensorProto.INT64, [], [value])
        return self.node("Constant", value=tensor)

    def shape(self, tensor: str) -> str:
        return self.node("Shape", tensor)

    def size(self, tensor: str) -> str:
        return self.node("ReduceProd", self.shape(tensor), keepdims=0)

    def extent(self, tensor: str, axis: int) -> str:
        return self.node("Gather", self.shape(tensor), self.constant(axis))

    def times(self, first: str, *others: str) -> str:
        for other in others:
            first = self.node("Mul", first, other)
        return first

    def add(self, count: str) -> None:
        self.total = self.node("Add", self.total, count)


def executed_macs(model: ModelProto, inputs: Mapping[str, np.ndarray]) -> int:
    """Multiply-accumulates of one run of `model` on `inputs` (arrays by the names of its inputs).

    Raises:
        UncountedError: a product is of a kind that is not counted here.
    """
    import onnxruntime

    model = onnx.inliner.inline_local_functions(model) if model.functions else model
    copy = ModelProto()
    copy.CopyFrom(model)
    _drop_dead(copy.graph)
    total = _instrument(copy.graph, "macs")
    del copy.graph.output[:]
    copy.graph.output.append(helper.make_tensor_value_info(total, TensorProto.INT64, []))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        copy.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return int(session.run([total], dict(inputs))[0])


def _drop_dead(graph: GraphProto) -> None:
    """Take out nodes that no output needs: a compiler does not run them."""
    made_by = {name: index for index, node in enumerate(graph.node) for name in node.output}
    wanted = [each.name for each in graph.output]
    live: set[int] = set()
    while wanted:
        index = made_by.get(wanted.pop())
        if index is not None and index not in live:
            live.add(index)
            wanted.extend(_reads(graph.node[index]))
    kept = [node for index, node in enumerate(graph.node) if index in live]
    del graph.node[:]
    graph.node.extend(kept)


def _reads(node: NodeProto) -> Iterator[str]:
    yield from node.input
    for body in (each.g for each in node.attribute if each.HasField("g")):
        yield from (each.name for each in body.output)
        for inner in body.node:
            yield from _reads(inner)


def _counts(graph: GraphProto) -> bool:
    return any(
        node.op_type in COUNTED | UNKNOWN
        or any(_counts(each.g) for each in node.attribute if each.HasField("g"))
        for node in graph.node
    )


def _instrument(graph: GraphProto, prefix: str) -> str:
    """Add the sum to `graph` in place; returns the name of the total."""
    nodes = _Sum(prefix)
    kinds = sorted({node.op_type for node in graph.node if node.op_type in UNKNOWN})
    if kinds:
        raise UncountedError(f"products of {', '.join(kinds)}")
    for index, node in enumerate(graph.node):
        bodies = [each.g for each in node.attribute if each.HasField("g")]
        if bodies and any(_counts(body) for body in bodies):
            inner = f"{prefix}.{index}"
            for branch, body in enumerate(bodies):
                total = _instrument(body, f"{inner}.{branch}")
                body.output.append(helper.make_tensor_value_info(total, TensorProto.INT64, []))
            _widen_scan(node)
            node.output.append(f"{inner}/total")
            total = f"{inner}/total"
            if node.op_type == "SequenceMap":
                total = nodes.node("ConcatFromSequence", total, axis=0, new_axis=1)
            nodes.add(total if node.op_type == "If" else nodes.node("ReduceSum", total, keepdims=0))
        elif node.op_type in COUNTED:
            nodes.add(_count(node, nodes))
    graph.node.extend(nodes.nodes)
    return nodes.total


def _widen_scan(node: NodeProto) -> None:
    for attribute in node.attribute:
        if node.op_type == "Scan" and attribute.name in ("scan_output_axes", "scan_output_directions"):
            attribute.ints.append(0)


def _attribute(node: NodeProto, name: str, default: Any = 0) -> Any:
    return next((helper.get_attribute_value(each) for each in node.attribute if each.name == name), default)


def _count(node: NodeProto, nodes: _Sum) -> str:
    kind, inputs, output = node.op_type, node.input, node.output[0]
    transposed = bool(_attribute(node, "transA"))
    if kind in PRODUCTS:
        return nodes.times(nodes.size(output), nodes.extent(inputs[0], -2 if transposed else -1))
    if kind in ("Gemm", "QGemm", "FusedGemm"):
        return nodes.times(nodes.size(output), nodes.extent(inputs[0], 0 if transposed else 1))
    if kind == "MatMulNBits":
        return nodes.times(nodes.size(output), nodes.constant(_attribute(node, "K")))
    if kind == "ConvTranspose":
        weights = nodes.node("Div", nodes.size(inputs[1]), nodes.extent(inputs[1], 0))
        return nodes.times(nodes.size(inputs[0]), weights)
    if kind in CONVOLUTIONS:
        weight = inputs[CONVOLUTIONS[kind]]
        return nodes.times(nodes.size(output), nodes.node("Div", nodes.size(weight), nodes.extent(weight, 0)))
    if kind in RECURRENT:
        weights = nodes.node("Add", nodes.size(inputs[1]), nodes.size(inputs[2]))
        steps = nodes.times(nodes.extent(inputs[0], 0), nodes.extent(inputs[0], 1))
        return nodes.times(steps, weights)
    return _einsum(node, nodes)


def _einsum(node: NodeProto, nodes: _Sum) -> str:
    equation = _attribute(node, "equation").decode().replace(" ", "")
    terms = equation.split("->")[0].split(",")
    if len(terms) == 1:
        return nodes.constant(0)
    if len(terms) > 2 or "." in equation:
        raise UncountedError(f"einsum {equation}")
    where = {label: (term, axis) for term, labels in enumerate(terms) for axis, label in enumerate(labels)}
    return nodes.times(*(nodes.extent(node.input[term], axis) for term, axis in where.values()))
