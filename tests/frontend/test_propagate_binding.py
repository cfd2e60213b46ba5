"""Binding of symbolic, unknown and wrong dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from onnx import TensorProto, helper

from layerweaver.frontend.node.resolved import ResolvedGraph
from layerweaver.frontend.options import ImportOptions
from layerweaver.frontend.reader.file import read_model_bytes
from layerweaver.frontend.resolve.expressions import parse_dim, solve
from layerweaver.frontend.resolve.resolve import resolve
from layerweaver.ir import LayerGraph, ModelError

Dims = Sequence[int | str | None]


def _relu(*inputs: Dims, **options: object) -> ResolvedGraph:
    names = [f"x{index}" for index in range(len(inputs))]
    graph = helper.make_graph(
        [helper.make_node("Relu", [name], [f"y{index}"]) for index, name in enumerate(names)],
        "g",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
            for name, dims in zip(names, inputs, strict=True)
        ],
        [helper.make_tensor_value_info(f"y{index}", TensorProto.FLOAT, None) for index in range(len(inputs))],
    )
    read = read_model_bytes(helper.make_model(graph).SerializeToString(), "m")
    return resolve(read, ImportOptions(**options))  # type: ignore[arg-type]


def _shapes(graph: ResolvedGraph) -> list[tuple[int, ...] | None]:
    return [graph.values[name].shape for name in graph.outputs]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("N", 7),
        ("2*N", 14),
        ("floor(N/2) + 1", 4),
        ("ceil(N / 2)", 4),
        ("N//2 - 1", 2),
        ("Max(1, N - 9)", 1),
        ("Mod(N, 4) * (N + 1)", 24),
        ("-(-N // 2)", 4),
        ("N**2 % 5", 4),
        ("torch.floor(N/2.0)", 3),
    ],
)
def test_expression_value(text: str, expected: int) -> None:
    expression = parse_dim(text)
    assert expression.names == ("N",)
    assert expression.value({"N": 7}) == expected


@pytest.mark.parametrize(
    "text", ["?", "unk 1", "import(os)", "a b", "N +", "((N)", "2N", "N" + "(" * 300, ""]
)
def test_what_is_no_expression_is_a_name(text: str) -> None:
    expression = parse_dim(text)
    assert expression.names == (text,)
    assert expression.value({text: 3}) == 3


@pytest.mark.parametrize("text", ["N/0", "N**N**N", "9**62 * 9**62 * N", "1 % (N - N)"])
def test_expression_without_a_value(text: str) -> None:
    assert parse_dim(text).value({"N": 50}) is None


def test_linear_expressions_are_solved() -> None:
    assert solve(parse_dim("past + 1"), 128, {}) == ("past", 127)
    assert solve(parse_dim("batch * heads"), 24, {"heads": 12}) == ("batch", 2)
    assert solve(parse_dim("2 * n"), 7, {}) is None
    assert solve(parse_dim("a + b"), 7, {}) is None


def test_dimensions_and_expressions_over_them() -> None:
    graph = _relu(["batch * 12", "floor(seq/2) + 1"], ["batch", "seq"], dims={"seq": 9}, batch=4)
    assert _shapes(graph) == [(48, 5), (4, 9)]
    assert graph.batch == 4
    assert graph.warnings == ()


def test_shape_teaches_names_and_expressions() -> None:
    graph = _relu(["batch", "past + 1"], ["batch", "past"], shapes={"x0": (2, 128)})
    assert _shapes(graph) == [(2, 128), (2, 127)]


def test_batch_defaults_to_one_with_a_warning() -> None:
    graph = _relu(["N", 3])
    assert _shapes(graph) == [(1, 3)]
    assert "N" in graph.warnings[0]


@pytest.mark.parametrize("extent", [None, -1, 0])
def test_unknown_first_axis_is_the_batch(extent: int | None) -> None:
    graph = _relu([extent, 3], batch=5)
    assert _shapes(graph) == [(5, 3)]
    assert graph.batch == 5


def test_other_extents_of_nothing_are_meant() -> None:
    graph = _relu([2, 0, 8])
    assert _shapes(graph) == [(2, 0, 8)]
    assert graph.warnings == ("input x0 is empty, 2x0x8; give --shape to change it",)
    assert _shapes(_relu([2, 0, 8], shapes={"x0": (2, 5, 8)})) == [(2, 5, 8)]
    assert _shapes(_relu([2, 3], [0, 4])) == [(2, 3), (0, 4)]
    with pytest.raises(ModelError, match=r"axes 0 and 2 are unknown; give --shape x0=\?x3x\?"):
        _relu([0, 3, 0])


def test_as_many_rows_as_columns_are_no_batch() -> None:
    with pytest.raises(ModelError, match=r"dimension n .* is not bound"):
        _relu(["n", "n"])
    assert _shapes(_relu(["n", "n"], dims={"n": 4})) == [(4, 4)]
    assert _shapes(_relu(["batch", "batch"], ["batch", 8])) == [(1, 1), (1, 8)]


def test_batch_need_not_be_the_first_axis() -> None:
    assert _shapes(_relu(["seq", "batch", 8], dims={"seq": 6}, batch=3)) == [(6, 3, 8)]


@pytest.mark.parametrize("names", [("T", "B"), ("L", "N"), ("seq", "b"), ("time", "bs")])
def test_the_axis_after_time_is_the_batch_by_a_short_name(names: tuple[str, str]) -> None:
    time, batch = names
    graph = _relu([time, batch, 8], dims={time: 20, batch: 2})
    assert (_shapes(graph), graph.batch) == ([(20, 2, 8)], 2)
    assert _shapes(_relu([time, batch, 8], dims={time: 20}, batch=3)) == [(20, 3, 8)]


def test_time_alone_is_no_batch() -> None:
    graph = _relu(["T", 8], dims={"T": 20}, batch=1)
    assert (_shapes(graph), graph.batch) == ([(20, 8)], 1)
    with pytest.raises(ModelError, match=r"its batch axis is unknown: axis 0 of input x0 is T"):
        _relu(["T", 8], dims={"T": 20}, batch=2)


def test_fixed_batch_is_left_to_rescaling() -> None:
    graph = _relu([1, 3], batch=8)
    assert _shapes(graph) == [(1, 3)]
    assert graph.batch == 1


def test_given_shape_overrides_a_wrong_one() -> None:
    assert _shapes(_relu([1, 3, 640, 640], shapes={"x0": (1, 3, 320, 320)})) == [(1, 3, 320, 320)]


@pytest.mark.parametrize(
    ("inputs", "options", "parts"),
    [
        ((["batch", "seq"],), {}, ("x0", "seq", "--dim seq=N")),
        (([1, -1],), {}, ("x0", "axis 1", "--shape x0=1x?")),
        (([1, "N"],), {}, ("x0", "axis 1", "--dim N=N")),
        ((["seq_len", 4],), {}, ("seq_len", "--dim seq_len=N")),
        ((["batch", "length"],), {"dims": {"lenght": 3}}, ("lenght", "did you mean length")),
        ((["N", 3],), {"shapes": {"x": (1, 3)}}, ("no input is named x", "x0")),
        ((["N", 3],), {"shapes": {"x0": (1, 3, 1)}}, ("x0", "2 axes", "1x3x1")),
        ((["N", 3],), {"dims": {"N": 2}, "batch": 3}, ("N is 2", "batch is 3")),
        ((["N", 3],), {"dims": {"N": 0}}, ("dimension N, cannot be 0",)),
        ((["N", "T"],), {"dims": {"T": 5}, "shapes": {"x0": (1, 6)}}, ("T is 5", "x0, 1x6, says 6")),
        ((["N", "n - 9"],), {"dims": {"n": 2}}, ("n - 9", "-7")),
        (([1 << 40, 1 << 40],), {}, ("x0", "too large")),
        (([1, 2],), {"trip_counts": {"loop": 3}}, ("no loop is named loop",)),
    ],
)
def test_what_cannot_be_bound_is_named(
    inputs: tuple[Dims, ...], options: dict[str, object], parts: tuple[str, ...]
) -> None:
    with pytest.raises(ModelError) as caught:
        _relu(*inputs, **options)
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_dimension_of_an_output_that_the_graph_makes_otherwise_is_refused() -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "steps"])],
    )
    read = read_model_bytes(helper.make_model(graph).SerializeToString(), "m")
    assert _shapes(resolve(read, ImportOptions(dims={"steps": 12}, batch=2))) == [(2, 12)]
    with pytest.raises(ModelError) as caught:
        resolve(read, ImportOptions(dims={"steps": 5}))
    assert "dimension steps is 5, but it is only of y, where the graph makes it 12" in str(caught.value)


def test_a_name_in_other_capitals_was_meant() -> None:
    with pytest.raises(ModelError, match=r"did you mean H\?"):
        _relu(["N", "W", "H"], dims={"h": 4})


def test_a_stated_shape_that_is_not_the_known_one_is_refused(import_text: Callable[..., LayerGraph]) -> None:
    text = """g (float[5,8] x) => (float[2,4] y) <float[11,4] w> {
        r = Relu(x) n = NonZero(r) f = Cast<to=1>(n) y = MatMul(f, w) }"""
    assert import_text(text, shapes={"n": (2, 11)}).macs == 2 * 11 * 4
    with pytest.raises(ModelError, match="its output n is 2x40, --shape says 11; give a shape that fits"):
        import_text(text, shapes={"n": (11,)})
    with pytest.raises(ModelError, match="its output r is 5x8, --shape says 5x9"):
        import_text(text, shapes={"r": (5, 9)})


@pytest.mark.parametrize("number", [2.5, 2**70])
def test_a_stated_number_that_the_type_cannot_hold_is_refused(
    number: float, import_text: Callable[..., LayerGraph]
) -> None:
    text = """g (int64 n) => (float[N,4] y) <float[1,4] w, int64 zero = {0}, int64 one = {1},
        int64[1] last = {1}> {
        r = Range(zero, n, one) f = Cast<to=1>(r) u = Unsqueeze(f, last) y = MatMul(u, w) }"""
    assert import_text(text, values={"n": (9.0,)}).macs == 9 * 4
    with pytest.raises(ModelError, match="n is int64"):
        import_text(text, values={"n": (number,)})
