"""Operators of ONNX Runtime that gate, normalise and look up: shapes and what little they multiply."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from layerweaver.ir import LayerGraph

MICROSOFT = "com.microsoft"

CASES: dict[str, tuple[str, str, str, int, tuple[int, ...]]] = {
    "gated-add": (
        "float[2, 5, 8] x, float[2, 5, 8] z, float[2, 5, 1] g",
        "",
        "GatedAdd(x, z, g)",
        0,
        (2, 5, 8),
    ),
    "gated-add-with-product": (
        "float[2, 5, 8] x, float[2, 5, 8] z, float[2, 5, 16] g",
        "float[16, 1] w",
        "GatedAdd(x, z, g, w)",
        10 * 16,
        (2, 5, 8),
    ),
    "streams-joined": (
        "float[2, 5, 4, 8] x, float[2, 5, 4] m",
        "",
        "HyperConnectionPreMix(x, m)",
        0,
        (2, 5, 8),
    ),
    "streams-spread": (
        "float[2, 5, 4, 8] x, float[2, 5, 8] b, float[2, 5, 4] p, float[2, 5, 4, 4] m",
        "",
        "HyperConnectionPostMix(x, b, p, m)",
        10 * 4 * 4 * 8,
        (2, 5, 4, 8),
    ),
    "router": (
        "float[10, 16] x",
        "float[6] b, float[6, 16] w",
        "MoEGroupRouter<n_group=2, topk_group=1, top_k=2>(x, b, w)",
        10 * 16 * 6,
        (10, 6),
    ),
    "words": (
        "int32[2, 3, 12] s",
        "float[20, 1, 5, 8] w, float[20] b, float[99, 8] c",
        "WordConvEmbedding<conv_window_size=5, embedding_size=20, char_embedding_size=8>(s, w, b, c)",
        6 * 8 * 20 * 5 * 8,
        (2, 3, 20),
    ),
    "mamba": (
        "float[3, 1284] p, float[4, 768, 3] c, float[4, 4, 128, 64] h, int32[1] r",
        "float[768, 4] w, float[768] b, float[4] d, float[256] n",
        "Mamba2Verify<heads=4, head_dim=64, d_state=128, n_groups=2>(p, c, h, w, b, d, d, d, n, r)",
        3 * 768 * 4 + 3 * 2 * 4 * 128 * 64,
        (3, 256),
    ),
    "rotary": (
        "float[2, 5, 32] x, int64[3, 2, 5] p",
        "float[99, 4] c, float[99, 4] s",
        "MRotaryEmbedding<num_heads=4>(x, p, c, s)",
        0,
        (2, 5, 32),
    ),
    "gated-norm": (
        "float[2, 5, 32] x, float[2, 5, 32] g",
        "float[8] w",
        "GatedRMSNorm(x, w, g)",
        0,
        (2, 5, 32),
    ),
    "swiglu-of-halves": ("float[2, 5, 32] x", "", "SwiGLU(x)", 0, (2, 5, 16)),
    "integers": ("int8[2, 5] x, int8[5] z", "int8 zero = {0}", "MulInteger(x, zero, z, zero)", 0, (2, 5)),
    "sum": ("int8[2, 5, 7] x", "", "ReduceSumInteger<axes=[1], keepdims=0>(x)", 0, (2, 7)),
    "table": ("int64[2, 5] i", "float[99, 8] t", "TorchEmbedding(t, i)", 0, (2, 5, 8)),
    "packed-table": ("int64[2, 5] i", "uint8[99, 20] t", "GatherPacked<K=32>(t, i)", 0, (2, 5, 32)),
    "view": ("float[2, 5] x", "int32 a = {1}", "ExpandDims(x, a)", 0, (2, 1, 5)),
}


@pytest.mark.parametrize("case", CASES)
def test_shapes_and_products(case: str, import_text: Callable[..., LayerGraph]) -> None:
    inputs, weights, call, macs, shape = CASES[case]
    held = f"<{weights}>" if weights else ""
    graph = import_text(
        f"g ({inputs}) => (float[] y) {held} {{ o = {MICROSOFT}.{call} y = Identity(o) }}",
        domain=MICROSOFT,
        strict=True,
        fuse=False,
    )
    assert graph.macs == macs
    assert graph.complete
    if graph.outputs:
        assert graph.outputs[0].elements == math.prod(shape)


def test_rows_of_a_packed_table_are_fetched_as_stored(import_text: Callable[..., LayerGraph]) -> None:
    inputs, weights, call, _, _ = CASES["packed-table"]
    text = f"g ({inputs}) => (float[] y) <{weights}> {{ y = {MICROSOFT}.{call} }}"
    graph = import_text(text, domain=MICROSOFT)
    assert [gather.rows.elements for layer in graph for gather in layer.gathers] == [10 * 20]
