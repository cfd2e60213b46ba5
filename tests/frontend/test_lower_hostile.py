"""Small, odd and hostile graphs: a clean result or one line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from layerweaver.frontend.importer import import_model
from layerweaver.frontend.reader.file import read_model_bytes
from layerweaver.ir import LayerGraph, ModelError
from layerweaver.ir.export import graph_document

Import = Callable[..., LayerGraph]

EMPTY = {
    "an output is an input": "(float[2,3] x) => (float[2,3] x) { }",
    "only views": "(float[2,3] x) => (float[3,2] y) <int64[2] s = {3,2}> { y = Reshape(x, s) }",
    "only constants": "(float[2,3] x) => (int64[2] y) { y = Shape(x) }",
    "a constant output": "(float[2,3] x) => (float[2] y) { y = Constant<value = float[2] {1.0, 2.0}>() }",
}


@pytest.mark.parametrize("case", EMPTY)
@pytest.mark.parametrize("fuse", [True, False])
def test_graphs_without_work_have_no_layers(import_text: Import, case: str, fuse: bool) -> None:
    graph = import_text(f"g {EMPTY[case]}", fuse=fuse)
    document = graph_document(graph)
    assert document["layers"] == []
    assert document["totals"]["macs"] == 0
    assert document["totals"]["peak_activation_bytes"] == 0


def test_an_output_that_is_an_input_and_used(import_text: Import) -> None:
    graph = import_text("g (float[2,3] x) => (float[2,3] x, float[2,3] y) { y = Relu(x) }")
    assert [tensor.name for tensor in graph.outputs] == ["x", "y"]
    assert len(graph) == 1


def test_nothing_flows_through_empty_tensors(import_text: Import) -> None:
    graph = import_text(
        """g (float[2,3] x) => (float[0,4] y) <float[3,4] w, int64[1] start = {0}, int64[1] end = {0}> {
            e = Slice(x, start, end)
            y = MatMul(e, w)
        }"""
    )
    assert graph.macs == 0
    assert graph.parameters == 12


def test_repeated_node_names_become_distinct_layers(import_text: Import) -> None:
    graph = import_text(
        "g (float[2,3] x) => (float[2,3] y) { [n] a = Relu(x) [n] b = Neg(a) [n] y = Abs(b) }", fuse=False
    )
    assert [layer.name for layer in graph] == ["n", "n#2", "n#3"]
    assert [layer.nodes for layer in graph] == [("n",)] * 3


def test_attentions_of_the_same_name_keep_their_own_scores(import_text: Import) -> None:
    graph = import_text(
        """g (float[1,2,3,4] q) => (float[1,2,3,4] y) {
            [n] a = Attention(q, q, q)
            [n] y = Attention(a, a, a)
        }""",
        opset=23,
    )
    assert [layer.name for layer in graph] == ["n/scores", "n/context", "n/scores#2", "n/context#2"]
    assert graph.layers[3].inputs[0].name == graph.layers[2].outputs[0].name


def test_results_that_nobody_reads_cost_nothing(import_text: Import) -> None:
    graph = import_text(
        "g (float[2,3] x) => (float[2,3] y) <float[3,3] w> { dead = MatMul(x, w) y = Relu(x) }"
    )
    assert graph.macs == 0
    assert len(graph) == 1


def test_an_operator_newer_than_the_opset_is_no_fault(import_text: Import) -> None:
    graph = import_text("g (float[2,3] x) => (float[2,3] y) { y = Mish(x) }", opset=9)
    assert len(graph) == 1


@pytest.mark.parametrize(
    "text",
    [
        "(float[4000000000,4000000000] x) => (float[4000000000,4000000000] y) { y = Relu(x) }",
        "(float[2,3] x) => (float[2,3] y) <float[9000000000000,3] w> { y = PRelu(x, w) }",
        "(float[2000000,2000000] x) => (float[2000000,2000000] y) <float[2000000,2000000] w> "
        "{ y = MatMul(x, w) }",
    ],
)
def test_enormous_sizes_are_refused_in_one_line(import_text: Import, text: str) -> None:
    with pytest.raises(ModelError) as caught:
        import_text(f"g {text}")
    assert "\n" not in str(caught.value)
    assert "text.onnx" in str(caught.value)


@pytest.mark.parametrize("strict", [True, False])
def test_an_if_of_unknown_condition_takes_the_heavier_branch(import_text: Import, strict: bool) -> None:
    graph = import_text(
        """g (bool c, float[2,3] x) => (float[2,3] y) <float[3,3] w> {
            y = If(c) <
                then_branch = t () => (float[2,3] a) { a = Relu(x) },
                else_branch = e () => (float[2,3] b) { b = MatMul(x, w) }
            >
        }""",
        strict=strict,
    )
    assert graph.macs == 18
    assert len(graph.warnings) == 1


def test_long_chains_keep_every_node() -> None:
    import onnx
    from onnx import TensorProto, helper

    count = 12_000
    nodes = [
        helper.make_node(("Relu", "Neg", "MatMul", "Add")[index % 4], inputs, [f"v{index + 1}"])
        for index in range(count)
        for inputs in [
            [f"v{index}"] + (["w"] if index % 4 == 2 else [f"v{index - 2}"] if index % 4 == 3 else [])
        ]
    ]
    value = helper.make_tensor_value_info("v0", TensorProto.FLOAT, [4, 4])
    result = helper.make_tensor_value_info(f"v{count}", TensorProto.FLOAT, [4, 4])
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4, 4], [0.0] * 16)
    model = helper.make_model(helper.make_graph(nodes, "long", [value], [result], [weight]))
    assert isinstance(model, onnx.ModelProto)
    graph = import_model(read_model_bytes(model.SerializeToString(), "long.onnx"))
    assert graph.macs == count // 4 * 64
    assert sum(len(layer.nodes) for layer in graph) == count
