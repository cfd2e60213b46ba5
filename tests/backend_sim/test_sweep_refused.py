"""Studies that are wrong, or no longer fit their folder, are refused in one line, nothing written."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from small_study import AXES, COSTS, point_rows, study_scenario, write_study

from layerweaver.backend_sim.study.sweep.reading import read_study
from layerweaver.backend_sim.study.sweep.store import Store
from layerweaver.backend_sim.study.sweep.sweep import sweep
from layerweaver.ir import LayerweaverError, OutputError, ScenarioError


def test_a_changed_study_says_what_no_longer_fits(tmp_path: Path) -> None:
    sweep(write_study(tmp_path), tmp_path / "out")
    kept = (tmp_path / "out" / "points.csv").read_bytes()
    for changes, said in (
        ({"axes": {**AXES, "seed": [5]}}, "axes.seed"),
        ({"scenario": study_scenario(min_queries=300)}, "scenario"),
    ):
        with pytest.raises(ScenarioError, match=f"changed since its points were run: {said}"):
            sweep(write_study(tmp_path, **changes), tmp_path / "out")
    path = write_study(tmp_path)
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
        ({"npu.array.rows": {"form": 32, "to": 64}}, r"unknown key 'form'; did you mean 'from'\?"),
        ({"seed": [1.5]}, r"axes\.seed: '1\.5' is no seed"),
        ({"seed": {"from": 1, "to": 2, "points": 4}}, "is no seed"),
        ({"load": ["high"]}, r"axes\.load: load 'high' is no share"),
        ({"load": [0, 0.5]}, "is no share"),
        ({"npu": [None]}, r"axes\.npu: 'None' is no NPU"),
        (
            {"npu.dram.bandwidth_gb_s": [-1]},
            r"study\.yaml:\d+: axes.npu.dram.bandwidth_gb_s: .*refused for every point",
        ),
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
        sweep(write_study(tmp_path, axes=axes, objectives={}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("measure", ["peak", "cost"])
def test_load_is_for_simulations(tmp_path: Path, measure: str) -> None:
    with pytest.raises(ScenarioError, match=f"{measure} knows no load"):
        sweep(write_study(tmp_path, axes={"load": [0.5]}, measure=measure, objectives={}), tmp_path / "out")


def test_an_objective_that_is_no_column_is_refused(tmp_path: Path) -> None:
    aims = {"maximise": ["system.spt"]}
    with pytest.raises(ScenarioError, match=r"did you mean 'system\.stp'"):
        sweep(write_study(tmp_path, objectives=aims), tmp_path / "out")


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
        sweep(write_study(tmp_path, **changes, objectives={"minimise": [name]}), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    numbers = {"minimise": ["tenants.other.deadline_ms"], "maximise": ["tenants.a.b.llm.requests"]}
    read_study(write_study(tmp_path, **changes, objectives=numbers))


def test_an_objective_that_turns_out_to_be_text_ends_the_study(tmp_path: Path) -> None:
    study = write_study(
        tmp_path, axes={"seed": {"count": 40}}, objectives={"minimise": ["policy_options.commit"]}
    )
    for _ in range(2):
        with pytest.raises(ScenarioError, match=r"'policy_options\.commit' is text"):
            sweep(study, tmp_path / "out")
    study = write_study(tmp_path, axes={"seed": {"count": 40}}, objectives={"minimise": ["system.stp"]})
    assert sweep(study, tmp_path / "out")["pareto"]


@pytest.mark.parametrize("policy", ["mine.py", "mine.py:margin_us=5"])
def test_a_study_runs_no_program_unasked(tmp_path: Path, policy: str) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(LayerweaverError, match="is a program"):
        sweep(write_study(tmp_path, objectives={}, axes={"policy": [policy]}), tmp_path / "axis")
    own = write_study(tmp_path, objectives={}, axes={"seed": [1]}, scenario=study_scenario(policy=policy))
    assert sweep(own, tmp_path / "own")["failed"] == 1
    assert "is a program" in point_rows(tmp_path / "own")[0]["error"]


def test_two_sweeps_do_not_share_a_folder(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    with Store(tmp_path / "out") as store:
        store.claim({}, "x")
        with pytest.raises(OutputError, match="another sweep is at work"):
            sweep(path, tmp_path / "out")


def test_a_store_of_another_kind_or_version_is_refused(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "study.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(OutputError, match="is no store of a study"):
        sweep(path, tmp_path / "junk")
    sweep(path, tmp_path / "old")
    with closing(sqlite3.connect(tmp_path / "old" / "study.sqlite")) as database, database:
        database.execute("UPDATE meta SET value = '0.0.1' WHERE key = 'version'")
    with pytest.raises(ScenarioError, match=r"begun by layerweaver 0\.0\.1"):
        sweep(path, tmp_path / "old")


def test_an_axis_that_no_value_of_can_be_taken_is_named(tmp_path: Path) -> None:
    scenario = study_scenario()
    scenario["tenants"][0]["arrival"] = {"kind": "closed_loop", "concurrency": 2}
    with pytest.raises(LayerweaverError) as caught:
        sweep(write_study(tmp_path, scenario=scenario, axes={"load": [0.3, 0.6]}), tmp_path / "out")
    assert "axes.load: " in str(caught.value)
    assert "closed_loop has no rate that can be scaled" in str(caught.value)
