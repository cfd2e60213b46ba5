"""Attention of ONNX Runtime's own operators, counted by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from layerweaver.ir import LayerGraph

MICROSOFT = "com.microsoft"
NHWC = "com.ms.internal.nhwc"

CASES: dict[str, tuple[str, str, str, int]] = {
    "packed-tokens": (
        "float[10, 32] q, float[10, 32] k, float[10, 32] v, int32[2, 5] o, int32[3] n",
        "",
        "PackedMultiHeadAttention<num_heads=4>(q, k, v, , o, n)",
        2 * 2 * 4 * 5 * 5 * 8,
    ),
    "packed-tokens-in-one": (
        "float[10, 4, 3, 8] q, int32[2, 5] o, int32[3] n",
        "",
        "PackedMultiHeadAttention<num_heads=4>(q, , , , o, n)",
        2 * 2 * 4 * 5 * 5 * 8,
    ),
    "pages": (
        "float[6, 32] q, float[6, 16] k, float[6, 16] v, float[9, 16, 2, 8] kc, float[9, 16, 2, 8] vc, "
        "int32[4] c, int32[3] p, int32[3, 5] t",
        "",
        "PagedAttention<num_heads=4, kv_num_heads=2>(q, k, v, kc, vc, c, p, t)",
        2 * 4 * 6 * 5 * 16 * 8,
    ),
    "pages-with-a-window": (
        "float[6, 64] q, float[9, 16, 2, 8] kc, float[9, 16, 2, 8] vc, int32[4] c, int32[3] p, int32[3, 5] t",
        "",
        "PagedAttention<num_heads=4, kv_num_heads=2, local_window_size=20>(q, , , kc, vc, c, p, t)",
        2 * 4 * 6 * 20 * 8,
    ),
    "chosen-pages": (
        "float[6, 32] q, float[6, 16] k, float[6, 16] v, float[9, 16, 2, 8] kc, float[9, 16, 2, 8] vc, "
        "int32[4] c, int32[3] p, int32[3, 5] t, int32[6, 7] s, int32[6] n",
        "",
        "SparsePagedAttention<num_heads=4, kv_num_heads=2>(q, k, v, kc, vc, c, p, t, , s, n)",
        2 * 4 * 6 * 7 * 8,
    ),
    "blocks": (
        "float[2, 64, 32] q, float[2, 64, 16] k, float[2, 64, 16] v, float[2, 2, 64, 8] pk, "
        "float[2, 2, 64, 8] pv, int32[1, 5] r, int32[1, 6] c, int32[2] l",
        "int32 total = {64}",
        "SparseAttention<num_heads=4, kv_num_heads=2, sparse_block_size=16>(q, k, v, pk, pv, r, c, total, l)",
        2 * 2 * 4 * 64 * 24 * 8,
    ),
    "chosen-keys": (
        "float[2, 3, 32] q, float[2, 3, 16] k, float[2, 3, 16] v, float[2, 2, 64, 8] pk, "
        "float[2, 2, 64, 8] pv, int32[6, 10] s, int32[6] n, int32[2] l, int32 total",
        "",
        "DynamicSparseAttention<num_heads=4, kv_num_heads=2>(q, k, v, pk, pv, , , s, n, l, total)",
        2 * 2 * 4 * 3 * 10 * 8,
    ),
    "windows": (
        "float[2, 32, 16] x, float[2, 32] m, int32[2, 32] g",
        "float[16, 48] w, float[48] b, float[16, 48] gw, float[48] gb",
        "LongformerAttention<num_heads=4, window=4>(x, w, b, m, gw, gb, g)",
        2 * 2 * 32 * 16 * 48 + 2 * 2 * 4 * 32 * 9 * 4,
    ),
    "ordered": (
        "int8[2, 5, 16] x",
        "float s, int8[16, 32] q, int8[16, 32] k, int8[16, 32] v, float[32] b",
        "QOrderedAttention<num_heads=4, order_input=1, order_weight=0, order_output=1>"
        "(x, s, s, s, s, q, k, v, s, s, s, b, b, b, s, s, s)",
        3 * 10 * 16 * 32 + 2 * 2 * 4 * 5 * 5 * 8,
    ),
    "decoder-with-cache": (
        "float[1, 2, 32] q, float[1, 2, 32] k, float[2, 4, 6, 8] kc, float[2, 4, 6, 8] vc",
        "float[32, 32] w, float[32, 64] kv, float[96] b, bool no = {0}, bool yes = {1}",
        "DecoderAttention<num_heads=4>(q, k, w, kv, b, , kc, vc, no, yes, yes, no)",
        2 * 32 * 32 + 2 * 32 * 64 + 2 * 2 * 4 * 7 * 8,
    ),
    "decoder-across": (
        "float[1, 2, 32] q, float[9, 2, 32] k",
        "float[32, 32] w, float[32, 64] kv, float[96] b, bool no = {0}, bool yes = {1}",
        "DecoderAttention<num_heads=4>(q, k, w, kv, b, , , , yes, no, no, no)",
        2 * 32 * 32 + 9 * 2 * 32 * 64 + 2 * 2 * 4 * 9 * 8,
    ),
    "masked-self": (
        "float[2, 1, 32] x, float[2, 2, 4, 7, 8] past",
        "float[32, 96] w, float[96] b",
        "DecoderMaskedSelfAttention<num_heads=4>(x, w, b, , past)",
        2 * 32 * 96 + 2 * 2 * 4 * 8 * 8,
    ),
    "gated-bias": (
        "float[2, 5, 32] q",
        "float[32] qb, float[1, 4, 5, 5] p, float[8, 8] w, float[8] b, float[1, 4, 1, 1] e",
        "GatedRelativePositionBias<num_heads=4>(q, qb, p, w, b, e)",
        2 * 5 * 4 * 8 * 8,
    ),
    "delta-net": (
        "float[10, 4, 8] q, float[10, 4, 8] k, float[10, 4, 16] v",
        "",
        'GatedDeltaNet<update_rule="gated_delta">(q, k, v)',
        10 * (4 + 2 * 4) * 8 * 16,
    ),
    "packed-convolution": (
        "float[10, 6] x, int32[3] n, float[2, 6, 3] s",
        "float[6, 1, 4] w",
        "VarlenCausalConvWithState(x, w, n, , s)",
        10 * 6 * 4,
    ),
    "ordered-product": (
        "int8[2, 5, 16] x",
        "float s, int8[16, 24] w",
        "QOrderedMatMul<order_A=1, order_B=0, order_Y=1>(x, s, w, s, s)",
        2 * 5 * 16 * 24,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_multiply_accumulates(case: str, import_text: Callable[..., LayerGraph]) -> None:
    inputs, weights, call, macs = CASES[case]
    held = f"<{weights}>" if weights else ""
    graph = import_text(
        f"g ({inputs}) => (float[] y) {held} {{ y = {MICROSOFT}.{call} }}", domain=MICROSOFT, strict=True
    )
    assert graph.macs == macs
    assert graph.complete


def test_pages_are_state(import_text: Callable[..., LayerGraph]) -> None:
    inputs, _, call, _ = CASES["pages"]
    text = f"g ({inputs}) => (float[] y, float[] a, float[] b) {{ y, a, b = {MICROSOFT}.{call} }}"
    graph = import_text(text, domain=MICROSOFT)
    assert {tensor.name for layer in graph for tensor in layer.state_reads} == {"kc", "vc"}
    assert sum(tensor.elements for layer in graph for tensor in layer.state_writes) == 2 * 6 * 2 * 8


@pytest.mark.parametrize(
    ("call", "macs", "elements"),
    [
        ("Conv<pads=[1, 1, 1, 1]>(x, w)", 2 * 9 * 10 * 6 * 4 * 9, 2 * 9 * 10 * 6),
        ("Conv<strides=[2, 2]>(x, w)", 2 * 4 * 4 * 6 * 4 * 9, 2 * 4 * 4 * 6),
        ("ConvTranspose<strides=[2, 2]>(x, t)", 2 * 9 * 10 * 4 * 3 * 4, 2 * 18 * 20 * 3),
        ("MaxPool<kernel_shape=[3, 2], strides=[3, 2]>(x)", 0, 2 * 3 * 5 * 4),
        ("GlobalAveragePool(x)", 0, 2 * 4),
        ("SpaceToDepth<blocksize=1>(x)", 0, 2 * 9 * 10 * 4),
    ],
)
def test_channels_last(call: str, macs: int, elements: int, import_text: Callable[..., LayerGraph]) -> None:
    graph = import_text(
        f"g (float[2, 9, 10, 4] x) => (float[] y) <float[6, 4, 3, 3] w, float[4, 3, 2, 2] t> "
        f"{{ y = {NHWC}.{call} }}",
        domain=NHWC,
        strict=True,
    )
    assert graph.macs == macs
    assert graph.outputs[0].elements == elements
