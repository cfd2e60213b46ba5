"""Studies: every point once, the same bytes whoever works on it and whatever interrupts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from small_study import COSTS, point_rows, study_scenario, write_study

from layerweaver.backend_sim.results import own_metrics
from layerweaver.backend_sim.results import tenant as tenant_module
from layerweaver.backend_sim.results.latency import latency_histogram
from layerweaver.backend_sim.results.own_metrics import OwnMetric
from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.backend_sim.study.sweep import measure
from layerweaver.backend_sim.study.sweep import sweep as sweep_module
from layerweaver.backend_sim.study.sweep.pages import study_page
from layerweaver.backend_sim.study.sweep.store import Store
from layerweaver.backend_sim.study.sweep.sweep import sweep
from layerweaver.costmodel import load_npu
from layerweaver.ir import OutputError, ScenarioError
from layerweaver.scheduler.compile.inspection import inspect_model
from layerweaver.scheduler.compile.sources import load_graph
from layerweaver.scheduler.policies import load_policy


def test_points_are_numbered_with_the_last_axis_fastest(tmp_path: Path) -> None:
    document = sweep(write_study(tmp_path), tmp_path / "out")
    rows = point_rows(tmp_path / "out")
    assert (document["points"], document["done_before"], document["failed"]) == (24, 0, 0)
    assert [row["point"] for row in rows] == [str(number) for number in range(24)]
    assert [row["seed"] for row in rows[:4]] == ["1", "2", "1", "2"]
    assert [row["policy"] for row in rows[:4]] == ["fcfs"] * 2 + ["layerweaver+:margin_us=50"] * 2
    assert [row["npu.dram.bandwidth_gb_s"] for row in rows[::8]] == ["100", "200", "400"]
    assert {row["npu"] for row in rows} == {"memory-centric"}


def test_a_point_is_what_simulate_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep(write_study(tmp_path), tmp_path / "out")
    row = point_rows(tmp_path / "out")[23]
    monkeypatch.chdir(tmp_path)
    scenario = study_scenario()
    scenario["tenants"][0]["deadline_ms"] = 5
    scenario["npu"] = load_npu("memory-centric").model_dump(mode="json", exclude_none=True)
    scenario["npu"]["dram"]["bandwidth_gb_s"] = 400
    document = simulate(scenario, {"name": "layerweaver+", "margin_us": 50}, seed=2)
    assert float(row["system.stp"]) == document["system"]["stp"]
    assert float(row["tenants.a.b.latency_ms.p99"]) == document["tenants"][0]["latency_ms"]["p99"]
    assert float(row["simulated_s"]) == document["simulated_s"]


def test_latencies_are_not_counted_for_points_unless_a_package_may_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []

    def watched(latency_ns: Any, bins: int) -> Any:
        counted.append(bins)
        return latency_histogram(latency_ns, bins)

    monkeypatch.setattr(tenant_module, "latency_histogram", watched)
    sweep(write_study(tmp_path, axes={"seed": [1]}), tmp_path / "plain")
    assert not counted
    bins = OwnMetric(
        "bins", "Bins.", of_tenant=lambda seen: len(seen.document["latency_histogram"]["counts"])
    )
    monkeypatch.setattr(own_metrics, "_registered", lambda: {"bins": bins})
    sweep(write_study(tmp_path, axes={"seed": [1]}), tmp_path / "own")
    assert int(point_rows(tmp_path / "own")[0]["tenants.other.own.bins"]) > 1


def test_load_is_a_share_of_the_bound(tmp_path: Path) -> None:
    sweep(write_study(tmp_path, axes={"load": [0.25, 0.5]}), tmp_path / "out")
    slow, fast = point_rows(tmp_path / "out")
    bound = float(slow["system.bound_qps"])
    for row, share in ((slow, 0.25), (fast, 0.5)):
        rate = float(row["tenants.a.b.qps"]) + float(row["tenants.other.qps"])
        assert rate == pytest.approx(share * bound, rel=0.15)


def test_workers_and_interruptions_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_study(tmp_path)
    whole = sweep(path, tmp_path / "whole")
    really = measure.measure_points
    calls: list[int] = []

    def interrupted(job: Any, points: Any) -> Any:
        calls.append(len(points))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return really(job, points)

    monkeypatch.setattr(sweep_module, "measure_points", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(path, tmp_path / "parts")
    monkeypatch.undo()
    before = len(point_rows(tmp_path / "parts"))
    assert before > 0
    resumed = sweep(path, tmp_path / "parts", workers=2)
    assert resumed["done_before"] == before
    assert (tmp_path / "parts" / "points.csv").read_bytes() == (
        tmp_path / "whole" / "points.csv"
    ).read_bytes()
    assert {**resumed, "done_before": 0} == whole


def test_a_point_that_fails_keeps_its_reason(tmp_path: Path) -> None:
    axes = {"npu.sram.weights_mb": [24, 48], "tenants.other.model.costs": ["costs.csv", "none.csv"]}
    document = sweep(
        write_study(tmp_path, axes=axes, objectives={"maximise": ["system.stp"]}), tmp_path / "out"
    )
    rows = point_rows(tmp_path / "out")
    assert document["failed"] == 2
    assert any(line.startswith("2 points failed: ") for line in document["warnings"])
    assert [bool(row["error"]) for row in rows] == [False, True, False, True]
    assert "none.csv" in rows[3]["error"]
    assert rows[3]["system.stp"] == ""
    assert {row["point"] for row in document["pareto"]} <= {0, 2}


def test_costs_are_those_of_inspect(tmp_path: Path) -> None:
    scenario = study_scenario()
    scenario["tenants"][0]["model"] = "zoo:ncf"
    axes = {"npu": ["tpu-v3", "memory-centric"], "tenants.a.b.batch": [1, 16]}
    (tmp_path / "costs.csv").write_text(COSTS)
    (tmp_path / "study.yaml").write_text(
        yaml.safe_dump({"scenario": scenario, "axes": axes, "measure": "cost"}, sort_keys=False)
    )
    sweep(tmp_path / "study.yaml", tmp_path / "out")
    rows = point_rows(tmp_path / "out")
    for row, (npu, batch) in zip(
        rows, [("tpu-v3", 1), ("tpu-v3", 16), ("memory-centric", 1), ("memory-centric", 16)], strict=True
    ):
        totals = inspect_model("zoo:ncf", npu=npu, batch=batch).document["totals"]
        assert int(row["models.a.b.standalone_cycles"]) == totals["standalone_cycles"]
        assert int(row["models.a.b.compute_cycles"]) == totals["compute_cycles"]
        assert row["npu"] == npu


def test_a_figure_that_follows_from_a_changed_one_is_left_out(tmp_path: Path) -> None:
    stated = load_npu("tpu-v3").model_dump(mode="json", exclude_none=True)
    assert "peak_tops" in stated
    document = sweep(
        {
            "scenario": {**study_scenario(npu=stated), "tenants": _zoo()},
            "measure": "cost",
            "axes": {"npu.array.rows": [64]},
        },
        tmp_path / "out",
    )
    assert document["failed"] == 0


def _zoo() -> list[dict[str, Any]]:
    return [{"name": "one", "model": "zoo:ncf"}]


def test_objects_are_taken_from_python() -> None:
    axes = {
        "npu": [load_npu("memory-centric"), Path("tpu-v3")],
        "npu.dram.bandwidth_gb_s": np.array([100, 200]),
        "tenants.one.batch": [np.int64(2)],
    }
    scenario = {"npu": "tpu-v3", "tenants": _zoo()}
    result = sweep({"scenario": scenario, "measure": "cost", "axes": axes})
    assert (result["points"], result["failed"]) == (4, 0)
    frame = result.to_dataframe()
    assert list(frame["npu"]) == ["memory-centric"] * 2 + ["tpu-v3"] * 2
    assert list(frame["models.one.batch"]) == [2] * 4
    memory = frame["models.one.memory_cycles"]
    assert memory[0] > memory[1]


def test_graphs_and_policies_are_taken_from_python(tmp_path: Path) -> None:
    graph = load_graph("zoo:ncf")
    axes = {"tenants.one.model": [graph, "zoo:ncf"], "tenants.one.batch": [1, 4]}
    scenario = {"npu": "tpu-v3", "tenants": _zoo()}
    frame = sweep({"scenario": scenario, "measure": "cost", "axes": axes}, workers=2).to_dataframe()
    assert list(frame["error"]) == [None] * 4
    cycles = list(frame["models.one.standalone_cycles"])
    assert cycles[:2] == cycles[2:]
    with pytest.raises(ScenarioError, match="takes no object"):
        sweep({"scenario": scenario, "measure": "cost", "axes": {"tenants.one.batch": [object()]}})
    policies = [load_policy("layerweaver+:margin_us=50"), "layerweaver+:margin_us=50"]
    (tmp_path / "costs.csv").write_text(COSTS)
    own = study_scenario()
    for tenant in own["tenants"]:
        tenant["model"] = {"costs": str(tmp_path / "costs.csv")}
    frames = [sweep({"scenario": own, "axes": {"policy": [one]}}).to_dataframe() for one in policies]
    assert list(frames[0]["system.stp"]) == list(frames[1]["system.stp"])


def test_a_folder_becomes_a_page_finished_or_not(tmp_path: Path) -> None:
    path = write_study(tmp_path, axes={"load": [0.2, 0.8], "seed": {"count": 2}})
    sweep(path, tmp_path / "out")
    page = study_page(tmp_path / "out", title="Mine")
    assert "4 points." in page
    with closing(sqlite3.connect(tmp_path / "out" / "study.sqlite")) as database, database:
        database.execute("DELETE FROM points WHERE number = 3")
        database.execute("DELETE FROM meta WHERE key = 'summary'")
    assert "3 of them run so far" in study_page(tmp_path / "out", title="Mine")
    with pytest.raises(OutputError, match="holds no study"):
        study_page(tmp_path, title="Mine")


def test_nothing_is_read_or_written_again_where_all_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_study(tmp_path)
    whole = sweep(path, tmp_path / "out")
    monkeypatch.setattr(Store, "rows", _only_some(Store.rows))
    for every in ("lines", "picked"):
        monkeypatch.delattr(f"layerweaver.backend_sim.study.sweep.known.KnownPoints.{every}")
    again = sweep(path, tmp_path / "out")
    assert {**again, "done_before": 0} == whole
    (tmp_path / "out" / "points.csv").unlink()
    monkeypatch.undo()
    assert sweep(path, tmp_path / "out")["pareto"] == whole["pareto"]
    assert len(point_rows(tmp_path / "out")) == 24


def _only_some(really: Any) -> Any:
    def rows(store: Store, numbers: Any = None) -> Any:
        assert numbers is not None, "all points are read"
        return really(store, numbers)

    return rows
