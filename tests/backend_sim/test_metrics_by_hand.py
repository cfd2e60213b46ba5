"""Metrics of runs of two to five requests, worked out by hand.

The NPU does a cycle per ns and moves a byte per cycle. Times are in ns unless their names say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.costmodel import load_npu
from layerweaver.ir import LayerweaverError, ScenarioError

NPU = {
    "name": "unit",
    "clock_mhz": 1000,
    "precision_bytes": 1,
    "array": {"rows": 32, "columns": 32, "count": 1, "dataflow": "os"},
    "vector": {"lanes": 64},
    "dram": {"bandwidth_gb_s": 1},
    "sram": {"weights_mb": 1, "activations_mb": 2},
}
Rows = Sequence[tuple[int, int, int]]
Serve = Callable[..., dict[str, Any]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Serve one tenant's arrivals; rows are (compute cycles, DRAM bytes, weight bytes) by batch size."""

    def run(
        rows: Mapping[int, Rows], arrivals: Sequence[int], *, policy: str = "fcfs", **more: Any
    ) -> dict[str, Any]:
        costs = {}
        for size, table in rows.items():
            lines = [f"r{place},{','.join(map(str, row))}" for place, row in enumerate(table)]
            file = tmp_path / f"b{size}.csv"
            file.write_text("\n".join(["layer,compute_cycles,dram_bytes,weight_bytes", *lines, ""]))
            costs[str(size)] = str(file)
        times = tmp_path / "times.csv"
        queries = [f"a,{number},{time}" for number, time in enumerate(arrivals)]
        times.write_text("\n".join(["tenant,query,arrival_ns", *queries, ""]))
        tenant = {
            "name": "a",
            "model": {"costs": costs["1"] if [*costs] == ["1"] else costs},
            "deadline_ms": 1,
            "arrival": {"kind": "trace", "file": str(times), "format": "csv"},
            **more.pop("tenant", {}),
        }
        seed = more.pop("seed", None)
        scenario = {"npu": NPU, "duration_s": 1, "tenants": [tenant], **more}
        return {**simulate(scenario, policy, seed, compiled=False)}

    return run


def _tenant(document: Mapping[str, Any]) -> Mapping[str, Any]:
    tenant: Mapping[str, Any] = document["tenants"][0]
    return tenant


def test_means_are_per_request_and_not_per_batch(serve: Serve) -> None:
    # One request alone (1000), then the four that came meanwhile as a batch (3000): all are done at 4000.
    document = serve(
        {1: [(1000, 0, 0)], 4: [(3000, 0, 0)]},
        [0, 100, 200, 300, 400],
        tenant={"batch": {"max": 4, "delay_ms": 0, "sizes": [1, 4]}},
    )
    tenant = _tenant(document)
    assert tenant["service_ms"] == pytest.approx((1000 + 4 * 3000) / 5 / 1e6)
    assert tenant["latency_ms"]["mean"] == pytest.approx((1000 + 3900 + 3800 + 3700 + 3600) / 5 / 1e6)
    assert tenant["queueing_ms"] == pytest.approx((900 + 800 + 700 + 600) / 5 / 1e6)
    assert tenant["batches"] == {"1": 1, "4": 1}
    assert tenant["batch_size"] == {"mean": 2.5, "p50": 4, "p90": 4, "p99": 4, "max": 4}
    # The first has left the queue when its only row is decided on; the others find up to three.
    assert tenant["queue_depth"] == {"p50": 1, "p90": 3, "p99": 3, "max": 3}


def test_the_warm_up_is_left_out_of_every_metric(serve: Serve) -> None:
    # Ten requests at 0 as one batch, long over when measuring begins at 1 ms; then three, one by one.
    document = serve(
        {1: [(1000, 500, 0)], 16: [(300_000, 600_000, 0)]},
        [0] * 10 + [2_000_000, 3_000_000, 4_000_000],
        warmup_s=0.001,
        tenant={"batch": {"max": 16, "delay_ms": 0, "sizes": [1, 16]}},
    )
    tenant, system = _tenant(document), document["system"]
    span = 3_001_500
    assert tenant["batches"] == {"1": 3}
    assert tenant["service_ms"] == tenant["latency_ms"]["mean"] == pytest.approx(0.0015)
    assert tenant["queueing_ms"] == 0
    assert system["compute_utilization"] == pytest.approx(3000 / span)
    assert system["dram_utilization"] == pytest.approx(1500 / span)
    assert system["idle"]["waiting_for_memory"] == pytest.approx(1500 / span / 2)
    assert system["idle"]["no_work"] == pytest.approx(1 - 6000 / span / 2)
    assert sum(system["decision_modes"].values()) == pytest.approx(1)


def test_the_cool_down_is_left_out_of_every_metric(serve: Serve) -> None:
    # Measuring ends at 1,999,000, when the second request has been fetched; the third comes too late.
    document = serve({1: [(1000, 500, 0)]}, [0, 1_998_500, 1_999_500], duration_s=0.002, cooldown_s=1e-6)
    tenant, system = _tenant(document), document["system"]
    span = 1_999_000
    assert (tenant["arrived"], tenant["completed"]) == (2, 2)
    assert tenant["offered_qps"] == pytest.approx(2e9 / span)
    assert tenant["qps"] == pytest.approx(1e9 / span)
    assert system["stp"] == pytest.approx(1e9 / span * 1.5e-6)
    assert tenant["latency_ms"]["max"] == pytest.approx(0.0015)
    assert system["compute_utilization"] == system["dram_utilization"] == pytest.approx(1000 / span)
    assert system["idle"]["waiting_for_memory"] == pytest.approx(1000 / span / 2)
    assert system["idle"]["no_work"] == pytest.approx(1 - 3000 / span / 2)
    assert sum(system["decision_modes"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    "keys",
    [
        {"cooldown_s": 1},
        {"cooldown_s": 0.6, "warmup_s": 0.4},
        {"cooldown_s": -1},
        {"cooldown_s": 1e-6, "min_queries": 5},
    ],
)
def test_a_cool_down_that_leaves_nothing_or_has_no_end_is_refused(
    serve: Serve, keys: Mapping[str, Any]
) -> None:
    with pytest.raises(ScenarioError, match="cooldown_s"):
        serve({1: [(1000, 500, 0)]}, [0], **keys)


def test_a_batch_across_the_end_of_the_warm_up_counts_for_its_measured_requests(serve: Serve) -> None:
    # The four wait from 900, 950, 1000 and 1050 for the first to end at 2000; only the last two are measured.
    document = serve(
        {1: [(2000, 0, 0)], 4: [(3000, 0, 0)]},
        [0, 900, 950, 1000, 1050],
        warmup_s=1e-6,
        tenant={"batch": {"max": 4, "delay_ms": 0, "sizes": [1, 4]}},
    )
    tenant = _tenant(document)
    assert (tenant["arrived"], tenant["completed"]) == (2, 2)
    assert tenant["service_ms"] == pytest.approx(0.003)
    assert tenant["latency_ms"]["mean"] == pytest.approx((4000 + 3950) / 2 / 1e6)
    assert tenant["batches"] == {"4": 1}
    assert document["system"]["compute_utilization"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("arrivals", "held", "no_work"),
    [
        ([0, 900_000], 100_000, 900_000 + 1_000_000),  # the second waits for the last 100 us of the first
        ([0, 1_000_000], 0, 2_000_000),  # it comes as the first ends
        ([0, 100_000, 200_000], 1_900_000, 1_100_000),  # from 100 us on one is always waiting
    ],
)
def test_held_is_the_time_in_which_a_fetch_was_possible(
    serve: Serve, arrivals: list[int], held: int, no_work: int
) -> None:
    system = serve({1: [(1_000_000, 0, 0)]}, arrivals)["system"]
    span = 1_000_000 * len(arrivals)
    assert system["idle"]["held_by_policy"] == pytest.approx(held / span / 2)
    assert system["idle"]["no_work"] == pytest.approx(no_work / span / 2)


def test_no_fetch_is_held_where_a_stream_has_nothing_to_fetch(serve: Serve) -> None:
    stream = {"arrival": {"kind": "single_stream", "queries": 4}, "deadline_ms": None}
    system = serve({1: [(1000, 500, 500)]}, [], min_queries=4, tenant=stream)["system"]
    assert system["idle"]["held_by_policy"] == 0
    assert system["idle"]["no_work"] == pytest.approx(4 * 1000 / (4 * 1500) / 2)
    saturated = {"arrival": {"kind": "saturated", "queries": 4}, "deadline_ms": None}
    system = serve({1: [(1000, 500, 500)]}, [], min_queries=4, tenant=saturated)["system"]
    assert system["idle"]["held_by_policy"] == pytest.approx(3 * 1000 / (4 * 1500) / 2)


def test_no_fetch_is_held_where_a_full_buffer_forbids_it(serve: Serve) -> None:
    # The first request's weights fill the buffer until it is done, whoever waits meanwhile.
    system = serve({1: [(1_000_000, 1_000_000, 1_000_000)]}, [0, 1_500_000])["system"]
    assert system["idle"]["held_by_policy"] == 0
    assert system["idle"]["buffer_full"] == pytest.approx(500_000 / 4_000_000 / 2)


def test_a_batch_is_held_only_once_it_could_be_formed(serve: Serve) -> None:
    document = serve(
        {1: [(1000, 0, 0)], 2: [(1500, 0, 0)]},
        [0, 500, 700],
        tenant={"batch": {"max": 2, "delay_ms": 0.0004, "sizes": [1, 2]}},
    )
    # The first goes alone at 400, when its delay is over, and computes until 1400; the pair is there at 700.
    span = 400 + 1000 + 1500
    assert document["simulated_s"] == pytest.approx(span / 1e9)
    assert document["system"]["idle"]["held_by_policy"] == pytest.approx((1400 - 700) / span / 2)


def test_rates_and_shares_refer_to_the_measured_time(serve: Serve) -> None:
    # Of four requests one is warm-up and one is late: each takes 600 us, and two come at once.
    document = serve({1: [(600_000, 0, 0)]}, [0, 1_000_000, 2_000_000, 2_000_000], warmup_s=0.001)
    tenant, system = _tenant(document), document["system"]
    assert tenant["qps"] == pytest.approx(3 / 0.0022)
    assert tenant["violation_rate"] == pytest.approx(1 / 3)
    assert tenant["latency_ms"]["p50"] == pytest.approx(0.6)
    assert tenant["latency_ms"]["max"] == pytest.approx(1.2)
    assert system["stp"] == pytest.approx(3 / 0.0022 * 0.0006)
    assert system["antt"] == pytest.approx((0.6 + 0.6 + 1.2) / 3 / 0.6)
    assert system["compute_utilization"] == pytest.approx(1800 / 2200)


def test_offered_is_what_the_source_offers_and_not_what_was_served(serve: Serve) -> None:
    # A bound of 1,000/s: what is offered shows, whether it is dropped or served long after.
    queue = {"queue": {"limit": 2}, "deadline_ms": 1}
    for qps in (500, 3000, 4200, 8400):
        arrival = {"arrival": {"kind": "periodic", "period_ms": 1000 / qps}}
        for tenant in (arrival, {**arrival, **queue}):
            system = serve({1: [(1_000_000, 0, 0)]}, [], duration_s=0.1, tenant=tenant)["system"]
            assert system["offered_qps"] == pytest.approx(qps, rel=0.01)
            assert system["offered_share"] == pytest.approx(qps / 1000, rel=0.01)
    # A trace offers while it lasts: five requests within 0.4 us, however long they take.
    system = serve({1: [(1000, 0, 0)]}, [0, 100, 200, 300, 400])["system"]
    assert system["offered_qps"] == pytest.approx(5 / 400e-9)
    # All at once is no rate.
    system = serve({1: [(1000, 0, 0)]}, [0, 0])["system"]
    assert (system["offered_qps"], system["offered_share"]) == (None, None)


@pytest.mark.parametrize(
    "arrival",
    [
        {"kind": "single_stream", "queries": 3},
        {"kind": "closed_loop", "concurrency": 2},
        {"kind": "saturated"},
    ],
)
def test_a_source_that_waits_offers_what_is_served(serve: Serve, arrival: dict[str, Any]) -> None:
    # Requests of 1 ms, one after the other: of the last, nothing more is asked until it is done.
    document = serve({1: [(1_000_000, 0, 0)]}, [], duration_s=0.003, tenant={"arrival": arrival})
    tenant, system = _tenant(document), document["system"]
    assert tenant["offered_qps"] == pytest.approx(1000)
    assert system["offered_share"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("arrivals", "deadline_ms", "more", "proof"),
    [
        ([0, 5000, 10_000], 0.001, {}, ("too_short", 456)),  # none is late, and 459 would prove it
        ([0, 500, 10_000], 0.001, {}, ("late", None)),  # one of three is late: p99 is not kept
        ([0, 5000], 0.001, {"percentile": 1}, ("met", None)),
        ([0, 5000], 0.001, {"percentile": 1, "min_queries": 5}, ("too_short", 3)),
        ([0, 5000], None, {}, (None, None)),
    ],
)
def test_late_is_told_from_too_short(
    serve: Serve,
    arrivals: list[int],
    deadline_ms: float | None,
    more: dict[str, Any],
    proof: tuple[str | None, int | None],
) -> None:
    status, missing = proof
    tenant = {"deadline_ms": deadline_ms, **{key: more[key] for key in more if key == "percentile"}}
    rest = {key: more[key] for key in more if key != "percentile"}
    found = _tenant(serve({1: [(1000, 0, 0)]}, arrivals, tenant=tenant, **rest))
    assert found["status"] == status
    assert (found["missing_queries"], found["missing_s"]) == (missing, None)
    assert found["verdict"] == {"met": "VALID", None: None}.get(status, "INVALID")
    if missing:
        assert f"{missing} missing" in "; ".join(found["reasons"])


def test_what_changes_nothing_is_said(serve: Serve) -> None:
    document = serve(
        {1: [(1000, 0, 0)]}, [0, 5000], tenant={"deadline_ms": None, "queue": {"drop_hopeless": True}}, seed=3
    )
    assert document["warnings"] == [
        "tenant 'a': drop_hopeless changes nothing without a deadline",
        "seed 3 changes nothing: no tenant's arrivals are drawn",
    ]
    drawn = {"arrival": {"kind": "poisson", "qps": 1000, "seed": 1}}
    assert "warnings" not in serve({1: [(1000, 0, 0)]}, [], tenant=drawn, seed=3, duration_s=0.01)


@pytest.mark.parametrize(
    ("keys", "tenant", "said"),
    [
        (
            {"npu": None, "pool": [{"npu": NPU, "count": 2}], "router_seed": 3},
            {},
            "router_seed changes nothing: router round_robin does not draw",
        ),
        ({"router_seed": 3}, {}, "router_seed changes nothing: there is no pool"),
        ({}, {"batch": {"max": 1, "delay_ms": 2}}, "batch.delay_ms changes nothing, since batch.max is 1"),
        (
            {"duration_s": 1, "warmup_s": 0.5},
            {"arrival": {"kind": "offline", "samples": 9}, "deadline_ms": None},
            "no query is measured: all come at 0, before warmup_s 0.5 is over",
        ),
    ],
)
def test_a_key_without_effect_is_said(
    serve: Serve, keys: Mapping[str, Any], tenant: Mapping[str, Any], said: str
) -> None:
    document = serve({1: [(1000, 0, 0)]}, [0, 5000], tenant=tenant, **keys)
    assert any(said in line for line in document["warnings"])


@pytest.mark.parametrize("clock", [{"clock_ghz": 1000}, {"clock_mhz": 9001}])
def test_a_clock_that_no_chip_has_is_refused(clock: Mapping[str, float]) -> None:
    npu: dict[str, Any] = {key: value for key, value in NPU.items() if key != "clock_mhz"}
    npu |= clock
    with pytest.raises(LayerweaverError, match="more than any chip's; give up to 9 GHz"):
        load_npu(npu)


def test_energy_says_what_it_counts_and_has_three_digits() -> None:
    npu = {**NPU, "energy": {"mac_pj": 0.123456, "dram_byte_pj": 7.654321}}
    tenant = {"name": "a", "model": "zoo:ncf", "arrival": {"kind": "periodic", "period_ms": 1}}
    document: Any = simulate({"npu": npu, "duration_s": 0.003, "tenants": [tenant]}, "fcfs", compiled=False)
    for energy in (document["system"]["energy_j"], document["tenants"][0]["energy_per_inference_mj"]):
        assert energy > 0
        assert energy == float(f"{energy:.3g}")
    assert "not counted: leakage, control" in document["system"]["energy_counts"]


def test_a_batch_of_n_serves_up_to_n_waiting_requests_at_the_cost_of_n(serve: Serve) -> None:
    # The first goes alone, padded to four; the two that came meanwhile share the next batch of four.
    tenant = _tenant(serve({4: [(1000, 0, 0)]}, [0, 100, 200], tenant={"batch": 4}))
    assert tenant["batches"] == {"1": 1, "2": 1}
    assert tenant["latency_ms"]["mean"] == pytest.approx((1000 + 1900 + 1800) / 3 / 1e6)
