"""Files that are not ONNX, or not whole: one line that names the file and says what is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from layerweaver.frontend.reader.file import read_model, read_model_bytes
from layerweaver.ir.errors import ModelError


def model_bytes(**changes: object) -> bytes:
    node = helper.make_node("Relu", ["x"], ["y"], name="first")
    model = helper.make_model(helper.make_graph([node], "g", [], []))
    for name, value in changes.items():
        setattr(model, name, value)
    data: bytes = model.SerializeToString()
    return data


def message(data: bytes) -> str:
    with pytest.raises(ModelError) as caught:
        read_model_bytes(data, "net.onnx")
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("net.onnx")
    return text


def length_field(number: int, payload: bytes) -> bytes:
    assert len(payload) < 128
    return bytes([number << 3 | 2, len(payload)]) + payload


@pytest.mark.parametrize(
    ("head", "hint"),
    [
        (b"PK\x03\x04\x14\x00\x08\x08", "ZIP"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "PNG"),
        (b"\x1c\0\0\0TFL3\x14\0 \0", "TensorFlow Lite"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d", "git lfs pull"),
        (b"<svg>" * 20, "text file"),
        (b"\xa0\x01\0\0\0\0\0\0" + b'{"__metadata__":{"format":"pt"},"w":{"dtype":"F32"', "safetensors"),
        (b"\x80\x04\x95\x10\0\0\0\0\0\0\0}", "pickle"),
        (b'<?xml version="1.0"?>\n<net name="Model0" version="11">\n<layers>', "OpenVINO"),
        (b"\n<!doctype html>\n<html lang=en><head><title>404", "HTML"),
        (b"\xef\xbb\xbf<HTML><HEAD>", "HTML"),
        (b'{"irVersion": "8"}', "JSON"),
        (b"ir_version: 8\ngraph {", "ONNX in text form"),
        (b"Dear all, this is a letter.\n" * 9, "text file"),
        (bytes(4096), "number 0"),
        (b"\xff" * 64, "more than 10 bytes"),
    ],
)
def test_other_formats_are_named(head: bytes, hint: str) -> None:
    assert hint in message(head)


def test_paths_that_are_no_model_files(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").touch()
    os.mkfifo(tmp_path / "pipe.onnx")
    cases: dict[str, str] = {
        "missing.onnx": "does not exist",
        "empty.onnx": "is empty",
        ".": "is a folder",
        "pipe.onnx": "not a regular file",
        "empty.onnx/x": "Not a directory",
        "n" * 300: "File name too long",
        "a\0b": "null",
    }
    for name, expected in cases.items():
        with pytest.raises(ModelError, match=expected):
            read_model(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "secret.onnx"
    path.write_bytes(model_bytes())
    path.chmod(0)
    with pytest.raises(ModelError, match="Permission denied"):
        read_model(path)


def test_truncation_is_reported_with_its_offset() -> None:
    text = message(model_bytes()[:-20])
    assert "byte" in text
    assert "truncated" in text


def test_every_truncation_of_a_small_model_is_an_error() -> None:
    data = model_bytes()
    whole = [size for size in range(1, len(data) + 1) if reads(data[:size])]
    assert whole == [len(data)]


def reads(data: bytes) -> bool:
    try:
        read_model_bytes(data, "net.onnx")
    except ModelError:
        return False
    return True


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: b"\x08\x07", "no graph"),
        (lambda: model_bytes(ir_version=0), "IR version is 0"),
        (lambda: model_bytes(ir_version=-4), "IR version is -4"),
        (lambda: model_bytes() + length_field(7, b""), "two graphs"),
        (lambda: b"\x08\x0a" + length_field(7, b""), "no operator set"),
        (lambda: b"\x38\x01" + model_bytes(), "field 7 of the model has wire type 0"),
        (lambda: model_bytes() + b"\x0b\x0c", "wire type 3"),
        (lambda: model_bytes() + b"\x42\x0b\x10" + b"\xff" * 9 + b"\x01", "has version -1"),
        (lambda: b"\x08\x0a" + length_field(7, length_field(1, b"")), "names no operator"),
        (lambda: b"\x08\x0a" + length_field(7, length_field(1, b"\x0a\x02\xff\xfe")), "not valid UTF-8"),
        (lambda: b"\x08\x0a" + length_field(7, length_field(1, b"\x08\x07")), "field 1 of a node"),
        (
            lambda: b"\x08\x0a" + length_field(7, length_field(1, length_field(4, b"Relu") + b"\x2a\x00")),
            "node 0 Relu '': an attribute has no name",
        ),
    ],
)
def test_malformed_models(build: Callable[[], bytes], expected: str) -> None:
    assert expected in message(build())


@pytest.mark.parametrize(
    ("dims", "expected"),
    [
        ([-2, 3], "negative extent -2"),
        ([2**40, 2**40], "more than 2**50 elements"),
        ([2**40, 0, 2**40], "more than 2**50 elements"),
        ([1] * 65, "more than 64 axes"),
        ([3], "take 12 bytes, not 8"),
    ],
)
def test_absurd_constants(dims: list[int], expected: str) -> None:
    tensor = TensorProto(name="weight", dims=dims, data_type=TensorProto.FLOAT, raw_data=bytes(8))
    text = message(helper.make_model(helper.make_graph([], "g", [], [], [tensor])).SerializeToString())
    assert expected in text
    assert "'weight'" in text


def test_typed_values_must_match_the_extents() -> None:
    tensor = TensorProto(name="w", dims=[3], data_type=TensorProto.INT64, int64_data=[1, 2])
    assert "promise 3 entries, but there are 2" in message(
        helper.make_model(helper.make_graph([], "g", [], [], [tensor])).SerializeToString()
    )
    tensor = TensorProto(name="w", dims=[2], data_type=TensorProto.FLOAT, int64_data=[1, 2])
    assert "type float32 are in field 7" in message(
        helper.make_model(helper.make_graph([], "g", [], [], [tensor])).SerializeToString()
    )


def nested(levels: int) -> bytes:
    graph = helper.make_graph([], "g", [], [])
    for _ in range(levels):
        node = helper.make_node("If", ["c"], ["y"], then_branch=graph)
        graph = helper.make_graph([node], "g", [], [])
    data: bytes = helper.make_model(graph).SerializeToString()
    return data


def test_nesting_is_bounded() -> None:
    assert len(read_model_bytes(nested(20), "t").graph.nodes) == 1
    assert "nested more than" in message(nested(33))


def test_nested_types_are_bounded() -> None:
    kind = helper.make_tensor_type_proto(1, [1])
    for _ in range(20):
        kind = helper.make_sequence_type_proto(kind)
    graph = helper.make_graph([], "g", [helper.make_value_info("x", kind)], [])
    assert "a type is nested more than 16 deep" in message(helper.make_model(graph).SerializeToString())


def test_long_names_are_refused() -> None:
    node = helper.make_node("Relu", ["x" * 70_000], ["y"])
    graph = helper.make_graph([node], "g", [], [])
    assert "70000 bytes" in message(helper.make_model(graph).SerializeToString())


def test_unprintable_characters_of_names_are_escaped() -> None:
    node = helper.make_node("Relu\x1b[2J", ["a\nb", "größe x"], ["y\u202e"], name="\0")
    graph = helper.make_graph([node], "g", [], [])
    read = read_model_bytes(helper.make_model(graph).SerializeToString(), "t").graph.nodes[0]
    assert read.inputs == ("a\\nb", "größe x")
    assert (read.op_type, read.outputs, read.name) == ("Relu\\x1b[2J", ("y\\u202e",), "\\x00")


def test_two_functions_of_one_name() -> None:
    opset = [helper.make_opsetid("", 21)]
    function = helper.make_function("l", "f", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], opset)
    model: onnx.ModelProto = helper.make_model(helper.make_graph([], "g", [], []), functions=[function] * 2)
    assert "two functions l::f" in message(model.SerializeToString())
