"""Measured networks against shipped configs, on the networks that the zoo has too."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerweaver.backend_sim.study.reproduce.silicon import calibrated_npus, reproduce_silicon
from layerweaver.costmodel import load_npu, npu_rows
from layerweaver.ir import ConfigError

DATA = Path(__file__).parents[1] / "data" / "silicon"
MEASURED = {
    "dpu-b4096-kv260",
    "dpu-b4096-zcu102",
    "hexagon-8gen3-fp16",
    "hexagon-8gen3-int8",
    "hexagon-qcs8275-fp16",
    "neural-art-14",
}


def test_the_measured_npus_say_what_they_were_fitted_to() -> None:
    assert {config.name for config in calibrated_npus()} >= MEASURED
    evidence = {row["name"]: row["evidence"] for row in npu_rows()}
    for name in MEASURED:
        config = load_npu(name)
        assert config.calibration is not None
        assert config.calibration.sha256 in config.sources["calibration"]
        assert evidence[name] == "measured"
    assert evidence["onnxim-tpuv4"] == "reproduced"
    assert evidence["tpu-v4"] == "data-sheet"


def test_zoo_networks_on_the_zcu102() -> None:
    document, problems = reproduce_silicon(DATA / "zcu102_zoo.csv", npu="dpu-b4096-zcu102")
    assert problems == []
    assert document["count"] == 4
    assert document["mape"] < 0.07
    assert document["covered"] == 1
    assert not document["fitted"]


@pytest.mark.slow
def test_without_a_name_every_calibrated_npu_is_tried() -> None:
    document, problems = reproduce_silicon(DATA / "zcu102_zoo.csv")
    left_out = {problem.split(":")[0] for problem in problems}
    assert {row["npu"] for row in document["npus"]} | left_out >= MEASURED
    assert document["npu"] == document["npus"][0]["npu"] == "dpu-b4096-zcu102"
    assert document["mape"] == min(row["mape"] for row in document["npus"])


def test_npus_whose_data_sheet_allows_no_such_times_are_left_out(tmp_path: Path) -> None:
    """Times of a fast chip are held against the fast ones alone, unless a slow one is named."""
    file = tmp_path / "fast.csv"
    file.write_text("model,batch,dims,latency_ms\nzoo:resnet18,1,,0.6\nzoo:resnet50,1,,1.2\n")
    document, problems = reproduce_silicon(file)
    named = {row["npu"] for row in document["npus"]}
    left_out = {problem.split(":")[0] for problem in problems}
    assert "hexagon-8gen3-fp16" in named
    assert {"dpu-b4096-kv260", "neural-art-14"} <= left_out
    assert named | left_out >= MEASURED
    assert not named & left_out
    assert all("the data sheet's peak" in problem for problem in problems)
    with pytest.raises(ConfigError, match="the data sheet's peak"):
        reproduce_silicon(file, npu="dpu-b4096-kv260")
    file.write_text("model,batch,dims,latency_ms\nzoo:resnet18,1,,0.0001\n")
    with pytest.raises(ConfigError, match=r"fast\.csv:2: .* the data sheet's peak"):
        reproduce_silicon(file)


def test_an_npu_that_was_never_calibrated_is_refused() -> None:
    with pytest.raises(ConfigError, match="was never calibrated"):
        reproduce_silicon(DATA / "zcu102_zoo.csv", npu="tpu-v4")
