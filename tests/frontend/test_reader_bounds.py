"""What a model may expand to in memory: names, values and lists are counted, whole files together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hostile.largest_models import field
from onnx import helper, numpy_helper

from layerweaver.frontend.reader import attribute, long_list
from layerweaver.frontend.reader.file import read_model, read_model_bytes
from layerweaver.ir import ModelError


def model(*, name: str = "r", initializers: int = 0, **attributes: Any) -> bytes:
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2])
    node = helper.make_node("Relu", ["x"], ["y"], name=name, **attributes)
    held = [numpy_helper.from_array(np.ones(100, np.float32), f"w{k}") for k in range(initializers)]
    made = helper.make_graph([node], "g", [value], [value], held)
    return bytes(helper.make_model(made).SerializeToString())


def test_names_are_counted_by_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribute, "MAX_ITEMS", 100)
    assert read_model_bytes(model(name="n" * 1000), "m").graph.nodes
    for long in (model(name="n" * 3000), model(text="n" * 3000)):
        with pytest.raises(ModelError, match="more than 100 names, types and numbers"):
            read_model_bytes(long, "m")


def test_values_are_read_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribute, "MAX_VALUE_BYTES", 1000)
    held = read_model_bytes(model(initializers=9), "m").graph.initializers
    assert [tensor.values is not None for tensor in held.values()] == [True] * 3 + [False] * 6
    assert {tensor.shape for tensor in held.values()} == {(100,)}


def test_external_values_are_read_while_there_is_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    proto = onnx.load_from_string(model(initializers=9))
    onnx.save(proto, path, save_as_external_data=True, location="m.bin", size_threshold=0)
    monkeypatch.setattr(attribute, "MAX_VALUE_BYTES", 1000)
    held = read_model(path).graph.initializers
    assert [tensor.values is not None for tensor in held.values()] == [True] * 3 + [False] * 6


@pytest.mark.parametrize(
    "attributes",
    [{"a": [300] * 40_000}, {"a": [1.5] * 40_000}, {"a": [f"text {k}" for k in range(10_000)]}],
    ids=["numbers", "floats", "texts"],
)
def test_long_lists_are_counted_together(monkeypatch: pytest.MonkeyPatch, attributes: dict[str, Any]) -> None:
    data = model(**attributes, b=attributes["a"])
    assert read_model_bytes(data, "m").graph.nodes[0].attributes["b"]
    monkeypatch.setattr(attribute, "MAX_LIST_BYTES", 130_000)
    with pytest.raises(ModelError, match="lists of all attributes take more than"):
        read_model_bytes(data, "m")


@pytest.mark.parametrize("packed", [True, False])
def test_a_list_of_too_many_numbers_is_refused(monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    data = model(a=[300] * 40_000)
    if packed:  # as exporters of other languages write it
        numbers = b"\xac\x02" * 40_000
        inner = field(1, "a") + field(8, numbers) + field(20, 7)
        node = field(1, "x") + field(2, "y") + field(4, "Relu") + field(5, inner)
        made = field(1, node)
        data = field(1, 8) + field(8, field(2, 17)) + field(7, made)
    monkeypatch.setattr(long_list, "MAX_NUMBERS", 40_000)
    assert len(read_model_bytes(data, "m").graph.nodes[0].attributes["a"].values) == 40_000  # type: ignore[union-attr, arg-type]
    monkeypatch.setattr(long_list, "MAX_NUMBERS", 39_999)
    with pytest.raises(ModelError, match="has 40000 numbers"):
        read_model_bytes(data, "m")


def test_a_list_of_too_many_texts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = model(a=[f"text {k}" for k in range(10_000)])
    monkeypatch.setattr(long_list, "MAX_TEXTS", 9_999)
    with pytest.raises(ModelError, match="more than 9999 different texts"):
        read_model_bytes(data, "m")
