"""Branches, loops, scans, sequences and functions."""

from __future__ import annotations

import math
from collections.abc import Callable

import onnx.parser
import pytest
from onnx import TensorProto, helper

from layerweaver.frontend.node.resolved import ResolvedGraph
from layerweaver.frontend.options import ImportOptions
from layerweaver.frontend.reader.file import read_model_bytes
from layerweaver.frontend.resolve.resolve import resolve
from layerweaver.ir import LayerGraph, ModelError


def _resolve(body: str, **options: object) -> ResolvedGraph:
    text = f'<ir_version: 8, opset_import: ["" : 17]>\nagraph {body}'
    model = onnx.parser.parse_model(text)
    return resolve(read_model_bytes(model.SerializeToString(), "m"), ImportOptions(**options))  # type: ignore[arg-type]


def _macs(graph: ResolvedGraph) -> int:
    total = 0
    for entry in graph.nodes:
        if entry.node.op_type == "MatMul":
            left = graph.values[entry.node.inputs[0]].shape
            result = graph.values[entry.node.outputs[0]].shape
            assert left is not None
            assert result is not None
            total += math.prod(result) * left[-1] * entry.repeats
    return total


def _loop(trips: str, carried: str, body: str, *, extra: str = "") -> str:
    return f"""(float[1,4] x, float[4,4] w{extra}) => (float[A,B] y) <bool go={{1}}, int64 many={{{trips}}}>
    {{ y = Loop(many, go, {carried}) <body = b (int64 i, bool c, float[P,Q] a) => (bool d, float[R,S] o)
       {{ {body} }}> }}"""


STEADY = "o = MatMul(a, w) d = Identity(c)"


def test_steady_loop_is_one_copy() -> None:
    graph = _resolve(_loop("1000", "x", STEADY))
    assert [entry.repeats for entry in graph.nodes] == [1000, 1000]
    assert _macs(graph) == 16_000
    assert graph.values[graph.outputs[0]].shape == (1, 4)


def test_loop_that_never_runs() -> None:
    graph = _resolve(_loop("0", "x", STEADY))
    assert graph.nodes == ()
    assert graph.outputs == ("x",)


def test_loop_with_growing_state_is_unrolled() -> None:
    graph = _resolve(_loop("5", "x", "p = MatMul(a, w) o = Concat<axis=0>(a, p) d = Identity(c)"))
    assert graph.values[graph.outputs[0]].shape == (32, 4)
    assert _macs(graph) == 16 * (1 + 2 + 4 + 8 + 16)


def test_loop_whose_first_trip_differs() -> None:
    body = "q = Add(a, x) o = MatMul(q, w) d = Identity(c)"
    graph = _resolve(_loop("40", "z", body).replace("bool go", "float z={0.0}, bool go"))
    assert _macs(graph) == 40 * 16
    assert len(graph.nodes) == 5


def test_counter_decides_shapes() -> None:
    graph = _resolve(
        """(float[10,4] x, float[4,4] w) => (float[T] y)
        <int64 many={10}, bool go={1}, int64[1] one={1}, int64[1] zero={0}>
        { y = Loop(many, go) <body = b (int64 i, bool c) => (bool d, float s)
          { e = Add(i, one) part = Slice(x, zero, e, zero) p = MatMul(part, w)
            s = ReduceSum<keepdims=0>(p) d = Identity(c) }> }"""
    )
    assert _macs(graph) == 16 * sum(range(1, 11))
    assert graph.values[graph.outputs[0]].shape == (10,)


def test_while_loop_counts_its_own_trips() -> None:
    graph = _resolve(
        """(float[1,4] x, float[4,4] w) => (int64 k, float[1,4] y)
        <int64 last={7}, int64 zero={0}, bool go={1}, int64 one={1}>
        { k, y = Loop(, go, zero, x) <body = b (int64 i, bool c, int64 j, float[1,4] a)
          => (bool d, int64 n, float[1,4] o) { o = MatMul(a, w) n = Add(j, one) d = Less(n, last) }> }"""
    )
    assert _macs(graph) == 7 * 16


DATA_DEPENDENT = "o = MatMul(a, w) t = ReduceSum<keepdims=0>(o) d = Less(t, limit)"


def test_data_dependent_loop_takes_its_maximum() -> None:
    graph = _resolve(_loop("12", "x", DATA_DEPENDENT, extra=", float limit"))
    assert _macs(graph) == 12 * 16
    assert any("maximum of 12" in warning for warning in graph.warnings)


def test_endless_loop_needs_a_trip_count() -> None:
    text = _loop("9223372036854775807", "x", DATA_DEPENDENT, extra=", float limit")
    once = _resolve(text)
    assert _macs(once) == 16
    assert any("--trip-count y=N" in warning for warning in once.warnings)
    assert _macs(_resolve(text, trip_counts={"y": 9})) == 9 * 16


def test_nested_loops_multiply() -> None:
    inner = """o = Loop(many, c, a) <body = e (int64 j, bool f, float[1,4] g) => (bool h, float[1,4] k)
      { k = MatMul(g, w) h = Identity(f) }> d = Identity(c)"""
    assert _macs(_resolve(_loop("6", "x", inner))) == 36 * 16
    triangular = inner.replace("Loop(many,", "Loop(i,")
    assert _macs(_resolve(_loop("6", "x", triangular))) == 15 * 16


def test_unrolling_is_bounded() -> None:
    with pytest.raises(ModelError, match=r"more than \d+"):
        _resolve(
            _loop(
                "1000000",
                "x",
                "e = Mod(i, one) p = Slice(a, zero, e, zero) o = Concat<axis=0>(a, p) d = Identity(c)",
            ).replace("bool go", "int64[1] zero={0}, int64[1] one={2}, bool go")
        )


def test_sequence_that_grows_in_a_loop() -> None:
    graph = _resolve(
        """(float[1,4] x, float[4,4] w) => (float[N,4] y) <int64 many={50}, bool go={1}>
        { s0 = SequenceEmpty() s, last = Loop(many, go, s0, x)
          <body = b (int64 i, bool c, seq(float[1,4]) q, float[1,4] a)
           => (bool d, seq(float[1,4]) r, float[1,4] o)
          { o = MatMul(a, w) r = SequenceInsert(q, o) d = Identity(c) }>
          y = ConcatFromSequence<axis=0>(s) }"""
    )
    assert graph.values["y"].shape == (50, 4)
    assert _macs(graph) == 50 * 16


def test_sequence_elements_keep_their_shapes() -> None:
    graph = _resolve(
        """(float[10,4] x) => (float[A,4] y, int64 n) <int64[3] sizes={5,3,2}, int64 last={-1}>
        { s = SplitToSequence<axis=0>(x, sizes) y = SequenceAt(s, last) n = SequenceLength(s) }"""
    )
    assert graph.values["y"].shape == (2, 4)
    value = graph.values["n"].value
    assert value is not None
    assert int(value) == 3


def test_scan_runs_along_its_axis() -> None:
    graph = _resolve(
        """(float[4,7] x, float[4,4] w, float[1,4] h) => (float[1,4] y, float[1,7,4] ys)
        { y, ys = Scan<num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[1],
            body = b (float[1,4] a, float[4] e) => (float[1,4] o, float[1,4] s)
            { p = MatMul(a, w) o = Add(p, e) s = Identity(o) }>(h, x) }"""
    )
    assert [graph.values[name].shape for name in graph.outputs] == [(1, 4), (1, 7, 4)]
    assert _macs(graph) == 7 * 16


BRANCHES = """<then_branch = t () => (float[1,4] p) { p = Relu(x) },
  else_branch = e () => (float[1,4] q) { r = MatMul(x, w) q = MatMul(r, w) }>"""


@pytest.mark.parametrize(("condition", "macs"), [("1", 0), ("0", 32)])
def test_known_condition_takes_its_branch(condition: str, macs: int) -> None:
    graph = _resolve(
        f"(float[1,4] x, float[4,4] w) => (float[1,4] y) <bool g={{{condition}}}> {{ y = If(g) {BRANCHES} }}"
    )
    assert _macs(graph) == macs
    assert graph.warnings == ()


def test_unknown_condition_takes_the_heavier_branch() -> None:
    graph = _resolve(f"(float[1,4] x, float[4,4] w, bool go) => (float[1,4] y) {{ y = If(go) {BRANCHES} }}")
    assert _macs(graph) == 32
    assert len(graph.nodes) == 2
    assert any("else_branch is taken" in warning for warning in graph.warnings)


def test_branch_that_does_not_fit_is_not_taken() -> None:
    branches = BRANCHES.replace("r = MatMul(x, w)", "n = Concat<axis=1>(x, x) r = MatMul(n, w)")
    graph = _resolve(f"(float[1,4] x, float[4,4] w, bool g) => (float[1,4] y) {{ y = If(g) {branches} }}")
    assert [entry.node.op_type for entry in graph.nodes] == ["Relu"]
    assert any("then_branch is taken" in warning for warning in graph.warnings)


def _with_functions(*functions: onnx.FunctionProto) -> onnx.ModelProto:
    call = helper.make_node(functions[0].name, ["x"], ["y"], domain="my", name="call")
    call.attribute.append(helper.make_attribute("axis", 1))
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    graph = helper.make_graph([call], "g", [value], [result])
    return helper.make_model(graph, functions=list(functions), opset_imports=opsets)


def test_function_attributes_and_nesting() -> None:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    join = helper.make_node("Concat", ["x", "x"], ["y"])
    axis = join.attribute.add()
    axis.name, axis.ref_attr_name, axis.type = "axis", "axis", onnx.AttributeProto.INT
    inner = helper.make_function("my", "Inner", ["x"], ["y"], [join], opsets, attributes=["axis"])
    middle = helper.make_node("Inner", ["x"], ["y"], domain="my")
    passed = middle.attribute.add()
    passed.name, passed.ref_attr_name, passed.type = "axis", "axis", onnx.AttributeProto.INT
    outer = helper.make_function("my", "Outer", ["x"], ["y"], [middle], opsets, attributes=["axis"])
    graph = resolve(read_model_bytes(_with_functions(outer, inner).SerializeToString(), "m"))
    assert graph.values[graph.outputs[0]].shape == (2, 6)
    assert [entry.node.op_type for entry in graph.nodes] == ["Concat"]


def test_functions_that_call_themselves_are_refused() -> None:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    body = [helper.make_node("Again", ["x"], ["y"], domain="my")]
    function = helper.make_function("my", "Again", ["x"], ["y"], body, opsets)
    with pytest.raises(ModelError, match="deeper than"):
        resolve(read_model_bytes(_with_functions(function).SerializeToString(), "m"))


def test_a_scans_body_sees_slices(import_text: Callable[..., LayerGraph]) -> None:
    text = """g (float[3,4] h0, float[3,11,6] x) => (float[3,4] h, float[11,3,4] y) <float[6,4] w> {
        h, y = Scan<num_scan_inputs=1, scan_input_axes=[1], body = b (float[3,4] a, float[3,6] xt)
            => (float[3,4] out, float[3,4] o) {
                p = MatMul(xt, w)
                out = Add(a, p)
                o = Identity(out)
            }>(h0, x)
    }"""
    for fuse in (True, False):
        graph = import_text(text, fuse=fuse)
        assert graph.macs == 11 * 3 * 6 * 4
        assert graph.parameters == 6 * 4


def test_a_scan_over_stacked_weights_reads_all_of_them(import_text: Callable[..., LayerGraph]) -> None:
    graph = import_text(
        """g (float[3,4] h0) => (float[3,4] h) <float[5,4,4] w> {
            h = Scan<num_scan_inputs=1, body = b (float[3,4] a, float[4,4] wt) => (float[3,4] out) {
                out = MatMul(a, wt)
            }>(h0, w)
        }"""
    )
    assert graph.macs == 5 * 3 * 4 * 4
    assert graph.parameters == 5 * 4 * 4


@pytest.mark.parametrize(("rows", "sizes"), [(8, (2, 2, 2, 2)), (7, (2, 2, 2, 1))])
def test_a_sequence_map_sees_elements(
    import_text: Callable[..., LayerGraph], rows: int, sizes: tuple[int, ...]
) -> None:
    graph = import_text(
        f"""g (float[{rows},8] x) => (float[{rows},6] y) <float[8,6] w, int64 two = {{2}}> {{
            s = SplitToSequence<axis=0>(x, two)
            t = SequenceMap<body = b (float[n,8] e) => (float[n,6] f) {{ f = MatMul(e, w) }}>(s)
            y = ConcatFromSequence<axis=0>(t)
        }}"""
    )
    assert graph.macs == sum(sizes) * 8 * 6
    assert graph.parameters == 8 * 6


def test_of_branches_without_products_the_one_with_the_larger_result_is_taken_and_the_cure_is_named() -> None:
    branches = """<then_branch = t () => (float[N,4] a) <int64[1] z={0}, int64[1] two={2}>
        { a = Slice(x, z, two) }, else_branch = e () => (float[N,4] b) { b = Identity(x) }>"""
    graph = _resolve(
        f"(float[9,4] x, float[4,4] w, bool go) => (float[9,4] y){{ c = If(go) {branches} y = MatMul(c, w) }}"
    )
    assert _macs(graph) == 9 * 16
    (warning,) = graph.warnings
    assert "else_branch is taken" in warning
    assert warning.endswith("; give --value go=N")
