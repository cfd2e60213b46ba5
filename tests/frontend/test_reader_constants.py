"""Constants: which are read, from where, and that weights are not."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from layerweaver.frontend.reader.file import file_sha256, read_model, read_model_bytes
from layerweaver.frontend.reader.model import MATERIALIZE_LIMIT


@pytest.mark.parametrize("size", [MATERIALIZE_LIMIT, MATERIALIZE_LIMIT + 1])
def test_only_small_constants_have_values(size: int) -> None:
    tensor = numpy_helper.from_array(np.arange(size, dtype=np.float32), "w")
    mine = read_model_bytes(
        helper.make_model(helper.make_graph([], "g", [], [], [tensor])).SerializeToString(), "t"
    )
    assert (mine.graph.initializers["w"].values is None) == (size > MATERIALIZE_LIMIT)


def test_small_external_constants_are_read_when_there(tmp_path: Path) -> None:
    tensor = TensorProto(name="shape", dims=[2], data_type=TensorProto.INT64)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "data/w.bin", "offset": "8", "length": "16"}.items():
        tensor.external_data.add(key=key, value=value)
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(helper.make_graph([], "g", [], [], [tensor])), path)
    assert read_model(path).graph.initializers["shape"].values is None
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.bin").write_bytes(struct.pack("<3q", 1, 2, 3))
    values = read_model(path).graph.initializers["shape"].values
    assert values is not None
    assert values.tolist() == [2, 3]


def test_external_data_outside_the_folder_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(8))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    for location in ("../secret.bin", str(tmp_path / "secret.bin"), "link.bin"):
        tensor = TensorProto(name="w", dims=[1], data_type=TensorProto.INT64)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        onnx.save(helper.make_model(helper.make_graph([], "g", [], [], [tensor])), folder / "m.onnx")
        assert read_model(folder / "m.onnx").graph.initializers["w"].values is None


def test_file_beyond_two_gigabytes(tmp_path: Path) -> None:
    """A sparse file: 3 GB of weights that take no room on disk, before and behind the nodes."""
    elements = 375_000_000
    tensor = TensorProto(name="w", dims=[elements], data_type=TensorProto.FLOAT)
    head = tensor.SerializeToString() + b"\x4a" + varint(4 * elements)
    initializer = b"\x2a" + varint(len(head) + 4 * elements) + head
    node = helper.make_node("Relu", ["w"], ["y"]).SerializeToString()
    node = b"\x0a" + varint(len(node)) + node
    graph_bytes = 2 * (len(initializer) + 4 * elements) + len(node)
    rest = helper.make_model(helper.make_graph([], "", [], []))
    rest.ClearField("graph")
    path = tmp_path / "big.onnx"
    with path.open("wb") as stream:
        stream.write(rest.SerializeToString() + b"\x3a" + varint(graph_bytes))
        for middle in (node, b""):
            stream.write(initializer)
            stream.seek(4 * elements, 1)
            stream.write(middle)
        stream.truncate()
    mine = read_model(path)
    assert path.stat().st_size > 3_000_000_000
    assert mine.graph.initializers["w"].shape == (elements,)
    assert mine.graph.initializers["w"].values is None
    assert len(mine.graph.nodes) == 1


def varint(value: int) -> bytes:
    groups = []
    while True:
        value, low = value >> 7, value & 0x7F
        groups.append(low | (0x80 if value else 0))
        if not value:
            return bytes(groups)


def test_hash_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")
