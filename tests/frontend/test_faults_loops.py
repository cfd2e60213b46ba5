"""Loops are counted or summed, not unrolled, wherever their trips are alike or grow regularly."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from layerweaver.ir import LayerGraph, ModelError

ImportText = Callable[..., LayerGraph]

LOOP = """g ({inputs}) => ({outputs}) <{weights}, bool go = {{1}}, int64 many = {{{trips}}},
    int64[1] z = {{0}}, int64[1] one = {{1}}, int64 scalar = {{1}}> {{
    {results} = Loop(many, go, {carried}) <body = b (int64 i, bool c, {state}) => (bool d, {after}) {{
        d = Identity(c)
        {body}
    }}>
}}"""


def _decoder(trips: int) -> str:
    """A token is appended to the keys in every trip and looked up among them."""
    return LOOP.format(
        inputs="float[1, 8] q, float[1, 8] first",
        outputs="float[N, 8] y, float[T, 1, 20] words",
        weights="float[8, 8] w, float[8, 20] v",
        trips=trips,
        results="y, words",
        carried="first",
        state="float[A, 8] keys",
        after="float[B, 8] longer, float[1, 20] word",
        body="""new = MatMul(q, w)
        longer = Concat<axis=0>(keys, new)
        turned = Transpose<perm=[1, 0]>(longer)
        scores = MatMul(q, turned)
        soft = Softmax(scores)
        context = MatMul(soft, longer)
        word = MatMul(context, v)""",
    )


def _decoder_macs(trips: int) -> int:
    return sum(64 + 2 * 8 * (trip + 2) + 8 * 20 for trip in range(trips))


@pytest.mark.parametrize("trips", [5, 12, 13, 40, 501, 20_000])
def test_a_growing_cache_is_summed(trips: int, import_text: ImportText) -> None:
    graph = import_text(_decoder(trips))
    assert graph.macs == _decoder_macs(trips)
    assert graph.outputs[0].elements == (trips + 1) * 8
    assert len(graph) < 60


def test_products_that_grow_in_two_extents_are_summed(import_text: ImportText) -> None:
    body = """longer = Concat<axis=0>(keys, q)
        turned = Transpose<perm=[1, 0]>(longer)
        scores = MatMul(longer, turned)
        sum = ReduceSum<keepdims=0>(scores)"""
    text = LOOP.format(
        inputs="float[1, 8] q, float[1, 8] first",
        outputs="float[N, 8] y, float[T] sums",
        weights="float[8, 8] w",
        trips=100,
        results="y, sums",
        carried="first",
        state="float[A, 8] keys",
        after="float[B, 8] longer, float sum",
        body=body,
    )
    assert import_text(text, shapes={}).macs == sum((trip + 2) ** 2 * 8 for trip in range(100))


def test_a_part_chosen_by_the_counter_is_counted(import_text: ImportText) -> None:
    """One row of the input per trip: which one it is changes, how large it is does not."""
    text = LOOP.format(
        inputs="float[600, 8] x, float[1, 8] first",
        outputs="float[1, 8] y",
        weights="float[8, 8] w",
        trips=600,
        results="y",
        carried="first",
        state="float[1, 8] h",
        after="float[1, 8] next",
        body="""from = Unsqueeze(i, z)
        until = Add(from, one)
        row = Slice(x, from, until, z)
        sum = Add(row, h)
        next = MatMul(sum, w)""",
    )
    graph = import_text(text)
    assert graph.macs == 600 * 64
    assert graph.warnings == ()
    assert len(graph) < 40


def test_a_long_body_is_no_limit(import_text: ImportText) -> None:
    """A decoder of 501 steps with 240 nodes in its body: 120,240 nodes when unrolled."""
    chain = " ".join(
        f"p{k} = MatMul(a{k}, w) r{k} = Relu(p{k}) a{k + 1} = Add(r{k}, p{k})" for k in range(80)
    )
    text = LOOP.format(
        inputs="float[1, 8] first, float[1, 8] q",
        outputs="float[N, 8] y",
        weights="float[8, 8] w",
        trips=501,
        results="y",
        carried="first",
        state="float[A, 8] words",
        after="float[B, 8] more",
        body=f"a0 = ReduceMean<keepdims=1>(words, z) {chain} more = Concat<axis=0>(words, a80)",
    )
    assert import_text(text, opset=18).macs == 501 * 80 * 64


def test_growth_that_stops_is_not_foretold(import_text: ImportText) -> None:
    """The window is as long as the trips so far, at most 20: summed wrongly if taken for a line."""
    text = LOOP.format(
        inputs="float[1, 8] q, float[30, 8] x",
        outputs="float[1, 8] y",
        weights="float[8, 8] w",
        trips=40,
        results="y",
        carried="q",
        state="float[1, 8] h",
        after="float[1, 8] next",
        body="""until = Unsqueeze(i, z)
        most = Min(until, limit)
        part = Slice(x, z, most, z)
        product = MatMul(part, w)
        sum = ReduceSum<keepdims=1>(product, z)
        next = Add(sum, h)""",
    ).replace("bool go", "int64[1] limit = {20}, bool go")
    assert import_text(text, opset=18).macs == sum(min(trip, 20) * 64 for trip in range(40))


def test_a_wrong_name_is_answered_with_the_loops_there_are(import_text: ImportText) -> None:
    with pytest.raises(ModelError, match="no loop is named z; its loops: y"):
        import_text(_decoder(20), trip_counts={"z": 3})


WHILE = """g (float[2, 6] x) => (float[2, 6] y) <float[6, 6] w, bool go = {{1}},
    int64 zero = {{0}}, int64 two = {{2}}, int64 end = {{{end}}}{limit}> {{
    k, y = Loop({trips}, go, zero, x) <body = b (int64 i, bool c, int64 n, float[2, 6] v)
        => (bool d, int64 m, float[2, 6] u) {{
        m = Add(n, two)
        d = Less(m, end)
        u = MatMul(v, w)
    }}>
}}"""


@pytest.mark.slow
def test_a_condition_that_takes_too_long_to_follow_names_the_trip_count(import_text: ImportText) -> None:
    text = WHILE.format(end=600_001, limit="", trips="")
    with pytest.raises(ModelError, match=r"node k \(Loop\): .* steps; give --trip-count k=N$"):
        import_text(text)
    assert import_text(text, trip_counts={"k": 300_001}).macs == 300_001 * 72


def test_more_trips_than_the_file_allows_are_refused(import_text: ImportText) -> None:
    text = WHILE.format(end=601, limit=", int64 many = {5}", trips="many")
    assert import_text(text, trip_counts={"k": 5}).macs == 5 * 72
    with pytest.raises(ModelError, match=r"at most 5 times, --trip-count says 8; .* of at most 5$"):
        import_text(text, trip_counts={"k": 8})


def test_a_body_that_has_to_be_unrolled_too_often_names_its_loop(
    import_text: ImportText, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("layerweaver.frontend.resolve.flat.NODE_LIMIT", 40)
    text = """g (float[2, 6] x) => (float[2, 6] y) <float[6, 6] w, bool go = {1}, int64 many = {90},
        int64 two = {2}, int64 zero = {0}> {
        y = Loop(many, go, x) <body = b (int64 i, bool c, float[2, 6] v) => (bool d, float[2, 6] u) {
            d = Identity(c)
            odd = Mod(i, two)
            even = Equal(odd, zero)
            u = If(even) <then_branch = t () => (float[2, 6] p) { p = MatMul(v, w) },
                else_branch = e () => (float[2, 6] q) { o = MatMul(v, w) q = MatMul(o, w) }>
        }>
    }"""
    with pytest.raises(
        ModelError, match=r"node y \(Loop\): its trips differ: .*--trip-count y=N of at most \d+$"
    ):
        import_text(text)
    assert import_text(text, trip_counts={"y": 4}).macs == 6 * 72
