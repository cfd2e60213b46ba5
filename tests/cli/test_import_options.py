"""What the user states of a model on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest

Run = Callable[..., Any]

IMAGE = """<ir_version: 9, opset_import: ["" : 18]>
g (float["?", 3, "?", "?"] x, float[8, 3, 3, 3] w) => (float[] y) { y = Conv(x, w) }"""

FRAMES = """<ir_version: 9, opset_import: ["" : 18]>
g (int64 n, float[50, 8] e, float[8, 5] w) => (float[] y) <int64 z = {0}, int64 o = {1}> {
    r = Range(z, n, o) a = Gather(e, r) y = MatMul(a, w) }"""


@pytest.fixture(name="place")
def place_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    image = onnx.parser.parse_model(IMAGE.replace('"?"', "D"))
    for axis in (0, 2, 3):
        image.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = "?"
    onnx.save(image, tmp_path / "image.onnx")
    onnx.save(onnx.parser.parse_model(FRAMES), tmp_path / "frames.onnx")
    return tmp_path


@pytest.mark.parametrize("shape", ["2x3x10x12", "2,3,10,12", "[2, 3, 10, 12]", "2X3X10X12"])
def test_shapes_are_read_as_people_write_them(run: Run, place: Path, shape: str) -> None:
    found = run("inspect", place / "image.onnx", "--shape", f"x={shape}", "--json")
    assert found.document["totals"]["macs"] == 2 * 8 * 27 * 8 * 10
    assert found.document["totals"]["complete"] is True


def test_placeholders_write_no_profile(run: Run, place: Path) -> None:
    found = run("compile", "image.onnx", "--npu", "memory-centric", "-o", "x.lwp")
    assert found.code == 2
    assert "--shape x=?x3x?x?" in found.err
    assert not (place / "x.lwp").exists()


def test_values_are_stated_and_what_lacks_work_is_refused(run: Run, place: Path) -> None:
    lacking = run("inspect", place / "frames.onnx", "--json")
    assert lacking.document["totals"]["complete"] is False
    assert lacking.document["warnings"][0].endswith("give --value n=N")
    assert "incomplete" in run("inspect", "frames.onnx").out
    stated = run("inspect", "frames.onnx", "--value", "n=20", "--strict", "--json")
    assert stated.document["totals"]["macs"] == 20 * 8 * 5
    refused = run("compile", "frames.onnx", "--npu", "memory-centric", "-o", "x.lwp")
    assert refused.code == 2
    assert refused.err.count("\n") == 1
    assert not (place / "x.lwp").exists()
    assert run("compile", "frames.onnx", "--npu", "memory-centric", "-o", "x.lwp", "--incomplete").code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--value n", "NAME=NUMBER"),
        ("--value n=many", "'many' is not a number"),
        ("--value m=3", "no value is named m; did you mean"),
        ("--trip-count z=3", "no loop is named z; its loops: none"),
        ("--value n=20 --strict --state e=y", "50x8 and 'y' is 20x5"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(run: Run, place: Path, words: str, says: str) -> None:
    found = run("inspect", place / "frames.onnx", *words.split())
    assert found.code == 2
    assert says in found.err
    assert "Traceback" not in found.err


def test_pieces_of_cut_layers_stand_under_their_layer(run: Run) -> None:
    words = ("inspect", "zoo:resnext50", "--batch", "8", "--npu", "memory-centric")
    cut = run(*words, "--longest-us", "200", "--json").document
    assert cut["totals"]["compute_cycles"] == sum(sum(one["piece_compute_cycles"]) for one in cut["layers"])
    assert cut["totals"]["memory_cycles"] == sum(sum(one["piece_memory_cycles"]) for one in cut["layers"])
    longest = max(max(one["piece_compute_cycles"]) for one in cut["layers"])
    assert longest <= 200 * 700
    assert "  1 of 2" in run(*words, "--longest-us", "200").out
    assert "piece_compute_cycles" not in run(*words, "--json").document["layers"][0]
    assert "--npu" in run("inspect", "zoo:ncf", "--longest-us", "200").err


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose", "MaxPool", "LpPool"])
@pytest.mark.parametrize("name", ["strides", "dilations", "pads", "kernel_shape"])
def test_empty_lists_of_attributes_fit_no_axes(run: Run, operator: str, name: str) -> None:
    """A list without a number is not the default, which is to leave the attribute out."""
    inputs = ["x", "w"] if operator.startswith("Conv") else ["x"]
    given: dict[str, Any] = {} if name == "kernel_shape" else {"kernel_shape": [3, 3]}
    node = onnx.helper.make_node(operator, inputs, ["y"], **given)
    node.attribute.append(onnx.AttributeProto(name=name, type=onnx.AttributeProto.INTS))
    graph = onnx.helper.make_graph(
        [node],
        "g",
        [onnx.helper.make_tensor_value_info("x", 1, [1, 4, 8, 8])],
        [onnx.helper.make_tensor_value_info("y", 1, None)],
        [onnx.helper.make_tensor("w", 1, [4, 4, 3, 3], [0.0] * 144)] if len(inputs) == 2 else [],
    )
    opsets = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets), "empty.onnx")
    ran = run("inspect", "empty.onnx", "--npu", "memory-centric")
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert f"{name} []" in ran.err


@pytest.mark.parametrize(
    ("option", "first", "second"),
    [
        ("--dim", "n=3", "n=4"),
        ("--shape", "x=1x3x10x12", "x=2x3x10x12"),
        ("--value", "n=20", "n=20"),
        ("--trip-count", "loop=2", "loop=3"),
    ],
)
def test_what_is_stated_twice_is_refused(run: Run, place: Path, option: str, first: str, second: str) -> None:
    found = run("inspect", place / "frames.onnx", option, first, option, second)
    assert found.code == 2
    assert f"{option} {second!r}: {first.partition('=')[0]!r} is given twice; give it once" in found.err
    assert found.err.count("\n") == 1
