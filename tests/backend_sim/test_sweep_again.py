"""A study says how its points were made: each runs again to the same figures, or says what changed."""

from __future__ import annotations

import json
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_study import point_rows, write_study

from layerweaver.backend_sim.results.files import result_csv
from layerweaver.backend_sim.results.reading import ResultError
from layerweaver.backend_sim.results.table_origin import csv_origins
from layerweaver.backend_sim.study.rerun import differences, rerun, rerun_peak, rerun_table
from layerweaver.backend_sim.study.sweep.again import rerun_point, rerun_study
from layerweaver.backend_sim.study.sweep.measure import measure_points
from layerweaver.backend_sim.study.sweep.reading import read_study
from layerweaver.backend_sim.study.sweep.sweep import sweep
from layerweaver.ir import ScenarioError

POLICY = """
from helper_of_studies import first
from layerweaver.scheduler.policies.contract import PolicySpec


def choose(view, options, memory):
    return first(view)


POLICY = PolicySpec("mine", choose, "a policy")
"""
HELPER = "def first(view):\n    return view.ready[0]\n"


def test_a_data_frame_and_a_parquet_file_say_how_they_were_made(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    parquet = pytest.importorskip("pyarrow.parquet")
    result = sweep(write_study(tmp_path, axes={"seed": [1, 2]}), tmp_path / "out")
    origin = json.loads((tmp_path / "out" / "study.json").read_text())
    assert origin["study"]["axes"] == {"seed": [1, 2]}
    assert result.to_dataframe().attrs["origin"] == origin
    metadata = parquet.read_schema(tmp_path / "out" / "points.parquet").metadata
    assert json.loads(metadata[b"layerweaver.study"]) == origin


def _swept(folder: Path, **changes: Any) -> Path:
    sweep(write_study(folder, **changes), folder / "out", allow_code=True)
    return folder / "out"


def test_a_point_runs_again_to_the_same_figures(tmp_path: Path) -> None:
    axes = {
        "npu.dram.bandwidth_gb_s": [100, 400],
        "policy": ["fcfs", "edf"],
        "load": [0.5, 0.9],
        "seed": [1, 2],
    }
    out = _swept(tmp_path, axes=axes)
    found = rerun_point(out, 11)
    row = point_rows(out)[11]
    assert found.apart == []
    assert (row["policy"], row["load"], row["seed"]) == ("fcfs", "0.9", "2")
    assert found.document is not None
    assert found.document["system"]["stp"] == float(row["system.stp"])
    # Its whole result can be run again by itself: as JSON and as CSV.
    again = rerun(json.loads(json.dumps(found.document)))[0]
    assert not list(differences(found.document, again))
    table = result_csv(found.document)
    assert result_csv(rerun_table(csv_origins(table, "p.csv"))) == table
    assert rerun_study(out) == []


@pytest.mark.parametrize("measure", ["peak", "cost"])
def test_points_of_other_measures_run_again(tmp_path: Path, measure: str) -> None:
    axes = {"npu.dram.bandwidth_gb_s": [100, 400]}
    key = "peak_qps" if measure == "peak" else "models.a.b.standalone_ms"
    out = _swept(tmp_path, axes=axes, measure=measure, queries=50, objectives={"maximise": [key]})
    found = rerun_point(out, 1)
    assert (found.apart, found.row[key]) == ([], float(point_rows(out)[1][key]))
    if measure == "peak":
        assert found.document is not None
        assert not list(differences(found.document, rerun_peak(json.loads(json.dumps(found.document)))))
    else:
        assert found.document is None


def test_what_changed_since_is_said(tmp_path: Path) -> None:
    out = _swept(tmp_path, axes={"seed": [1, 2]})
    lines = (out / "points.csv").read_text().splitlines()
    (out / "points.csv").write_text("\n".join([*lines[:-1], lines[-1].replace("1", "2")]) + "\n")
    assert rerun_study(out) == [3]
    with pytest.raises(ResultError, match=r"there is no point 2; 0 to 1"):
        rerun_point(out, 2)
    database = sqlite3.connect(out / "study.sqlite")
    with database:
        database.execute("DELETE FROM points WHERE number = 1")
    database.close()
    assert rerun_point(out, 1).apart is None
    with pytest.raises(ResultError, match=r"has 1 of 2 points; go on with the sweep"):
        rerun_study(out)
    with (tmp_path / "costs.csv").open("a") as stream:
        stream.write("third,5,0,0\n")
    for again in (lambda: rerun_point(out, 0), lambda: rerun_study(out)):
        with pytest.raises(ResultError, match=r"since its points were run, these changed: file costs\.csv"):
            again()
    (out / "study.json").unlink()
    with pytest.raises(ResultError, match="does not say how its points were made"):
        rerun_point(out, 0)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 1}', '{"study": {}, "folder": 3}', "\x00"])
def test_a_damaged_origin_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(ResultError) as caught:
        rerun_study(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("factor", [-1, 0, 1e30, "x", 1e8])
def test_a_factor_of_rates_without_an_end_is_refused(tmp_path: Path, factor: Any) -> None:
    found = rerun_point(_swept(tmp_path, axes={"load": [0.5]}), 0)
    with pytest.raises(ResultError, match="rate_factor"):
        rerun({**(found.document or {}), "rate_factor": factor})


def test_a_module_that_a_policy_calls_is_part_of_the_study(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "mine.py").write_text(POLICY)
    (tmp_path / "helper_of_studies.py").write_text(HELPER)
    monkeypatch.syspath_prepend(tmp_path)
    study = write_study(tmp_path, axes={"policy": ["mine.py", "fcfs"]})
    read = read_study(study, allow_code=True)
    helper = tmp_path / "helper_of_studies.py"
    assert f"file {helper}" in read.parts
    points = [(0, read.values(0))]
    assert measure_points(read.job, points)[0].error == ""
    # A worker that has another module of that name says so.
    other = replace(read.job, modules=frozenset(["0" * 64]))
    assert (
        "helper_of_studies.py, which policy mine calls, is another on"
        in measure_points(other, points)[0].error
    )
    (tmp_path / "out").mkdir()
    sweep(study, tmp_path / "out", allow_code=True)
    helper.write_text(HELPER + "# changed\n")
    with pytest.raises(ScenarioError, match=r"the study has changed since .*helper_of_studies\.py"):
        sweep(study, tmp_path / "out", allow_code=True)
    sys.modules.pop("helper_of_studies", None)


def test_a_worker_with_other_plug_ins_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    job = read_study(write_study(tmp_path)).job
    monkeypatch.setattr("platform.node", lambda: "node7")
    theirs = {"layerweaver.metrics:odd": {"package": "example 1.0", "sha256": "0" * 64}}
    other = replace(job, plugins=json.dumps([{"layerweaver.metrics": None}, theirs]))
    with pytest.raises(ScenarioError, match=r"worker node7: plug-in odd of example 1\.0 is not installed"):
        measure_points(other, [])
    assert measure_points(job, []) == []


def test_a_table_alone_says_how_its_points_were_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sweep(write_study(tmp_path), tmp_path / "out")
    rows = point_rows(tmp_path / "out")
    assert list(rows[0])[-1] == "study"
    assert json.loads(rows[0]["study"]) == json.loads((tmp_path / "out" / "study.json").read_text())
    assert {row["study"] for row in rows[1:]} == {""}
    with pytest.raises(ResultError, match="is the table of a study; give the whole folder"):
        csv_origins((tmp_path / "out" / "points.csv").read_text(), "points.csv")


def test_the_points_are_a_polars_frame_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("polars")
    monkeypatch.chdir(tmp_path)
    found = sweep(write_study(tmp_path), tmp_path / "out")
    assert repr(found).startswith("StudyResult(24 points, 0 failed, ")
    frame = found.to_dataframe("polars")
    assert type(frame).__module__.split(".")[0] == "polars"
    assert list(frame["point"]) == list(found.to_dataframe("pandas")["point"])
