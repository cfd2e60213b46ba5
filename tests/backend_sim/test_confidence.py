"""Intervals over seeds stay within the possible, and policies are compared seed by seed."""

from __future__ import annotations

from typing import Any

import pytest

from layerweaver.backend_sim.report.notebook import as_result
from layerweaver.backend_sim.report.page import build_report
from layerweaver.backend_sim.report.tables import changes_table
from layerweaver.backend_sim.results.confidence import confidence, differences, spread
from layerweaver.backend_sim.results.document import run_document
from layerweaver.backend_sim.results.files import ORIGIN, result_rows
from layerweaver.backend_sim.results.metrics import system_metrics, tenant_metrics
from layerweaver.backend_sim.results.reading import read_documents
from layerweaver.backend_sim.results.repetitions import OF_THE_WORST
from layerweaver.backend_sim.results.sentence import verdict_sentence
from layerweaver.backend_sim.results.spreads import spread_tables, spread_text
from layerweaver.backend_sim.run.run import run_once
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest
from layerweaver.backend_sim.study.inputs import as_prepared
from layerweaver.backend_sim.study.peak.peak import peak
from layerweaver.backend_sim.study.simulate import compare, simulate
from layerweaver.scheduler.policies import load_policy


def _run(policy: str, rates: list[float], utilization: list[float]) -> Any:
    documents: list[Any] = [
        {
            "tenants": [{"name": "one", "violation_rate": rate, "latency_ms": {"p99": 10 * rate}}],
            "system": {"compute_utilization": share, "stp": 1.5},
        }
        for rate, share in zip(rates, utilization, strict=True)
    ]
    return {"policy": policy, "confidence": confidence(documents)}


def test_an_interval_never_leaves_the_possible() -> None:
    found = _run("fcfs", [0.0, 0.0, 0.3], [0.7, 1.0, 1.0])["confidence"]
    rate = found["tenants"][0]["violation_rate"]
    assert rate["mean"] == pytest.approx(0.1)
    assert rate["low"] == 0.0
    assert rate["high"] == pytest.approx(0.1 + 4.303 * 0.1)
    assert rate["values"] == [0.0, 0.0, 0.3]
    assert found["system"]["compute_utilization"]["high"] == 1.0


def test_equal_values_have_no_spread() -> None:
    found = _run("fcfs", [0.212, 0.212, 0.212], [0.7, 0.7, 0.7])["confidence"]
    rate = found["tenants"][0]["violation_rate"]
    assert (rate["mean"], rate["sd"], rate["low"], rate["high"]) == (0.212, 0.0, 0.212, 0.212)
    assert found["tenants"][0]["latency_ms"]["p99"]["sd"] == 0.0


def test_differences_are_paired() -> None:
    before = _run("fcfs", [0.10, 0.20, 0.30], [0.5, 0.6, 0.7])
    after = _run("edf", [0.09, 0.18, 0.29], [0.5, 0.6, 0.7])
    (found,) = differences([before, after])
    assert (found["policy"], found["against"]) == ("edf", "fcfs")
    rate: Any = found["tenants"][0]["violation_rate"]
    assert rate["values"] == pytest.approx([-0.01, -0.02, -0.01])
    assert rate["mean"] == pytest.approx(-0.04 / 3)
    assert rate["low"] < rate["mean"] < rate["high"] < 0.002
    own: Any = after["confidence"]["tenants"][0]["violation_rate"]
    assert rate["high"] - rate["low"] < (own["high"] - own["low"]) / 5


def test_a_comparison_with_seeds_has_them(make_scenario: Any) -> None:
    document: Any = compare(make_scenario(), ["fcfs", "layerweaver+"], seeds=3)
    (found,) = document["differences"]
    p99 = [run["confidence"]["tenants"][0]["latency_ms"]["p99"] for run in document["runs"]]
    values: Any = found["tenants"][0]["latency_ms"]["p99"]["values"]
    assert values == pytest.approx([b - a for a, b in zip(p99[0]["values"], p99[1]["values"], strict=True)])
    assert "differences" not in compare(make_scenario(), ["fcfs", "layerweaver+"])


def test_every_table_shows_mean_and_interval(make_scenario: Any) -> None:
    document: Any = compare(make_scenario(), ["fcfs", "layerweaver+"], seeds=3)
    found: Any = document["runs"][1]["confidence"]["tenants"][0]["latency_ms"]["p99"]
    ends = (found["mean"], found["low"], found["high"])
    name = document["runs"][1]["tenants"][0]["name"]
    keys = [f"latency_ms.p99{end}" for end in ("", "_low", "_high")]
    row = next(r for r in result_rows(document) if (r["policy"], r["name"]) == ("layerweaver+", name))
    assert tuple(row[key] for key in keys) == ends
    frame = as_result(document).rows()
    row = next(r for r in frame if (r["policy"], r["tenant"]) == ("layerweaver+", name))
    assert tuple(row[f"p99_ms{end}"] for end in ("", "_low", "_high")) == ends
    p99 = next(metric for metric in tenant_metrics() if metric.key == "latency_ms.p99")
    shown = spread_text(p99, document["runs"][1]["confidence"]["tenants"][0])
    tables = spread_tables(document["runs"], ["fcfs", "layerweaver+"], document["differences"])
    means, _, apart, machine = tables
    assert shown in next(row for row in means.rows if row[:2] == (name, "layerweaver+"))
    assert apart.title.startswith("Less fcfs, seed by seed, shares in points")
    assert machine.title == "The machine less fcfs, seed by seed"
    stp = next(metric for metric in system_metrics() if metric.key == "stp")
    assert spread_text(stp, document["differences"][0]["system"]) in machine.rows[0]
    page = build_report([document])
    assert shown in page
    assert "Less fcfs, seed by seed" in page


def test_an_interval_that_stops_at_the_possible_is_told_by_its_ends() -> None:
    rate = next(metric for metric in tenant_metrics() if metric.key == "violation_rate")
    told = spread_text(rate, {"violation_rate": {"mean": 0.1, "low": 0.0, "high": 0.53, "values": []}})
    assert told == "10.0% (0.0% to 53.0%)"


def test_an_interval_says_of_how_many_seeds_it_is() -> None:
    rate = next(metric for metric in tenant_metrics() if metric.key == "violation_rate")
    told = spread_text(rate, {"violation_rate": spread([0.1, None, 0.1])})
    assert told == "10.0% ± 0.0% of 2 seeds"


def test_peaks_have_intervals_and_differences(make_scenario: Any) -> None:
    document: Any = peak(make_scenario(), ["fcfs", "edf"], queries=600, seeds=3)
    fcfs, edf = document["results"]
    for row in (fcfs, edf):
        assert 0 <= row["peak_qps_low"] <= row["peak_qps"] <= row["peak_qps_high"] <= document["bound_qps"]
    (apart,) = document["differences"]
    assert apart["peak_qps"]["values"] == pytest.approx(
        [b - a for a, b in zip(fcfs["peaks_qps"], edf["peaks_qps"], strict=True)]
    )
    assert "differences" not in peak(make_scenario(), ["fcfs", "edf"], queries=600)


def test_a_row_over_seeds_says_of_every_figure_whose_it_is(make_scenario: Any) -> None:
    scenario = make_scenario()
    document: Any = simulate(scenario, "layerweaver+", seeds=3)
    prepared, policy = as_prepared(scenario), load_policy("layerweaver+")
    requests = [TrafficRequest(replica=replica) for replica in range(3)]
    seeds: list[Any] = [run_document(run_once(prepared, policy, request)) for request in requests]
    alone = [result_rows(one) for one in seeds]
    for place, row in enumerate(result_rows(document)):
        singles = [rows[place] for rows in alone]
        for key in {key for one in singles for key in one} - set(ORIGIN) - set(OF_THE_WORST):
            values = [one.get(key) for one in singles]
            numbers = [value for value in values if isinstance(value, (int, float))]
            if not numbers or key == "seed":
                continue
            if f"{key}_low" in row:
                assert row[key] == pytest.approx(sum(numbers) / len(numbers))
            elif f"{key}_mean" in row:
                assert row.get(key) == values[0]
                assert row[f"{key}_mean"] == pytest.approx(sum(numbers) / 3)
            else:
                assert set(values) == {row[key]}, key
    assert sum(key.endswith("_mean") for key in row) > 10
    frame = as_result(document).rows()[0]
    first = document["means"]["tenants"][0]
    assert (
        frame["completed_mean"] == first["completed"] == sum(s["tenants"][0]["completed"] for s in seeds) / 3
    )
    assert "means" not in simulate(scenario, "layerweaver+")


def test_the_sentence_says_what_the_seeds_do_not_tell() -> None:
    def run(policy: str, rates: list[float], p99_ms: list[float]) -> Any:
        documents: list[Any] = [
            {
                "tenants": [
                    {
                        "name": "one",
                        "arrived": 100,
                        "qps": 5.0,
                        "violation_rate": rate,
                        "latency_ms": {"p99": tail},
                    }
                ],
                "system": {},
            }
            for rate, tail in zip(rates, p99_ms, strict=True)
        ]
        more = {"npu": "n", "scenario": {}, "seeds": 3, "seed": None, "confidence": confidence(documents)}
        return {**documents[0], "policy": policy, **more}

    edf = run("edf", [0.10, 0.02, 0.06], [9.0, 8.0, 7.0])
    nothing = run("layerweaver+", [0.01, 0.03, 0.05], [8.0, 8.0, 7.4])
    assert verdict_sentence([edf, nothing]).endswith(
        ", the seeds do not tell whether layerweaver+ cut missed deadlines from 6% to 3% of all requests and "
        "cut the 99th percentile of one from 8 to 7.8 ms against edf."
    )
    some = run("layerweaver+", [0.01, 0.03, 0.05], [4.0, 3.0, 2.1])
    assert verdict_sentence([edf, some]).endswith(
        ", layerweaver+ cut the 99th percentile of one from 8 to 3.03 ms against edf. "
        "The seeds do not tell whether it cut missed deadlines from 6% to 3% of all requests."
    )


def test_changes_that_the_seeds_do_not_tell_are_left_out(make_scenario: Any) -> None:
    runs: list[Any] = compare(make_scenario(), ["fcfs", "layerweaver+"], seeds=3)["runs"]
    tails = [[10.0, 20.0, 30.0], [11.0, 18.0, 30.0], [5.0, 14.0, 24.0]]
    tables = []
    for later in tails[1:]:
        for run, values in zip(runs, (tails[0], later), strict=True):
            for tenant, spreads in zip(run["tenants"], run["confidence"]["tenants"], strict=True):
                spreads["latency_ms"]["p99"] = spread(values)
                tenant["latency_ms"]["p99"] = values[0]
        table: Any = changes_table(read_documents([{"runs": runs}]))
        assert table.caption.endswith("means over 3 seeds (a change that these do not tell is left out)")
        tables.append([row[5] for row in table.rows])
    assert set(tables[0]) == {None}
    assert tables[1] == pytest.approx([43 / 60 - 1] * len(tables[1]))
