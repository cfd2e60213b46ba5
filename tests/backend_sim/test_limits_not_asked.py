"""Limits of offline tenants and streams, of which a status asks for enough requests only."""

from __future__ import annotations

from typing import Any

import pytest

from layerweaver.backend_sim.report.charts.load_points import points_of_tenants
from layerweaver.backend_sim.results.limits import beyond_limits, least_headroom
from layerweaver.backend_sim.results.reading import read_documents
from layerweaver.backend_sim.results.sentence import answer, verdict_sentence
from layerweaver.backend_sim.study.simulate import compare, simulate
from layerweaver.ir.text import figure

OFFLINE = {"kind": "offline", "samples": 100}
STREAM = {"kind": "single_stream", "queries": 100}
NOT_ASKED = "which the status of offline tenants and streams does not ask for"


def _sources(*arrivals: Any, deadline_ms: float | None = 15) -> Any:
    """Changes of tenants that ask so."""
    return [{"arrival": arrival, "deadline_ms": deadline_ms} for arrival in arrivals]


def test_a_limit_that_no_status_asks_for_is_not_said_to_be_kept(make_scenario: Any) -> None:
    run: Any = simulate(make_scenario(duration_s=None, tenants=_sources(OFFLINE, STREAM)))
    vision, chat = run["tenants"]
    assert (vision["status"], chat["status"]) == ("met", "met")
    assert vision["violation_rate"] > 0.01
    assert beyond_limits(run)[:1] == ["vision"]
    said = answer([run], ["fcfs"])
    assert "keeps its limit" not in said
    assert said.endswith(f" fcfs misses the limits of {', '.join(beyond_limits(run))}, {NOT_ASKED}.")
    warned = [line for line in run["warnings"] if "deadline_ms is no part of the status" in line]
    assert [line.split(": ")[0] for line in warned] == ["tenant 'vision'", "tenant 'chat'"]
    assert "which of offline asks for enough requests only" in warned[0]


def test_limits_that_are_kept_though_nobody_asks_are_kept(make_scenario: Any) -> None:
    sources = _sources(OFFLINE, STREAM, deadline_ms=1e6)
    run: Any = simulate(make_scenario(duration_s=None, tenants=sources))
    assert "every tenant keeps its limit under fcfs (least" in answer([run], ["fcfs"])


def test_without_any_limit_nobody_is_said_to_keep_one(make_scenario: Any) -> None:
    sources = _sources(OFFLINE, STREAM, deadline_ms=None)
    run: Any = simulate(make_scenario(duration_s=None, tenants=sources))
    assert {tenant["status"] for tenant in run["tenants"]} == {"met"}
    assert answer([run], ["fcfs"]) == ""
    assert not [line for line in run.get("warnings", ()) if "no part of the status" in line]


def test_requests_at_once_are_no_rate_and_have_no_share_of_the_bound(make_scenario: Any) -> None:
    scenario = make_scenario(duration_s=None, tenants=_sources(OFFLINE, STREAM))
    runs: list[Any] = list(compare(scenario, ["fcfs", "edf"])["runs"])
    for run in runs:
        said, rate_qps = verdict_sentence([run]), run["tenants"][1]["offered_qps"]
        assert f"At {figure(rate_qps)} queries per second beside 100 at once, " in said
        assert "of the bound" not in said
    both = read_documents([{"runs": runs}])
    assert points_of_tenants(both) == {}
    alone: Any = simulate(make_scenario(duration_s=None, tenants=_sources(OFFLINE, OFFLINE)))
    assert verdict_sentence([alone]).startswith("At 200 queries at once, ")


def _late(share: float) -> Any:
    latency = {"p99": 5.0}
    tenant = {"name": "v", "arrived": 1000, "qps": 1.0, "violation_rate": share, "latency_ms": latency}
    return {"policy": "edf", "tenants": [tenant], "system": {"stp": 1.0, "bound_qps": 2.0}}


@pytest.mark.parametrize(("before", "after"), [(0.7502, 0.7541), (0.0101, 0.0100)])
def test_shares_that_read_the_same_are_no_change(before: float, after: float) -> None:
    settings: list[Any] = [{**_late(share), "seed": place} for place, share in enumerate((before, after))]
    assert "missed deadlines" not in verdict_sentence(settings)


def test_a_language_model_is_judged_at_its_own_percentile() -> None:
    times = {"ttft_ms": {"p90": 8.0, "p99": 30.0}, "tpot_ms": {"p90": 1.0, "p99": 9.0}}
    chat = {
        "name": "chat",
        "arrived": 100,
        "violation_rate": 0.05,
        "status": "met",
        "percentile": 90.0,
        "deadline": {"ttft_ms": 10.0, "tpot_ms": 2.0},
        "llm": times,
    }
    run: Any = {"policy": "edf", "tenants": [chat], "system": {}}
    left, what = least_headroom(run) or (0.0, "")
    assert (round(left, 9), what) == (0.2, "chat's TTFT")
    assert beyond_limits(run) == []
    times["tpot_ms"]["p90"] = 3.0
    assert beyond_limits(run) == ["chat"]
    chat |= {"percentile": 95.0, "violation_rate": 0.04}
    assert least_headroom(run) is None
    assert beyond_limits(run) == []
    chat |= {"violation_rate": 0.06}
    assert beyond_limits(run) == ["chat"]
