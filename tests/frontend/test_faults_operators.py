"""Operators whose shape and work must agree in every attribute: each case was counted wrong once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from layerweaver.ir import LayerGraph

MICROSOFT = "com.microsoft"
ImportText = Callable[..., LayerGraph]


@pytest.mark.parametrize(
    ("attributes", "left", "right", "macs"),
    [
        ("transBatchA=1", "6,2,3,5", "2,3,5,7", 2 * 3 * 6 * 5 * 7),
        ("transBatchB=1", "2,3,6,5", "5,2,3,7", 2 * 3 * 6 * 5 * 7),
        ("transBatchA=1, transA=1", "5,2,3,6", "2,3,5,7", 2 * 3 * 6 * 5 * 7),
        ("transBatchA=1, transBatchB=1, transB=1", "6,4,5", "7,4,5", 4 * 6 * 5 * 7),
        ("transB=1", "6,5", "7,5", 6 * 5 * 7),
    ],
)
def test_fused_products_turn_their_operands_alike(
    attributes: str, left: str, right: str, macs: int, import_text: ImportText
) -> None:
    graph = import_text(
        f"g (float[{left}] a, float[{right}] b) => (float[] y) {{"
        f" y = {MICROSOFT}.FusedMatMul<{attributes}>(a, b) }}",
        domain=MICROSOFT,
        strict=True,
    )
    assert graph.macs == macs


def test_early_gemm_flattens_what_it_multiplies(import_text: ImportText) -> None:
    text = "g (float[4, 2, 3] a, float[6, 5] b, float[5] c) => (float[] y) { y = Gemm<broadcast=1>(a, b, c) }"
    assert import_text(text, opset=6).macs == 4 * 6 * 5


@pytest.mark.parametrize(("exclusive", "reverse", "rows"), [(0, 0, 6), (1, 0, 3), (0, 1, 3), (1, 1, 0)])
def test_cumulative_sums_of_constants_are_folded(
    exclusive: int, reverse: int, rows: int, import_text: ImportText
) -> None:
    graph = import_text(
        f"""g (float[7, 8] x, float[8, 5] w) => (float[] y) <int64[3] c = {{1, 2, 3}}, int64 z = {{0}},
            int64 two = {{2}}, int64[1] z1 = {{0}}> {{
            s = CumSum<exclusive={exclusive}, reverse={reverse}>(c, z)
            k = Gather(s, two)
            e = Unsqueeze(k, z1)
            t = Slice(x, z1, e)
            y = MatMul(t, w)
        }}""",
    )
    assert graph.macs == rows * 8 * 5


GROUPED = """g (float[2, {q}, 32] q, float[2, {q}, 16] k, float[2, {q}, 16] v, float[2, 2, {past}, 8] pk,
    float[2, 2, {past}, 8] pv, int32[2] sk, int32 n) =>
    (float[] y, float[2, 2, 32, 8] nk, float[2, 2, 32, 8] nv) {{
    y, nk, nv = com.microsoft.GroupQueryAttention<num_heads=4, kv_num_heads=2{more}>(q, k, v, pk, pv, sk, n)
}}"""


@pytest.mark.parametrize(
    ("q", "past", "more", "keys"),
    [
        (1, 31, "", 32),
        (1, 31, ", local_window_size=4", 4),
        (3, 29, ", local_window_size=100", 32),
        (1, 32, "", 32),
    ],
    ids=["grown", "window", "wide-window", "shared-buffer"],
)
def test_keys_of_grouped_attention(q: int, past: int, more: str, keys: int, import_text: ImportText) -> None:
    text = GROUPED.format(q=q, past=past, more=more)
    assert import_text(text, domain=MICROSOFT).macs == 2 * 2 * 4 * q * keys * 8


@pytest.mark.parametrize(
    ("values", "keys"), [({}, 32), ({"n": (9,)}, 9), ({"sk": (4, 11)}, 12), ({"sk": (4, 11), "n": (9,)}, 9)]
)
def test_what_fills_a_shared_buffer_is_asked_for_and_taken(
    values: dict[str, tuple[int, ...]], keys: int, import_text: ImportText
) -> None:
    graph = import_text(GROUPED.format(q=1, past=32, more=""), domain=MICROSOFT, values=values)
    assert graph.macs == 2 * 2 * 4 * keys * 8
    if values:
        assert graph.warnings == ()
    else:
        assert "of its shared buffer are filled depends on data: taken as all" in graph.warnings[0]
        assert graph.warnings[0].endswith("give --value n=N")


@pytest.mark.parametrize(("shared", "keys"), [(0, 33), (1, 32)])
def test_keys_of_a_shared_buffer(shared: int, keys: int, import_text: ImportText) -> None:
    graph = import_text(
        f"""g (float[2, 1, 32] q, float[2, 1, 32] k, float[2, 1, 32] v, int32[2, 32] m,
            float[2, 4, 32, 8] pk, float[2, 4, 32, 8] pv, int32[1] n)
            => (float[] y, float[] nk, float[] nv) {{
            y, nk, nv = {MICROSOFT}.DecoderMaskedMultiHeadAttention<num_heads=4,
                past_present_share_buffer={shared}>(q, k, v, m, , pk, pv, n)
        }}""",
        domain=MICROSOFT,
    )
    assert graph.macs == 2 * 2 * 4 * keys * 8
