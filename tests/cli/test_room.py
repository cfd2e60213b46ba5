"""Costs that need more room than the config states are told by every command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from oracles.small_npu import SMALL_NPU

from layerweaver import simulate

Run = Callable[..., Any]

_BUFFER = {"sram": {"weights_mb": 2, "activations_mb": 0.5}, "fits_activations": True}
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "dram": (
        {"dram": {"bandwidth_gb_s": 25, "capacity_gb": 0.01}},
        "0.0117 GB, exceed the 0.01 GB of mine's DRAM (dram.capacity_gb)",
    ),
    "buffer": (
        _BUFFER,
        "live activations, 1 MB at their largest, exceed the 0.5 MB buffer of mine, but fits_activations "
        "says that they fit: nothing spills",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_too_little_room_is_told(run: Run, tmp_path: Path, case: str) -> None:
    change, told = CASES[case]
    npu = {**SMALL_NPU, **change}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(npu), encoding="utf-8")
    assert told in run("inspect", "zoo:resnet18", "--npu", path).err
    compiled = run("compile", "zoo:resnet18", "--npu", path, "-o", tmp_path / "eye.lwp")
    assert f"resnet18, batch 1: {told}" in compiled.err.replace("the weights that are fetched, ", "")
    assert told in run("show", tmp_path / "eye.lwp").err
    tenant = {"name": "eye", "model": "zoo:resnet18", "arrival": {"kind": "offline", "samples": 1}}
    assert any(told in note for note in simulate({"npu": npu, "tenants": [tenant]})["notes"])


def test_enough_room_is_not_told(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**SMALL_NPU, "fits_activations": True}), encoding="utf-8")
    assert run("inspect", "zoo:resnet18", "--npu", path).err == ""
