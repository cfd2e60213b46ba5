"""Indexers of sparse attention, replays, attentive LSTMs, layouts and searches, counted by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from layerweaver.ir import LayerGraph, ModelError

MICROSOFT = "com.microsoft"
NHWC = "com.ms.internal.nhwc"
TABLES = "float[8] qn, float[8] kn, float[64, 8] cos, float[64, 8] sin"

CASES: dict[str, tuple[str, str, str, int, list[tuple[int, ...]]]] = {
    # 13 + 3 tokens are 4 blocks of 4; a budget of 8 tokens and at most 3 of the last block.
    "blocks": (
        "float[2, 3, 32] q, float[2, 3, 8] k, float[2, 13, 8] pk",
        TABLES,
        "SparseAttentionIndexer<policy_mode='qsa', compress_ratio=4, token_budget=8>"
        "(q, k, qn, kn, cos, sin, , pk)",
        2 * 4 * 3 * 4 * 8,
        [(2, 3, 11), (2, 16, 8)],
    ),
    "blocks-in-a-buffer-keys-beside-queries": (
        "float[2, 3, 40] q, float[2, 64, 8] pk",
        f"{TABLES}, int32[1] n = {{13}}",
        "SparseAttentionIndexer<policy_mode='qsa', compress_ratio=4, token_budget=8>"
        "(q, , qn, kn, cos, sin, , pk, , , , , n)",
        2 * 4 * 3 * 4 * 8,
        [(2, 3, 11), (2, 64, 8)],
    ),
    # 6 buffered tokens: a complete window and 2 of the next; with 3 more it is complete and 1 is left.
    "compressed": (
        "float[2, 3, 32] q, float[2, 3, 16] k, float[2, 10, 8] pk, float[2, 3, 16] g, float[2, 3, 4] h, "
        "int64[2, 3] p, float[2, 2, 6, 16] b",
        f"{TABLES}, float[4, 16] pb",
        "SparseAttentionIndexer<policy_mode='csa', compress_ratio=4, index_topk=5>"
        "(q, k, qn, kn, cos, sin, , pk, g, pb, h, p, , b)",
        2 * 4 * 3 * 11 * 8,
        [(2, 3, 5), (2, 11, 8), (2, 2, 5, 16)],
    ),
    # 1 + 3 tokens do not complete the first window of 8: nothing is added, 4 are buffered.
    "nothing-compressed-yet": (
        "float[2, 3, 32] q, float[2, 3, 16] k, float[2, 10, 8] pk, float[2, 3, 16] g, float[2, 3, 4] h, "
        "int64[2, 3] p, float[2, 2, 1, 16] b",
        f"{TABLES}, float[8, 16] pb",
        "SparseAttentionIndexer<policy_mode='csa', compress_ratio=8, index_topk=5>"
        "(q, k, qn, kn, cos, sin, , pk, g, pb, h, p, , b)",
        2 * 4 * 3 * 10 * 8,
        [(2, 3, 5), (2, 10, 8), (2, 2, 4, 16)],
    ),
    # As many entries as the state has room for: 20.
    "packed": (
        "float[6, 32] q, float[6, 8] k, int32[4] c, int32[3] p, float[3, 20, 8] s, float[3, 7, 8] b, "
        "int32[3, 2] l",
        TABLES,
        "PackedSparseAttentionIndexer<policy_mode='qsa', compress_ratio=4, token_budget=8, state_capacity=20>"
        "(q, k, qn, kn, cos, sin, c, p, , , , , s, b, , l)",
        4 * 6 * 20 * 8,
        [(6, 11), (6,), (3, 20, 8), (3, 7, 8)],
    ),
    "merged": (
        "int32[5, 11] i, int32[5] n, int32[6] r, int32[6] f, int32[6] t",
        "",
        "PackedSparseAttentionIndexerMerge<policy_mode='append_range', max_output_entries=16>(i, n, r, f, t)",
        0,
        [(6, 16), (6,), (6,)],
    ),
    # 3 kept tokens are added to the state of 2 heads, 3 x 4 each.
    "replayed": (
        "float[500] s, float[500] c, float[500] d",
        "int64[11] m = {0, 0, 0, 8, 40, 2, 3, 4, 2, 4, 3}",
        "GatedDeltaNetStateReplay(s, c, d, m)",
        3 * 2 * 3 * 4,
        [(500,)],
    ),
    # Keys of the memory once; per step the query, 9 alignments, the context, its attention and the gates.
    "attentive-lstm": (
        "float[5, 2, 6] x, float[2, 9, 7] m",
        "float[1, 16, 10] w, float[1, 16, 4] r, float[1, 4, 3] qw, float[1, 7, 3] mw, float[1, 3] v, "
        "float[1, 11, 4] aw",
        "AttnLSTM<hidden_size=4>(x, w, r, , , , , , qw, mw, v, m, , aw)",
        2 * 9 * 7 * 3 + 5 * 2 * (4 * 3 + 9 * 3 + 9 * 7 + 11 * 4 + 16 * (10 + 4)),
        [(5, 1, 2, 4), (1, 2, 4), (1, 2, 4)],
    ),
    "plain-attentive-lstm": (
        "float[5, 2, 6] x",
        "float[2, 16, 6] w, float[2, 16, 4] r",
        "AttnLSTM<hidden_size=4, direction='bidirectional'>(x, w, r)",
        2 * 5 * 2 * 16 * (6 + 4),
        [(5, 2, 2, 4)],
    ),
    # Two requests: 16 control words and two words of context each.
    "prefixes": (
        "int64[2, 8] n, int64[2, 8] x, int64[1] s, int64[2, 16] c, int64[2, 2] k, int64[2, 16] p, int64[2] r",
        "",
        "SpeculativePrefixCommit<head_rows=8>(n, x, s, c, k, p, r)",
        0,
        [(2,), (2, 16), (2, 2)],
    ),
    "hashes": (
        "int64[2, 5] x, int64[2, 2] p",
        "int64[3] m, int64[8] v",
        "NGramHashMapping<max_ngram_size=3, n_head_per_ngram=4, pad_id=0>(x, m, v, p)",
        0,
        [(2, 5, 8), (2, 2)],
    ),
    "packed-hashes": (
        "int64[10] x, int32[4] c",
        "int64[3] m, int64[8] v",
        "VarlenNGramHashMapping<max_ngram_size=3, n_head_per_ngram=4, pad_id=0>(x, m, v, c)",
        0,
        [(10, 8), (3, 2)],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_shapes_and_work(
    case: str, import_text: Callable[..., LayerGraph], shapes_of_text: Callable[..., dict[str, object]]
) -> None:
    inputs, weights, call, macs, shapes = CASES[case]
    results = [f"y{index}" for index in range(len(shapes))]
    values = f"<{weights}>" if weights else ""
    quoted = call.replace("'", '"')
    text = (
        f"g ({inputs}) => ({', '.join(f'float[] {name}' for name in results)}) {values} "
        f"{{ {', '.join(results)} = {MICROSOFT}.{quoted} }}"
    )
    graph = import_text(text, domain=MICROSOFT, strict=True)
    assert graph.macs == macs
    assert graph.complete
    known = shapes_of_text(text, domain=MICROSOFT)
    assert [known[name] for name in results] == shapes


@pytest.mark.parametrize(
    ("call", "macs", "shape"),
    [
        (
            "QLinearConvTranspose<strides=[2, 2]>(x, s, z, w, s, z, s, z)",
            2 * 9 * 10 * 4 * 3 * 4,
            (2, 18, 20, 3),
        ),
        ("QLinearAveragePool<kernel_shape=[3, 2], strides=[3, 2]>(x, s, z, s, z)", 0, (2, 3, 5, 4)),
        (
            "QLinearAveragePool<kernel_shape=[3, 2], strides=[3, 2], channels_last=1>(x, s, z, s, z)",
            0,
            (2, 3, 5, 4),
        ),
        ('Resize<mode="linear">(x, , scales)', 0, (2, 18, 30, 4)),
        ("Resize(x, , , sizes)", 0, (2, 5, 6, 4)),
        ("GridSample(x, grid)", 0, (2, 5, 6, 4)),
        ("MaxUnpool<kernel_shape=[2, 2], strides=[2, 2]>(x, places)", 0, (2, 18, 20, 4)),
    ],
)
def test_channels_last(
    call: str,
    macs: int,
    shape: tuple[int, ...],
    import_text: Callable[..., LayerGraph],
    shapes_of_text: Callable[..., dict[str, object]],
) -> None:
    text = (
        "g (uint8[2, 9, 10, 4] x, float[2, 5, 6, 2] grid, int64[2, 9, 10, 4] places) => (uint8[] y) "
        "<uint8[4, 3, 2, 2] w, float s = {0.5}, uint8 z = {0}, float[4] scales = {1, 2, 3, 1}, "
        f"int64[4] sizes = {{2, 5, 6, 4}}> {{ y = {NHWC}.{call} }}"
    )
    assert import_text(text, domain=f"{NHWC}:19", strict=True).macs == macs
    assert shapes_of_text(text, domain=f"{NHWC}:19")["y"] == shape


@pytest.mark.parametrize(
    ("call", "shape"),
    [
        ("GreedySearch<eos_token_id=1, pad_token_id=0, decoder={}>(x, longest)", (2, 20)),
        ("Sampling<eos_token_id=1, pad_token_id=0, decoder={}>(x, longest)", (2, 20)),
        ("BeamSearch<eos_token_id=1, pad_token_id=0, decoder={}>(x, longest, , beams, two)", (2, 2, 20)),
        (
            "WhisperBeamSearch<eos_token_id=1, pad_token_id=0, decoder={}>(x, longest, , beams, two)",
            (2, 2, 20),
        ),
    ],
)
def test_totals_lack_what_searches_hide(
    call: str,
    shape: tuple[int, ...],
    import_text: Callable[..., LayerGraph],
    shapes_of_text: Callable[..., dict[str, object]],
) -> None:
    decoder = "d (int32[2, 1] ids) => (float[2, 1, 10] logits) { logits = Identity(ids) }"
    text = (
        "g (int32[2, 3] x) => (int32[] y) "
        "<int32[1] longest = {20}, int32[1] beams = {4}, int32[1] two = {2}> "
        f"{{ y = {MICROSOFT}.{call.format(decoder)} }}"
    )
    assert shapes_of_text(text, domain=MICROSOFT)["y"] == shape
    assert not import_text(text, domain=MICROSOFT).complete
    with pytest.raises(ModelError, match="the decoder inside is not counted"):
        import_text(text, domain=MICROSOFT, strict=True)
