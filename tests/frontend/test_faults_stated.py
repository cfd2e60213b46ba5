"""What is stated, by the file or by the user, and cannot be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from layerweaver.ir import LayerGraph, ModelError

ImportText = Callable[..., LayerGraph]


@pytest.mark.parametrize(
    ("scales", "attributes", "fits"),
    [
        ((3, 6), "axis=0, block_size=4", False),
        ((2, 6), "axis=0, block_size=4", True),
        ((2, 6), "axis=0, block_size=5", True),
        ((8, 2), "axis=-1, block_size=4", True),
        ((8, 1), "axis=-1, block_size=4", False),
        ((2, 5), "axis=0, block_size=4", False),
        ((2,), "axis=0, block_size=4", False),
        ((6,), "axis=1", True),
        ((8,), "axis=1", False),
        ((1,), "axis=1", True),
    ],
)
def test_scales_are_as_many_as_blocks(
    scales: tuple[int, ...], attributes: str, fits: bool, import_text: ImportText
) -> None:
    shape = ",".join(map(str, scales))
    text = f"""g (float[2, 8] x) => (float[2, 6] y) <int8[8, 6] w, float[{shape}] s> {{
        v = DequantizeLinear<{attributes}>(w, s) y = MatMul(x, v) }}"""
    if fits:
        assert import_text(text, opset=21).macs == 2 * 8 * 6
        return
    with pytest.raises(ModelError, match=r"8x6 quantised .*scales of .* are needed"):
        import_text(text, opset=21)


@pytest.mark.parametrize("stated", [(2, 41), (3, 40)])
def test_a_shape_beyond_its_bound_is_refused(stated: tuple[int, ...], import_text: ImportText) -> None:
    text = """g (bool[5, 8] m, float[5, 8, 6] x, float[6, 3] w) => (float[] y) {
        nz = NonZero(m) t = Transpose(nz) g = GatherND(x, t) y = MatMul(g, w) }"""
    assert import_text(text, shapes={"nz": (2, 40)}).macs == 40 * 6 * 3
    with pytest.raises(ModelError, match=r"output nz is (at most )?2x40, --shape says "):
        import_text(text, shapes={"nz": stated})


def test_fewer_trips_than_the_loop_certainly_makes_are_said(import_text: ImportText) -> None:
    text = """g (float[2, 6] x) => (float[2, 6] y) <float[6, 6] w, bool go = {1}, int64 many = {5}> {
        y = Loop(many, go, x) <body = b (int64 i, bool c, float[2, 6] v) => (bool d, float[2, 6] u) {
            d = Identity(c) u = MatMul(v, w) }> }"""
    assert import_text(text).macs == import_text(text, trip_counts={"y": 5}).macs == 5 * 72
    assert import_text(text, trip_counts={"y": 5}).warnings == ()
    graph = import_text(text, trip_counts={"y": 3})
    assert graph.macs == 3 * 72
    assert "runs 5 times whatever the data, --trip-count says 3, which is taken" in graph.warnings[0]
    open_ended = text.replace("float[2, 6] x)", "float[2, 6] x, bool stop)")
    open_ended = open_ended.replace("d = Identity(c)", "d = And(c, stop)")
    graph = import_text(open_ended, trip_counts={"y": 3})
    assert graph.macs == 3 * 72
    assert graph.warnings == ()
