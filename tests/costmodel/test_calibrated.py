"""A config edited after it was calibrated loses its claim; one that is only written otherwise keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from layerweaver import inspect_model, simulate
from layerweaver.backend_sim.study.reproduce.silicon import calibrated_npus, reproduce_silicon
from layerweaver.costmodel import change_note, load_npu, npu_document, npu_rows
from layerweaver.costmodel.npu import document
from layerweaver.costmodel.npu.calibrated import calibration_of
from layerweaver.ir import ConfigError

NPU = "dpu-b4096-zcu102"
DATA = Path(__file__).parents[1] / "data" / "silicon" / "zcu102_zoo.csv"
Document = dict[str, Any]


def _edited(**changes: Any) -> Document:
    edited = npu_document(load_npu(NPU))
    for path, value in changes.items():
        section, _, key = path.partition("__")
        if key:
            edited[section] = {**edited[section], key: value}
        else:
            edited[section] = value
    return edited


def test_shipped_configs_are_what_was_calibrated() -> None:
    for config in calibrated_npus():
        assert config.calibration is not None
        assert config.calibration.figures_sha256, config.name
        assert change_note(config) == ""
        assert calibration_of(load_npu(npu_document(config))) == config.calibration


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "mine", "description": "ours", "sources": {}},
        {"energy": {"mac_pj": 1}},
        {"dram__capacity_gb": 4},
        {"overlap_from_mb": None, "stores_last": None},
        {"pinned_models": []},
    ],
)
def test_what_no_latency_depends_on_may_change(changes: Document) -> None:
    assert change_note(load_npu(_edited(**changes))) == ""


def test_figures_may_be_written_otherwise() -> None:
    edited = _edited()
    edited["clock_ghz"] = f"{edited.pop('clock_mhz')} MHz"
    edited["dram"]["bandwidth_gb_s"] = f"{edited['dram']['bandwidth_gb_s']} GB/s"
    assert change_note(load_npu(edited)) == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"overhead_cycles": 77},
        {"array__efficiency": 0.5},
        {"array__load_rows_per_cycle": 3},
        {"vector__lanes": 96},
        {"dram__bandwidth_gb_s": 19.3},
        {"sram": {"weights_mb": 1, "activations_mb": 1}},
        {"pinned_models": ["zoo:ncf"]},
    ],
)
def test_other_changes_end_the_claim(changes: Document) -> None:
    config = load_npu(_edited(**changes))
    assert "was changed since it was calibrated: its error is not known" in change_note(config)
    assert calibration_of(config) is None


def test_files_without_the_hash_keep_their_claim() -> None:
    edited = _edited(overhead_cycles=77)
    del edited["calibration"]["figures_sha256"]
    config = load_npu(edited)
    assert change_note(config) == ""
    assert calibration_of(config) == config.calibration


def test_results_say_so(tmp_path: Path) -> None:
    said = "was changed since it was calibrated"
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(_edited(overhead_cycles=77)))
    assert said in str(inspect_model("zoo:ncf", npu=str(file)).document["warnings"])
    tenant = {"name": "a", "model": "zoo:ncf", "arrival": {"kind": "periodic", "period_ms": 10}}
    scenario = {"duration_s": 0.1, "tenants": [tenant]}
    assert said in str(simulate({**scenario, "npu": str(file)}, "fcfs", compiled=False)["notes"])
    assert said not in str(simulate({**scenario, "npu": NPU}, "fcfs", compiled=False))
    with pytest.raises(ConfigError, match=said):
        reproduce_silicon(DATA, npu=str(file))


def test_lists_leave_the_error_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "npu_names", lambda: (NPU,))
    monkeypatch.setattr(document, "load_npu", lambda _: load_npu(_edited(overhead_cycles=77)))
    (row,) = npu_rows()
    assert (row["evidence"], row["held_out_mape"]) == ("measured, changed since", None)
