"""Names that no file can have, homes that nobody has, links in a circle: one line, or no file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from layerweaver.backend_sim.scenario.provenance import FOLDER, HASHES, changed_files
from layerweaver.costmodel.npu.pins import pin_means
from layerweaver.frontend.importer import import_model

Run = Callable[..., Any]
LONG = "x" * 300


@pytest.mark.parametrize("name", [LONG, "a=" + LONG, "a\0b", "~nobody-at-all/a"])
@pytest.mark.parametrize(
    "words",
    [
        ("inspect", "zoo:ncf", "--npu", "NAME"),
        ("inspect", "NAME"),
        ("compile", "NAME", "--npu", "memory-centric", "-o", "p.lwp"),
        ("compile", "zoo:ncf", "--npu", "memory-centric", "-o", "NAME/p.lwp"),
        ("report", "NAME", "-o", "r.html"),
        ("sweep", "NAME", "-o", "out"),
        ("npu", "check", "NAME"),
        ("simulate", "NAME"),
        ("rerun", "NAME"),
        ("show", "NAME"),
    ],
)
def test_no_file_of_that_name(
    words: tuple[str, ...], name: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(*(word.replace("NAME", name) for word in words))
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scenario", ["~nobody-at-all/s.yaml", LONG])
def test_no_scenario_of_that_name(scenario: str, run: Run, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(json.dumps({"scenario": scenario, "axes": {"load": [0.5]}}))
    ran = run("sweep", study, "-o", tmp_path / "out")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)


def test_files_of_a_result_may_have_any_names() -> None:
    names = ["~nobody-at-all/a.csv", LONG, "a\0b", "\ud800"]
    changed = changed_files({HASHES: dict.fromkeys(names, "0"), FOLDER: "."})
    assert all(told.startswith(name) for told, name in zip(changed, names, strict=True))


@pytest.mark.parametrize("pin", ["~nobody-at-all/a.onnx", f"./{LONG}", "./a\0b", "./\ud800"])
def test_a_pin_that_names_no_file_means_no_model(pin: str) -> None:
    assert not pin_means(pin, "a.onnx", None)


@pytest.mark.parametrize("location", ["circle", LONG, "circle/a"])
def test_constants_in_files_that_cannot_be_have_no_values(location: str, tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    shape = numpy_helper.from_array(np.array([2, 3], np.int64), "shape")
    shape.ClearField("raw_data")
    shape.data_location = TensorProto.EXTERNAL
    shape.external_data.add(key="location", value=location)
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Reshape", ["y", "shape"], ["z"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [6])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [2, 3])],
        [shape],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph), path)
    assert len(import_model(path).layers) == 1
