"""Energy of a language model's run against its graph bound to the lengths of every iteration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.results.tokens import iterations_energy_pj
from layerweaver.backend_sim.run.prepare import prepare
from layerweaver.backend_sim.run.run import run_once
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.study.repeat import RunOptions
from layerweaver.backend_sim.study.simulate import simulate_with
from layerweaver.costmodel import cost_graph, load_npu
from layerweaver.scheduler.compile.sources import load_graph
from layerweaver.scheduler.policies import load_policy

PROMPT, OUTPUT, REQUESTS = 21, 4, 3

NPU: dict[str, Any] = {
    "name": "late",
    "clock_mhz": 1000,
    "precision_bytes": 2,
    "array": {"rows": 32, "columns": 16},
    "dram": {"bandwidth_gb_s": 100, "burst_bytes": 64, "latency_ns": 250, "capacity_gb": 1},
    "sram": {"weights_mb": 1, "activations_mb": 0.04},
    "energy": {"mac_pj": 0.7, "vector_op_pj": 1.9, "dram_byte_pj": 31.0, "sram_byte_pj": 2.3},
}
CHAT: dict[str, Any] = {
    "name": "chat",
    "model": "zoo:gpt2",
    "llm": {"max_num_seqs": 1, "max_batched_tokens": PROMPT, "kv": {"block": 1}},
    "lengths": {"prompt": PROMPT, "output": OUTPUT},
    "deadline": {"ttft_ms": 900, "tpot_ms": 900},
    "arrival": {"kind": "offline", "samples": REQUESTS},
}
VISION = {"name": "vision", "model": "zoo:resnet18", "arrival": {"kind": "saturated"}}
ITERATIONS = [(PROMPT, 0), *((1, PROMPT + token) for token in range(OUTPUT - 1))]
"""New and cached tokens; each emits one."""


@pytest.mark.parametrize(
    ("more", "tenants"),
    [({}, [CHAT]), ({}, [CHAT, VISION]), ({"activations_in_dram": "products"}, [CHAT])],
    ids=["alone", "beside", "priced by the cost model"],
)
def test_energy_of_a_run_is_that_of_its_bound_graphs(more: dict[str, Any], tenants: list[Any]) -> None:
    npu = {**NPU, **more}
    scenario: dict[str, Any] = {"npu": npu, "tenants": tenants, "duration_s": 0.01}
    prepared = prepare(load_scenario(scenario))
    assert not [text for text in (*prepared.warnings, *prepared.notes) if "latency" in text]
    run = run_once(prepared, load_policy("layerweaver+"))
    decoder, (model, *_) = run.outcomes[0].tenants[0].decoder, prepared.decoders
    assert decoder is not None
    assert model is not None
    assert decoder.counts["iterations"] == REQUESTS * len(ITERATIONS)
    # Beside others it has a share of the activation buffer.
    budget = model.rules.activation_budget
    energy_pj, data_bytes, traffic_bytes = 0, 0, 0
    for new, past in ITERATIONS:
        graph = load_graph(CHAT["model"], dims={"seq": new, "past": past}, batch=1)
        table = cost_graph(graph, load_npu(npu), activation_budget_bytes=budget).table
        energy_pj += table.energy_pj or 0
        data_bytes += table.data_bytes
        traffic_bytes += int(table.dram_bytes.sum())
    assert traffic_bytes > 1.02 * data_bytes
    assert decoder.counts["data_bytes"] == REQUESTS * data_bytes
    assert iterations_energy_pj(run, 0) == pytest.approx(REQUESTS * energy_pj, rel=1e-6)


def test_the_schedule_tells_the_bytes_of_what_ran() -> None:
    vision = {**VISION, "batch": 2}
    prepared = prepare(load_scenario({"npu": NPU, "tenants": [CHAT, vision], "duration_s": 0.01}))
    outcome = run_once(prepared, load_policy("layerweaver+"), record_cycles=(0, 10**12)).outcomes[0]
    log, (chat, other) = outcome.log, outcome.tenants
    assert log is not None
    assert chat.decoder is not None
    (batch,) = prepared.npus[0].menus[1]
    count = int(other.batch_counts.sum())
    assert log.dram_bytes[log.tenant == 0].sum() == chat.decoder.counts["data_bytes"]
    assert log.dram_bytes[log.tenant == 1].sum() == count * batch.table.data_bytes
    assert log.weight_bytes[log.tenant == 1].sum() == count * batch.table.weight_bytes.sum()
    assert (log.weight_bytes <= log.resident_bytes).all()
    assert (log.fetch_cycles <= log.fetch_end - log.fetch_start).all()


def test_no_fetch_that_is_shown_moves_more_than_the_channel_can(tmp_path: Path) -> None:
    scenario = {"npu": NPU, "tenants": [CHAT, VISION], "duration_s": 0.01}
    options = RunOptions(details=True, trace=tmp_path / "trace.json")
    details = simulate_with(scenario, "layerweaver+", options)["details"]
    assert details is not None
    timeline = details["timeline"]
    assert timeline is not None
    shown = [
        (timeline["dram_bytes"][row], (timeline["fetch_end_ms"][row] - timeline["fetch_start_ms"][row]) * 1e6)
        for row in range(len(timeline["layer"]))
    ]
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    drawn = [event["args"] for event in events if event.get("cat") == "fetch"]
    assert {row["tenant"] for row in drawn} == {"chat", "vision"}
    shown += [(row["bytes"], row["cycles"] - row["stalled_cycles"]) for row in drawn]
    assert len(shown) > 1000
    assert not [pair for pair in shown if pair[0] > 100 * (pair[1] + 1)]
