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
