"""Products of ONNX Runtime's own operators, counted by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from layerweaver.ir import LayerGraph

MICROSOFT = "com.microsoft"

CASES: dict[str, tuple[str, str, str, int]] = {
    "moe": (
        "float[6, 32] x, float[6, 4] r",
        "float[4, 24, 32] a, float[4, 32, 24] b",
        'MoE<k=2, activation_type="relu">(x, r, a, , b)',
        12 * 2 * 32 * 24,
    ),
    "moe-fused-swiglu": (
        "float[6, 32] x, float[6, 4] r",
        "float[4, 48, 32] a, float[4, 32, 24] b",
        'MoE<k=2, activation_type="swiglu", swiglu_fusion=1>(x, r, a, , b)',
        12 * (48 * 32 + 32 * 24),
    ),
    "moe-three-products": (
        "float[6, 32] x, float[6, 4] r",
        "float[4, 24, 32] a, float[4, 32, 24] b, float[4, 24, 32] c",
        'MoE<k=1, activation_type="silu">(x, r, a, , b, , c)',
        6 * 3 * 32 * 24,
    ),
    "qmoe-4-bits": (
        "float[2, 3, 32] x, float[6, 4] r",
        "uint8[4, 48, 16] a, float[4, 48] sa, uint8[4, 32, 12] b, float[4, 32] sb",
        'QMoE<k=2, expert_weight_bits=4, activation_type="swiglu", swiglu_fusion=1>(x, r, a, sa, , b, sb)',
        12 * (48 * 32 + 32 * 24),
    ),
    "qmoe-8-bits": (
        "float[6, 32] x, float[6, 4] r",
        "uint8[4, 24, 32] a, float[4, 24] sa, uint8[4, 32, 24] b, float[4, 32] sb",
        'QMoE<k=1, expert_weight_bits=8, activation_type="relu">(x, r, a, sa, , b, sb)',
        6 * 2 * 32 * 24,
    ),
    "moe-packed": (
        "float[6, 32] x, float[6, 4] r",
        "uint8[4, 24, 20] a, uint8[4, 24, 20] u, uint8[4, 32, 16] b",
        "MoEPacked<k=2>(x, r, a, u, b)",
        12 * 3 * 32 * 24,
    ),
    "mlp": (
        "float[2, 5, 32] x",
        "uint8[16, 2, 8] g, float[16, 2] sg, uint8[16, 2, 8] u, float[16, 2] su",
        'MatMulNBitsMlp<K=32, N=16, bits=4, block_size=16, activation="silu">(x, , , g, sg, , u, su)',
        10 * 2 * 32 * 16,
    ),
    "qkv": (
        "float[2, 5, 32] x",
        "float[32] n, uint8[16, 2, 8] q, float[16, 2] sq, uint8[8, 2, 8] k, float[8, 2] sk, "
        "uint8[8, 2, 8] v, float[8, 2] sv",
        "MatMulNBitsQkv<K=32, Nq=16, Nkv=8, bits=4, block_size=16>(x, , n, q, sq, , k, sk, , v, sv)",
        10 * 32 * (16 + 8 + 8),
    ),
    "lora": (
        "float[2, 5, 32] x",
        "uint8[16, 2, 8] w, float[16, 2] s, uint8[4, 2, 8] a, float[4, 2] sa, "
        "uint8[16, 1, 8] b, float[16, 1] sb",
        "MatMulNBitsQLoRA<K=32, N=16, bits=4, block_size=16, lora_bits=4>(x, w, s, a, sa, b, sb)",
        10 * (32 * 16 + 32 * 4 + 4 * 16),
    ),
    "packed": ("float[5, 32] x", "uint8[16, 18] w", "MatMulPacked<K=32, N=16>(x, w)", 5 * 32 * 16),
    "fp4": (
        "float[5, 32] x",
        "uint8[16, 16] w, uint8[16, 2] s, float t",
        "MatMulBlockQuantizedFp4Weight(x, w, s, t)",
        5 * 32 * 16,
    ),
    "fp8": (
        "float[5, 32] x",
        "uint8[16, 32] w, float[16, 1] s",
        "MatMulBlockQuantizedFp8Weight(x, w, s)",
        5 * 32 * 16,
    ),
    "router": ("float[5, 32] x", "float[32, 44] w", "RouterGateUpProj<router_size=4>(x, w)", 5 * 32 * 44),
    "gemm-float-8": (
        "float[5, 32] x",
        "float[16, 32] w",
        "GemmFloat8<transB=1, dtype=1>(x, w)",
        5 * 32 * 16,
    ),
    "integer-16": ("int16[5, 32] x", "int16[32, 16] w", "MatMulInteger16(x, w)", 5 * 32 * 16),
    "transposed-with-pads": (
        "float[1, 4, 6, 6] x, int64[4] p",
        "float[4, 3, 2, 2] w",
        "ConvTransposeWithDynamicPads<strides=[2, 2]>(x, w, zero)",
        36 * 4 * 4 * 3,
    ),
    "linear-attention": (
        "float[2, 5, 32] q, float[2, 5, 32] k, float[2, 5, 32] v, float[2, 4, 8, 8] s, float[2, 5, 4] d, "
        "float[2, 5, 4] b",
        "",
        'LinearAttention<q_num_heads=4, kv_num_heads=4, update_rule="gated_delta">(q, k, v, s, d, b)',
        10 * (4 + 2 * 4) * 64,
    ),
    "causal-conv": (
        "float[2, 6, 9] x, float[2, 6, 3] s",
        "float[6, 1, 4] w",
        "CausalConvWithState(x, w, , s)",
        2 * 6 * 9 * 4,
    ),
    "low-rank-mix": (
        "float[5, 32] x",
        "float[32] n, float[32, 4] a, float[4, 32] b, float[32, 4] c",
        "HyperConnectionLowRankMix<num_branches=4>(x, n, a, b, c)",
        5 * (32 * 4 + 4 * 32 + 32 * 4),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_multiply_accumulates(case: str, import_text: Callable[..., LayerGraph]) -> None:
    inputs, weights, call, macs = CASES[case]
    held = ", ".join(part for part in (weights, "int64[4] zero = {0, 0, 0, 0}") if part)
    text = f"g ({inputs}) => (float[] y) <{held}> {{ y = {MICROSOFT}.{call} }}"
    graph = import_text(text, domain=MICROSOFT, strict=True)
    assert graph.macs == macs
    assert graph.complete
    assert (graph.parameters > 0) == bool(weights)


def test_weights_of_a_few_bits_are_stored_as_such(import_text: Callable[..., LayerGraph]) -> None:
    inputs, weights, call, _ = CASES["qmoe-4-bits"]
    text = f"g ({inputs}) => (float[] y) <{weights}> {{ y = {MICROSOFT}.{call} }}"
    graph = import_text(text, domain=MICROSOFT)
    scales = 4 * (48 + 32)
    assert graph.parameters == 4 * (48 * 32 + 32 * 24) + scales
    stored = sum(tensor.nbytes() for tensor in graph.parameter_tensors())
    assert stored == 4 * (48 * 16 + 32 * 12) + 4 * scales
