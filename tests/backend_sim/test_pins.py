"""Pinned models: the same file from every folder, no name without a model, no more bytes than there are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from layerweaver.backend_sim.run.prepare import prepare
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.ir import ConfigError, LayerweaverError
from layerweaver.scheduler.compile.compiler import compile_models
from layerweaver.scheduler.compile.inspection import export_zoo_model
from layerweaver.scheduler.profile.file import save_profile

NPU: dict[str, Any] = {
    "name": "unit",
    "clock_mhz": 1000,
    "precision_bytes": 1,
    "array": {"rows": 32, "columns": 32, "dataflow": "os"},
    "vector": {"lanes": 64},
    "dram": {"bandwidth_gb_s": 1},
    "sram": {"weights_mb": 40, "activations_mb": 60},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    export_zoo_model("ncf", tmp_path / "models" / "ncf.onnx")
    return tmp_path


def _write(folder: Path, pins: list[str], models: list[str], *, inline: bool, **npu: Any) -> Path:
    """A scenario in its own folder; its NPU within it or in a file of yet another folder."""
    (folder / "npus").mkdir(exist_ok=True)
    config = {**NPU, **npu, "pinned_models": pins}
    (folder / "npus" / "unit.yaml").write_text(yaml.safe_dump(config))
    tenants = [
        {"name": f"t{place}", "model": model, "arrival": {"kind": "poisson", "qps": 1}}
        for place, model in enumerate(models)
    ]
    keys = {"npu": config if inline else "../npus/unit.yaml", "duration_s": 5, "tenants": tenants}
    (folder / "scenarios").mkdir(exist_ok=True)
    path = folder / "scenarios" / "s.yaml"
    path.write_text(yaml.safe_dump(keys))
    return path


def _fetched(path: Path | str) -> list[int]:
    """Weight bytes that each tenant's model fetches."""
    menus = prepare(load_scenario(path)).npus[0].menus
    return [int(menu[0].table.weight_bytes.sum()) for menu in menus]


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "file"])
@pytest.mark.parametrize("pin", ["../models/ncf.onnx", "ncf", "{}/models/ncf.onnx"])
def test_a_pin_means_one_file_wherever_the_command_runs(
    folder: Path, pin: str, inline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(folder, [pin.format(folder)], ["../models/ncf.onnx", "zoo:mobilenetv2"], inline=inline)
    for place in (folder, folder / "scenarios", folder / "models"):
        monkeypatch.chdir(place)
        for name in (path, Path("..") / folder.name / "scenarios" / "s.yaml"):
            if Path(name).exists():
                first, second = _fetched(name)
                assert first == 0 < second


def test_another_file_of_the_same_name_is_not_pinned(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(folder / "models", folder / "scenarios" / "models")
    pins = ["../models/ncf.onnx"]
    path = _write(folder, pins, ["../models/ncf.onnx", "models/ncf.onnx"], inline=True)
    monkeypatch.chdir(folder)
    first, second = _fetched(path)
    assert first == 0 < second


@pytest.mark.parametrize("pin", ["zoo:nfc", "../models/nfc.onnx", "models/ncf.onnx", "zoo:ncf"])
def test_a_pin_of_no_tenant_is_refused_with_the_nearest(folder: Path, pin: str) -> None:
    path = _write(folder, [pin], ["../models/ncf.onnx", "zoo:mobilenetv2"], inline=False)
    with pytest.raises(LayerweaverError) as caught:
        _fetched(path)
    assert f"pins {pin!r}, which is no tenant's model" in str(caught.value)
    assert "zoo:mobilenetv2" in str(caught.value)
    assert f"{path}:" in str(caught.value)


def test_a_pin_may_mean_a_model_that_comes_in_a_profile(folder: Path) -> None:
    config = {**NPU, "pinned_models": [str(folder / "models" / "ncf.onnx")]}
    save_profile(compile_models([str(folder / "models" / "ncf.onnx")], config), folder / "p.lwp")
    path = _write(folder, ["../models/ncf.onnx"], [], inline=True)
    keys = yaml.safe_load(path.read_text())
    keys["tenants"] = [
        {"name": "a", "model": {"profile": "../p.lwp"}, "arrival": {"kind": "poisson", "qps": 1}}
    ]
    path.write_text(yaml.safe_dump(keys))
    assert _fetched(path) == [0]


def test_pins_beyond_the_weight_buffer_say_how_much_is_asked_and_there(folder: Path) -> None:
    pins = ["../models/ncf.onnx", "zoo:mobilenetv2"]
    small = {"weights_mb": 3.51, "activations_mb": 60}
    path = _write(folder, pins, ["../models/ncf.onnx", "zoo:mobilenetv2"], inline=True, sram=small)
    with pytest.raises(
        ConfigError, match=r"pins [0-9,]+ bytes of weights \(.*ncf.onnx, zoo:mobilenetv2\)"
    ) as caught:
        _fetched(path)
    assert "the weight buffer holds 3,510,000" in str(caught.value)


def test_where_a_config_came_from_is_no_part_of_a_profile(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(folder, ["../models/ncf.onnx"], [], inline=False).parent.parent / "npus" / "unit.yaml"
    monkeypatch.chdir(folder)
    profile = compile_models(["models/ncf.onnx"], path)
    assert profile.npu["pinned_models"] == ["../models/ncf.onnx"]
    assert str(folder) not in str(profile.npu)
