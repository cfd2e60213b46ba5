"""What a file means but does not say: open extents, shared bounds, caches, nodes that nobody needs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from layerweaver.frontend.importer import import_model
from layerweaver.frontend.options import ImportOptions
from layerweaver.frontend.reader.file import read_model_bytes
from layerweaver.ir import LayerGraph, ModelError

ImportText = Callable[..., LayerGraph]


def _image(extents: list[int | str | None], /, **options: object) -> LayerGraph:
    weight = numpy_helper.from_array(np.zeros((8, 3, 3, 3), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, extents)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    return import_model(read_model_bytes(model.SerializeToString(), "m"), ImportOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "dims", [["?", 3, "?", "?"], ["None", 3, "None", "None"], ["-1", 3, "-1", "-1"], ["N", 3, "N", "N"]]
)
def test_placeholders_are_no_dimension(dims: list[int | str | None]) -> None:
    with pytest.raises(ModelError, match=r"give --shape x=\?x3x\?x\?"):
        _image(dims)
    with pytest.raises(ModelError, match="--shape"):
        _image(dims, batch=4)
    assert _image(dims, shapes={"x": (2, 3, 10, 12)}).macs == 2 * 8 * 27 * 120


def test_a_placeholder_for_the_batch_alone_is_the_batch() -> None:
    assert _image(["?", 3, 10, 12], batch=4).macs == 4 * 8 * 27 * 120


def test_all_that_is_unbound_is_said_at_once() -> None:
    with pytest.raises(
        ModelError, match=r"height .*width.*give --dim height=N and --dim width=N .in a scenario: dims.$"
    ):
        _image(["batch", 3, "height", "width"])


def test_a_batch_that_contradicts_a_dimension_names_the_cure() -> None:
    with pytest.raises(ModelError, match="say --batch 2 and leave batch out of --dim"):
        _image(["batch", 3, 8, 8], batch=1, dims={"batch": 2})


@pytest.mark.parametrize(("experts", "most"), [(4, 20), (3, 20), (7, 20), (1, 20)])
def test_experts_share_the_tokens(experts: int, most: int, import_text: ImportText) -> None:
    constants = ", ".join(f"int64 e{i} = {{{i}}}" for i in range(experts))
    constants += ", int64[1] z = {0}, int64[1] one = {1}"
    parts = [
        f"m{i} = Equal(index, e{i}) n{i} = NonZero(m{i}) r{i} = Slice(n{i}, z, one) "
        f"s{i} = Squeeze(r{i}, z) a{i} = Gather(x, s{i}) p{i} = MatMul(a{i}, w) q{i} = ReduceSum(p{i})"
        for i in range(experts)
    ]
    text = (
        f"g (float[10, 8] x, int64[10, 2] index, float[8, 6] w) => (float[] y) <{constants}> {{ "
        + " ".join(parts)
        + f" y = Sum({', '.join(f'q{i}' for i in range(experts))}) }}"
    )
    assert import_text(text).macs == most * 8 * 6


def test_experts_behind_one_hot_vectors_share_the_tokens(import_text: ImportText) -> None:
    parts = [
        f"m{i} = Gather<axis=0>(turned, e{i}) n{i} = NonZero(m{i}) r{i} = Slice(n{i}, one, two) "
        f"s{i} = Squeeze(r{i}, z) a{i} = Gather(x, s{i}) p{i} = MatMul(a{i}, w) q{i} = ReduceSum(p{i})"
        for i in range(4)
    ]
    constants = ", ".join(f"int64 e{i} = {{{i}}}" for i in range(4))
    text = (
        "g (float[10, 8] x, int64[10, 2] index, float[8, 6] w) => (float[] y) "
        f"<{constants}, int64[1] z = {{0}}, int64[1] one = {{1}}, int64[1] two = {{2}}, int64 depth = {{4}}, "
        "int64[2] values = {0, 1}> { hot = OneHot(index, depth, values) "
        "turned = Transpose<perm=[2, 1, 0]>(hot) " + " ".join(parts) + " y = Sum(q0, q1, q2, q3) }"
    )
    assert import_text(text).macs == 20 * 8 * 6


def test_experts_that_compress_their_tokens_share_them(import_text: ImportText) -> None:
    parts = [
        f"m{i} = Equal(index, e{i}) c{i} = Cast<to=1>(m{i}) r{i} = ReduceMax<keepdims=0>(c{i}, one) "
        f"b{i} = Greater(r{i}, zero) a{i} = Compress<axis=0>(x, b{i}) p{i} = MatMul(a{i}, w) "
        f"q{i} = ReduceSum(p{i})"
        for i in range(5)
    ]
    constants = ", ".join(f"int64 e{i} = {{{i}}}" for i in range(5))
    text = (
        "g (float[10, 8] x, int64[10, 2] index, float[8, 6] w) => (float[] y) "
        f"<{constants}, int64[1] one = {{1}}, float zero = {{0}}> {{ "
        + " ".join(parts)
        + " y = Sum(q0, q1, q2, q3, q4) }"
    )
    assert import_text(text).macs == 20 * 8 * 6


@pytest.mark.parametrize("size", [65, 200, 1100])
def test_constants_that_shapes_depend_on_are_folded_whatever_their_size(
    size: int, import_text: ImportText
) -> None:
    pairs = size * (size - 1) // 2
    graph = import_text(
        f"""g (float[{size}, {size}] x, float[{pairs}, 4] w) => (float[] y)
            <int64[2] n = {{{size}, {size}}}, int64 k = {{1}}, int64[2] s = {{1, -1}}> {{
            ones = ConstantOfShape<value = float[1] {{1}}>(n)
            upper = Trilu<upper=1>(ones, k) mask = Cast<to=9>(upper) places = NonZero(mask)
            at = Transpose<perm=[1, 0]>(places) g = GatherND(x, at) r = Reshape(g, s) y = MatMul(r, w)
        }}""",
    )
    assert graph.macs == pairs * 4
    assert graph.warnings == ()


def test_stored_masks_that_shapes_depend_on_are_read() -> None:
    mask = np.zeros((90, 90), np.bool_)
    mask[::3] = True
    graph = helper.make_graph(
        [
            helper.make_node("NonZero", ["mask"], ["places"]),
            helper.make_node("Transpose", ["places"], ["at"], perm=[1, 0]),
            helper.make_node("GatherND", ["x", "at"], ["g"]),
            helper.make_node("MatMul", ["g", "w"], ["y"]),
        ],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [90, 90, 4]),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 5]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(mask, "mask")],
    )
    model: onnx.ModelProto = helper.make_model(graph)
    assert import_model(read_model_bytes(model.SerializeToString(), "m")).macs == int(mask.sum()) * 20


def test_dead_branches_of_a_graph_cost_nothing(import_text: ImportText) -> None:
    graph = import_text(
        """g (float[2, 8] x, float[8, 8] w) => (float[] y) {
            a = MatMul(x, w) b = Relu(a) c = MatMul(b, w) y = MatMul(x, w) }"""
    )
    assert graph.macs == 2 * 8 * 8


ATTENTION = """g (float[1, 4, 1, 8] q, float[1, 4, 1, 8] k, float[1, 4, 1, 8] v,
    float[1, 4, 31, 8] a_in, float[1, 4, 31, 8] b_in) => ({outputs}) {{
    nk = Relu(k)
    nv = Relu(v)
    kk = Concat<axis=2>(a_in, nk)
    vv = Concat<axis=2>(b_in, nv)
    kt = Transpose<perm=[0, 1, 3, 2]>(kk)
    s = MatMul(q, kt)
    p = Softmax(s)
    y = MatMul(p, vv)
}}"""


@pytest.mark.parametrize(
    "outputs",
    ["float[] y, float[1, 4, 32, 8] kk, float[1, 4, 32, 8] vv", "float[] y, float[] nk, float[] nv"],
    ids=["whole", "new-rows"],
)
def test_caches_are_recognised_without_their_name(outputs: str, import_text: ImportText) -> None:
    graph = import_text(ATTENTION.format(outputs=outputs))
    states = {tensor.name for layer in graph for tensor in layer.state_reads}
    assert states == {"a_in", "b_in"}
    assert "a_in" not in {tensor.name for tensor in graph.inputs}
    written = sum(tensor.elements for layer in graph for tensor in layer.state_writes)
    assert written == 2 * 4 * 8


def test_a_cache_that_no_output_feeds_is_asked_for(import_text: ImportText) -> None:
    graph = import_text(ATTENTION.format(outputs="float[] y"))
    assert any("--state a_in=OUTPUT" in warning for warning in graph.warnings)


def test_a_cache_whose_length_is_asked_for_is_still_one(import_text: ImportText) -> None:
    text = ATTENTION.format(outputs="float[] y, float[1, 4, 32, 8] kk, float[1, 4, 32, 8] vv, int64[4] long")
    graph = import_text(text.replace("kt =", "long = Shape(a_in) kt ="))
    assert {tensor.name for layer in graph for tensor in layer.state_reads} == {"a_in", "b_in"}


def test_a_cache_that_is_written_in_place_is_one(import_text: ImportText) -> None:
    text = ATTENTION.format(outputs="float[] y, float[1, 4, 31, 8] kk, float[1, 4, 31, 8] vv")
    text = text.replace("Concat<axis=2>(a_in, nk)", "ScatterElements<axis=2>(a_in, at, nk)").replace(
        "Concat<axis=2>(b_in, nv)", "ScatterElements<axis=2>(b_in, at, nv)"
    )
    graph = import_text(text.replace("b_in) =>", "b_in, int64[1, 4, 1, 8] at) =>"))
    assert {tensor.name for layer in graph for tensor in layer.state_reads} == {"a_in", "b_in"}
    assert sum(tensor.elements for layer in graph for tensor in layer.state_writes) == 2 * 4 * 8


def test_features_that_are_joined_are_no_cache(import_text: ImportText) -> None:
    graph = import_text(
        """g (float[1, 4, 8] x, float[1, 6, 8] more) => (float[1, 10, 8] c, float[] y) <float[8, 5] w> {
            c = Concat<axis=1>(more, x) y = MatMul(c, w) }"""
    )
    assert len(graph.inputs) == 2
    assert not any(layer.state_reads for layer in graph)


def test_states_of_different_shapes_are_refused(import_text: ImportText) -> None:
    text = "g (float[1, 7, 8] x, float[8, 5] w) => (float[1, 7, 5] y) { y = MatMul(x, w) }"
    with pytest.raises(ModelError, match="1x7x8 and 'y' is 1x7x5"):
        import_text(text, state=[("x", "y")])
