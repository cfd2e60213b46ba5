"""Files made to exhaust time, memory or the stack: refused in one line, or dealt with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hostile.guard import bounded, examine
from onnx import TensorProto, helper, numpy_helper


def check(model: onnx.ModelProto, folder: Path) -> str:
    path = folder / "hostile.onnx"
    path.write_bytes(model.SerializeToString())
    with bounded():
        return examine(path)


def value(name: str, shape: list[int | str] | None, dtype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def chain(nodes: list[onnx.NodeProto], last: str, *weights: onnx.TensorProto) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", [value("x", [4, 8])], [value(last, None)], list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def doubling_functions(depth: int) -> onnx.ModelProto:
    """Every function calls the one before it twice: 2 ** depth nodes when inlined."""
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("l", 1)]
    relu = helper.make_node("Relu", ["x"], ["y"])
    functions = [helper.make_function("l", "f0", ["x"], ["y"], [relu], opsets)]
    for index in range(1, depth):
        calls = [
            helper.make_node(f"f{index - 1}", [source], [target], domain="l")
            for source, target in (("x", "m"), ("m", "y"))
        ]
        functions.append(helper.make_function("l", f"f{index}", ["x"], ["y"], calls, opsets))
    call = helper.make_node(f"f{depth - 1}", ["a"], ["b"], domain="l")
    graph = helper.make_graph([call], "g", [value("a", [2, 2])], [value("b", None)])
    return helper.make_model(graph, functions=functions, opset_imports=opsets, ir_version=10)


def nested_loops(levels: int, trips: int) -> onnx.ModelProto:
    """Loops in loops whose state grows, so that every trip has shapes of its own."""

    def body(level: int) -> onnx.GraphProto:
        go, state, result = f"go{level}", f"s{level}", f"t{level}"
        if level == 0:
            work = helper.make_node("Concat", [state, "x"], [result], axis=0)
        else:
            work = helper.make_node("Loop", ["trips", go, state], [result], body=body(level - 1))
        return helper.make_graph(
            [helper.make_node("Identity", [go], [f"on{level}"]), work],
            "body",
            [value(f"i{level}", [], TensorProto.INT64), value(go, [], TensorProto.BOOL), value(state, None)],
            [value(f"on{level}", [], TensorProto.BOOL), value(result, None)],
        )

    constants = [
        numpy_helper.from_array(np.array(trips), "trips"),
        numpy_helper.from_array(np.array(True), "yes"),
    ]
    loop = helper.make_node("Loop", ["trips", "yes", "x"], ["y"], body=body(levels - 1))
    return chain([loop], "y", *constants)


def reversed_chain(length: int) -> onnx.ModelProto:
    nodes = [helper.make_node("Relu", [f"x{i}" if i else "x"], [f"x{i + 1}"]) for i in range(length)]
    return chain(nodes[::-1], f"x{length}")


def wide_fan(length: int) -> onnx.ModelProto:
    nodes = [helper.make_node("Relu", ["x"], [f"y{i}"]) for i in range(length)]
    nodes.append(helper.make_node("Concat", [f"y{i}" for i in range(length)], ["y"], axis=0))
    return chain(nodes, "y")


def wide_split(length: int) -> onnx.ModelProto:
    parts = [f"y{i}" for i in range(length)]
    nodes = [
        helper.make_node("Tile", ["x", "repeats"], ["t"]),
        helper.make_node("Split", ["t"], parts, axis=0, num_outputs=length),
        helper.make_node("Sum", parts, ["y"]),
    ]
    return chain(nodes, "y", numpy_helper.from_array(np.array([length, 1]), "repeats"))


def growing_sequence(length: int) -> onnx.ModelProto:
    nodes = [helper.make_node("SequenceEmpty", [], ["s0"])]
    nodes += [helper.make_node("SequenceInsert", [f"s{i}", "x"], [f"s{i + 1}"]) for i in range(length)]
    nodes.append(helper.make_node("ConcatFromSequence", [f"s{length}"], ["y"], axis=0))
    return chain(nodes, "y")


@pytest.mark.parametrize(
    "build",
    [
        lambda: reversed_chain(5_000),
        lambda: wide_fan(5_000),
        lambda: wide_split(5_000),
        lambda: growing_sequence(1_000),
        lambda: nested_loops(1, 1_000),
        lambda: nested_loops(1, 2**62),
    ],
    ids=["reversed", "fan", "split", "sequence", "loop", "endless-loop"],
)
def test_odd_but_honest_shapes_of_graphs(build: Callable[[], onnx.ModelProto], tmp_path: Path) -> None:
    assert check(build(), tmp_path) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [lambda: doubling_functions(40), lambda: nested_loops(3, 2_000)],
    ids=["functions", "loops"],
)
def test_explosions_are_refused(build: Callable[[], onnx.ModelProto], tmp_path: Path) -> None:
    assert "more than" in check(build(), tmp_path)


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 3_000 + "batch" + ")" * 3_000,
        "-" * 9_000 + "batch",
        "+".join(["batch"] * 9_000),
        "*".join(["9999999999"] * 3_000),
        "9 ** 9 ** 9 ** 9",
        "1 << 99999999",
        "batch % 0",
        "__import__('os').getcwd()",
    ],
    ids=["parentheses", "signs", "sum", "product", "power", "shift", "zero", "code"],
)
def test_dimension_names_that_are_expressions(expression: str, tmp_path: Path) -> None:
    model = chain([helper.make_node("Relu", ["x"], ["y"])], "y")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = expression
    line = check(model, tmp_path)
    assert len(line) < 2_000
    assert line.isprintable()


def test_nesting_beyond_the_interpreters_stack(tmp_path: Path) -> None:
    """Ten thousand length prefixes inside one another."""
    data = b""
    for _ in range(10_000):
        attribute = b"\x0a\x01b" + b"\x32" + varint(len(data)) + data + b"\xa0\x01\x05"
        node = b"\x22\x02If\x2a" + varint(len(attribute)) + attribute
        data = b"\x0a" + varint(len(node)) + node
    path = tmp_path / "deep.onnx"
    path.write_bytes(b"\x08\x0a\x3a" + varint(len(data)) + data)
    with bounded():
        assert "nested more than" in examine(path)


@pytest.mark.slow
def test_files_of_nothing_but_empty_fields(tmp_path: Path) -> None:
    """Five million empty nodes, inputs or extents in 10 MB."""
    count = 5_000_000
    empty: dict[str, Callable[[], bytes]] = {
        "nodes": lambda: b"\x0a\x00" * count,
        "inputs": lambda: b"\x5a\x00" * count,
        "constants": lambda: b"\x2a\x00" * count,
        "names": lambda: b"\x0a" + varint(2 * count) + b"\x0a\x00" * count,
        "extents": lambda: b"\x2a" + varint(2 * count) + b"\x08\x01" * count,
    }
    for name, build in empty.items():
        graph = build()
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(b"\x08\x0a\x42\x02\x10\x11\x3a" + varint(len(graph)) + graph)
        with bounded():
            assert examine(path)


def varint(value: int) -> bytes:
    groups = []
    while True:
        value, low = value >> 7, value & 0x7F
        groups.append(low | (0x80 if value else 0))
        if not value:
            return bytes(groups)
