"""The reader against the protobuf library: every field must agree."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser
from oracles.protobuf_agreement import TYPE_NAMES, assert_same_model

from layerweaver.frontend.reader.file import read_model, read_model_bytes
from layerweaver.frontend.reader.model import (
    AttributeReference,
    OnnxGraph,
    OnnxModel,
    ValueInfo,
)
from layerweaver.ir.dtypes import DType

DATA = Path(__file__).parents[1] / "data" / "onnx"
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
REAL_GRAPHS = sorted([*DATA.glob("*.onnx"), *LIGHT.glob("light_*.onnx")])


def check(model: onnx.ModelProto) -> OnnxModel:
    mine = read_model_bytes(model.SerializeToString(), "test")
    assert_same_model(mine, model)
    return mine


@pytest.mark.parametrize("path", REAL_GRAPHS, ids=lambda path: path.stem)
def test_real_graphs_agree_with_protobuf(path: Path) -> None:
    assert_same_model(read_model(path), onnx.load(path, load_external_data=False))


def test_there_are_real_graphs() -> None:
    assert len(REAL_GRAPHS) == 19


def test_control_flow_functions_and_references() -> None:
    model = parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 21, "local" : 1]>
        main (float[batch, seq] x, bool cond, int64 trips) => (float[?, M] y)
            <float[3] w = {1.0, 2.0, 3.0}> {
            h = If (cond) <
                then_branch = a () => (float[N] p) { p = local.scale <factor = 2.5> (x) },
                else_branch = b () => (float[N] p) {
                    q = Loop (trips, cond, x) <
                        body = c (int64 i, bool go, float[K] s) => (bool on, float[K] t) {
                            on = Identity (go)
                            t = Add (s, s)
                        }>
                    p = Identity (q)
                }>
            y = Conv <pads = [1, 1, 1, 1], auto_pad = "NOTSET", group: int = 1> (h, , w)
        }
        <domain: "local", opset_import: ["" : 21]>
        scale <factor: float = 1.0, axis> (x) => (y) {
            f = Constant <value_float: float = @factor> ()
            g = Softmax <axis: int = @axis> (x)
            y = Mul (g, f)
        }
    """)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "2*seq"
    mine = check(model)
    assert mine.graph.inputs[0].shape == ("batch", "2*seq")
    assert mine.graph.outputs[0].shape == (None, "M")
    body = mine.functions["local", "scale"].nodes
    assert body[0].attributes["value_float"] == AttributeReference("factor")
    branch = mine.graph.nodes[0].attributes["else_branch"]
    assert isinstance(branch, OnnxGraph)
    assert isinstance(branch.nodes[0].attributes["body"], OnnxGraph)


def test_every_attribute_type() -> None:
    tensor = numpy_helper.from_array(np.arange(6, dtype=np.int64).reshape(2, 3), "t")
    graph = helper.make_graph(
        [helper.make_node("Identity", ["a"], ["b"])],
        "inner",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)],
        [tensor],
    )
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.ones(2, np.float32), "v"),
        numpy_helper.from_array(np.array([1, 5], np.int64), "i"),
        [3, 4],
    )
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT16, ["n", 4]))
    node = helper.make_node("Any", ["x", "", "y"], ["", "z"], name="any", domain="custom")
    values: dict[str, Any] = {
        "f": -0.5,
        "i": -3,
        "s": "größe",
        "t": tensor,
        "g": graph,
        "sparse": sparse,
        "type": kind,
        "floats": [0.25, float("inf")],
        "ints": [-(2**63), 2**63 - 1, 0],
        "strings": ["a", "", "ß"],
        "tensors": [tensor, tensor],
        "graphs": [graph, graph],
        "sparses": [sparse],
        "types": [kind, kind],
    }
    node.attribute.extend(helper.make_attribute(name, value) for name, value in values.items())
    empty_floats = onnx.AttributeProto(name="none", type=onnx.AttributeProto.FLOATS)
    node.attribute.append(empty_floats)
    outer = helper.make_graph([node], "outer", [], [])
    outer.sparse_initializer.append(sparse)
    mine = check(helper.make_model(outer))
    attributes = mine.graph.nodes[0].attributes
    assert attributes["none"] == ()
    assert attributes["type"] == ValueInfo("", DType.FLOAT16, ("n", 4), "sequence")
    raw = onnx.ModelProto()
    raw.CopyFrom(helper.make_model(outer))
    raw.graph.node[0].attribute[2].s = b"\xff\xfe"
    assert read_model_bytes(raw.SerializeToString(), "t").graph.nodes[0].attributes["s"] == b"\xff\xfe"


def test_attribute_without_type_of_early_files() -> None:
    node = helper.make_node("Conv", ["x"], ["y"], group=2, pads=[1, 2], mode="edge", alpha=0.5)
    for attribute in node.attribute:
        attribute.ClearField("type")
    model = helper.make_model(helper.make_graph([node], "g", [], []), ir_version=1)
    model.ClearField("opset_import")
    mine = read_model_bytes(model.SerializeToString(), "old")
    assert mine.graph.nodes[0].attributes == {"group": 2, "pads": (1, 2), "mode": "edge", "alpha": 0.5}
    assert mine.opset_imports == {"": 1}


NUMERIC_TYPES = [
    number for name, number in TensorProto.DataType.items() if name not in ("UNDEFINED", "STRING")
]


@pytest.mark.parametrize("raw", [False, True], ids=["typed", "raw"])
@pytest.mark.parametrize("number", NUMERIC_TYPES, ids=lambda number: TYPE_NAMES[number])
def test_every_element_type_in_both_encodings(number: int, raw: bool) -> None:
    kind = helper.tensor_dtype_to_np_dtype(number)
    rng = np.random.default_rng(number)
    bits = DType(TYPE_NAMES[number]).bits
    codes = rng.integers(0, 256, 15 * max(1, bits // 8), dtype=np.uint8)
    if bits < 8:
        values = (codes & (1 << bits) - 1).view(kind) if kind.itemsize == 1 else codes.astype(kind)
    elif number == TensorProto.BOOL:
        values = codes > 127
    else:
        values = codes.view(kind)
    values = values.reshape(3, 5)
    tensor = numpy_helper.from_array(values, "w")
    if not raw:
        if number in (TensorProto.FLOAT6E2M3, TensorProto.FLOAT6E3M2):
            entries = values.view(np.uint8).ravel().tolist()
            tensor = TensorProto(name="w", dims=[3, 5], data_type=number, int32_data=entries)
        else:
            tensor = helper.make_tensor("w", number, [3, 5], values.ravel())
        assert not tensor.raw_data
    mine = check(helper.make_model(helper.make_graph([], "g", [], [], [tensor])))
    found = mine.graph.initializers["w"].values
    assert found is not None
    assert found.shape == (3, 5)


def test_overloaded_functions_stay_apart() -> None:
    opset = [helper.make_opsetid("", 21)]
    one = helper.make_function("local", "f", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], opset)
    other = helper.make_function("local", "f", ["x"], ["y"], [helper.make_node("Tanh", ["x"], ["y"])], opset)
    one.overload, other.overload = "a", "b"
    call = helper.make_node("f", ["p"], ["q"], domain="local", overload="b")
    graph = helper.make_graph([call], "g", [], [])
    model = helper.make_model(graph, functions=[one, other])
    mine = read_model_bytes(model.SerializeToString(), "t")
    node = mine.graph.nodes[0]
    assert mine.functions[node.domain, node.op_type].nodes[0].op_type == "Tanh"


def test_default_domain_has_one_spelling() -> None:
    node = helper.make_node("Relu", ["x"], ["y"], domain="ai.onnx")
    model = helper.make_model(
        helper.make_graph([node], "g", [], []), opset_imports=[helper.make_opsetid("ai.onnx", 13)]
    )
    mine = read_model_bytes(model.SerializeToString(), "t")
    assert mine.opset_imports == {"": 13}
    assert mine.graph.nodes[0].domain == ""


@pytest.mark.parametrize(("given", "read"), [(0, 0), (-1, None), (7, 7), ("n//2", "n//2"), (None, None)])
def test_extents_that_mean_unknown(given: int | str | None, read: int | str | None) -> None:
    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, [given, 3])
    mine = read_model_bytes(
        helper.make_model(helper.make_graph([], "g", [info], [])).SerializeToString(), "t"
    )
    assert mine.graph.inputs[0].shape == (read, 3)


@pytest.mark.parametrize(
    ("kind", "container"),
    [
        (helper.make_optional_type_proto(helper.make_tensor_type_proto(1, [2])), "optional"),
        (
            helper.make_optional_type_proto(
                helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [2]))
            ),
            "sequence",
        ),
        (helper.make_sparse_tensor_type_proto(1, [2]), "sparse"),
    ],
)
def test_containers(kind: onnx.TypeProto, container: str) -> None:
    info = helper.make_value_info("x", kind)
    mine = read_model_bytes(
        helper.make_model(helper.make_graph([], "g", [info], [])).SerializeToString(), "t"
    )
    assert mine.graph.inputs[0] == ValueInfo("x", DType.FLOAT32, (2,), container)


def test_maps_are_read_as_maps() -> None:
    value = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    info = helper.make_value_info("x", helper.make_map_type_proto(TensorProto.INT64, value))
    mine = read_model_bytes(
        helper.make_model(helper.make_graph([], "g", [info], [])).SerializeToString(), "t"
    )
    assert mine.graph.inputs[0] == ValueInfo("x", DType.FLOAT32, None, "map")


def test_fields_of_later_versions_are_skipped() -> None:
    model = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], []))
    unknown = b"\xba\x3e\x03abc" + b"\xb8\x3e\x96\x01" + b"\xbd\x3e" + struct.pack("<f", 1.5)
    mine = read_model_bytes(model.SerializeToString() + unknown, "t")
    assert len(mine.graph.nodes) == 1
