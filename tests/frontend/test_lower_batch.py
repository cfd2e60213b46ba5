"""A batch that is bound and a batch that is rescaled give the same layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
import pytest
from onnx import NodeProto, TensorProto, helper

from layerweaver.frontend.importer import import_model
from layerweaver.frontend.options import ImportOptions
from layerweaver.ir import BatchAxis, LayerGraph

Import = Callable[..., LayerGraph]


def _tokens(batch: int) -> dict[str, tuple[int, ...]]:
    return dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), (batch, 128))


def _same(left: LayerGraph, right: LayerGraph) -> None:
    assert left.batch == right.batch
    assert list(left) == list(right)
    assert (left.inputs, left.outputs) == (right.inputs, right.outputs)


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("batch", [2, 7])
def test_bert(onnx_folder: Path, batch: int, fuse: bool) -> None:
    path = onnx_folder / "bert_base.legacy.dyn.onnx"
    bound = import_model(path, ImportOptions(dims={"seq": 128}, batch=batch, fuse=fuse))
    _same(bound, import_model(path, ImportOptions(shapes=_tokens(batch), fuse=fuse)))
    _same(bound, import_model(path, ImportOptions(shapes=_tokens(1), fuse=fuse)).with_batch(batch))


@pytest.mark.parametrize("fuse", [True, False])
def test_resnet50(onnx_folder: Path, fuse: bool) -> None:
    path = onnx_folder / "resnet50.legacy.onnx"
    rescaled = import_model(path, ImportOptions(batch=4, fuse=fuse))
    _same(rescaled, import_model(path, ImportOptions(shapes={"input": (4, 3, 224, 224)}, fuse=fuse)))
    assert rescaled.macs == 4 * 4_089_184_256
    assert rescaled.parameters == 25_507_944


@pytest.mark.parametrize("name", ["resnet50.dynamo", "vit_b16.dynamo", "gpt2_decode.dynamo", "gnmt.legacy"])
def test_exports_that_bake_the_batch_in_are_rescaled(onnx_folder: Path, name: str) -> None:
    one = import_model(onnx_folder / f"{name}.onnx")
    many = import_model(onnx_folder / f"{name}.onnx", ImportOptions(batch=8))
    assert many.batch == 8
    assert many.macs == 8 * one.macs
    assert many.parameter_tensors() == one.parameter_tensors()
    reads = [sum(tensor.elements for layer in graph for tensor in layer.state_reads) for graph in (one, many)]
    assert reads[1] == 8 * reads[0]


AXES = {
    "weights": ("(float[batch,4] x) => (float[batch,6] y) <float[4,6] w> { y = MatMul(x, w) }", BatchAxis.M),
    "weights on the left": (
        "(float[batch,4,5] x) => (float[batch,6,5] y) <float[6,4] w> { y = MatMul(w, x) }",
        BatchAxis.M,
    ),
    "two activations": (
        "(float[batch,3,4] x, float[batch,4,5] z) => (float[batch,3,5] y) { y = MatMul(x, z) }",
        BatchAxis.GROUPS,
    ),
    "einsum": (
        "(float[batch,3,4] x, float[batch,4,5] z) => (float[batch,3,5] y) "
        '{ y = Einsum<equation="bij,bjk->bik">(x, z) }',
        BatchAxis.GROUPS,
    ),
    "einsum with weights": (
        "(float[batch,3,4] x) => (float[batch,3,5] y) <float[4,5] w> "
        '{ y = Einsum<equation="bij,jk->bik">(x, w) }',
        BatchAxis.M,
    ),
    "einsum with weights per head": (
        "(float[batch,3,4] x) => (float[batch,3,5] y) <float[3,4,5] w> "
        '{ y = Einsum<equation="bhj,hjk->bhk">(x, w) }',
        BatchAxis.M,
    ),
    "recurrent": (
        "(float[7,batch,5] x) => (float[7,1,batch,3] y) <float[1,3,5] w, float[1,3,3] r> "
        "{ y = RNN<hidden_size=3>(x, w, r) }",
        BatchAxis.M,
    ),
    "attention": (
        "(float[batch,4,5,8] q, float[batch,4,6,8] k, float[batch,4,6,8] v) => (float[batch,4,5,8] y) "
        "{ y = Attention(q, k, v) }",
        BatchAxis.GROUPS,
    ),
}


@pytest.mark.parametrize("case", AXES)
def test_the_axis_that_grows(import_text: Import, case: str) -> None:
    text, axis = AXES[case]
    one = import_text(f"g {text}", opset=23, dims={"batch": 1})
    many = import_text(f"g {text}", opset=23, dims={"batch": 6})
    assert one.layers[0].matrix is not None
    assert one.layers[0].matrix.batch_axis is axis
    _same(one.with_batch(6), many)


def _saved(
    folder: Path, node: NodeProto, x: list[int], y: Sequence[int | str] | None, **weights: list[int]
) -> Path:
    """A file of one node, whose axes have no names."""
    graph = helper.make_graph(
        [node],
        "fixed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y)],
        [
            helper.make_tensor(name, TensorProto.FLOAT, dims, [0.0] * math.prod(dims))
            for name, dims in weights.items()
        ],
    )
    onnx.save(helper.make_model(graph), folder / "fixed.onnx")
    return folder / "fixed.onnx"


@pytest.mark.parametrize(
    ("batch", "taken"), [(None, None), (1, "batch 1 is 1 / 20 of"), (4, "4 / 20"), (20, None)]
)
def test_a_fixed_first_extent_that_is_taken_as_the_batch_is_told(
    batch: int | None, taken: str | None, tmp_path: Path
) -> None:
    path = _saved(tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"]), [20, 2, 8], [20, 2, 4], w=[8, 4])
    imported = import_model(path, ImportOptions(batch=batch))
    assert imported.batch == (batch or 20)
    told = [text for text in imported.warnings if "taken as the batch" in text]
    if taken is None:
        assert told == []
    else:
        assert len(told) == 1
        assert "input x, 20x2x8: its first extent is taken as the batch" in told[0]
        assert taken in told[0]


@pytest.mark.parametrize("declared", [[5, 48], ["rows", 48], ["rows", "columns"], None])
def test_an_extent_that_is_summed_over_is_no_batch(
    declared: Sequence[int | str] | None, tmp_path: Path
) -> None:
    gemm = helper.make_node("Gemm", ["x", "w"], ["y"], transA=1)
    path = _saved(tmp_path, gemm, [64, 5], declared, w=[64, 48])
    for batch, macs in ((None, 5 * 48 * 64), (1, 5 * 48 * 64), (4, 4 * 5 * 48 * 64)):
        graph = import_model(path, ImportOptions(batch=batch))
        assert (graph.batch, graph.macs, graph.warnings) == (batch or 1, macs, ())


@pytest.mark.parametrize(("layout", "batch"), [(0, 3), (1, 20)])
def test_a_recurrent_layer_says_which_axis_is_the_batch(layout: int, batch: int, tmp_path: Path) -> None:
    lstm = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=4, layout=layout)
    path = _saved(tmp_path, lstm, [20, 3, 8], [20, 1, 3, 4], w=[1, 16, 8], r=[1, 16, 4])
    graph = import_model(path, ImportOptions())
    assert graph.batch == batch
    assert import_model(path, ImportOptions(batch=1)).macs * batch == graph.macs
