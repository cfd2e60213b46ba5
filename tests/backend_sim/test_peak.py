"""Peak search: on made-up verdicts, and on a small scenario."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.timed_chat import chat_scenario

from layerweaver.backend_sim.results.sentence import peak_sentence
from layerweaver.backend_sim.study.peak.peak import peak
from layerweaver.backend_sim.study.peak.plan import plan_peak
from layerweaver.backend_sim.study.peak.search import search_peak
from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.ir import ScenarioError


@given(st.floats(0.01, 20.0))
def test_a_monotone_limit_is_found(limit: float) -> None:
    search = search_peak(lambda share: share <= limit, 0.005)
    assert search.low <= limit < search.high
    assert search.high - search.low <= 0.005
    assert search.monotone
    assert len(search.trials) < 30


def test_nothing_passes_or_everything_does() -> None:
    nothing = search_peak(lambda _: False, 0.01)
    assert nothing.low == 0
    everything = search_peak(lambda _: True, 0.01)
    assert everything.low >= 64


def test_nothing_above_the_ceiling_is_tried() -> None:
    search = search_peak(lambda share: share < 5, 0.005, ceiling=1.0)
    assert search.low == search.high == 1.0
    assert max(trial.share for trial in search.trials) == 1.0
    near = search_peak(lambda share: share < 0.99, 0.005, ceiling=1.0)
    assert near.low < 0.99 <= near.high <= 1.0


def test_a_hole_below_the_peak_is_reported() -> None:
    search = search_peak(lambda share: share <= 0.7 or 0.8 < share < 0.9, 0.005)
    assert not search.monotone
    assert search.low == pytest.approx(0.9, abs=0.01)
    assert search.low < 0.9 <= search.high


@pytest.mark.parametrize(("least", "most"), [(0.55, 0.99), (0.8, 0.86), (0.6, 0.65), (0.93, 1.0)])
def test_a_peak_where_only_much_load_passes_is_found(least: float, most: float) -> None:
    search = search_peak(lambda share: least < share < most, 0.005, ceiling=1.0)
    assert most - 0.005 < search.low < most
    assert not search.monotone


def test_batches_that_fill_in_time_only_at_high_load_have_a_peak(make_scenario: Any) -> None:
    waiting = {"max": 10, "sizes": [10], "delay_ms": 6}
    photos = {"model": "zoo:mobilenetv2", "batch": waiting, "deadline_ms": 5}
    keys = {**make_scenario(tenants=[photos, {}]), "npu": "memory-centric"}
    row: Any
    (row,) = peak({**keys, "tenants": keys["tenants"][:1]}, ["fcfs"], queries=4000)["results"]
    assert row["status"] == "met"
    assert row["share_of_bound"] > 0.5


@pytest.mark.parametrize("tenant", [None, "one"])
def test_requests_that_take_no_time_have_no_peak(tmp_path: Path, tenant: str | None) -> None:
    (tmp_path / "none.csv").write_text("layer,compute_cycles,dram_bytes,weight_bytes\nfirst,0,0,0\n")
    (tmp_path / "some.csv").write_text("layer,compute_cycles,dram_bytes,weight_bytes\nfirst,900,0,0\n")
    arrival = {"kind": "poisson", "qps": 900, "seed": 1}
    tenants = [
        {"name": name, "model": {"costs": str(tmp_path / file)}, "deadline_ms": 5, "arrival": arrival}
        for name, file in (("one", "none.csv"), ("two", "some.csv"))
    ]
    keys = {"npu": "memory-centric", "min_queries": 100, "tenants": tenants if tenant else tenants[:1]}
    with pytest.raises(ScenarioError, match="take no time, so every load passes"):
        plan_peak(keys, tenant=tenant)


def test_peaks_lie_between_the_trials_and_below_the_bound(make_scenario: Any) -> None:
    keys = make_scenario(min_queries=100)
    document: Any = peak(keys, ["fcfs", "layerweaver+"], queries=2000)
    first, second = document["results"]
    for row in (first, second):
        assert set(row) >= {"policy", "peak_qps", "peak_qps_sd", "share_of_bound", "bracket_qps", "trials"}
        low, high = row["bracket_qps"]
        assert low == row["peak_qps"] <= high <= document["bound_qps"]
        assert high - low <= 0.0051 * document["bound_qps"]
        assert row["share_of_bound"] == pytest.approx(row["peak_qps"] / document["bound_qps"])
    assert first["peak_qps"] < second["peak_qps"]
    # What the search found holds in a simulation of its own.
    plan = plan_peak(keys, queries=2000)
    factor = first["peak_qps"] / sum(plan.rates_qps)
    at_peak = make_scenario(duration_s=None, min_queries=1000)
    for tenant in at_peak["tenants"]:
        tenant["arrival"]["qps"] *= factor
    rates = [tenant["violation_rate"] for tenant in simulate(at_peak, "fcfs")["tenants"]]
    assert all(rate is not None and rate <= 0.01 for rate in rates)


def test_every_trial_is_a_point_and_the_curve_goes_up_to_the_bound(make_scenario: Any) -> None:
    plain, curved = (
        peak(make_scenario(), ["fcfs"], queries=600, curve=curve)["results"][0] for curve in (0, 4)
    )
    assert len(plain["trial_points"]) == plain["trials"] == curved["trials"]
    assert plain["peak_qps"] == curved["peak_qps"]
    loads = [point["qps"] for point in curved["trial_points"]]
    assert loads == sorted(loads)
    assert len(loads) > len(plain["trial_points"])
    for point in curved["trial_points"]:
        assert point["passed"] == all(
            tenant["violation_rate"] is None or tenant["violation_rate"] <= 0.01
            for tenant in point["tenants"]
        )
    whole = [point for point in curved["trial_points"] if not point["stopped_early"]]
    lowest, highest = (point["tenants"][0]["p99_ms"] for point in (whole[0], whole[-1]))
    assert lowest is not None
    assert highest is not None
    assert highest > lowest


def test_one_tenant_several_seeds_and_processes_agree(make_scenario: Any) -> None:
    one: Any = peak(make_scenario(), ["fcfs"], queries=600, seeds=2, tenant="vision")
    two = peak(make_scenario(), ["fcfs"], queries=600, seeds=2, tenant="vision", workers=2)
    assert one == two
    assert one["results"][0]["peak_qps_sd"] > 0
    assert len(one["results"][0]["peaks_qps"]) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tenants": [{"arrival": {"kind": "saturated"}}]}, "saturated has no rate that can be scaled"),
        ({"tenants": [{"deadline_ms": None}, {"deadline_ms": None}]}, "no tenant has a deadline"),
    ],
)
def test_scenarios_without_a_peak_are_refused(
    make_scenario: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ScenarioError, match=message):
        peak(make_scenario(**changes))
    with pytest.raises(ScenarioError, match="there is no tenant 'visionn'; did you mean 'vision'"):
        peak(make_scenario(), tenant="visionn")


def test_a_deadline_below_the_standalone_time_has_no_peak(make_scenario: Any) -> None:
    found = peak(make_scenario(tenants=[{"deadline_ms": 0.01}]), ["fcfs"])
    assert found["results"][0]["peak_qps"] == 0
    assert found["results"][0]["trials"] == 0


def test_a_deadline_below_the_time_alone_is_said(make_scenario: Any) -> None:
    keys = make_scenario()
    keys["tenants"][0]["deadline_ms"] = 0.001
    document: Any = peak(keys, ["fcfs"], queries=3000)
    (said,) = document["warnings"]
    name = keys["tenants"][0]["name"]
    assert said.startswith(f"tenant {name!r}: one request alone takes ")
    assert said.endswith("its deadline is 0.001 ms: none can be in time")
    assert document["results"][0]["peak_qps"] == 0
    assert document["scenario"]["tenants"][0]["name"] == name


def _beside_a_few(make_scenario: Any, few_qps: float = 1.0) -> dict[str, Any]:
    keys: dict[str, Any] = make_scenario(duration_s=None, min_queries=100)
    first = keys["tenants"][0]
    rare = {**first, "name": "rare", "arrival": {"kind": "poisson", "qps": few_qps, "seed": 9}}
    first["arrival"]["qps"] = 1000.0
    keys["tenants"] = [first, rare]
    return keys


def test_a_peak_of_too_few_queries_says_so_in_its_row_and_how_many_would_do(make_scenario: Any) -> None:
    keys = _beside_a_few(make_scenario)
    (row,) = peak(keys, ["layerweaver+"], queries=4000)["results"]
    assert row["status"] == "too_short"
    assert "too few queries to be sure of the percentile (rare 4 of 459)" in row["reasons"][0]
    needed = row["needed_queries"]
    assert 458.5 * 1001 <= needed < 462 * 1001
    told = peak_sentence({"bound_qps": 1.0, "results": [row]})
    assert "too short to be sure (a trial has too few queries" in told
    keys = _beside_a_few(make_scenario, few_qps=300.0)
    (row,) = peak(keys, ["layerweaver+"], queries=4000)["results"]
    assert row["status"] == "met"
    assert "reasons" not in row
    assert "too short" not in peak_sentence({"bound_qps": 1.0, "results": [row]})


def test_a_trial_that_ends_before_a_backlog_is_late_is_too_short(make_scenario: Any) -> None:
    keys = make_scenario(duration_s=None, min_queries=100)
    for tenant in keys["tenants"]:
        tenant["deadline_ms"] = 5000.0
    row: Any = peak(keys, ["fcfs"], queries=2000)["results"][0]
    assert row["status"] == "too_short"
    assert "loads which no policy serves for long may pass" in row["reasons"][-1]
    assert row["needed_queries"] >= 20 * 5 * row["peak_qps"] * 0.999


def test_no_rate_at_all_is_late_however_few_queries(make_scenario: Any) -> None:
    keys = make_scenario(duration_s=None, min_queries=100)
    for tenant in keys["tenants"]:
        tenant["deadline_ms"] = 1e-5
    (row,) = peak(keys, ["fcfs"], queries=100)["results"]
    assert row["peak_qps"] == 0
    assert row["status"] == "late"


def test_who_has_no_deadline_is_part_of_the_load_and_not_judged(make_scenario: Any) -> None:
    keys = make_scenario(duration_s=None, min_queries=100)
    keys["tenants"][1].pop("deadline_ms")
    name = keys["tenants"][1]["name"]
    (warning,) = (line for line in peak(keys, ["fcfs"], queries=200)["warnings"] if "without a d" in line)
    assert warning.startswith(f"without a deadline: {name}; a peak does not ask how long")
    keys = make_scenario(duration_s=None, min_queries=100)
    assert not any("without a d" in line for line in peak(keys, ["fcfs"], queries=200)["warnings"])


def test_a_warm_up_leaves_no_request_of_a_language_model_unjudged(tmp_path: Path) -> None:
    """None of a trial's requests came after it, so that every rate kept the limits of the tokens."""
    limits = {"ttft_ms": 0.02, "tpot_ms": 0.011}
    arrival = {"kind": "poisson", "qps": 150_000, "seed": 1}
    keys = chat_scenario(tmp_path / "timings.yaml", deadline=limits, arrival=arrival)
    plain, warm = (
        peak({**keys, "duration_s": 30, "warmup_s": warmup_s}, ["fcfs"], queries=500)["results"]
        for warmup_s in (0, 10)
    )
    assert warm == plain
    assert all(
        tenant["ttft_p99_ms"] is not None for point in warm[0]["trial_points"] for tenant in point["tenants"]
    )
