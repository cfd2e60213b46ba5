"""Attributes of ONNX Runtime's stateful operators, in shapes and work alike, counted by hand.

Shapes of those that its CPU provider runs are as it computes them.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from layerweaver.ir import LayerGraph

MICROSOFT = "com.microsoft"

CASES: dict[str, tuple[str, str, str, int, list[tuple[int, ...]]]] = {
    # One token, its keys and values in the query: 32 wide in 4 heads of 8; the buffer has room for 10.
    "packed-decoder": (
        "float[2, 1, 96] q, float[2, 4, 10, 8] pk, float[2, 4, 10, 8] pv, int32[1] n",
        "",
        "DecoderMaskedMultiHeadAttention<num_heads=4, past_present_share_buffer=1>(q, , , , , pk, pv, n)",
        2 * 2 * 4 * 10 * 8,
        [(2, 1, 32), (2, 4, 10, 8), (2, 4, 10, 8)],
    ),
    # Weights as everywhere, and channels last, as some kernels of GPUs ask.
    "channels-last-convolution": (
        "float16[2, 9, 10, 4] x",
        "float16[6, 4, 3, 5] w",
        "NhwcConv<pads=[1, 1, 1, 1]>(x, w)",
        2 * 9 * 8 * 6 * 4 * 3 * 5,
        [(2, 9, 8, 6)],
    ),
    "channels-last-convolution-and-weights": (
        "float16[2, 9, 10, 4] x, float16[2, 9, 8, 6] z",
        "float16[6, 3, 5, 2] w, float16[6] b",
        'NhwcFusedConv<pads=[1, 1, 1, 1], group=2, activation="Relu">(x, w, b, z)',
        2 * 9 * 8 * 6 * 2 * 3 * 5,
        [(2, 9, 8, 6)],
    ),
    # 3 rows of the buffer are filled before the call, 4 after it.
    "buffer-filled-to-a-known-length": (
        "float[2, 1, 32] q, float[2, 1, 32] k, float[2, 1, 32] v, float[2, 4, 10, 8] pk, float[2, "
        "4, 10, 8] pv",
        "int32[1] n = {3}",
        "MultiHeadAttention<num_heads=4>(q, k, v, , , , pk, pv, n)",
        2 * 2 * 4 * 4 * 8,
        [(2, 1, 32), (2, 4, 10, 8), (2, 4, 10, 8)],
    ),
    "buffer-of-unknown-filling": (
        "float[2, 1, 32] q, float[2, 1, 32] k, float[2, 1, 32] v, float[2, 4, 10, 8] pk, float[2, "
        "4, 10, 8] pv, "
        "int32[1] n",
        "",
        "MultiHeadAttention<num_heads=4>(q, k, v, , , , pk, pv, n)",
        2 * 2 * 4 * 10 * 8,
        [(2, 1, 32), (2, 4, 10, 8), (2, 4, 10, 8)],
    ),
    "self-attention-in-a-filled-buffer": (
        "float[2, 1, 32] x, float[2, 2, 4, 10, 8] past",
        "float[32, 96] w, float[96] b, int32[1] n = {3}",
        "DecoderMaskedSelfAttention<num_heads=4, past_present_share_buffer=1>(x, w, b, , past, , n)",
        2 * 32 * 96 + 2 * 2 * 4 * 4 * 8,
        [(2, 1, 32), (2, 2, 4, 10, 8)],
    ),
    # The 21st token: 6 of 8 kept rows are in the window.
    "cache-as-long-as-its-window": (
        "float[1, 1, 32] q, float[1, 1, 16] k, float[1, 1, 16] v, float[1, 2, 8, 8] pk, float[1, 2, 8, 8] pv",
        "int32[1] l = {20}, int32 t = {21}",
        "GroupQueryAttention<num_heads=4, kv_num_heads=2, local_window_size=6, sliding_window_cache=1>"
        "(q, k, v, pk, pv, l, t)",
        2 * 4 * 6 * 8,
        [(1, 1, 32), (1, 2, 8, 8), (1, 2, 8, 8)],
    ),
    # 4-bit keys and values, two in a byte.
    "cache-of-4-bits": (
        "float[1, 1, 32] q, float[1, 1, 16] k, float[1, 1, 16] v, uint8[1, 2, 8, 4] pk, uint8[1, 2, "
        "8, 4] pv, "
        "int32[1] l, float[1] s",
        "int32 t = {9}",
        'GroupQueryAttention<num_heads=4, kv_num_heads=2, kv_cache_bit_width=4, k_quant_type="PER_TENSOR">'
        "(q, k, v, pk, pv, l, t, , , , , , s, s)",
        2 * 4 * 9 * 8,
        [(1, 1, 32), (1, 2, 9, 4), (1, 2, 9, 4)],
    ),
    # Per token 4 outputs, 4 updates and 4 reads of states of 8 x 12: more value heads than query heads.
    "more-value-heads": (
        "float[2, 5, 16] q, float[2, 5, 16] k, float[2, 5, 48] v, float[2, 5, 4] d, float[2, 5, 4] b",
        "",
        'LinearAttention<q_num_heads=2, kv_num_heads=4, update_rule="gated_delta">(q, k, v, , d, b)',
        10 * (4 + 2 * 4) * 8 * 12,
        [(2, 5, 48), (2, 4, 8, 12)],
    ),
    "kept-states": (
        "float[2, 5, 32] q, float[2, 5, 16] k, float[2, 5, 24] v, float[3, 2, 2, 8, 12] s, float[2, 5, 2] d",
        "",
        'LinearAttention<q_num_heads=4, kv_num_heads=2, update_rule="gated", state_window=3>(q, k, v, s, d)',
        10 * (4 + 2) * 8 * 12,
        [(2, 5, 48), (3, 2, 2, 8, 12)],
    ),
    "dilated": (
        "float[2, 6, 10] x",
        "float[6, 1, 4] w",
        "CausalConvWithState<dilation=2>(x, w)",
        2 * 6 * 10 * 4,
        [(2, 6, 10), (2, 6, 6)],
    ),
    "channels-last": (
        "float[2, 10, 6] x",
        "float[6, 1, 4] w",
        "CausalConvWithState<channels_last=1>(x, w)",
        2 * 6 * 10 * 4,
        [(2, 10, 6), (2, 3, 6)],
    ),
    "on-two-axes": (
        "float[2, 6, 5, 10] x",
        "float[6, 1, 3, 4] w",
        "CausalConvWithState<ndim=2>(x, w)",
        2 * 6 * 5 * 10 * 3 * 4,
        [(2, 6, 5, 10), (2, 6, 5, 3)],
    ),
    "channels-chosen": (
        "float[2, 10, 16] x",
        "float[6, 1, 4] w",
        "CausalConvWithState<channels_last=1, input_channels=6, input_channel_offset=4, state_length=5, "
        "state_channels_last=0, state_update_capacity=4>(x, w)",
        2 * 6 * 10 * 4,
        [(2, 10, 6), (2, 6, 5), (2, 4, 6)],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_shapes_and_work(
    case: str, import_text: Callable[..., LayerGraph], shapes_of_text: Callable[..., dict[str, object]]
) -> None:
    inputs, weights, call, macs, shapes = CASES[case]
    results = [f"y{index}" for index in range(len(shapes))]
    values = f"<{weights}>" if weights else ""
    text = (
        f"g ({inputs}) => ({', '.join(f'float[] {name}' for name in results)}) {values} "
        f"{{ {', '.join(results)} = {MICROSOFT}.{call} }}"
    )
    assert import_text(text, domain=MICROSOFT, strict=True).macs == macs
    known = shapes_of_text(text, domain=MICROSOFT)
    assert [known[name] for name in results] == shapes
