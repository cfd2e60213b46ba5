"""Folding of shape arithmetic, flags of values, bounds, and refusals."""

from __future__ import annotations

import onnx.parser
import pytest
from onnx import TensorProto, helper

from layerweaver.frontend.node.resolved import ResolvedGraph
from layerweaver.frontend.options import ImportOptions
from layerweaver.frontend.reader.file import read_model_bytes
from layerweaver.frontend.resolve.resolve import resolve
from layerweaver.ir import DType, ModelError


def _resolve(body: str, *, opset: int = 17, **options: object) -> ResolvedGraph:
    text = f'<ir_version: 8, opset_import: ["" : {opset}, "com.microsoft" : 1, "my" : 1]>\nagraph {body}'
    model = onnx.parser.parse_model(text)
    return resolve(read_model_bytes(model.SerializeToString(), "m"), ImportOptions(**options))  # type: ignore[arg-type]


def _shape(body: str, **options: object) -> tuple[int, ...] | None:
    graph = _resolve(body, **options)  # type: ignore[arg-type]
    return graph.values[graph.outputs[0]].shape


@pytest.mark.parametrize(
    ("nodes", "shape"),
    [
        ("s = Shape(x) y = ConstantOfShape(s)", (2, 6, 8)),
        ("s = Shape<start=1>(x) y = ConstantOfShape(s)", (6, 8)),
        ("s = Shape<start=-2, end=-1>(x) y = ConstantOfShape(s)", (6,)),
        ("n = Size(x) z = Range(zero, n, one) y = Reshape(z, flat)", (96,)),
        ("s = Shape(x) r = Slice(s, last, first, axis, back) y = ConstantOfShape(r)", (8,)),
        ("s = Shape(x) r = Slice(s, last, far, axis, back) y = ConstantOfShape(r)", (8, 6, 2)),
        ("s = Shape(x) h = Div(s, two) y = ConstantOfShape(h)", (1, 3, 4)),
        ("s = Shape(x) b = Equal(s, six) w = Where(b, two, s) y = ConstantOfShape(w)", (2, 2, 8)),
        ("y = Reshape(x, mixed)", (2, 48)),
        ("s = Shape(x) p = ReduceProd<keepdims=1>(s) y = Reshape(x, p)", (96,)),
        ("s = Shape(x) t = Tile(s, two1) y = ConstantOfShape(t)", (2, 6, 8, 2, 6, 8)),
        ("s = Shape(x) v, i = TopK(s, two1) y = ConstantOfShape(v)", (8, 6)),
        ("s = Shape(x) c = CumSum(s, zero) y = ConstantOfShape(c)", (2, 8, 16)),
        ("s = Shape(x) m = Max(s, six) y = ConstantOfShape(m)", (6, 6, 8)),
        (
            "s = Shape(x) f = Cast<to=1>(s) g = Mul(f, half) i = Cast<to=7>(g) y = ConstantOfShape(i)",
            (1, 3, 4),
        ),
        ("s = Shape(x) e = ScatterND(s, at, put) y = ConstantOfShape(e)", (2, 9, 8)),
        ("s = Shape(x) b = Greater(s, two) n = NonZero(b) y = Cast<to=1>(n)", (1, 2)),
        ("s = Shape(x) a, b, c = Split<axis=0>(s) j = Concat<axis=0>(c, a) y = ConstantOfShape(j)", (8, 2)),
        ("s = Shape(x) o = OneHot(zero, six1, offon) y = Expand(o, six1)", (6,)),
        ("s = Shape(x) p = Pad(s, around) q = Add(p, one) y = ConstantOfShape(q)", (1, 3, 7, 9, 1)),
        ("s = Shape(x) u = Unsqueeze(s, axis) q = Squeeze(u, axis) y = ConstantOfShape(q)", (2, 6, 8)),
    ],
)
def test_shape_arithmetic_is_folded(nodes: str, shape: tuple[int, ...]) -> None:
    constants = """<int64 zero={0}, int64 one={1}, int64 two={2}, int64 six={6}, int64[1] flat={-1},
      int64[1] last={-1}, int64[1] first={-2}, int64[1] far={-9223372036854775808}, int64[1] axis={0},
      int64[1] back={-1}, int64[2] mixed={0,-1}, int64[1] two1={2}, int64[1] six1={6}, float half={0.5},
      int64[1,1] at={1}, int64[1] put={9}, int64[2] offon={0,1}, int64[2] around={1,1}>"""
    assert _shape(f"(float[2,6,8] x) => (float[Y] y) {constants} {{ {nodes} }}") == shape


@pytest.mark.parametrize(
    ("opset", "nodes"),
    [
        (9, "y = Slice<starts=[1], ends=[3], axes=[2]>(x)"),
        (11, "y = Slice(x, start, end, axes)"),
        (17, "y = Slice(x, start, end, axes)"),
    ],
)
def test_slices_of_all_opsets(opset: int, nodes: str) -> None:
    constants = "<int64[1] start={1}, int64[1] end={3}, int64[1] axes={-1}>"
    assert _shape(f"(float[1,4,8] x) => (float[Y] y) {constants} {{ {nodes} }}", opset=opset) == (1, 4, 2)


@pytest.mark.parametrize(
    ("attributes", "extent"),
    [
        ("kernel_shape=[3]", 8),
        ("kernel_shape=[3], strides=[2]", 4),
        ("kernel_shape=[3], strides=[2], ceil_mode=1", 5),
        ("kernel_shape=[2], strides=[3], ceil_mode=1, pads=[0,1]", 4),
        ("kernel_shape=[3], dilations=[3]", 4),
        ('kernel_shape=[3], strides=[3], auto_pad="SAME_UPPER"', 4),
        ('kernel_shape=[3], strides=[3], auto_pad="VALID"', 3),
    ],
)
def test_pooling_windows(attributes: str, extent: int) -> None:
    assert _shape(f"(float[1,4,10] x) => (float[Y] y) {{ y = MaxPool<{attributes}>(x) }}") == (1, 4, extent)


def test_types_follow_the_operators() -> None:
    graph = _resolve(
        """(float[2,3] x, uint8 zero) => (bool[Y] a, int64[Y] b, uint8[Y] c, float16[Y] d, int32[Y] e)
        <float scale={0.5}> { a = Greater(x, x) b = ArgMax(x) c = QuantizeLinear(x, scale, zero)
          d = Cast<to=10>(x) t = Transpose(c) e = MatMulInteger(c, t) }"""
    )
    found = [graph.values[name].dtype for name in graph.outputs]
    assert found == [DType.BOOL, DType.INT64, DType.UINT8, DType.FLOAT16, DType.INT32]


def test_weights_keep_their_roots_and_inputs_taint() -> None:
    graph = _resolve(
        """(float[4,64] x) => (float[Y] y, float[Y] z, float[Y] q)
        <int8[64,64] w={ONES}, float scale={0.1}, int64[2] size={64,64}>
        { d = DequantizeLinear(w, scale) t = Transpose(d) y = MatMul(x, t)
          g = ConstantOfShape(size) z = MatMul(x, g)
          s = Shape(x) m = ConstantOfShape(s) q = Add(x, m) }""".replace("ONES", ",".join(["1"] * 4096))
    )
    values = graph.values
    assert values["t"].constant
    assert set(values["t"].roots) == {"w", "scale"}
    assert values["g"].constant
    assert values["g"].roots == ("g",)
    assert values["m"].roots == ()
    assert values["y"].batched
    assert not values["y"].constant
    assert not values["s"].batched
    folded = {entry.node.outputs[0] for entry in graph.nodes if entry.folded}
    assert folded == {"d", "t", "g", "s", "m"}


def test_large_constants_are_never_computed() -> None:
    graph = _resolve(
        """(float[1] x) => (float[Y] y) <int64[2] size={1000000, 1000000}>
        { w = ConstantOfShape(size) e = Exp(w) y = Add(x, e) }"""
    )
    assert graph.values["w"].value is None
    assert graph.values["y"].shape == (1_000_000, 1_000_000)


def test_data_dependent_sizes_are_bounds() -> None:
    graph = _resolve("(float[3,4] x) => (int64[Y] y) { y = NonZero(x) }")
    value = graph.values["y"]
    assert value.shape == (2, 12)
    assert value.upper
    assert any("NonZero" in warning for warning in graph.warnings)


def test_data_dependent_shape_is_named_and_can_be_given() -> None:
    text = """(int64 n) => (int64[Y] z) <int64 zero={0}, int64 one={1}>
      { y = Range(zero, n, one) z = Add(y, one) }"""
    graph = _resolve(text)
    assert graph.values["z"].shape is None
    assert len(graph.warnings) == 1
    assert "--value n=N" in graph.warnings[0]
    assert _resolve(text, values={"n": (7,)}).values["z"].shape == (7,)
    assert _shape(text, shapes={"y": (5,)}) == (5,)


def test_unknown_operator_is_named() -> None:
    graph = _resolve("(float[2,3] x) => (float[Y] y) { y = my.Mystery(x) }")
    assert graph.values["y"].shape == (2, 3)
    assert any("my.Mystery" in warning for warning in graph.warnings)


def test_declared_shapes_do_not_win_over_our_own() -> None:
    assert _shape("(float[2,3] x) => (float[9,9] y) <float[7,7] h> { h = Relu(x) y = Relu(h) }") == (2, 3)


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        ("(float[1,3] x, float[1,4] b) => (float[Y] y) { [sum] y = Add(x, b) }", ("sum", "1x3", "1x4")),
        ("(float[1,3] x, float[4,4] w) => (float[Y] y) { [mm] y = MatMul(x, w) }", ("mm", "1x3", "4x4")),
        (
            "(float[1,3,8,8] x, float[4,4,3,3] w) => (float[Y] y) { [c] y = Conv(x, w) }",
            ("1x3x8x8", "4x4x3x3"),
        ),
        ("(float[1,3] x) => (float[Y] y) { [r] y = Relu(gone) }", ("r", "gone")),
        ("(float[1,3] x) => (float[Y] y) { [p] y = Relu(z) [q] z = Relu(y) }", ("p", "cycle")),
        ("(float[1,3] x) => (float[Y] y) { [p] y = Relu(x) [q] y = Relu(x) }", ("q", "y", "twice")),
        ("(float[1,3] x) => (float[Y] y) <int64[2] s={5,-1}> { [r] y = Reshape(x, s) }", ("r", "1x3")),
        (
            "(float[1] x) => (float[Y] y) <int64[2] s={9999999999,9999999}> { [e] y = Expand(x, s) }",
            ("e", "large"),
        ),
        ("(float[1,3] x) => (float[Y] y) { [t] y = Transpose<perm=[0,0]>(x) }", ("t", "perm")),
        (
            "(float[1,3] x) => (float[Y] y) <int64[2] p={2,2}> { [s] y, z = Split<axis=1>(x, p) }",
            ("s", "1x3"),
        ),
    ],
)
def test_contradictions_name_the_node(body: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(ModelError) as caught:
        _resolve(body)
    for part in parts:
        assert part in str(caught.value)


def test_nodes_out_of_order_are_sorted() -> None:
    graph = _resolve("(float[1,3] x) => (float[Y] y) { y = Relu(z) z = Exp(x) }")
    assert [entry.node.op_type for entry in graph.nodes] == ["Exp", "Relu"]


def test_graph_without_nodes() -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    model = helper.make_model(helper.make_graph([], "g", [value], [value]))
    graph = resolve(read_model_bytes(model.SerializeToString(), "m"))
    assert graph.nodes == ()
    assert graph.outputs == ("x",)


def test_initializers_that_are_inputs_are_constants() -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
    weight = helper.make_tensor("w", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    declared = helper.make_tensor_value_info("w", TensorProto.FLOAT, [3])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node("Add", ["x", "w"], ["y"])
    model = helper.make_model(helper.make_graph([node], "g", [value, declared], [result], [weight]))
    model.ir_version = 3
    graph = resolve(read_model_bytes(model.SerializeToString(), "m"))
    assert graph.inputs == ("x",)
    assert graph.values["w"].constant


@pytest.mark.parametrize(
    ("nodes", "inputs", "shape"),
    [
        ("y = com.microsoft.FusedMatMul<transB=1>(a, b)", "float[2,3,4] a, float[2,5,4] b", (2, 3, 5)),
        ("y = com.microsoft.FusedMatMul<transBatchA=1>(a, b)", "float[3,2,4] a, float[2,4,5] b", (2, 3, 5)),
        ("y = com.microsoft.Attention<num_heads=4>(a, b)", "float[2,5,16] a, float[16,48] b", (2, 5, 16)),
        (
            "y = com.microsoft.MultiHeadAttention<num_heads=4>(a, b, c)",
            "float[2,5,16] a, float[2,7,16] b, float[2,7,24] c",
            (2, 5, 24),
        ),
        (
            "z, y = com.microsoft.Attention<num_heads=4>(a, b, d, , c)",
            "float[2,5,16] a, float[16,48] b, float[48] d, float[2,2,4,3,4] c",
            (2, 2, 4, 8, 4),
        ),
        (
            "y = com.microsoft.MatMulNBits<K=64, N=10, bits=4, block_size=32>(a, b, c)",
            "float[2,3,64] a, uint8[10,2,16] b, float[20] c",
            (2, 3, 10),
        ),
        (
            "y = com.microsoft.NhwcMaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(a)",
            "uint8[1,8,8,3] a",
            (1, 4, 4, 3),
        ),
        (
            "z, y = com.microsoft.DynamicQuantizeLSTM<hidden_size=5>(a, b, c, , , , , , s, t, s, t)",
            "float[3,2,4] a, uint8[1,4,20] b, uint8[1,5,20] c, float[1] s, uint8[1] t",
            (1, 2, 5),
        ),
        (
            "p = Constant<value_ints=[1,1,1,1]>() y = com.microsoft.ConvTransposeWithDynamicPads"
            "<strides=[2,2]>(a, b, p)",
            "float[1,3,4,4] a, float[3,2,3,3] b",
            (1, 2, 7, 7),
        ),
    ],
)
def test_contributed_operators_as_onnx_runtime_shapes_them(
    nodes: str, inputs: str, shape: tuple[int, ...]
) -> None:
    assert _shape(f"({inputs}) => (float[Y] y) {{ {nodes} }}") == shape
