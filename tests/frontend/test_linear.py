"""The time that an import takes grows with the number of nodes, not with its square."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hostile.guard import bounded
from onnx import helper, numpy_helper

from layerweaver.frontend.importer import import_model
from layerweaver.ir import ModelError

Nodes = list[onnx.NodeProto]
FEW = 3000


def chain(operator: str, count: int, *more: str, first: str = "x") -> Nodes:
    names = [first, *(f"v{index}" for index in range(1, count)), "y"]
    return [
        helper.make_node(operator, [before, *more], [after]) for before, after in itertools.pairwise(names)
    ]


def behind_a_product(count: int) -> Nodes:
    return [helper.make_node("MatMul", ["x", "weights"], ["v0"]), *chain("Relu", count, first="v0")]


def integers_joined(count: int) -> Nodes:
    integers = [helper.make_node("DequantizeLinear", ["q", "scale"], [f"d{k}"]) for k in range(count)]
    return [*integers, helper.make_node("Sum", [f"d{k}" for k in range(count)], ["y"])]


def quantised(count: int) -> Nodes:
    nodes = []
    for index, node in enumerate(chain("Relu", count // 3)):
        before = node.input[0]
        nodes.append(helper.make_node("QuantizeLinear", [before, "scale"], [f"q{index}"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"q{index}", "scale"], [f"d{index}"]))
        nodes.append(helper.make_node("Relu", [f"d{index}"], node.output))
    return nodes


def fan_in(count: int) -> Nodes:
    parts = [helper.make_node("Relu", ["x"], [f"r{k}"]) for k in range(count)]
    return [*parts, helper.make_node("Concat", [f"r{k}" for k in range(count)], ["y"], axis=0)]


SHAPES: dict[str, Callable[[int], Nodes]] = {
    "relu": lambda count: chain("Relu", count),
    "residual": lambda count: chain("Add", count, "x"),
    "softmax": lambda count: chain("Softmax", count),
    "behind-a-product": behind_a_product,
    "integers-joined": integers_joined,
    "quantised": quantised,
    "fan-in": fan_in,
}


def saved(nodes: Nodes, path: Path) -> Path:
    values = {"x": onnx.TensorProto.FLOAT, "q": onnx.TensorProto.INT8}
    graph = helper.make_graph(
        nodes,
        "long",
        [helper.make_tensor_value_info(name, kind, [1, 8]) for name, kind in values.items()],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.zeros((8, 8), np.float32), "weights"),
            numpy_helper.from_array(np.array(0.5, np.float32), "scale"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


def seconds(nodes: Nodes, path: Path) -> float:
    saved(nodes, path)
    began = time.process_time()
    assert import_model(path).layers
    return time.process_time() - began


def check_growth(kind: str, folder: Path) -> None:
    once = min(seconds(SHAPES[kind](FEW), folder / "few.onnx") for _ in range(2))
    assert seconds(SHAPES[kind](4 * FEW), folder / "many.onnx") < 8 * once


@pytest.mark.parametrize("kind", ["relu", "integers-joined"])
def test_four_times_the_nodes_take_four_times_as_long(kind: str, tmp_path: Path) -> None:
    check_growth(kind, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(set(SHAPES) - {"relu", "integers-joined"}))
def test_other_shapes_grow_alike(kind: str, tmp_path: Path) -> None:
    check_growth(kind, tmp_path)


@pytest.mark.slow
def test_a_hundred_thousand_nodes_are_imported(tmp_path: Path) -> None:
    assert seconds(SHAPES["relu"](100_000), tmp_path / "long.onnx") < 30


def test_sequences_are_bounded_together(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("SequenceEmpty", [], ["s0"]),
        *(helper.make_node("SequenceInsert", [f"s{k}", "x"], [f"s{k + 1}"]) for k in range(10_000)),
        helper.make_node("ConcatFromSequence", ["s10000"], ["y"], axis=0),
    ]
    path = saved(nodes, tmp_path / "sequences.onnx")
    with bounded(), pytest.raises(ModelError, match="all sequences together have too many elements"):
        import_model(path)
