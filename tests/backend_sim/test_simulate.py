"""Simulations end to end, on own costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layerweaver.backend_sim.run.router import ROUTER_CODES, route
from layerweaver.backend_sim.run.run import run_once
from layerweaver.backend_sim.study.inputs import as_prepared, policy_of
from layerweaver.backend_sim.study.simulate import compare, simulate
from layerweaver.backend_sim.study.traffic import traffic
from layerweaver.ir import LayerweaverError, ScenarioError, TrafficError

TENANT_KEYS = {
    *("name", "arrived", "completed", "dropped", "qps", "standalone_ms", "latency_ms", "deadline_ms"),
    *("violation_rate", "verdict", "reasons"),
}
SYSTEM_KEYS = {
    *("stp", "antt", "fairness", "compute_utilization", "dram_utilization", "idle", "bound_qps"),
    "deadline_mode_share",
}


def test_the_document_has_its_keys_and_repeats(make_scenario: Any) -> None:
    keys = make_scenario()
    first, second = simulate(keys), simulate(keys)
    assert set(first.pop("run")) >= {"wall_s"}
    second.pop("run")
    assert json.dumps(first) == json.dumps(second)
    shape = {"policy", "npu", "simulated_s", "layers_executed", "tenants", "system"}
    assert set(first) == shape | {"policy_options", "seed", "scenario"}
    for tenant in first["tenants"]:
        assert set(tenant) >= TENANT_KEYS
        assert set(tenant["latency_ms"]) == {"mean", "p50", "p90", "p99", "p999", "max"}
        assert tenant["completed"] + tenant["dropped"] == tenant["arrived"]
        assert tenant["qps"] == pytest.approx(tenant["completed"] / first["simulated_s"])
    system: Any = first["system"]
    assert set(system) >= SYSTEM_KEYS
    busy = (system["compute_utilization"] + system["dram_utilization"]) / 2
    assert busy + sum(system["idle"].values()) == pytest.approx(1, abs=1e-3)
    stp = sum(tenant["qps"] * tenant["standalone_ms"] / 1e3 for tenant in first["tenants"])
    assert system["stp"] == pytest.approx(stp)
    assert sum(tenant["qps"] for tenant in first["tenants"]) < system["bound_qps"]


def test_latencies_count_from_the_scheduled_time(make_scenario: Any) -> None:
    alone = make_scenario(
        tenants=[
            {"arrival": {"kind": "periodic", "period_ms": 100}},
            {"arrival": {"kind": "periodic", "period_ms": 1e6}},
        ],
        duration_s=None,
        min_queries=1,
    )
    document: Any = simulate(alone)
    chat = document["tenants"][1]
    assert document["simulated_s"] * 1e3 == pytest.approx(chat["latency_ms"]["max"], abs=1.0)
    single = make_scenario(duration_s=None, min_queries=20)
    single["tenants"] = single["tenants"][:1]
    single["tenants"][0]["arrival"] = {"kind": "periodic", "period_ms": 50}
    vision = simulate(single)["tenants"][0]
    assert vision["latency_ms"]["max"] == pytest.approx(vision["standalone_ms"], abs=1e-4)
    assert vision["latency_ms"]["p50"] == vision["latency_ms"]["max"]


def test_compare_uses_the_same_traffic_and_seeds_change_it(make_scenario: Any) -> None:
    runs: Any = compare(make_scenario(), ["fcfs", "layerweaver+"])["runs"]
    assert [run["policy"] for run in runs] == ["fcfs", "layerweaver+"]
    assert [t["arrived"] for t in runs[0]["tenants"]] == [t["arrived"] for t in runs[1]["tenants"]]
    assert runs[0]["tenants"][0]["latency_ms"]["p99"] > runs[1]["tenants"][0]["latency_ms"]["p99"]
    other: Any = simulate(make_scenario(), seed=5)
    assert other["tenants"][0]["latency_ms"] != runs[0]["tenants"][0]["latency_ms"]
    repeated: Any = simulate(make_scenario(), seeds=3)
    interval = repeated["confidence"]["tenants"][0]["latency_ms"]["p99"]
    assert repeated["seeds"] == 3
    assert interval["low"] < interval["mean"] < interval["high"]
    assert len(set(interval["values"])) == 3
    assert repeated["tenants"] == simulate(make_scenario())["tenants"]


def test_warm_up_is_cut(make_scenario: Any) -> None:
    whole, cut = simulate(make_scenario()), simulate(make_scenario(warmup_s=1))
    for one, two in zip(whole["tenants"], cut["tenants"], strict=True):
        assert 0.4 * one["arrived"] < two["arrived"] < 0.6 * one["arrived"]
        assert two["qps"] == pytest.approx(two["completed"] / (cut["simulated_s"] - 1))


def test_batches_queues_and_drops_show(make_scenario: Any, tmp_path: Path) -> None:
    heavy = str(tmp_path / "heavy.csv")
    batch = {"max": 4, "sizes": [1, 4], "delay_ms": 1}
    tenant = {
        "model": {"costs": {"1": heavy, "4": heavy}},
        "batch": batch,
        "arrival": {"kind": "poisson", "qps": 3000},
    }
    document: Any = simulate(
        make_scenario(tenants=[tenant, {"queue": {"limit": 1}, "arrival": {"kind": "poisson", "qps": 5000}}])
    )
    batches = document["tenants"][0]["batches"]
    assert sum(int(size) * count for size, count in batches.items()) == document["tenants"][0]["completed"]
    assert batches["4"] > batches["1"]
    chat = document["tenants"][1]
    assert chat["dropped"] > 0
    assert chat["completed"] + chat["dropped"] == chat["arrived"]
    assert chat["violation_rate"] >= chat["dropped"] / chat["arrived"]
    assert "INVALID" in chat["verdict"]


@pytest.mark.parametrize(
    "arrival",
    [
        {"kind": "closed_loop", "concurrency": 2, "think_ms": 1},
        {"kind": "saturated"},
        {"kind": "single_stream", "queries": 50},
        {"kind": "multi_stream", "queries": 20, "samples": 3},
        {"kind": "offline", "samples": 70},
        {"kind": "gamma", "qps": 300, "cv": 2},
        {"kind": "mmpp", "qps": [100, 600], "mean_s": [0.1, 0.1]},
        {"kind": "ramp", "qps": [1, 500]},
        {"kind": "bursts", "qps": [10, 900], "period_s": 0.5, "burst_s": 0.1},
    ],
    ids=lambda arrival: arrival["kind"],
)
def test_every_kind_of_arrival_runs(make_scenario: Any, arrival: dict[str, Any]) -> None:
    document: Any = simulate(make_scenario(tenants=[{"arrival": arrival}]))
    tenant = document["tenants"][0]
    assert tenant["arrived"] == tenant["completed"] > 10
    expected = arrival.get("queries") or arrival.get("samples") if arrival["kind"] != "saturated" else None
    if expected:
        assert tenant["arrived"] == expected
    if arrival["kind"] == "multi_stream":
        assert tenant["standalone_ms"] > 1.5


def test_traffic_can_be_replayed(make_scenario: Any, tmp_path: Path) -> None:
    rows = list(traffic(make_scenario()))
    assert [row[1] for row in rows if row[0] == "chat"] == list(range(sum(row[0] == "chat" for row in rows)))
    path = tmp_path / "traffic.csv"
    path.write_text("tenant,query,arrival_ns\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows))
    replayed = {"kind": "trace", "file": str(path)}
    # One row per tenant lies past the duration, as LoadGen schedules it.
    again = simulate(make_scenario(tenants=[{"arrival": replayed}] * 2, duration_s=60))
    first = simulate(make_scenario())
    for one, two in zip(first["tenants"], again["tenants"], strict=True):
        assert one["latency_ms"] == two["latency_ms"]


def test_bad_rows_stop_a_simulation_or_are_counted(
    make_scenario: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "traffic.csv"
    path.write_text("timestamp,tenant\n0,vision\nx,vision\n0.5,vision\n")
    keys = make_scenario(tenants=[{"arrival": {"kind": "trace", "file": str(path)}}])
    with pytest.raises(TrafficError, match=r"traffic\.csv:3, column 'timestamp'"):
        simulate(keys)
    document: Any = simulate(keys, skip_bad_rows=True)
    tenant = document["tenants"][0]
    assert (tenant["arrived"], tenant["skipped_rows"]) == (2, 1)
    said = "vision: 1 bad rows of its trace were skipped"
    assert said in document["warnings"]
    assert [row[0] for row in traffic(keys, skip_bad_rows=True)].count("vision") == 2
    assert said in caplog.text


def test_a_stopped_run_says_what_was_reached(make_scenario: Any) -> None:
    ready = as_prepared(make_scenario())
    run = run_once(ready, policy_of(ready, "fcfs"), progress=lambda _: True, decisions_per_slice=500)
    assert run.interrupted
    assert 0 < len(run.latencies(0)) < 700
    document: Any = simulate(make_scenario(duration_s=2000), progress=lambda _: True)
    assert document["interrupted"]
    assert document["tenants"][0]["verdict"] == "INVALID"
    assert document["tenants"][0]["reasons"][0] == "the run was interrupted"


@pytest.mark.parametrize("router", ROUTER_CODES)
def test_a_pool_shares_the_work(make_scenario: Any, router: str) -> None:
    rates = [{"arrival": {"kind": "poisson", "qps": 1100, "seed": seed}} for seed in (1, 2)]
    one: Any = simulate(make_scenario(tenants=rates))
    keys = make_scenario(tenants=rates, npu=None, pool=[{"npu": "memory-centric", "count": 2}], router=router)
    two: Any = simulate(keys)
    assert [t["arrived"] for t in one["tenants"]] == [t["arrived"] for t in two["tenants"]]
    assert all(t["completed"] == t["arrived"] for t in two["tenants"])
    assert two["tenants"][1]["latency_ms"]["p99"] < one["tenants"][1]["latency_ms"]["p99"]
    assert two["system"]["bound_qps"] == pytest.approx(2 * one["system"]["bound_qps"])
    assert two["npu"] == "2 x memory-centric"
    repeated: Any = simulate(keys)
    assert repeated["tenants"] == two["tenants"]
    assert "npus" not in one


def test_every_npu_of_a_pool_is_reported(make_scenario: Any) -> None:
    slow = {"name": "slow", "clock_mhz": 350, "array": {"rows": 128, "columns": 128, "dataflow": "ws"}}
    slow |= {"vector": {"lanes": 64}, "dram": {"bandwidth_gb_s": 100}}
    slow |= {"sram": {"weights_mb": 48, "activations_mb": 60}}
    members = [{"npu": "memory-centric", "count": 2}, {"npu": slow}]
    rates = [{"arrival": {"kind": "poisson", "qps": 1100, "seed": seed}} for seed in (1, 2)]
    keys = make_scenario(tenants=rates, npu=None, pool=members, router="least_work", warmup_s=0.5)
    document: Any = simulate(keys)
    npus = document["npus"]
    assert [npu["name"] for npu in npus] == ["memory-centric#0", "memory-centric#1", "slow#2"]
    assert [npu["npu"] for npu in npus] == ["memory-centric", "memory-centric", "slow"]
    assert sum(npu["share_of_requests"] for npu in npus) == pytest.approx(1)
    assert sum(npu["layers_executed"] for npu in npus) == document["layers_executed"]
    assert 0 < npus[2]["arrived"] < npus[0]["arrived"]
    for place, tenant in enumerate(document["tenants"]):
        name = "vision" if place == 0 else "chat"
        assert sum(npu["requests"][name] for npu in npus) == tenant["arrived"]
    for npu in npus:
        assert npu["arrived"] == npu["completed"] == sum(npu["requests"].values())
        busy = (npu["compute_utilization"] + npu["dram_utilization"]) / 2
        assert busy + sum(npu["idle"].values()) == pytest.approx(1, abs=1e-3)
    for key in ("compute_utilization", "dram_utilization"):
        assert document["system"][key] == pytest.approx(sum(npu[key] for npu in npus) / 3)


def test_a_declared_group_is_woven_and_replayed(make_scenario: Any) -> None:
    saturated = [{"arrival": {"kind": "saturated"}}] * 2
    keys = make_scenario(tenants=saturated, groups=[["chat", "vision"]])
    document: Any = simulate(keys, "static-weave")
    group = document["groups"][0]
    assert group["tenants"] == ["vision", "chat"]
    assert group["qps"] == pytest.approx(sum(t["qps"] for t in document["tenants"]), rel=0.01)
    assert group["stp"] == pytest.approx(document["system"]["stp"], rel=0.01)
    assert sum(group["requests_per_period"].values()) == pytest.approx(
        group["qps"] * group["period_ms"] / 1e3, rel=1e-9
    )
    direct = simulate(keys, "layerweaver")
    assert direct["groups"] == document["groups"]
    assert direct["tenants"] == document["tenants"]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([["vision", "chatt"]], r"groups.*there is no tenant 'chatt'.*chat"),
        ([["vision", "vision"]], "twice in the group"),
        ([[]], "a group without tenants"),
        ([["vision", "chat"], ["chat", "vision"]], "the same tenants as group 1"),
    ],
)
def test_wrong_groups_are_refused(make_scenario: Any, groups: list[list[str]], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        simulate(make_scenario(groups=groups))


def test_a_pool_refuses_sources_that_wait_for_it(make_scenario: Any) -> None:
    keys = make_scenario(
        tenants=[{"arrival": {"kind": "saturated"}}], npu=None, pool=[{"npu": "memory-centric", "count": 2}]
    )
    with pytest.raises(ScenarioError, match="saturated cannot be routed over a pool"):
        simulate(keys)


def test_routers_by_hand() -> None:
    times = np.zeros(4, np.int64)
    tenants = np.array([0, 1, 0, 1])
    # Tenant 0 needs compute, tenant 1 memory; NPU 1 is slower for both.
    costs = np.array([[[10, 12], [10, 12]], [[9, 11], [1, 1]], [[1, 1], [9, 11]]])
    assert route(times, tenants, costs, "round_robin").tolist() == [0, 1, 0, 1]
    assert route(times, tenants, costs, "least_work", compiled=False).tolist() == [0, 1, 0, 1]
    assert route(times, tenants, costs, "balanced", compiled=False).tolist() == [0, 0, 1, 1]
    drawn = route(times, tenants, costs, "power_of_two", 3)
    assert drawn.tolist() == route(times, tenants, costs, "power_of_two", 3, compiled=False).tolist()


def test_wrong_policies_are_refused(make_scenario: Any) -> None:
    with pytest.raises(LayerweaverError, match="no policy is called 'layerweave'"):
        simulate(make_scenario(), "layerweave")


def test_energy_is_reported_per_inference_and_in_total(make_scenario: Any) -> None:
    npu = {
        "name": "warm",
        "clock_mhz": 700,
        "array": {"rows": 32, "columns": 32},
        "dram": {"bandwidth_gb_s": 50},
        "sram": {"weights_mb": 1, "activations_mb": 1},
        "energy": {"mac_pj": 0.5, "dram_byte_pj": 30},
    }
    loop = {"kind": "closed_loop", "concurrency": 1}
    tenants = [{"model": "zoo:ncf", "arrival": loop}, {"model": "zoo:ncf", "batch": 2, "arrival": loop}]
    keys = make_scenario(npu=npu, duration_s=0.002, tenants=tenants)
    document: Any = simulate(keys)
    total = 0.0
    for tenant in document["tenants"]:
        assert tenant["completed"] > 0
        each_j = tenant["energy_per_inference_mj"] / 1e3
        # Every figure is rounded to three digits on its own.
        assert tenant["energy_j"] == pytest.approx(each_j * tenant["completed"], rel=0.01)
        total += tenant["energy_j"]
    assert document["system"]["energy_j"] == pytest.approx(total, rel=0.01)
    del npu["energy"]
    without = simulate(keys)
    assert "energy_j" not in without["system"]
    assert "energy_per_inference_mj" not in without["tenants"][0]


def test_a_rate_that_holds_compiling_is_said_and_not_shown(
    make_scenario: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from layerweaver.backend_sim.study import repeat
    from layerweaver.cli.rendering.results import outcome_tables
    from layerweaver.cli.session import console

    def speed(run: Any) -> str:
        for item in outcome_tables(run):
            console().print(item)
        lines = capsys.readouterr().out.splitlines()
        place = next(number for number, line in enumerate(lines) if line.endswith("rows/s"))
        return lines[place + 2].split()[-1]

    asked = "fcfs"
    first = simulate(make_scenario(), asked)
    again = simulate(make_scenario(), asked)  # by now it is compiled
    assert "compiled" not in again["run"]
    assert speed(again) != "-"
    monkeypatch.setattr(repeat, "is_compiled", lambda *_, **__: False)
    compiled = simulate(make_scenario(), asked)
    assert compiled["run"]["compiled"] is True
    assert speed(compiled) == "-"
    assert {key: value for key, value in compiled.items() if key != "run"} == {
        key: value for key, value in first.items() if key != "run"
    }
