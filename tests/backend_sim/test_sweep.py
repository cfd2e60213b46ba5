"""Studies: every point once, the same bytes whoever works on it and whatever interrupts."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from layerweaver.backend_sim.results import own_metrics
from layerweaver.backend_sim.results import tenant as tenant_module
from layerweaver.backend_sim.results.latency import latency_histogram
from layerweaver.backend_sim.results.own_metrics import OwnMetric
from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.backend_sim.study.sweep import measure, summary
from layerweaver.backend_sim.study.sweep import sweep as sweep_module
from layerweaver.backend_sim.study.sweep.front import front
from layerweaver.backend_sim.study.sweep.pages import study_page
from layerweaver.backend_sim.study.sweep.reading import read_study
from layerweaver.backend_sim.study.sweep.store import Store
from layerweaver.backend_sim.study.sweep.sweep import sweep
from layerweaver.costmodel import load_npu
from layerweaver.ir import LayerweaverError, OutputError, ScenarioError
from layerweaver.scheduler.compile.inspection import inspect_model
from layerweaver.scheduler.compile.sources import load_graph
from layerweaver.scheduler.policies import load_policy

COSTS = "layer,compute_cycles,dram_bytes,weight_bytes\nfirst,100000,9000000,9000000\nsecond,200000,0,0\n"
AXES: dict[str, Any] = {
    "npu.dram.bandwidth_gb_s": {"from": 100, "to": 400, "points": 3, "scale": "log"},
    "tenants.a.b.deadline_ms": [1, 5],
    "policy": ["fcfs", "layerweaver+:margin_us=50"],
    "seed": {"count": 2},
}


def _scenario(**changes: Any) -> dict[str, Any]:
    tenants = [
        {
            "name": name,
            "model": {"costs": "costs.csv"},
            "deadline_ms": 5,
            "arrival": {"kind": "poisson", "qps": 500, "seed": seed},
        }
        for seed, name in enumerate(("a.b", "other"), start=1)
    ]
    return {"npu": "memory-centric", "min_queries": 200, "tenants": tenants, **changes}


def _study(folder: Path, **changes: Any) -> Path:
    (folder / "costs.csv").write_text(COSTS)
    aims = {"maximise": ["system.stp"], "minimise": ["tenants.a.b.latency_ms.p99"]}
    study = {"scenario": _scenario(), "axes": AXES, "objectives": aims, **changes}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def _bytes(folder: Path) -> bytes:
    return (folder / "points.csv").read_bytes()


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "points.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_points_are_numbered_with_the_last_axis_fastest(tmp_path: Path) -> None:
    document = sweep(_study(tmp_path), tmp_path / "out")
    rows = _rows(tmp_path / "out")
    assert (document["points"], document["done_before"], document["failed"]) == (24, 0, 0)
    assert [row["point"] for row in rows] == [str(number) for number in range(24)]
    assert [row["seed"] for row in rows[:4]] == ["1", "2", "1", "2"]
    assert [row["policy"] for row in rows[:4]] == ["fcfs"] * 2 + ["layerweaver+:margin_us=50"] * 2
    assert [row["npu.dram.bandwidth_gb_s"] for row in rows[::8]] == ["100", "200", "400"]
    assert {row["npu"] for row in rows} == {"memory-centric"}


def test_a_point_is_what_simulate_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep(_study(tmp_path), tmp_path / "out")
    row = _rows(tmp_path / "out")[23]
    monkeypatch.chdir(tmp_path)
    scenario = _scenario()
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
    sweep(_study(tmp_path, axes={"seed": [1]}), tmp_path / "plain")
    assert not counted
    bins = OwnMetric(
        "bins", "Bins.", of_tenant=lambda seen: len(seen.document["latency_histogram"]["counts"])
    )
    monkeypatch.setattr(own_metrics, "_registered", lambda: {"bins": bins})
    sweep(_study(tmp_path, axes={"seed": [1]}), tmp_path / "own")
    assert int(_rows(tmp_path / "own")[0]["tenants.other.own.bins"]) > 1


def test_load_is_a_share_of_the_bound(tmp_path: Path) -> None:
    sweep(_study(tmp_path, axes={"load": [0.25, 0.5]}), tmp_path / "out")
    slow, fast = _rows(tmp_path / "out")
    bound = float(slow["system.bound_qps"])
    for row, share in ((slow, 0.25), (fast, 0.5)):
        rate = float(row["tenants.a.b.qps"]) + float(row["tenants.other.qps"])
        assert rate == pytest.approx(share * bound, rel=0.15)


def test_workers_and_interruptions_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _study(tmp_path)
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
    before = len(_rows(tmp_path / "parts"))
    assert before > 0
    resumed = sweep(path, tmp_path / "parts", workers=2)
    assert resumed["done_before"] == before
    assert (tmp_path / "parts" / "points.csv").read_bytes() == (
        tmp_path / "whole" / "points.csv"
    ).read_bytes()
    assert {**resumed, "done_before": 0} == whole


def test_a_changed_study_says_what_no_longer_fits(tmp_path: Path) -> None:
    sweep(_study(tmp_path), tmp_path / "out")
    kept = (tmp_path / "out" / "points.csv").read_bytes()
    for changes, said in (
        ({"axes": {**AXES, "seed": [5]}}, "axes.seed"),
        ({"scenario": _scenario(min_queries=300)}, "scenario"),
    ):
        with pytest.raises(ScenarioError, match=f"changed since its points were run: {said}"):
            sweep(_study(tmp_path, **changes), tmp_path / "out")
    path = _study(tmp_path)
    (tmp_path / "costs.csv").write_text(COSTS.replace("9000000", "8000000"))
    with pytest.raises(ScenarioError, match=r"changed since its points were run: file costs\.csv"):
        sweep(path, tmp_path / "out")
    assert (tmp_path / "out" / "points.csv").read_bytes() == kept


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"npu.dram.bandwith_gb_s": [1]}, r"did you mean 'npu\.dram\.bandwidth_gb_s'"),
        ({"tenants.othr.deadline_ms": [1]}, "did you mean 'other'"),
        (
            {"load": [0.5, 0.7], "tenants.other.arrival": [{"kind": "saturated"}]},
            "refused for every point: saturated has no rate that can be scaled",
        ),
        (
            {"tenants.other.model": ["zoo:bert-base"], "tenants.other.dims.tokns": [8, 16]},
            "refused for every point: no input has a dimension named tokns",
        ),
        ({"tenants.other.deadlin_ms": [1]}, r"did you mean 'tenants\.other\.deadline_ms'"),
        ({"polcy": ["fcfs"]}, "did you mean 'policy'"),
        ({"policy": ["fcsf"]}, "no policy is called 'fcsf'"),
        ({"npu": ["memory-centrc"]}, "did you mean 'memory-centric'"),
        ({"npu.dram.bandwidth_gb_s": [100, -5]}, "refused for every point"),
        ({"tenants.other.deadline_ms": [1, "soon"]}, "refused for every point"),
        ({"npu.array.rows": {"from": 32, "to": 64, "points": 500}}, "refused for every point"),
        ({"seed": []}, "without values"),
        ({"seed": [1.5]}, r"axes\.seed: '1\.5' is no seed"),
        ({"seed": {"from": 1, "to": 2, "points": 4}}, "is no seed"),
        ({"load": ["high"]}, r"axes\.load: load 'high' is no share"),
        ({"load": [0, 0.5]}, "is no share"),
        ({"npu": [None]}, r"axes\.npu: 'None' is no NPU"),
        ({"npu.dram.bandwidth_gb_s": [-1]}, r"study\.yaml:\d+: axes: .*refused for every point"),
        ({"npu.dram.bandwidth_gb_s": {"from": -1e308, "to": 1e308, "points": 3}}, "wider than numbers"),
        ({"npu.dram.bandwidth_gb_s": {"from": 1e-308, "to": 1e308, "scale": "log"}}, "wider than numbers"),
        ({"tenants.other": [1]}, "names a whole tenant"),
        ({"": [1]}, "names no key"),
        ({"npu.": [1]}, "names no key"),
        ({"tenants.other.": [1]}, "names no key"),
        ({"load": {"count": 3}}, "a count is for the axis seed"),
        ({"load": {"from": 0, "to": 1, "points": 3, "scale": "log"}}, "ends above 0"),
        ({"seed": {"count": 2_000}, "load": {"from": 0.1, "to": 1, "points": 2_000}}, r"4,000,000 points"),
    ],
)
def test_what_is_wrong_is_refused_before_the_first_point(
    tmp_path: Path, axes: dict[str, Any], said: str
) -> None:
    with pytest.raises(LayerweaverError, match=said):
        sweep(_study(tmp_path, axes=axes, objectives={}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("measure", ["peak", "cost"])
def test_load_is_for_simulations(tmp_path: Path, measure: str) -> None:
    with pytest.raises(ScenarioError, match=f"{measure} knows no load"):
        sweep(_study(tmp_path, axes={"load": [0.5]}, measure=measure, objectives={}), tmp_path / "out")


def test_an_objective_that_is_no_column_is_refused(tmp_path: Path) -> None:
    aims = {"maximise": ["system.spt"]}
    with pytest.raises(ScenarioError, match=r"did you mean 'system\.stp'"):
        sweep(_study(tmp_path, objectives=aims), tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("tenants.a.b.status", "simulate"),
        ("tenants.a.b.reasons", "simulate"),
        ("policy", "simulate"),
        ("npu", "cost"),
        ("monotone", "peak"),
        ("tenants.other.arrival.kind", "simulate"),
    ],
)
def test_an_objective_that_is_text_is_refused_before_the_first_point(
    tmp_path: Path, name: str, measure: str
) -> None:
    axes = {"tenants.other.arrival.kind": ["poisson"], "tenants.other.deadline_ms": [None, 5]}
    changes = {"axes": axes, "measure": measure}
    with pytest.raises(ScenarioError, match=rf"minimise: '{re.escape(name)}' is text.*a column of numbers"):
        sweep(_study(tmp_path, **changes, objectives={"minimise": [name]}), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    numbers = {"minimise": ["tenants.other.deadline_ms"], "maximise": ["tenants.a.b.llm.requests"]}
    read_study(_study(tmp_path, **changes, objectives=numbers))


def test_an_objective_that_turns_out_to_be_text_ends_the_study(tmp_path: Path) -> None:
    study = _study(tmp_path, axes={"seed": {"count": 40}}, objectives={"minimise": ["policy_options.commit"]})
    for _ in range(2):
        with pytest.raises(ScenarioError, match=r"'policy_options\.commit' is text"):
            sweep(study, tmp_path / "out")
    study = _study(tmp_path, axes={"seed": {"count": 40}}, objectives={"minimise": ["system.stp"]})
    assert sweep(study, tmp_path / "out")["pareto"]


def test_a_point_that_fails_keeps_its_reason(tmp_path: Path) -> None:
    axes = {"npu.sram.weights_mb": [24, 48], "tenants.other.model.costs": ["costs.csv", "none.csv"]}
    document = sweep(_study(tmp_path, axes=axes, objectives={"maximise": ["system.stp"]}), tmp_path / "out")
    rows = _rows(tmp_path / "out")
    assert document["failed"] == 2
    assert [bool(row["error"]) for row in rows] == [False, True, False, True]
    assert "none.csv" in rows[3]["error"]
    assert rows[3]["system.stp"] == ""
    assert {row["point"] for row in document["pareto"]} <= {0, 2}


@pytest.mark.parametrize("policy", ["mine.py", "mine.py:margin_us=5"])
def test_a_study_runs_no_program_unasked(tmp_path: Path, policy: str) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(LayerweaverError, match="is a program"):
        sweep(_study(tmp_path, objectives={}, axes={"policy": [policy]}), tmp_path / "axis")
    own = _study(tmp_path, objectives={}, axes={"seed": [1]}, scenario=_scenario(policy=policy))
    assert sweep(own, tmp_path / "own")["failed"] == 1
    assert "is a program" in _rows(tmp_path / "own")[0]["error"]


def test_two_sweeps_do_not_share_a_folder(tmp_path: Path) -> None:
    path = _study(tmp_path)
    with Store(tmp_path / "out") as store:
        store.claim({}, "x")
        with pytest.raises(OutputError, match="another sweep is at work"):
            sweep(path, tmp_path / "out")


def test_a_store_of_another_kind_or_version_is_refused(tmp_path: Path) -> None:
    path = _study(tmp_path)
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "study.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(OutputError, match="is no store of a study"):
        sweep(path, tmp_path / "junk")
    sweep(path, tmp_path / "old")
    with closing(sqlite3.connect(tmp_path / "old" / "study.sqlite")) as database, database:
        database.execute("UPDATE meta SET value = '0.0.1' WHERE key = 'version'")
    with pytest.raises(ScenarioError, match=r"begun by layerweaver 0\.0\.1"):
        sweep(path, tmp_path / "old")


def test_costs_are_those_of_inspect(tmp_path: Path) -> None:
    scenario = _scenario()
    scenario["tenants"][0]["model"] = "zoo:ncf"
    axes = {"npu": ["tpu-v3", "memory-centric"], "tenants.a.b.batch": [1, 16]}
    (tmp_path / "costs.csv").write_text(COSTS)
    (tmp_path / "study.yaml").write_text(
        yaml.safe_dump({"scenario": scenario, "axes": axes, "measure": "cost"}, sort_keys=False)
    )
    sweep(tmp_path / "study.yaml", tmp_path / "out")
    rows = _rows(tmp_path / "out")
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
            "scenario": {**_scenario(npu=stated), "tenants": _zoo()},
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
    own = _scenario()
    for tenant in own["tenants"]:
        tenant["model"] = {"costs": str(tmp_path / "costs.csv")}
    frame = sweep({"scenario": own, "axes": {"policy": policies}}).to_dataframe()
    assert frame["system.stp"].nunique() == 1


@pytest.mark.parametrize("kind", ["random", "sobol"])
def test_samples_are_the_same_every_time(tmp_path: Path, kind: str) -> None:
    axes = {"npu.dram.bandwidth_gb_s": {"from": 100, "to": 400}, "policy": ["fcfs", "edf"]}
    path = _study(tmp_path, axes=axes, sample={"kind": kind, "points": 9, "seed": 3}, objectives={})
    study, again = read_study(path), read_study(path)
    points = [study.values(number) for number in range(study.total)]
    assert points == [again.values(number) for number in range(9)]
    assert len({bandwidth for bandwidth, _ in points}) == 9
    assert all(100 <= bandwidth <= 400 for bandwidth, _ in points)
    assert {policy for _, policy in points} == {"fcfs", "edf"}


def test_a_search_is_the_same_whatever_interrupts(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    axes = {"npu.dram.bandwidth_gb_s": {"from": 100, "to": 400}, "policy": ["fcfs", "edf"]}
    sample = {"kind": "search", "trials": 20, "seed": 3}
    path = _study(
        tmp_path, axes=axes, sample=sample, objectives={"minimise": ["tenants.other.latency_ms.p99"]}
    )
    whole = sweep(path, tmp_path / "whole")
    sweep(path, tmp_path / "parts")
    with closing(sqlite3.connect(tmp_path / "parts" / "study.sqlite")) as database, database:
        database.execute("DELETE FROM points WHERE number >= 11")
    resumed = sweep(path, tmp_path / "parts", workers=2)
    assert resumed["done_before"] == 11
    assert (tmp_path / "parts" / "points.csv").read_bytes() == (
        tmp_path / "whole" / "points.csv"
    ).read_bytes()
    assert float(whole["pareto"][0]["npu.dram.bandwidth_gb_s"]) > 300


def test_the_front_is_what_nothing_beats() -> None:
    random = np.random.default_rng(5)
    values = random.integers(0, 12, (300, 3)).astype(float)
    values[::17, 1] = np.nan
    naive = [
        index
        for index, row in enumerate(values)
        if not np.isnan(row).any()
        and not any((other <= row).all() and (other < row).any() for other in values)
    ]
    assert front(values).tolist() == naive


def test_sensitivity_finds_the_axis_that_matters(tmp_path: Path) -> None:
    axes = {"load": [0.2, 0.8], "tenants.other.priority": [1, 3], "seed": {"count": 3}}
    document = sweep(_study(tmp_path, axes=axes, objectives={"maximise": ["system.stp"]}), tmp_path / "out")
    strongest = document["sensitivity"][0]
    assert (strongest["axis"], strongest["objective"]) == ("load", "system.stp")
    assert strongest["effect"] > 0.9
    assert json.loads(json.dumps(document)) == document
    assert 0 <= strongest["low"] <= strongest["effect"] <= strongest["high"] <= 1
    assert all("low" not in item for item in document["sensitivity"] if item["axis"] == "seed")


def test_the_interval_of_an_effect_is_that_of_leaving_seeds_out() -> None:
    random = np.random.default_rng(2)
    groups, seeds = random.integers(0, 3, 240), random.integers(0, 4, 240)
    values = groups + random.normal(size=240) * (1 + seeds)
    found = summary._effect(groups, values, seeds)
    assert found is not None
    without = [summary._correlation_ratio(groups[seeds != s], values[seeds != s]) for s in range(4)]
    known = np.array(without, dtype=np.float64)
    half = 3.182 * np.sqrt(3 / 4 * ((known - known.mean()) ** 2).sum())
    assert found["low"] == pytest.approx(max(0.0, found["effect"] - half))
    assert found["high"] == pytest.approx(min(1.0, found["effect"] + half))


def test_a_folder_becomes_a_page_finished_or_not(tmp_path: Path) -> None:
    path = _study(tmp_path, axes={"load": [0.2, 0.8], "seed": {"count": 2}})
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
    path = _study(tmp_path)
    whole = sweep(path, tmp_path / "out")
    monkeypatch.setattr(Store, "rows", _only_some(Store.rows))
    for every in ("lines", "picked"):
        monkeypatch.delattr(f"layerweaver.backend_sim.study.sweep.known.KnownPoints.{every}")
    again = sweep(path, tmp_path / "out")
    assert {**again, "done_before": 0} == whole
    (tmp_path / "out" / "points.csv").unlink()
    monkeypatch.undo()
    assert sweep(path, tmp_path / "out")["pareto"] == whole["pareto"]
    assert len(_rows(tmp_path / "out")) == 24


def _only_some(really: Any) -> Any:
    def rows(store: Store, numbers: Any = None) -> Any:
        assert numbers is not None, "all points are read"
        return really(store, numbers)

    return rows
