"""A profile serves the NPU it was compiled for, and says in results what was assumed of its models."""

from pathlib import Path
from typing import Any

import pytest
from oracles.small_npu import SMALL_NPU

from layerweaver import compile_models, load_profile, save_profile, simulate
from layerweaver.ir import ScenarioError
from layerweaver.scheduler.compile.compiler import ModelRequest

_NPU: dict[str, Any] = {
    **SMALL_NPU,
    "vector": {"lanes": 128},
    "energy": {"mac_pj": 0.5, "dram_byte_pj": 30},
}


def _scenario(profile: Path, npu: dict[str, Any]) -> dict[str, Any]:
    tenant = {"name": "eye", "model": {"profile": str(profile)}, "arrival": {"kind": "offline", "samples": 1}}
    return {"npu": npu, "tenants": [tenant], "policy": "fcfs"}


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """A profile with measured costs of one layer."""
    costs = tmp_path / "stem.csv"
    costs.write_text("layer,compute_cycles,dram_bytes,weight_bytes\nmlp.0,7,0,0\n", encoding="utf-8")
    path = tmp_path / "one.lwp"
    request = ModelRequest(entry="ncf", source="zoo:ncf", overrides={1: costs})
    save_profile(compile_models([request], _NPU), path)
    return path


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"array": {"rows": 8, "columns": 64}}, "array.rows 64, here 8"),
        ({"vector": {"lanes": 16}}, "vector.lanes 128, here 16"),
        ({"energy": {"mac_pj": 0.5, "dram_byte_pj": 300}}, "energy.dram_byte_pj 30.0, here 300.0"),
        ({"precision_bytes": 2}, "precision_bytes.weights 1.0, here 2.0"),
        ({"overlap": 0.5}, "overlap not stated, here 0.5"),
        ({"clock_mhz": 1400}, "clock_mhz 700.0, here 1400.0"),
        ({"sram": {"weights_mb": 4, "activations_mb": 3}}, "sram weight bytes 2000000, here 4000000"),
    ],
)
def test_a_profile_of_another_npu_of_that_name_is_refused_with_what_differs(
    profile: Path, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(ScenarioError, match="compiled for mine") as refused:
        simulate(_scenario(profile, {**_NPU, **change}))
    assert told in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"description": "the same"},
        {"clock_mhz": None, "clock_ghz": 0.7},
        {"sram": {"weights_mb": 2, "activations_mb": "3000 kB"}},
    ],
)
def test_the_same_npu_in_other_words_is_accepted(profile: Path, change: dict[str, Any]) -> None:
    npu = {key: value for key, value in {**_NPU, **change}.items() if value is not None}
    assert simulate(_scenario(profile, npu))["tenants"][0]["completed"] == 1


def test_a_result_says_what_was_assumed_when_the_profile_was_compiled(profile: Path) -> None:
    said = [text for text in simulate(_scenario(profile, _NPU)).get("warnings", []) if "stem.csv" in text]
    assert said == ["eye: batch 1 takes measured costs from stem.csv"]
    assert load_profile(profile).warnings == ("ncf: batch 1 takes measured costs from stem.csv",)
