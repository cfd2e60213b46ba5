"""Every model of the listed wheels has exactly the multiply-accumulates that running it shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto
from oracles.executed_macs import executed_macs
from oracles.packages import bound_shapes, from_wheel, rows_of

from layerweaver.frontend.importer import import_model
from layerweaver.frontend.options import ImportOptions
from layerweaver.frontend.reader.file import read_model_bytes

ROWS = {row["model"]: row for row in rows_of(Path(__file__).parent.parent / "data" / "packaged_models.csv")}


def _stated(row: dict[str, str]) -> dict[str, tuple[float, ...]]:
    parts = (part.split("=") for part in row["values"].split(";") if part)
    return {name: tuple(map(int, value.split(","))) for name, value in parts}


def _feed(model: ModelProto, row: dict[str, str]) -> dict[str, np.ndarray]:
    """Inputs of the bound shapes: numbers that index any table, lengths as long as the first input."""
    shapes, stated = bound_shapes(row["input_binding"]), _stated(row)
    stored = {each.name for each in model.graph.initializer}
    feed: dict[str, np.ndarray] = {}
    for each in model.graph.input:
        if each.name in stored:
            continue
        kind = onnx.helper.tensor_dtype_to_np_dtype(each.type.tensor_type.elem_type)
        shape = shapes.get(each.name, ())
        if each.name in stated:
            feed[each.name] = np.array(stated[each.name], kind).reshape(shape)
        elif np.issubdtype(kind, np.floating):
            feed[each.name] = np.random.default_rng(0).random(shape).astype(kind)
        else:
            length = max(next(iter(shapes.values()), (1,)))
            feed[each.name] = np.full(shape, length if "len" in each.name else 1, kind)
    return feed


def test_the_list_is_long_and_its_rows_differ() -> None:
    assert len(ROWS) >= 80
    assert len({row["where"] for row in ROWS.values()}) == len(ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_models_of_wheels(name: str) -> None:
    row = ROWS[name]
    content = from_wheel(row["where"])
    options = ImportOptions(shapes=bound_shapes(row["input_binding"]), values=_stated(row))
    graph = import_model(read_model_bytes(content, f"{name}.onnx"), options)
    assert graph.macs == int(row["macs"])
    assert graph.complete


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_running_them_counts_the_same(name: str) -> None:
    pytest.importorskip("onnxruntime")
    row = ROWS[name]
    model = onnx.load_from_string(from_wheel(row["where"]))
    assert executed_macs(model, _feed(model, row)) == int(row["macs"])
