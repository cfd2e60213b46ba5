"""Multiply-accumulates, kinds and work of single operators, against counts done by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from layerweaver.ir import BatchAxis, LayerGraph, LayerKind, ModelError, VectorCategory

Import = Callable[..., LayerGraph]

PRODUCTS = {
    "conv 1d": (
        "(float[2,4,10] x, float[6,4,3] w) => (float[2,6,8] y) { y = Conv(x, w) }",
        2 * 8 * 6 * 4 * 3,
    ),
    "conv 2d, groups, stride, pads": (
        "(float[1,4,8,8] x) => (float[1,8,4,4] y) <float[8,2,3,3] w> "
        "{ y = Conv<group=2, strides=[2,2], pads=[1,1,1,1]>(x, w) }",
        16 * 8 * 2 * 9,
    ),
    "conv 2d, depthwise, dilated": (
        "(float[1,4,9,9] x) => (float[1,4,5,5] y) <float[4,1,3,3] w> "
        "{ y = Conv<group=4, dilations=[2,2]>(x, w) }",
        25 * 4 * 9,
    ),
    "conv 3d": (
        "(float[1,2,4,4,4] x) => (float[1,3,3,3,3] y) <float[3,2,2,2,2] w> { y = Conv(x, w) }",
        27 * 3 * 2 * 8,
    ),
    "transposed: input pixels, not output pixels": (
        "(float[1,8,5,5] x) => (float[1,4,10,10] y) <float[8,4,2,2] w> "
        "{ y = ConvTranspose<strides=[2,2]>(x, w) }",
        25 * 8 * 4 * 4,
    ),
    "transposed with groups": (
        "(float[2,8,5] x) => (float[2,6,12] y) <float[8,3,4] w> "
        "{ y = ConvTranspose<strides=[2], group=2>(x, w) }",
        2 * 5 * 8 * 3 * 4,
    ),
    "gemm": (
        "(float[5,7] x) => (float[7,3] y) <float[3,5] w, float[3] b> "
        "{ y = Gemm<transA=1, transB=1>(x, w, b) }",
        5 * 7 * 3,
    ),
    "matmul with a batch": (
        "(float[2,3,4,5] x) => (float[2,3,4,6] y) <float[5,6] w> { y = MatMul(x, w) }",
        2 * 3 * 4 * 5 * 6,
    ),
    "weights on the left": (
        "(float[2,5,7] x) => (float[2,3,7] y) <float[3,5] w> { y = MatMul(w, x) }",
        2 * 3 * 5 * 7,
    ),
    "broadcast on both sides": (
        "(float[2,1,4,5] a, float[3,5,6] b) => (float[2,3,4,6] y) { y = MatMul(a, b) }",
        2 * 3 * 4 * 5 * 6,
    ),
    "vector by matrix": ("(float[5] a, float[2,5,6] b) => (float[2,6] y) { y = MatMul(a, b) }", 2 * 5 * 6),
    "vector by vector": ("(float[5] a, float[5] b) => (float y) { y = MatMul(a, b) }", 5),
    "integers": (
        "(uint8[2,4,5] a) => (int32[2,4,6] y) <int8[5,6] w> { y = MatMulInteger(a, w) }",
        2 * 4 * 5 * 6,
    ),
    "integer convolution": (
        "(uint8[1,2,6,6] a) => (int32[1,3,4,4] y) <uint8[3,2,3,3] w> { y = ConvInteger(a, w) }",
        16 * 3 * 18,
    ),
    "lstm, two directions": (
        "(float[7,2,5] x) => (float[7,2,2,3] y) <float[2,12,5] w, float[2,12,3] r> "
        '{ y = LSTM<hidden_size=3, direction="bidirectional">(x, w, r) }',
        7 * 2 * 2 * 12 * (5 + 3),
    ),
    "gru": (
        "(float[7,2,5] x) => (float[7,1,2,3] y) <float[1,9,5] w, float[1,9,3] r> "
        "{ y = GRU<hidden_size=3>(x, w, r) }",
        7 * 2 * 9 * 8,
    ),
    "rnn": (
        "(float[7,2,5] x) => (float[7,1,2,3] y) <float[1,3,5] w, float[1,3,3] r> "
        "{ y = RNN<hidden_size=3>(x, w, r) }",
        7 * 2 * 3 * 8,
    ),
    "einsum as a product": (
        '(float[2,3,4] a, float[4,5] b) => (float[2,3,5] y) { y = Einsum<equation="bij,jk->bik">(a, b) }',
        2 * 3 * 4 * 5,
    ),
    "einsum without output, with dots": (
        '(float[2,3,4] a, float[2,4,5] b) => (float[2,3,5] y) { y = Einsum<equation="...ij,...jk">(a, b) }',
        2 * 3 * 4 * 5,
    ),
    "einsum of an outer product": (
        '(float[3] a, float[4] b) => (float[3,4] y) { y = Einsum<equation="i,j->ij">(a, b) }',
        12,
    ),
    "einsum of three": (
        "(float[3,4] a, float[4,5] b, float[5,6] c) => (float[3,6] y) "
        '{ y = Einsum<equation="ij,jk,kl->il">(a, b, c) }',
        3 * 4 * 5 + 3 * 5 * 6,
    ),
    "einsum of one": ('(float[3,4] a) => (float[4,3] y) { y = Einsum<equation="ij->ji">(a) }', 0),
    "attention": (
        "(float[2,4,5,8] q, float[2,2,6,8] k, float[2,2,6,3] v) => (float[2,4,5,3] y) "
        "{ y = Attention(q, k, v) }",
        2 * 4 * 5 * 6 * (8 + 3),
    ),
    "no products at all": ("(float[2,3,8,8] x) => (float[2,3,1,1] y) { y = GlobalAveragePool(x) }", 0),
    "a bias is no product": ("(float[4,5] x) => (float[4,5] y) <float[5] b> { y = Add(x, b) }", 0),
}


@pytest.mark.parametrize("case", PRODUCTS)
@pytest.mark.parametrize("fuse", [True, False])
def test_multiply_accumulates(import_text: Import, case: str, fuse: bool) -> None:
    text, macs = PRODUCTS[case]
    graph = import_text(f"g {text}", opset=23, fuse=fuse)
    assert graph.macs == macs
    assert graph.warnings == ()


CONTRIBUTED = {
    "FusedMatMul": (
        "(float[2,5,4] x) => (float[2,4,6] y) <float[6,5] w> "
        "{ y = com.microsoft.FusedMatMul<transA=1, transB=1, alpha=0.5>(x, w) }",
        2 * 4 * 5 * 6,
    ),
    "FusedConv": (
        "(float[1,2,6,6] x) => (float[1,3,4,4] y) <float[3,2,3,3] w> "
        '{ y = com.microsoft.FusedConv<activation="Relu">(x, w) }',
        16 * 3 * 18,
    ),
    "Attention": (
        "(float[2,5,8] x) => (float[2,5,8] y) <float[8,24] w, float[24] b> "
        "{ y = com.microsoft.Attention<num_heads=2>(x, w, b) }",
        2 * 5 * 8 * 24 + 2 * 2 * 5 * 5 * (4 + 4),
    ),
    "MultiHeadAttention": (
        "(float[2,5,8] q, float[2,7,8] k, float[2,7,8] v) => (float[2,5,8] y) "
        "{ y = com.microsoft.MultiHeadAttention<num_heads=2>(q, k, v) }",
        2 * 5 * 7 * (8 + 8),
    ),
    "MatMulNBits": (
        "(float[3,64] x) => (float[3,10] y) <uint8[10,2,16] w, float[20] s> "
        "{ y = com.microsoft.MatMulNBits<K=64, N=10, bits=4, block_size=32>(x, w, s) }",
        3 * 64 * 10,
    ),
    "QGemm": (
        "(uint8[3,4] x) => (float[3,5] y) <float s, uint8 z, int8[4,5] w, float ws, int8 wz> "
        "{ y = com.microsoft.QGemm(x, s, z, w, ws, wz) }",
        60,
    ),
    "QAttention": (
        "(uint8[2,5,8] x) => (float[2,5,8] y) <int8[8,24] w, float[24] b, float s, float ws> "
        "{ y = com.microsoft.QAttention<num_heads=2>(x, w, b, s, ws) }",
        2 * 5 * 8 * 24 + 2 * 2 * 5 * 5 * (4 + 4),
    ),
    "PackedAttention": (
        "(float[9,8] x, int32[2,5] o, int32[3] c) => (float[9,8] y) <float[8,24] w, float[24] b> "
        "{ y = com.microsoft.PackedAttention<num_heads=2>(x, w, b, o, c) }",
        9 * 8 * 24 + 2 * 2 * 5 * 5 * (4 + 4),
    ),
    "GroupQueryAttention": (
        "(float[2,5,32] q, float[2,5,16] k, float[2,5,16] v, int32[2] s, int32 t) => (float[2,5,32] y) "
        '{ y = com.microsoft.GroupQueryAttention<num_heads=4, kv_num_heads=2>(q, k, v, "", "", s, t) }',
        2 * 4 * 5 * 5 * (8 + 8),
    ),
    "FusedGemm": (
        "(float[5,7] x) => (float[5,3] y) <float[7,3] w, float[3] b> "
        '{ y = com.microsoft.FusedGemm<activation="Relu">(x, w, b) }',
        5 * 7 * 3,
    ),
    "MatMulIntegerToFloat": (
        "(uint8[3,4] x) => (float[3,5] y) <int8[4,5] w, float s, float ws> "
        "{ y = com.microsoft.MatMulIntegerToFloat(x, w, s, ws) }",
        60,
    ),
    "DynamicQuantizeLSTM": (
        "(float[7,2,5] x) => (float[7,1,2,3] y) <int8[1,5,12] w, int8[1,3,12] r, float[1] s, int8[1] z> "
        '{ y = com.microsoft.DynamicQuantizeLSTM<hidden_size=3>(x, w, r, "", "", "", "", "", s, z, s, z) }',
        7 * 2 * 12 * (5 + 3),
    ),
    "MoE": (
        "(float[10,8] x, float[10,4] r) => (float[10,8] y) "
        "<float[4,8,16] a, float[4,16] ab, float[4,16,8] b, float[4,8] bb> "
        '{ y = com.microsoft.MoE<k=2, activation_type="relu">(x, r, a, ab, b, bb) }',
        10 * 2 * (8 * 16 + 16 * 8),
    ),
    "NhwcMaxPool": (
        "(int8[1,6,6,2] x) => (int8[1,3,3,2] y) "
        "{ y = com.microsoft.NhwcMaxPool<kernel_shape=[2,2], strides=[2,2]>(x) }",
        0,
    ),
    "SkipLayerNormalization": (
        "(float[2,5,8] x, float[2,5,8] z) => (float[2,5,8] y) <float[8] g, float[8] b> "
        "{ y = com.microsoft.SkipLayerNormalization(x, z, g, b) }",
        0,
    ),
    "DynamicQuantizeMatMul": (
        "(float[3,4] x) => (float[3,5] y) <int8[4,5] w, float ws> "
        "{ y = com.microsoft.DynamicQuantizeMatMul(x, w, ws) }",
        60,
    ),
}


@pytest.mark.parametrize("case", CONTRIBUTED)
def test_contributed_operators(import_text: Import, case: str) -> None:
    text, macs = CONTRIBUTED[case]
    graph = import_text(f"g {text}", domain="com.microsoft")
    assert graph.macs == macs
    assert graph.warnings == ()


def test_a_convolution_keeps_its_geometry(import_text: Import) -> None:
    graph = import_text(
        "g (float[1,4,8,8] x) => (float[1,8,4,4] y) <float[8,2,3,3] w> "
        "{ y = Conv<group=2, strides=[2,2], pads=[1,1,1,1]>(x, w) }"
    )
    work = graph.layers[0].matrix
    assert work is not None
    assert (work.groups, work.m, work.n, work.k) == (2, 16, 4, 18)
    assert work.conv is not None
    assert (work.conv.kernel, work.conv.strides, work.conv.output_size) == ((3, 3), (2, 2), (4, 4))


def test_attention_as_one_operator_is_scores_and_context(import_text: Import) -> None:
    graph = import_text(
        "g (float[2,4,5,8] q, float[2,4,6,8] k, float[2,4,6,8] v) => (float[2,4,5,8] y) "
        "{ [att] y = Attention(q, k, v) }",
        opset=23,
    )
    scores, context = graph.layers
    assert (scores.name, context.name) == ("att/scores", "att/context")
    assert (scores.role, context.role) == ("attention-scores", "attention-context")
    assert scores.matrix is not None
    assert scores.matrix.batch_axis is BatchAxis.GROUPS
    assert [work.category for work in scores.vector] == [VectorCategory.SOFTMAX]
    assert scores.outputs[0].elements == 2 * 4 * 5 * 6


def test_loop_trips_multiply_work_but_not_weights(import_text: Import) -> None:
    graph = import_text(
        """g (float[1,4] x) => (float[1,4] y) <float[4,4] w, int64 n = {5}, bool c = {1}> {
            y = Loop(n, c, x) <body = b (int64 i, bool go, float[1,4] h) => (bool more, float[1,4] out) {
                more = Identity(go)
                out = MatMul(h, w)
            }>
        }"""
    )
    assert graph.macs == 5 * 16
    assert graph.parameters == 16


KINDS = {
    LayerKind.GATHER: "(int64[3] i) => (float[3,8] y) <float[100,8] t> { y = Gather(t, i) }",
    LayerKind.MOVE: "(float[3,8] x) => (float[8,3] y) { y = Transpose(x) }",
    LayerKind.VECTOR: "(float[3,8] x) => (float[3,8] y) { y = Softmax(x) }",
    LayerKind.RECURRENT: "(float[7,2,5] x) => (float[7,1,2,3] y) <float[1,3,5] w, float[1,3,3] r> "
    "{ y = RNN<hidden_size=3>(x, w, r) }",
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(import_text: Import, kind: LayerKind) -> None:
    graph = import_text(f"g {KINDS[kind]}")
    assert [layer.kind for layer in graph] == [kind]


def test_views_alias_what_they_view(import_text: Import) -> None:
    graph = import_text(
        """g (float[2,6] x) => (float[6,2] y) {
            a = Relu(x)
            b = Identity(a)
            c = Flatten(b)
            y = Transpose(c)
        }""",
        fuse=False,
    )
    assert [layer.operators for layer in graph] == [("Relu",), ("Transpose",)]
    assert graph.layers[1].inputs[0].name == "a"
    assert graph.producers["a"] == graph.layers[0].name


def test_a_transpose_of_single_extents_is_a_view(import_text: Import) -> None:
    graph = import_text("g (float[1,6] x) => (float[6,1] y) { a = Relu(x) y = Transpose(a) }", fuse=False)
    assert [layer.operators for layer in graph] == [("Relu",)]
    assert graph.outputs[0].name == "a"


WRONG = {
    "inner extents": "(float[2,3] a, float[4,5] b) => (float[2,5] y) { y = MatMul(a, b) }",
    "groups": "(float[1,4,8,8] x) => (float[1,5,8,8] y) <float[5,2,1,1] w> { y = Conv<group=2>(x, w) }",
    "gates": "(float[7,2,5] x) => (float[7,1,2,3] y) <float[1,10,5] w, float[1,12,3] r> "
    "{ y = LSTM<hidden_size=3>(x, w, r) }",
}


@pytest.mark.parametrize("case", WRONG)
def test_operands_that_do_not_fit_are_named(import_text: Import, case: str) -> None:
    with pytest.raises(ModelError) as caught:
        import_text(f"g {WRONG[case]}")
    assert "text.onnx" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("domain", ["qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general"])
def test_weights_rounded_in_place_are_still_weights(import_text: Import, domain: str) -> None:
    graph = import_text(
        "g (float[2,8] x) => (float[2,3] y) <float[8,3] w, float s = {0.1}, float z = {0}, float b = {4}> "
        f"{{ r = {domain}.Quant(w, s, z, b) y = MatMul(x, r) }}",
        domain=domain,
    )
    assert graph.complete
    assert graph.macs == 2 * 8 * 3
    assert graph.parameters == 8 * 3
