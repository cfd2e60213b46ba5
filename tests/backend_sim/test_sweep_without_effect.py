"""What a study states and what changes nothing is said; what it states twice is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_study import study_scenario, write_study

from layerweaver.__main__ import main
from layerweaver.backend_sim.study.sweep.objectives import relative_objectives
from layerweaver.backend_sim.study.sweep.schema import StudySpec
from layerweaver.backend_sim.study.sweep.sweep import sweep
from layerweaver.ir import LayerweaverError

NO_AIMS: dict[str, Any] = {}


def _warnings(folder: Path, **changes: Any) -> list[str]:
    study = write_study(folder, objectives=NO_AIMS, **changes)
    result = sweep(study, folder / "out")
    assert not result["failed"]
    found: list[str] = result.get("warnings", [])
    return found


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"seed": [1, 2], "load": [0.3, 0.6]}, []),
        ({"tenants.a.b.arrival.seed": [5, 6], "seed": [1, 2]}, ["tenants.a.b.arrival.seed"]),
        ({"load": [0.3, 0.6], "tenants.a.b.queue.limit": [900, 1000]}, ["tenants.a.b.queue.limit"]),
        ({"policy": ["fcfs", "edf"], "dispatch_ahead": [0]}, []),
    ],
)
def test_an_axis_that_changes_no_figure_is_said(
    tmp_path: Path, axes: dict[str, Any], said: list[str]
) -> None:
    assert _warnings(tmp_path, axes=axes) == [f"axis {name}: no figure differs" for name in said]


def test_one_pair_that_differs_is_enough(tmp_path: Path) -> None:
    deadlines = {"tenants.a.b.deadline_ms": [0.5, 5], "policy": ["fcfs", "edf", "fair", "llf"]}
    assert _warnings(tmp_path, axes=deadlines) == []


@pytest.mark.parametrize(
    ("measure", "axes", "said"),
    [
        ("cost", {"seed": [1, 2], "npu.dram.bandwidth_gb_s": [100, 200]}, ["axis seed: no figure differs"]),
        ("cost", {"tenants.a.b.deadline_ms": [1, 2]}, ["axis tenants.a.b.deadline_ms: no figure differs"]),
        ("peak", {"duration_s": [1, 2]}, ["axis duration_s: no figure differs"]),
    ],
)
def test_axes_that_a_measure_does_not_know(
    tmp_path: Path, measure: str, axes: dict[str, Any], said: list[str]
) -> None:
    scenario = study_scenario(policy="fcfs")
    found = _warnings(tmp_path, scenario=scenario, measure=measure, axes=axes, queries=1000)
    assert [line for line in found if line.startswith("axis")] == said
    assert any(line.startswith("queries changes nothing") for line in found) == (measure == "cost")


@pytest.mark.parametrize(
    ("axis", "values", "said"),
    [
        ("npu", ["memory-centric", "compute-centric"], True),
        ("npu.array.load_rows_per_cycle", [1, 8], True),
        ("npu.dram.bandwidth_gb_s", [100, 200], False),
    ],
)
def test_measured_cycles_that_do_not_follow_the_npu_are_said(
    tmp_path: Path, axis: str, values: list[Any], said: bool
) -> None:
    found = _warnings(tmp_path, measure="cost", axes={axis: values})
    line = f"axis {axis}: measured costs of a.b, other are the same cycles at all of its values"
    assert (line in found) == said


def test_keys_of_samples_and_grids(tmp_path: Path) -> None:
    (said,) = _warnings(tmp_path, axes={"load": [0.3, 0.6]}, sample={"kind": "grid", "seed": 3})
    assert said == "sample.seed changes nothing: a grid draws nothing"
    drawn = {"load": {"from": 0.3, "to": 0.6, "points": 3}}
    other = tmp_path / "other"
    other.mkdir()
    (said,) = _warnings(other, axes=drawn, sample={"kind": "random", "points": 2})
    assert said == "axes.load.points changes nothing: random draws from the whole range"


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"seed": [1, 2, 1]}, "axes.seed: 1 stands twice; give every value once"),
        ({"load": [0.5, 0.50]}, "axes.load: 0.5 stands twice"),
        ({"load": {"from": 0.5, "to": 0.5, "points": 3}}, "axes.load: 0.5 stands twice"),
        ({"tenants.a.b.batch": [1, 1.0]}, "axes.tenants.a.b.batch: 1.0 stands twice"),
        ({"npu": ["memory-centric", "memory-centric"]}, "axes.npu: memory-centric stands twice"),
        (
            {"policy": ["edf", "edf:commit=late"]},
            "axes.policy = edf:commit=late: is a setting that stands twice",
        ),
        ({"policy": ["edf", {"name": "edf", "commit": "late"}]}, "is a setting that stands twice"),
    ],
)
def test_a_value_that_stands_twice_is_refused(tmp_path: Path, axes: dict[str, Any], message: str) -> None:
    with pytest.raises(LayerweaverError) as caught:
        sweep(write_study(tmp_path, objectives=NO_AIMS, axes=axes), tmp_path / "out")
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("axes", "name", "told"),
    [
        ({"npu.array.rows": [64, 128]}, "system.stp", True),
        ({"npu": ["memory-centric", "tpu-v3"]}, "system.antt", True),
        ({"npu.array.rows": [64, 128]}, "tenants.a.qps", False),
        ({"npu.energy.mac_pj": [0.1, 0.2]}, "system.stp", False),
        ({"load": [0.2, 0.4]}, "system.stp", False),
    ],
)
def test_objectives_that_are_relative_to_each_npu_are_said(
    axes: dict[str, Any], name: str, told: bool
) -> None:
    spec = StudySpec.model_validate({"scenario": {}, "axes": axes, "objectives": {"maximise": [name]}})
    said = relative_objectives(spec)
    assert len(said) == told
    assert not told or said[0].startswith(f"objective {name} is relative to one request alone")


def test_an_objective_without_values_is_said(tmp_path: Path) -> None:
    aims = {"minimise": ["models.a.b.energy_j", "models.a.b.standalone_ms"]}
    axes = {"npu.dram.bandwidth_gb_s": [100, 200]}
    study = write_study(tmp_path, measure="cost", axes=axes, objectives=aims)
    result = sweep(study, tmp_path / "out")
    said = "objective models.a.b.energy_j has no value at 2 of 2 points: the front leaves them out"
    assert (result["pareto"], result["warnings"]) == ([], [said])


def test_a_front_over_seeds_says_that_luck_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, axes in (("lucky", {"seed": [1, 2]}), ("sure", {"load": [0.3, 0.6]})):
        folder = tmp_path / name
        folder.mkdir()
        assert main(["sweep", str(write_study(folder, axes=axes)), "-o", str(folder / "out")]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert "Pareto front" in shown
        assert ("every seed is a point of its own" in shown) == (name == "lucky")


@pytest.mark.parametrize(
    ("delays_ms", "sizes", "said"),
    [
        ([1, 2], [1, 8], []),
        ([1, 2], [1], ["2 points: axis tenants.a.b.batch.delay_ms changes nothing, since batch.max is 1"]),
        ([0, 2], [1], []),
    ],
)
def test_a_key_without_effect_at_some_points_is_said_of_none(
    tmp_path: Path, delays_ms: list[float], sizes: list[int], said: list[str]
) -> None:
    scenario = study_scenario(policy="fcfs")
    scenario["tenants"][0] |= {"model": "zoo:ncf", "batch": 1}
    axes = {"tenants.a.b.batch.delay_ms": delays_ms, "tenants.a.b.batch.max": sizes}
    found = _warnings(tmp_path, scenario=scenario, axes=axes)
    assert [line for line in found if " changes nothing" in line] == said
    page = tmp_path / "page.html"
    assert main(["report", str(tmp_path / "out"), "-o", str(page)]) == 0
    listed = [
        line
        for line in page.read_text().split("<li>")
        if "delay_ms changes nothing" in line.split("</li>")[0]
    ]
    assert [line.split("</li>")[0] for line in listed] == said
