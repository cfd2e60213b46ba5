"""Exact multiply-accumulates of real models, against counts from executing them."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from oracles.packages import bound_shapes, from_wheel, rows_of

from layerweaver.frontend.importer import import_model
from layerweaver.frontend.options import ImportOptions
from layerweaver.frontend.reader.file import read_model, read_model_bytes

DATA = Path(__file__).parent.parent / "data"


ROWS = {row["model"]: row for row in rows_of(DATA / "reference_macs.csv")}
EXPORTED = [name for name, row in ROWS.items() if ":" not in row["where"]]
LIGHT = [name for name in ROWS if name.startswith("light_")]
PACKAGED = [name for name in ROWS if name not in EXPORTED and name not in LIGHT]


def test_the_reference_has_all_rows() -> None:
    assert len(ROWS) == 28
    assert len(EXPORTED) == 10
    assert len(LIGHT) == 9


@pytest.mark.parametrize("name", EXPORTED)
@pytest.mark.parametrize("fuse", [True, False])
def test_exported_graphs(name: str, fuse: bool) -> None:
    row = ROWS[name]
    model = read_model(DATA / "onnx" / Path(row["where"]).name)
    graph = import_model(model, ImportOptions(shapes=bound_shapes(row["input_binding"]), fuse=fuse))
    assert graph.macs == int(row["macs"])
    assert graph.warnings == ()


@pytest.mark.parametrize("name", LIGHT)
def test_graphs_of_the_onnx_package(name: str) -> None:
    row = ROWS[name]
    package = Path(onnx.__file__).parent.parent
    path = package / row["where"].split(" : ")[1]
    if not path.exists():
        pytest.skip(f"this installation of onnx lacks {path.name}")
    graph = import_model(path, ImportOptions(shapes=bound_shapes(row["input_binding"])))
    assert graph.macs == int(row["macs"])


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKAGED)
def test_models_of_packages(name: str) -> None:
    row = ROWS[name]
    model = read_model_bytes(from_wheel(row["where"]), f"{name}.onnx")
    graph = import_model(model, ImportOptions(shapes=bound_shapes(row["input_binding"])))
    assert graph.macs == int(row["macs"])
