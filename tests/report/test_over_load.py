"""Charts over load draw what is judged, and say where they do not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from oracles.timed_chat import chat_scenario

from layerweaver.backend_sim.report.charts.load import load_charts, violations_over_load_figure
from layerweaver.backend_sim.report.charts.load_points import points_of_tenants
from layerweaver.backend_sim.report.tables import changes_table
from layerweaver.backend_sim.results.reading import read_documents
from layerweaver.backend_sim.study.peak.peak import peak
from layerweaver.backend_sim.study.simulate import compare

Make = Callable[..., dict[str, Any]]
LINE = "Under the deadline line is fine"


def _charts(documents: list[Any], start: str) -> dict[str, Any]:
    """The charts over load by their titles."""
    found = load_charts(read_documents(documents))
    return {chart.title: chart for chart in found if chart.title.startswith(start)}


def _lines(chart: Any) -> list[str]:
    return [note.text for note in chart.figure.layout.annotations if "deadline" in note.text]


@pytest.fixture(name="keys")
def _keys(tmp_path: Path) -> dict[str, Any]:
    arrival = {"kind": "poisson", "qps": 150_000, "seed": 1}
    limits = {"ttft_ms": 0.02, "tpot_ms": 0.011}
    return chat_scenario(tmp_path / "timings.yaml", deadline=limits, arrival=arrival)


def test_a_language_model_is_drawn_by_the_times_of_its_tokens(keys: dict[str, Any]) -> None:
    searched: Any = peak(keys, ["fcfs"], queries=600)
    ran: Any = compare(keys, ["fcfs", "edf"])
    for documents in ([searched], [ran], [ran, searched]):
        charts = _charts(documents, "p99")
        assert list(charts) == [
            "p99 of chat over load",
            "p99 TTFT of chat over load",
            "p99 TPOT of chat over load",
        ]
        whole, first, rest = charts.values()
        assert LINE not in whole.reading
        assert not _lines(whole)
        assert _lines(first) == ["deadline 0.02 ms"]
        assert _lines(rest) == ["deadline 0.011 ms"]
        assert LINE in first.reading
        assert first.table.columns[-2:] == ("p99 TTFT ms", "p99 TPOT ms")
    changes = changes_table(read_documents([ran]))
    assert changes is not None
    assert [row[0] for row in changes.rows] == ["chat's TTFT", "chat's TPOT"]
    tokens = ran["runs"][0]["tenants"][0]["llm"]
    assert [row[3] for row in changes.rows] == [tokens["ttft_ms"]["p99"], tokens["tpot_ms"]["p99"]]


def test_the_percentile_that_is_judged_says_which_share_may_be_late(make_document: Make) -> None:
    run = copy.deepcopy(make_document("fcfs", details=False))
    run["tenants"][0] |= {"percentile": 50.0, "deadline_ms": 10.0, "violation_rate": 0.3}
    read = read_documents([run])
    figure = violations_over_load_figure(read, points_of_tenants(read)["vision"])
    assert figure is not None
    told = [note.text for note in figure.layout.annotations]
    assert "50%" in told
    assert "1%" not in told
    chart = _charts([run], "p99 of vision")["p99 of vision over load"]
    assert not _lines(chart)
    assert LINE not in chart.reading
    assert "The deadline is of the 50th percentile, which is not drawn" in chart.reading


def test_without_a_deadline_no_line_is_spoken_of(make_document: Make) -> None:
    run = copy.deepcopy(make_document("fcfs", details=False))
    run["tenants"][0] |= {"deadline_ms": None, "violation_rate": None}
    chart = _charts([run], "p99 of vision")["p99 of vision over load"]
    assert not _lines(chart)
    assert "line" not in chart.reading


def test_trials_say_which_percentile_must_keep_the_deadline(keys: dict[str, Any]) -> None:
    keys["tenants"][0]["percentile"] = 90
    searched: Any = peak(keys, ["fcfs"], queries=600)
    trials = searched["results"][0]["trial_points"]
    assert {tenant["percentile"] for trial in trials for tenant in trial["tenants"]} == {90.0}


def test_a_setting_of_a_policy_has_one_line_over_load_wherever_it_ran(
    make_document: Make, peak_document: dict[str, Any]
) -> None:
    runs = [
        {**copy.deepcopy(make_document("edf", details=False)), "policy_options": {"margin_us": margin_us}}
        for margin_us in (5.0, 50.0)
    ]
    searched = copy.deepcopy(peak_document)
    for row, margin_us in zip(searched["results"], (50, 500), strict=True):
        row["policy"] = f"edf margin_us={margin_us}"
        row["trial_points"] = [
            {"qps": 7.0, "tenants": [{"name": "vision", "violation_rate": 0.1, "p99_ms": 1.0}]}
        ]
    searched["search"] = {
        "policies": [{"name": "./edf.py", "margin_us": margin_us} for margin_us in (50, 500)]
    }
    for run in runs:
        run.pop("scenario", None)
    searched.pop("scenario", None)
    points = points_of_tenants(read_documents([{"runs": runs}, searched]))["vision"]
    count = {
        name: [point.policy for point in points].count(name) for name in {point.policy for point in points}
    }
    assert count == {"edf margin_us=5": 1, "edf margin_us=50": 2, "edf margin_us=500": 1}


def test_lines_over_load_join_one_mix_only(make_document: Make) -> None:
    def run(rates: tuple[float, float], seed: int) -> dict[str, Any]:
        made = copy.deepcopy(make_document("fcfs", details=False))
        made["system"]["offered_qps"] = sum(rates)
        made["scenario"] = {
            "npu": "x",
            "tenants": [
                {"name": name, "arrival": {"kind": "poisson", "qps": qps, "seed": seed}}
                for name, qps in zip(("vision", "language"), rates, strict=True)
            ],
        }
        return made

    sweep = [run((100, 50), 1), run((200, 100), 2)]
    read = read_documents([{"runs": sweep}])
    figure = violations_over_load_figure(read, points_of_tenants(read)["vision"])
    assert figure is not None
    assert [(line.name, len(line.x)) for line in figure.data] == [("fcfs", 2)]
    read = read_documents([{"runs": [*sweep, run((50, 300), 1)]}])
    figure = violations_over_load_figure(read, points_of_tenants(read)["vision"])
    assert figure is not None
    assert [(line.name, len(line.x)) for line in figure.data] == [
        ("fcfs, tenants.vision.arrival.qps=66.7% of all tenants.language.arrival.qps=33.3% of all", 2),
        ("fcfs, tenants.vision.arrival.qps=14.3% of all tenants.language.arrival.qps=85.7% of all", 1),
    ]
