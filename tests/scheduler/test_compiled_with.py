"""A profile tells all that its entries were compiled with, and older files still load."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest
from onnx import parser as onnx_text

from layerweaver.cli.rendering.profiles import bound_lines
from layerweaver.scheduler.compile.compiler import ModelRequest, compile_models
from layerweaver.scheduler.compile.inspection import inspect_model
from layerweaver.scheduler.profile.document import profile_document
from layerweaver.scheduler.profile.file import load_profile, save_profile
from layerweaver.scheduler.profile.manifest import BOUND_LATER

TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[batch, 16] x, float[batch, 16] before, int64[1] frames)
    => (float[rows, 16] y, float[batch, 16] after)
{
    one = Constant <value_ints = [1]> ()
    sum = Add(x, before)
    after = Relu(sum)
    times = Concat <axis = 0> (frames, one)
    y = Tile(after, times)
}
"""
COSTS = "layer,compute_cycles,dram_bytes,weight_bytes\n"


@pytest.fixture
def model_file(tmp_path: Path) -> str:
    path = tmp_path / "net.onnx"
    path.write_bytes(onnx_text.parse_model(TEXT).SerializeToString())
    return str(path)


def _manifest(path: Path) -> dict[str, object]:
    with zipfile.ZipFile(path) as archive:
        document: dict[str, object] = json.loads(archive.read("manifest.json"))
    return document


def _told(request: ModelRequest, path: Path) -> tuple[dict[str, object], list[str]]:
    save_profile(compile_models([request], "memory-centric"), path)
    document = profile_document(load_profile(path))
    return document["models"][0], bound_lines(document)


def test_values_states_and_longest_rows_come_back(model_file: str, tmp_path: Path) -> None:
    request = ModelRequest(
        "net",
        model_file,
        values={"frames": (3,)},
        state=[("before", "after")],
        longest_us=50,
    )
    model, lines = _told(request, tmp_path / "net.lwp")
    assert (model["values"], model["state"]) == ({"frames": [3]}, [["before", "after"]])
    assert (model["longest_us"], model["overrides"]) == (50.0, None)
    assert lines == ["net: frames=3, before fed by after, rows of at most 50 us"]
    assert _manifest(tmp_path / "net.lwp")["version"] == 8
    again = load_profile(tmp_path / "net.lwp")
    save_profile(again, tmp_path / "again.lwp")
    assert (tmp_path / "again.lwp").read_bytes() == (tmp_path / "net.lwp").read_bytes()


def test_inspections_name_states_in_the_same_words(model_file: str) -> None:
    inspection = inspect_model(model_file, values={"frames": (3,)}, state=[("before", "after")])
    assert inspection.document["bound_to"] == "batch 1, frames=3, before fed by after"


def test_measured_costs_are_named_with_their_hash(model_file: str, tmp_path: Path) -> None:
    layer = inspect_model(model_file, values={"frames": (3,)}).document["layers"][0]["name"]
    costs = tmp_path / "costs.csv"
    costs.write_text(f"{COSTS}{layer},100,0,0\n")
    request = ModelRequest("net", model_file, values={"frames": (3,)}, overrides={1: costs})
    model, _ = _told(request, tmp_path / "net.lwp")
    assert model["overrides"] == {
        "file": "costs.csv",
        "sha256": hashlib.sha256(costs.read_bytes()).hexdigest(),
    }


def test_profiles_without_them_are_written_as_before(tmp_path: Path) -> None:
    path = tmp_path / "bert.lwp"
    model, lines = _told(ModelRequest("bert", "zoo:bert-base", dims={"tokens": 16}), path)
    manifest = _manifest(path)
    assert manifest["version"] == 2
    assert not {*BOUND_LATER} & {*manifest["entries"][0]}  # type: ignore[index]
    assert [model[key] for key in BOUND_LATER] == [{}, [], None, None]
    assert lines == ["bert: tokens=16"]
