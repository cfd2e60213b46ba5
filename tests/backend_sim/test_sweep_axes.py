"""Axes: any key of scenario, policy or NPU, and what follows from a change is left out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from layerweaver.backend_sim.study.sweep.npu_changes import changed_npu
from layerweaver.backend_sim.study.sweep.reading import read_study
from layerweaver.backend_sim.study.sweep.sweep import sweep
from layerweaver.costmodel import load_npu, npu_document
from layerweaver.ir import LayerweaverError

COSTS = "layer,compute_cycles,dram_bytes,weight_bytes\nfirst,100000,9000000,9000000\nsecond,200000,0,0\n"
NCF = {"npu": "memory-centric", "tenants": [{"name": "one", "model": "zoo:ncf"}]}


def _scenario(folder: Path, **changes: Any) -> dict[str, Any]:
    (folder / "costs.csv").write_text(COSTS)
    arrival = {"kind": "poisson", "qps": 500, "seed": 1}
    tenant = {"model": {"costs": str(folder / "costs.csv")}, "deadline_ms": 5, "arrival": arrival}
    tenants = [{"name": "one", **tenant}, {"name": "two", **tenant}]
    return {"npu": "memory-centric", "min_queries": 100, "tenants": tenants, **changes}


def _changed(name: str, changes: Mapping[str, Any]) -> Any:
    return load_npu(changed_npu(npu_document(load_npu(name)), changes)).sram


@pytest.mark.parametrize(
    ("changes", "weights", "activations"),
    [
        ({"sram.weights_mb": 16}, 16_000_000, (32 << 20) - 16_000_000),
        ({"sram.activations_mib": 8}, 24 << 20, 8 << 20),
        ({"sram.weights_mib": 8, "sram.activations_mb": 1}, 8 << 20, 1_000_000),
        ({"sram.unified_mb": 10}, 5_000_000, 5_000_000),
        ({"sram.weight_share": 0.25}, 8 << 20, 24 << 20),
    ],
)
def test_a_part_of_a_unified_buffer_leaves_the_rest_to_the_other(
    changes: dict[str, Any], weights: int, activations: int
) -> None:
    sram = _changed("tpu-v3", changes)
    assert (sram.weight_bytes, sram.activation_bytes) == (weights, activations)


def test_separate_buffers_give_way_to_a_unified_one() -> None:
    sram = _changed("memory-centric", {"sram.unified_mb": 20})
    assert (sram.weight_bytes, sram.activation_bytes) == (10_000_000, 10_000_000)


def test_a_part_larger_than_the_buffer_is_refused() -> None:
    with pytest.raises(LayerweaverError, match=r"weights_mb = 500: refused for every point"):
        read_study(
            {
                "scenario": {**NCF, "npu": "tpu-v3"},
                "measure": "cost",
                "axes": {"npu.sram.weights_mb": [16, 500]},
            }
        )


def test_how_many_npus_is_an_axis(tmp_path: Path) -> None:
    scenario = _scenario(tmp_path, pool=[{"npu": "memory-centric", "count": 1}])
    del scenario["npu"]
    axes = {"pool.0.count": [1, 3], "load": [0.8]}
    frame = sweep({"scenario": scenario, "axes": axes}).to_dataframe()
    assert list(frame["error"].isna()) == [True, True]
    assert frame["system.bound_qps"][1] == pytest.approx(3 * frame["system.bound_qps"][0])
    with pytest.raises(LayerweaverError, match="names no key"):
        sweep({"scenario": scenario, "axes": {"pool.1.count": [1]}})


@pytest.mark.parametrize("policy", [None, "layerweaver+", {"name": "layerweaver+", "commit": "late"}])
def test_options_of_the_policy_are_axes(tmp_path: Path, policy: Any) -> None:
    scenario = _scenario(tmp_path, **({} if policy is None else {"policy": policy}))
    options = sweep({"scenario": scenario, "axes": {"policy.margin_us": [0, 400]}}).to_dataframe()
    words = ["layerweaver+:margin_us=0", "layerweaver+:margin_us=400"]
    named = sweep({"scenario": scenario, "axes": {"policy": words}}).to_dataframe()
    assert list(options["system.stp"]) == list(named["system.stp"])
    assert list(options["policy.margin_us"]) == [0, 400]
    assert list(options["policy_options.margin_us"]) == [0, 400]


def test_an_option_that_a_policy_lacks_is_refused(tmp_path: Path) -> None:
    axes: dict[str, list[Any]] = {
        "policy": ["layerweaver+:commit=early", "slackweave+"],
        "policy.commit": ["late"],
    }
    frame = sweep({"scenario": _scenario(tmp_path), "axes": axes}).to_dataframe()
    assert list(frame["policy_options.commit"]) == ["late", "late"]
    for policies, said in ((["fcfs", "layerweaver+"], "fcfs: refused"), (["layerweaver+"], "no option")):
        axes = {"policy": policies, "policy.margn_us": [5]}
        with pytest.raises(LayerweaverError, match=said):
            sweep({"scenario": _scenario(tmp_path), "axes": axes})


@pytest.mark.parametrize("kind", ["random", "sobol"])
def test_what_is_sampled_is_whole_where_it_must_be(kind: str) -> None:
    axes = {
        "npu.array.rows": {"from": 8, "to": 64},
        "npu.dram.bandwidth_gb_s": {"from": 100, "to": 400},
        "tenants.one.batch": {"from": 1, "to": 4},
        "seed": {"from": 1, "to": 9},
    }
    study = {
        "scenario": NCF,
        "measure": "cost",
        "axes": axes,
        "sample": {"kind": kind, "points": 16, "seed": 1},
    }
    frame = sweep(study).to_dataframe()
    assert frame["error"].isna().all()
    for name in ("npu.array.rows", "tenants.one.batch", "seed"):
        assert str(frame[name].dtype) == "int64"
    assert (frame["npu.dram.bandwidth_gb_s"] % 1 > 0).all()


def test_whatever_the_scenario_states_is_an_axis() -> None:
    scenario = yaml.safe_load((Path(__file__).parents[2] / "examples" / "chat.yaml").read_text())
    mean = "tenants.chat.lengths.prompt.lognormal.mean"
    study = read_study({"scenario": scenario, "axes": {mean: [100, 200]}})
    assert [study.values(number) for number in range(study.total)] == [(100,), (200,)]
    for axes, said in (
        ({mean: [100, -5]}, "refused for every point"),
        ({f"{mean}s": [100]}, "names no key"),
    ):
        with pytest.raises(LayerweaverError, match=said):
            read_study({"scenario": scenario, "axes": axes})


def test_a_long_reason_is_cut(tmp_path: Path) -> None:
    axes = {"tenants.one.model": ["zoo:ncf", "x" * 200_000]}
    result = sweep({"scenario": NCF, "measure": "cost", "axes": axes}, tmp_path / "out")
    assert result["failed"] == 1
    assert len(result.to_dataframe()["error"][1]) < 1_100


def test_the_scenario_s_own_npu_need_not_be_on_the_axis(tmp_path: Path) -> None:
    axes = {"npu": ["tpu-v3", "tpu-v5e"], "tenants.one.batch": [1, 2]}
    for names in (["npu"], ["npu", "tenants.one.batch"]):
        study = {"scenario": NCF, "axes": {name: axes[name] for name in names}, "measure": "cost"}
        result = sweep(study, tmp_path / "-".join(names))
        assert result["points"] == 2 * len(names)
        assert not result["failed"]


def test_a_run_that_sees_a_part_of_a_trace_says_what_it_offers(tmp_path: Path) -> None:
    times = [place / 100 for place in range(500)] + [5 + place / 1000 for place in range(1000)]
    rows = "".join(f"{time},one\n" for time in times)
    (tmp_path / "t.csv").write_text(f"timestamp,tenant\n{rows}")
    scenario = _scenario(tmp_path, duration_s=60)
    del scenario["min_queries"], scenario["tenants"][1]
    scenario["tenants"][0]["arrival"] = {"kind": "trace", "file": str(tmp_path / "t.csv")}
    study = {"scenario": scenario, "axes": {"duration_s": [0.05, 60], "load": [0.3]}}
    part, whole = sweep(study).to_dataframe().to_dict("records")
    assert "load 0.3 offers" in part["warnings"]
    assert "load 0.3 offers" not in str(whole["warnings"])
    assert whole["system.offered_share"] == pytest.approx(0.3, rel=0.01)


def test_a_run_that_sees_a_part_of_a_period_says_what_it_offers(tmp_path: Path) -> None:
    scenario = _scenario(tmp_path, duration_s=1)
    del scenario["min_queries"], scenario["tenants"][1]
    bursts = {"kind": "bursts", "qps": [200, 2000], "period_s": 5, "burst_s": 1, "seed": 1}
    scenario["tenants"][0]["arrival"] = bursts
    study = {"scenario": scenario, "axes": {"duration_s": [1, 10], "load": [0.3]}}
    part, whole = sweep(study).to_dataframe().to_dict("records")
    assert "load 0.3 offers" in part["warnings"]
    assert "load 0.3 offers" not in str(whole["warnings"])
