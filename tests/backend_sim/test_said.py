"""What shows in the numbers and has a cause that they do not show is said beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from small_study import point_rows

from layerweaver.backend_sim.report.page import build_report
from layerweaver.backend_sim.results.sentence import verdict_sentence
from layerweaver.backend_sim.results.spans import notes_beside_spans, span_notes
from layerweaver.backend_sim.run.prepare import prepare
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.study.peak.peak import peak
from layerweaver.backend_sim.study.simulate import compare, simulate
from layerweaver.backend_sim.study.sweep.again import rerun_point
from layerweaver.backend_sim.study.sweep.sweep import sweep
from layerweaver.costmodel import load_npu, npu_document

EDGE: dict[str, Any] = {
    "name": "edge",
    "clock_mhz": 800,
    "precision_bytes": 1,
    "array": {"rows": 64, "columns": 64},
    "vector": {"lanes": 128},
    "dram": {"bandwidth_gb_s": 25.6},
    "sram": {"weights_mb": 4, "activations_mb": 2},
}
ENERGY = {"mac_pj": 0.5, "vector_op_pj": 0.3, "dram_byte_pj": 30, "sram_byte_pj": 1.5}


def _tenant(name: str, seed: int, model: str = "zoo:mobilenetv2", **changes: Any) -> dict[str, Any]:
    arrival = {"kind": "poisson", "qps": 100, "seed": seed}
    return {"name": name, "model": model, "deadline_ms": 20, "arrival": arrival, **changes}


def _traffic_bytes(scenario: Any) -> list[int]:
    menus = prepare(load_scenario(scenario)).npus[0].menus
    return [int(menu[0].table.dram_bytes.sum()) for menu in menus]


def test_who_moves_more_because_the_activation_buffer_is_shared_is_said() -> None:
    tenants = [_tenant("front", 1), _tenant("rear", 2)]
    both = {"npu": EDGE, "duration_s": 0.2, "tenants": tenants}
    alone = _traffic_bytes({**both, "tenants": tenants[:1]})[0]
    more_mb = (_traffic_bytes(both)[0] - alone) / 1e6
    assert more_mb > 1
    run = simulate(both, "fcfs")
    (note,) = notes_beside_spans(run)
    assert f"front by {more_mb:.3g} MB" in note
    assert f"rear by {more_mb:.3g} MB" in note
    assert "exceed the 2 MB buffer of edge" in note
    assert peak(both, ["fcfs"], queries=50)["notes"] == [note]
    assert note in build_report([run]).replace("&#x27;", "'")
    assert not notes_beside_spans(simulate({**both, "tenants": tenants[:1]}, "fcfs"))


@pytest.mark.parametrize("last_s", [1.01, 30])
def test_a_last_row_of_a_trace_that_comes_late_is_said(
    last_s: float, make_scenario: Any, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text(f"time\n0.0\n0.5\n{last_s}\n{last_s + 1}\n")
    rows = {"kind": "trace", "file": str(tmp_path / "rows.csv"), "columns": {"time": "time"}}
    run: Any = simulate(make_scenario(duration_s=1, min_queries=0, tenants=[{"arrival": rows}]))
    said = [note for note in run.get("notes", ()) if "past the duration of 1 s counts" in note]
    assert run["tenants"][0]["offered_s"] == last_s
    assert said == [
        f"vision: the first row of its trace past the duration of 1 s counts, and comes at {late} s; "
        "rates are over the time until then"
        for late in (30,)
        if last_s == late
    ]


def test_a_source_that_ends_early_offers_over_the_whole_time(make_scenario: Any) -> None:
    loop = {"arrival": {"kind": "closed_loop", "concurrency": 1, "queries": 20}}
    run: Any = simulate(make_scenario(tenants=[loop, {}]))
    first, second = run["tenants"]
    assert first["offered_s"] < 0.1
    assert second["offered_s"] >= 2
    assert first["offered_qps"] == pytest.approx(first["arrived"] / first["offered_s"])
    assert run["system"]["offered_s"] == 2
    assert run["system"]["offered_qps"] == pytest.approx(first["arrived"] / 2 + second["offered_qps"])
    assert first["qps"] == pytest.approx(first["completed"] / run["system"]["measured_s"])
    (said,) = span_notes(["fcfs"], [run])
    assert (
        f"vision after {first['offered_s']:.3g} of 2 s measured ({first['offered_qps']:,.4g} q/s until then)"
        in said
    )


def test_the_last_request_of_a_slow_tenant_does_not_make_others_end_early(make_scenario: Any) -> None:
    slow = {"arrival": {"kind": "poisson", "qps": 1, "seed": 1}}
    run: Any = simulate(
        make_scenario(tenants=[slow, {"arrival": {"kind": "poisson", "qps": 100, "seed": 2}}])
    )
    first, second = run["tenants"]
    assert first["offered_s"] > 1.2 * second["offered_s"] > 2.4
    assert run["system"]["offered_s"] == 2
    assert run["system"]["offered_qps"] == first["offered_qps"] + second["offered_qps"]
    (said,) = span_notes(["fcfs"], [run])
    assert said.startswith(
        f"q/s is over the time until the last completion ({run['system']['measured_s']:.3g} s), of"
    )


def test_beside_a_tenant_that_asks_at_once_the_sentence_says_who_offers_what(make_scenario: Any) -> None:
    nightly = {"arrival": {"kind": "offline", "samples": 30}, "deadline_ms": None}
    hurried = {"queue": {"limit": 1}, "arrival": {"kind": "poisson", "qps": 3000, "seed": 2}}
    run: Any = simulate(make_scenario(tenants=[nightly, hurried]))
    assert run["system"]["offered_qps"] is None
    arrived = sum(tenant["arrived"] for tenant in run["tenants"])
    assert arrived > 2 * sum(tenant["completed"] for tenant in run["tenants"])
    said, rate_qps = verdict_sentence([run]), run["tenants"][1]["offered_qps"]
    assert said.startswith(f"At {rate_qps:,.0f} queries per second beside 30 at once, ")
    assert "of the bound" not in said
    assert "requests end early: vision all at once; all" in next(span_notes(["fcfs"], [run]))


def test_a_source_that_ends_within_the_warm_up_is_said(make_scenario: Any) -> None:
    loop = {"arrival": {"kind": "closed_loop", "concurrency": 1, "queries": 20}}
    run: Any = simulate(make_scenario(warmup_s=1, tenants=[loop, {}]))
    assert run["tenants"][0]["arrived"] == 0
    assert run["system"]["offered_qps"] == run["tenants"][1]["offered_qps"]
    assert "vision before the measured time; all" in next(span_notes(["fcfs"], [run]))


def test_rates_that_count_the_serving_of_the_rest_say_so(make_scenario: Any) -> None:
    hurried = make_scenario(tenants=[{"arrival": {"kind": "poisson", "qps": 2500, "seed": 1}}, {}])
    runs: list[Any] = list(compare(hurried, ["fcfs", "edf"])["runs"])
    (said,) = span_notes(["fcfs", "edf"], runs)
    for name, run in zip(("fcfs", "edf"), runs, strict=True):
        assert run["system"]["measured_s"] > 1.1 * run["tenants"][0]["offered_s"]
        assert f"{name} {run['system']['measured_s']:.3g} s" in said
    assert not list(span_notes(["fcfs"], [simulate(make_scenario())]))


def test_energy_that_only_some_npus_know_is_said_to_be_missing() -> None:
    knowing = {**EDGE, "name": "knowing", "energy": ENERGY}
    tenants = [_tenant("rank", 1, "zoo:ncf")]
    run = simulate({"pool": [{"npu": knowing}, {"npu": EDGE}], "duration_s": 0.1, "tenants": tenants}, "fcfs")
    assert "energy_j" not in run["system"]
    (note,) = notes_beside_spans(run)
    assert note == "no energy is told: edge states no energy constants, others of the pool do"
    for npus in ([{"npu": knowing, "count": 2}], [{"npu": EDGE, "count": 2}]):
        alone = simulate({"pool": npus, "duration_s": 0.1, "tenants": tenants}, "fcfs")
        assert not notes_beside_spans(alone)


def test_language_models_that_are_busy_far_below_the_bound_say_why() -> None:
    chat = {
        "name": "chat",
        "model": "zoo:gpt2",
        "llm": {"kv": {"blocks": 100}},
        "lengths": {"prompt": 8, "output": 12},
        "arrival": {"kind": "periodic", "period_ms": 30},
    }
    scenario = {"npu": "memory-centric", "min_queries": 4, "tenants": [chat]}
    run: Any = simulate(scenario, "fcfs")
    busiest = max(run["system"]["compute_utilization"], run["system"]["dram_utilization"])
    assert busiest > 5 * run["system"]["offered_share"]
    assert [note[:36] for note in notes_beside_spans(run)] == ["the bound takes iterations of chat a"]


@pytest.mark.parametrize(
    ("period_ms", "delay_ms", "said"),
    [
        (3, 0, "those of chat (1 of 8 requests on average) are not, so that an engine is busier than"),
        (3, 1000, ""),
    ],
)
def test_batches_that_are_less_full_than_the_bound_takes_them_are_said(
    make_scenario: Any, period_ms: float, delay_ms: float, said: str
) -> None:
    batch = {"max": 8, "sizes": [8], "delay_ms": delay_ms}
    chat = {"batch": batch, "arrival": {"kind": "periodic", "period_ms": period_ms}, "deadline_ms": None}
    keys = make_scenario(min_queries=24)
    run: Any = simulate({**keys, "tenants": [{**keys["tenants"][1], **chat}]})
    notes = [
        note for note in run.get("notes", ()) if note.startswith("the bound takes batches as full, which")
    ]
    assert len(notes) == bool(said)
    assert all(f"full, which {said}" in note for note in notes)


def test_a_peak_says_whose_batches_its_bound_takes_as_full(make_scenario: Any) -> None:
    batched = make_scenario(tenants=[{"batch": {"max": 4, "sizes": [4]}}, {}])
    (note,) = peak(batched, ["fcfs"], queries=60)["notes"]
    assert note.startswith("the bound takes batches and iterations of vision as full; ")
    assert "notes" not in peak(make_scenario(), ["fcfs"], queries=60)


@pytest.mark.parametrize("measure", ["simulate", "peak", "cost"])
def test_points_of_a_study_note_what_runs_alone_note(tmp_path: Path, measure: str) -> None:
    npu = {**EDGE, "energy": {"mac_pj": 0.5, "dram_byte_pj": 30}}
    (tmp_path / "rows.csv").write_text("timestamp,tenant\n0.0,front\n0.01,front\n0.03,front\n")
    trace = {"kind": "trace", "file": "rows.csv", "format": "csv"}
    scenario = {
        "npu": npu,
        "policy": "fcfs",
        "min_queries": 2,
        "tenants": [_tenant("front", 1, arrival=trace)],
    }
    if measure == "peak":
        scenario["tenants"] = [_tenant("front", 1)]
    (tmp_path / "scenario.yaml").write_text(yaml.safe_dump(scenario))
    axes = {"npu.dram.bandwidth_gb_s": [20, 25.6], "seed": [7]}
    queries = {"queries": 50} if measure == "peak" else {}
    study = {"scenario": "scenario.yaml", "axes": axes, "measure": measure, **queries}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    document = sweep(tmp_path / "study.yaml", tmp_path / "out")
    rows = point_rows(tmp_path / "out")
    assert document["failed"] == 0, rows
    free = "vector_op_pj, sram_byte_pj not stated, counted as 0"
    assert [row["notes"] for row in rows] == [f"energy of edge: {free}"] * 2
    if measure == "cost":
        assert rows[0]["models.front.energy_counts"].endswith(f"; {free}")
        assert "warnings" not in document
        return
    path = tmp_path / "scenario.yaml"
    alone: Any = simulate(path, seed=7) if measure == "simulate" else peak(path, ["fcfs"], queries=50, seed=7)
    assert rows[1]["notes"] == "; ".join(alone["notes"])
    again = rerun_point(tmp_path / "out", 1)
    assert again.apart == []
    assert again.document is not None
    assert again.document["notes"] == alone["notes"]
    if measure == "simulate":
        said = "seed 7 changes nothing: no tenant's arrivals are drawn"
        assert alone["warnings"] == again.document["warnings"] == [said]
        assert [row["warnings"] for row in rows] == [said] * 2
        assert document["warnings"] == [f"2 points: {said}"]
        assert rows[0]["system.energy_counts"].endswith(f"; edge: {free}")


def test_an_overhead_that_own_costs_do_not_pay_is_said(tmp_path: Path) -> None:
    costs = tmp_path / "own.csv"
    costs.write_text("layer,compute_cycles,dram_bytes,weight_bytes\nstem,52000,18816,18816\n")
    tenants = [{**_tenant("front", 1), "model": {"costs": str(costs)}}, _tenant("rear", 2)]
    scenario = {"npu": {**EDGE, "inference_overhead_us": 30}, "duration_s": 0.05, "tenants": tenants}
    said = "front: own costs are all that is charged, so the inference_overhead_us of edge is not added"
    assert said in prepare(load_scenario(scenario)).notes
    pool = [{"npu": EDGE}, {"npu": {**EDGE, "name": "other", "clock_mhz": 400}}]
    pooled = {"pool": pool, "duration_s": 0.05, "tenants": tenants}
    assert prepare(load_scenario(pooled)).notes == (
        "front: own costs are the same cycles on every NPU of the pool",
    )
    for other in ({**scenario, "npu": EDGE}, {**scenario, "tenants": tenants[1:]}):
        assert not any("own costs" in note for note in prepare(load_scenario(other)).notes)


def test_a_config_states_no_energy_that_it_was_not_given() -> None:
    given = load_npu({**EDGE, "energy": {"mac_pj": 0.5}})
    again = load_npu(npu_document(given))
    assert npu_document(given)["energy"] == {"mac_pj": 0.5}
    assert again == given
    assert again.energy is not None
    assert again.energy.free == "vector_op_pj, dram_byte_pj, sram_byte_pj not stated, counted as 0"


@pytest.mark.parametrize(
    ("stated", "compared"),
    [
        ({"name": "layerweaver+", "margin_us": 200.0}, ["fcfs", "layerweaver", "layerweaver+"]),
        ("edf", ["fcfs", "layerweaver", "layerweaver+", "edf"]),
    ],
)
def test_the_policy_of_a_scenario_is_compared_as_stated(
    make_scenario: Any, stated: object, compared: list[str]
) -> None:
    keys = make_scenario(policy=stated, duration_s=0.05)
    rows = compare(keys)["runs"]
    assert [row["policy"] for row in rows] == compared
    options = {"name": rows[2]["policy"], **rows[2]["policy_options"]}
    assert options["margin_us"] == (200.0 if isinstance(stated, dict) else 0.0)
