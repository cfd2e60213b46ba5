"""Runs and searches of different scenarios on one page are told apart wherever they stand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest

from layerweaver.backend_sim.report.charts.load import load_charts, violations_over_load_figure
from layerweaver.backend_sim.report.charts.load_points import points_of_tenants
from layerweaver.backend_sim.report.page import build_report
from layerweaver.backend_sim.report.tables import peak_tables
from layerweaver.backend_sim.results.mixes import mix_labels, peak_labels
from layerweaver.backend_sim.results.reading import read_documents

Make = Callable[..., dict[str, Any]]

SCENARIO: dict[str, Any] = {
    "npu": "memory-centric",
    "duration_s": 4.0,
    "tenants": [
        {"name": "vision", "deadline_ms": 5.0, "arrival": {"kind": "poisson", "qps": 400.0, "seed": 1}},
        {"name": "language", "deadline_ms": 9.0, "arrival": {"kind": "poisson", "qps": 100.0, "seed": 2}},
    ],
}


def _scenario(**changes: Any) -> dict[str, Any]:
    """The scenario, with a change of itself or, by name, of its first tenant."""
    made = copy.deepcopy(SCENARIO)
    for key, value in changes.items():
        if key == "qps":
            made["tenants"][0]["arrival"]["qps"] = value
        elif key == "deadline_ms":
            made["tenants"][0]["deadline_ms"] = value
        else:
            made[key] = value
    if "pool" in made:
        del made["npu"]
    return made


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"qps": 900.0},
            (
                "tenants.vision.arrival.qps=80% of all tenants.language.arrival.qps=20% of all",
                "tenants.vision.arrival.qps=90% of all tenants.language.arrival.qps=10% of all",
            ),
        ),
        ({"deadline_ms": 30.0}, ("tenants.vision.deadline_ms=5", "tenants.vision.deadline_ms=30")),
        (
            {"pool": [{"npu": "memory-centric", "count": 2}]},
            ("npu=memory-centric", "npu=2 x memory-centric"),
        ),
        ({"npu": "tpu-v5e"}, ("npu=memory-centric", "npu=tpu-v5e")),
        ({"duration_s": 9.0, "policy": {"name": "edf"}}, ("", "")),
    ],
)
def test_a_line_joins_runs_and_searches_of_one_mix_only(
    changes: dict[str, Any], told: tuple[str, str], make_document: Make, peak_document: dict[str, Any]
) -> None:
    assert mix_labels([SCENARIO, _scenario(**changes), SCENARIO]) == [*told, told[0]]
    run = copy.deepcopy(make_document("fcfs", details=False))
    run["scenario"] = _scenario()
    search = copy.deepcopy(peak_document)
    search["scenario"] = _scenario(**changes)
    for row in search["results"]:
        row["trial_points"] = [
            {"qps": qps, "tenants": [{"name": "vision", "violation_rate": 0.1, "p99_ms": 1.0}]}
            for qps in (1.0, 1e6)
        ]
    read = read_documents([run, search])
    figure = violations_over_load_figure(read, points_of_tenants(read)["vision"])
    assert figure is not None
    lines = {line.name: len(line.x) for line in figure.data}
    if told == ("", ""):
        assert lines == {"fcfs": 3, "layerweaver+": 2}
        return
    before, after = told
    assert lines == {f"fcfs, {before}": 1, f"fcfs, {after}": 2, f"layerweaver+, {after}": 2}
    (table,) = {
        chart.table.caption: chart.table for chart in load_charts(read) if "of vision" in chart.title
    }.values()
    assert table.columns[:2] == ("policy", "of")
    assert [row[:2] for row in table.rows] == [
        ["fcfs", before],
        *[["fcfs", after]] * 2,
        *[["layerweaver+", after]] * 2,
    ]
    assert peak_tables(read)[0].caption == f"Peak rates, {after}"


def test_searches_beside_each_other_are_named_in_all_that_speaks_of_them(
    peak_document: dict[str, Any],
) -> None:
    searches = []
    for npu in ("memory-centric", "tpu-v5e"):
        search = copy.deepcopy(peak_document)
        search["scenario"] = _scenario(npu=npu)
        searches.append(search)
    searches[1]["results"][0]["peak_qps"] = 39000.0
    read = read_documents(searches)
    names = ["npu=memory-centric", "npu=tpu-v5e"]
    assert [table.caption for table in peak_tables(read)] == [f"Peak rates, {name}" for name in names]
    assert [chart.title for chart in load_charts(read)] == [
        f"Peak rate of every policy, {name}" for name in names
    ]
    page = unescape(build_report(searches))
    assert "npu=memory-centric: layerweaver+ carries the highest load: 33,000 queries per second" in page
    assert "npu=tpu-v5e: fcfs carries the highest load: 39,000 queries per second" in page
    assert "peak search npu=tpu-v5e" in page


def test_searches_of_one_scenario_are_named_by_how_they_searched(peak_document: dict[str, Any]) -> None:
    searches = [
        {**peak_document, "scenario": _scenario(), "search": {"queries": queries, "seeds": 1, "policies": []}}
        for queries in (2000, 20000)
    ]
    read = read_documents(searches)
    assert peak_labels([], read.peaks) == ["queries=2000", "queries=20000"]
    assert peak_labels([], read.peaks[:1]) == [""]
    tenants = [{**searches[0], "search": {"queries": 2000, "tenant": tenant}} for tenant in ("vision", None)]
    assert peak_labels([], read_documents(tenants).peaks) == ["tenant=vision", "tenant=all"]
