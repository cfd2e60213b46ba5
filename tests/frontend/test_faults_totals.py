"""Totals that lack work say so, name the root of it and the one option that cures it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from layerweaver.frontend.importer import import_model
from layerweaver.frontend.options import ImportOptions
from layerweaver.ir import LayerGraph, ModelError
from layerweaver.scheduler.compile.compiler import ModelRequest, compile_models

ImportText = Callable[..., LayerGraph]

FRAMES = """g (int64 n, float[50, 8] e, float[8, 5] w) => (float[] y) <int64 z = {0}, int64 o = {1}> {
    r = Range(z, n, o)
    a = Gather(e, r)
    b = MatMul(a, w)
    c = Relu(b)
    y = MatMul(c, v)
}"""
FRAMES = FRAMES.replace("float[8, 5] w)", "float[8, 5] w, float[5, 3] v)")


def test_layers_of_unknown_size_make_a_total_incomplete(import_text: ImportText) -> None:
    graph = import_text(FRAMES)
    assert not graph.complete
    assert len(graph.lacking) == 1
    assert graph.warnings[0] == graph.lacking[0]
    assert "2 matrix products" in graph.lacking[0]
    assert graph.lacking[0].endswith("give --value n=N")


def test_a_stated_value_completes_it(import_text: ImportText) -> None:
    graph = import_text(FRAMES, values={"n": (20,)})
    assert graph.complete
    assert graph.warnings == ()
    assert graph.macs == 20 * 8 * 5 + 20 * 5 * 3


INSIDE = """g (float[1, 30] x, float[60, 8] e, float[8, 5] w) => (float[] y) <int64 z = {0}, int64 o = {1}> {
    s = ReduceSum<keepdims=0>(x)
    t = Ceil(s)
    n = Cast<to=7>(t)
    r = Range(z, n, o)
    a = Gather(e, r)
    y = MatMul(a, w)
}"""


def test_a_value_that_only_data_tell_can_be_stated_where_it_arises(import_text: ImportText) -> None:
    graph = import_text(INSIDE)
    assert graph.lacking[0].endswith("give --value n=N")
    assert import_text(INSIDE, values={"n": (9,)}).macs == 9 * 8 * 5
    assert import_text(INSIDE, values={"s": (8.5,)}).macs == 9 * 8 * 5


def test_strict_names_the_root_and_its_cure(import_text: ImportText) -> None:
    with pytest.raises(ModelError, match=r"node r \(Range\).*give --value n=N"):
        import_text(FRAMES, strict=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"m": (3,)}, "no value is named m"),
        ({"n": (3, 4)}, "2 numbers are given by --value"),
    ],
)
def test_values_that_do_not_fit_are_refused(
    values: dict[str, tuple[int, ...]], message: str, import_text: ImportText
) -> None:
    with pytest.raises(ModelError, match=message):
        import_text(FRAMES, values=values)


def test_warnings_of_one_root_are_one(import_text: ImportText) -> None:
    slices = " ".join(f"s{i} = Slice(x, z, k) t{i} = Relu(s{i})" for i in range(9))
    graph = import_text(
        "g (float[40, 8] x, int64[1] k) => (float[] y) <int64[1] z = {0}> {"
        + f"{slices} y = Sum({', '.join(f't{i}' for i in range(9))}) }}"
    )
    assert len(graph.warnings) == 1
    assert "8 more" in graph.warnings[0]
    assert graph.warnings[0].endswith("give --value k=N")


def test_what_the_user_has_pinned_is_not_said_to_be_assumed(import_text: ImportText) -> None:
    text = """g (bool[4, 5] m, float[20, 8] x, float[8, 3] w) => (float[] y) {
        i = NonZero(m) j = Transpose<perm=[1, 0]>(i) g = GatherND(x, j) y = MatMul(g, w) }"""
    text = text.replace("float[20, 8] x", "float[4, 5, 8] x")
    assert "give --shape i=" in import_text(text).warnings[0]
    pinned = import_text(text, shapes={"i": (2, 6)})
    assert pinned.warnings == ()
    assert pinned.macs == 6 * 8 * 3


def test_a_bound_that_meets_a_fixed_size_is_withdrawn(import_text: ImportText) -> None:
    text = """g (bool[1, 16] m, float[1, 16, 8] x, float[8, 5] w) => (float[] y) <int64[3] s = {1, 4, 8}> {
        i = NonZero(m) j = Transpose<perm=[1, 0]>(i) g = GatherND(x, j)
        r = Reshape(g, s) y = MatMul(r, w) }"""
    graph = import_text(text)
    assert graph.macs == 4 * 8 * 5
    assert graph.complete
    assert import_text(text, shapes={"i": (2, 4)}).macs == 4 * 8 * 5
    other = text.replace("r = Reshape(g, s)", "h = Add(g, b) r = Reshape(h, s)").replace(
        "float[8, 5] w)", "float[8, 5] w, float[4, 8] b)"
    )
    assert import_text(other).macs == 4 * 8 * 5
    for change, macs in (
        ("h = Mul(b, g) y = MatMul(h, w)", 4 * 8 * 5),
        ("y = Gemm(v, g)", 3 * 4 * 8),
        ("k = Concat<axis=1>(b, g) y = MatMul(k, u)", 4 * 16 * 2),
    ):
        fixed = text.replace("r = Reshape(g, s) y = MatMul(r, w)", change).replace(
            "float[8, 5] w)", "float[8, 5] w, float[4, 8] b, float[3, 4] v, float[16, 2] u)"
        )
        graph = import_text(fixed)
        assert graph.macs == macs
        assert graph.complete
        assert "give --shape i=" in graph.warnings[0]
    lost = text.replace("r = Reshape(g, s) y = MatMul(r, w)", "r = Reshape(g, t) y = MatMul(v, r)").replace(
        "float[8, 5] w)", "float[3, 4] v)"
    )
    lost = lost.replace("int64[3] s = {1, 4, 8}", "int64[3] t = {3, -1, 7}")
    graph = import_text(lost)
    assert not graph.complete
    assert "give --shape i=" in graph.lacking[0]


@pytest.mark.parametrize(
    ("more", "macs"),
    [
        ("y = Add(p, c)", 7 * 6 * 8),
        ("h = Relu(p) f = Reshape(h, all) k = Reshape(f, rows) y = Mul(c, k)", 7 * 6 * 8),
        ("a, y = Split<axis=0>(p, parts)", 30 * 6 * 8),
        ("y = Reshape(p, fixed)", 9 * 6 * 8),
    ],
)
def test_a_bound_is_withdrawn_where_it_arises(more: str, macs: int, import_text: ImportText) -> None:
    graph = import_text(
        f"""g (bool[50] m, float[50, 6] x, float[7, 8] c, float[6, 8] w) => (float[] y)
            <int64[1] all = {{-1}}, int64[2] rows = {{-1, 8}}, int64[2] parts = {{20, 10}},
            int64[3] fixed = {{3, 3, 8}}> {{
            i = Compress<axis=0>(x, m) p = MatMul(i, w) {more} }}"""
    )
    assert graph.macs == macs
    assert graph.complete
    assert "which fits node" in graph.warnings[0]
    assert graph.warnings[0].endswith("give --shape i=...")


def test_a_declared_output_withdraws_a_bound(import_text: ImportText) -> None:
    graph = import_text(
        """g (bool[50] m, float[50, 6] x, float[6, 8] w) => (float[9, 8] y) {
            i = Compress<axis=0>(x, m) y = MatMul(i, w) }"""
    )
    assert graph.macs == 9 * 6 * 8
    assert graph.complete


def _external(path: Path, *, write: bool) -> Path:
    shape = TensorProto(name="s", dims=[3], data_type=TensorProto.INT64)
    shape.data_location = TensorProto.EXTERNAL
    shape.external_data.add(key="location", value="gone.bin")
    weight = TensorProto(name="w", dims=[16, 5], data_type=TensorProto.FLOAT)
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "s"], ["r"]), helper.make_node("MatMul", ["r", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [shape, weight],
    )
    file = path / "m.onnx"
    onnx.save(helper.make_model(graph), file)
    if write:
        (path / "gone.bin").write_bytes(numpy_helper.from_array(np.array([4, 4, 16], np.int64)).raw_data)
    return file


def test_a_missing_file_is_named_as_the_cause(tmp_path: Path) -> None:
    graph = import_model(_external(tmp_path, write=False))
    assert not graph.complete
    assert "gone.bin" in graph.lacking[0]
    assert "depends on data" not in graph.lacking[0]
    with pytest.raises(ModelError, match=r"gone\.bin"):
        import_model(_external(tmp_path, write=False), ImportOptions(strict=True))
    assert import_model(_external(tmp_path, write=True)).macs == 4 * 4 * 16 * 5


def test_what_a_missing_file_holds_can_be_stated_and_what_the_model_holds_cannot(tmp_path: Path) -> None:
    stated = ImportOptions(values={"s": (4, 4, 16)})
    assert import_model(_external(tmp_path, write=False), stated).macs == 4 * 4 * 16 * 5
    written = _external(tmp_path, write=True)
    with pytest.raises(ModelError, match="--value s is of a constant"):
        import_model(written, stated)


def test_compiling_refuses_what_lacks_work_unless_told(tmp_path: Path) -> None:
    model = onnx.parser.parse_model('<ir_version: 9, opset_import: ["" : 18]>\n' + FRAMES)
    path = tmp_path / "frames.onnx"
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"work is missing.*--value n=N.*--incomplete"):
        compile_models([ModelRequest("a", str(path))], "memory-centric")
    told = compile_models([ModelRequest("a", str(path), incomplete=True)], "memory-centric")
    assert told.warnings
    stated = compile_models([ModelRequest("a", str(path), values={"n": (20,)})], "memory-centric")
    assert any("n is stated as 20" in warning for warning in stated.warnings)


BEHIND_A_BOUND = """g (float[1, 30] x, float[60, 8] e, float[8, 5] w) => (float[] y, float[] u)
    <int64 z = {0}, int64 o = {1}> {
    p = NonZero(x)
    f = Cast<to=1>(p)
    s = ReduceSum<keepdims=0>(f)
    n = Cast<to=7>(s)
    r = Range(z, n, o)
    a = Gather(e, r)
    y = MatMul(a, w)
    c = Shape(a)
    b = ConstantOfShape(c)
    u = MatMul(b, w)
}"""


def test_a_bound_before_a_value_is_not_what_is_lacking(import_text: ImportText) -> None:
    graph = import_text(BEHIND_A_BOUND)
    assert len(graph.lacking) == 1
    assert "the value of its input n depends on data" in graph.lacking[0]
    assert "2 matrix products" in graph.lacking[0]
    assert graph.lacking[0].endswith("give --value n=N")
    assert import_text(BEHIND_A_BOUND, values={"n": (9,)}).macs == 2 * 9 * 8 * 5


def test_what_follows_by_products_is_stated_where_it_arises(import_text: ImportText) -> None:
    text = """g (float[1, 4] x, float[60, 8] e, float[8, 5] w) => (float[] y) <int64 z = {0}, int64 o = {1},
        float[4, 1] lasts = {1, 2, 3, 4}> {
        t = MatMul(x, lasts)
        s = ReduceSum<keepdims=0>(t)
        n = Cast<to=7>(s)
        r = Range(z, n, o)
        a = Gather(e, r)
        y = MatMul(a, w)
    }"""
    assert import_text(text).lacking[0].endswith("give --value n=N")
    assert import_text(text, values={"n": (9,)}).macs == 9 * 8 * 5 + 4


def test_data_are_not_asked_for_in_place_of_what_follows_from_them(import_text: ImportText) -> None:
    text = """g (float[1, 6] x, float[60, 8] e, float[8, 5] w) => (float[] y) <int64 z = {0}, int64 o = {1}> {
        p = Softmax(x)
        s = ReduceSum<keepdims=0>(p)
        n = Cast<to=7>(s)
        r = Range(z, n, o)
        a = Gather(e, r)
        y = MatMul(a, w)
    }"""
    assert import_text(text).lacking[0].endswith("give --value n=N")


def test_a_scale_that_data_tell_can_be_stated(import_text: ImportText) -> None:
    text = """g (float[1, 3, 8, 8] x, float scale) => (float[] y)
        <float[4, 3, 3, 3] w, float[2] same = {1, 1}, int64[1] first = {0}> {
        one = Unsqueeze(scale, first)
        scales = Concat<axis=0>(same, one, one)
        big = Resize(x, , scales)
        y = Conv(big, w)
    }"""
    assert import_text(text).lacking[0].endswith("give --value scale=N")
    assert import_text(text, values={"scale": (2,)}).macs == 14 * 14 * 4 * 27
