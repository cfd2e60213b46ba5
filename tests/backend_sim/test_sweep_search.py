"""Samples, searches and what a study says of its axes: the same every time, and as counted by hand."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from small_study import write_study

from layerweaver.backend_sim.study.sweep import summary
from layerweaver.backend_sim.study.sweep.front import front
from layerweaver.backend_sim.study.sweep.reading import read_study
from layerweaver.backend_sim.study.sweep.sweep import sweep


@pytest.mark.parametrize("kind", ["random", "sobol"])
def test_samples_are_the_same_every_time(tmp_path: Path, kind: str) -> None:
    axes = {"npu.dram.bandwidth_gb_s": {"from": 100, "to": 400}, "policy": ["fcfs", "edf"]}
    path = write_study(tmp_path, axes=axes, sample={"kind": kind, "points": 9, "seed": 3}, objectives={})
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
    path = write_study(
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
    document = sweep(
        write_study(tmp_path, axes=axes, objectives={"maximise": ["system.stp"]}), tmp_path / "out"
    )
    strongest = document["sensitivity"][0]
    assert (strongest["axis"], strongest["objective"]) == ("load", "system.stp")
    assert strongest["effect"] > 0.9
    assert json.loads(json.dumps(document)) == document
    assert 0 <= strongest["low"] <= strongest["effect"] <= strongest["high"] <= 1
    assert all("low" not in item for item in document["sensitivity"] if item["axis"] == "seed")


@pytest.mark.parametrize("sample", [{"kind": "random", "seed": 1}, {"kind": "sobol", "seed": 1}])
@pytest.mark.parametrize("points", [8, 12, 16, 64])
def test_of_samples_only_the_axis_with_an_effect_has_one(
    tmp_path: Path, sample: dict[str, object], points: int
) -> None:
    axes = {
        "npu.dram.bandwidth_gb_s": {"from": 10, "to": 40},
        "npu.dram.capacity_gb": {"from": 8, "to": 16},
        "seed": {"count": 4},
    }
    aims = {"minimise": ["models.other.standalone_ms"]}
    path = write_study(
        tmp_path, axes=axes, sample={**sample, "points": points}, measure="cost", objectives=aims
    )
    found = {item["axis"]: item for item in sweep(path, tmp_path / "out")["sensitivity"]}
    known, none = found["npu.dram.bandwidth_gb_s"], found["npu.dram.capacity_gb"]
    assert known["effect"] > (0.7 if points == 64 else 0.4)
    assert none["effect"] < 0.3 < known["effect"]
    assert all(item["low"] < item["high"] for item in found.values() if "low" in item)
    if points < 16:
        assert found["seed"] == {
            "axis": "seed",
            "objective": aims["minimise"][0],
            "effect": None,
            "note": "too few points",
        }


@pytest.mark.parametrize("points", [8, 12, 24, 100])
def test_chance_gives_an_axis_no_effect_on_the_mean(points: int) -> None:
    random = np.random.default_rng(points)
    without, known = [], []
    for _ in range(400):
        level = summary._Levels()
        level.extend(values := random.random(points).tolist())
        groups = level.drawn_groups(np.ones(points, dtype=np.bool_), have_order=True)
        assert groups is not None
        assert np.bincount(groups).min() >= 4
        noise = random.normal(size=points)
        without.append(summary._correlation_ratio(groups, noise, drawn=True))
        slope = np.array(values) * np.sqrt(12) + noise  # half of its variance is the axis'
        known.append(summary._correlation_ratio(groups, slope, drawn=True))
    assert abs(np.mean(without)) < 0.02
    assert 0.25 < np.mean(known) < 0.52  # bins hide some of a slope


def test_groups_that_are_too_small_say_nothing() -> None:
    level = summary._Levels()
    level.extend(["a", "b", "c"] * 3)
    assert level.drawn_groups(np.ones(9, dtype=np.bool_), have_order=True) is None
    level.extend("abc")
    assert level.drawn_groups(np.ones(12, dtype=np.bool_), have_order=True) is not None


@pytest.mark.parametrize("drawn", [False, True])
def test_the_interval_of_an_effect_is_that_of_leaving_seeds_out(drawn: bool) -> None:
    random = np.random.default_rng(2)
    groups, seeds = random.integers(0, 3, 240), random.integers(0, 4, 240)
    values = groups + random.normal(size=240) * (1 + seeds)
    found = summary._effect(groups, values, seeds, drawn)
    without = [summary._correlation_ratio(groups[seeds != s], values[seeds != s], drawn) for s in range(4)]
    known = np.array(without, dtype=np.float64)
    half = 3.182 * np.sqrt(3 / 4 * ((known - known.mean()) ** 2).sum())
    assert found["low"] == pytest.approx(max(0.0, found["effect"] - half))
    assert found["high"] == pytest.approx(min(1.0, found["effect"] + half))
