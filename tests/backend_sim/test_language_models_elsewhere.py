"""Language models in recordings, searches and policies, beside other tenants."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from layerweaver.backend_sim.results.document import run_document
from layerweaver.backend_sim.results.sentence import answer, verdict_sentence
from layerweaver.backend_sim.run.prepare import prepare
from layerweaver.backend_sim.run.run import run_once
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.study.peak.peak import peak
from layerweaver.backend_sim.study.repeat import RunOptions
from layerweaver.backend_sim.study.simulate import simulate_with
from layerweaver.ir import LayerweaverError
from layerweaver.scheduler.policies import load_policy

SCENARIO: dict[str, Any] = {
    "npu": {
        "name": "small",
        "clock_mhz": 1000,
        "precision_bytes": 2,
        "array": {"rows": 64, "columns": 64, "count": 4, "dataflow": "ws", "split": "best"},
        "dram": {"bandwidth_gb_s": 100, "capacity_gb": 1},
        "sram": {"weights_mb": 4, "activations_mb": 4},
    },
    "min_queries": 20,
    "tenants": [
        {
            "name": "chat",
            "model": "zoo:gpt2",
            "llm": {"max_num_seqs": 8, "max_batched_tokens": 64},
            "lengths": {"prompt": 100, "output": 5},
            "deadline": {"ttft_ms": 200, "tpot_ms": 100},
            "arrival": {"kind": "poisson", "qps": 20, "seed": 3},
        },
        {"name": "vision", "model": "zoo:resnet18", "arrival": {"kind": "poisson", "qps": 50, "seed": 1}},
    ],
}


def test_recordings_show_iterations_and_every_request(tmp_path: Path) -> None:
    trace, log, requests = tmp_path / "t.json", tmp_path / "l.csv", tmp_path / "r.csv"
    document = simulate_with(
        SCENARIO, "layerweaver+", RunOptions(trace=trace, log=log, requests=requests, details=True)
    )
    chat = document["tenants"][0]
    with requests.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["status"] for row in rows] == ["completed"] * 40
    assert [row["prompt"] for row in rows] == ["100"] * 20 + [""] * 20
    events = json.loads(trace.read_text())["traceEvents"]
    members = [
        event["args"]["members"]
        for event in events
        if event.get("name") == "chat iterations" and event["ph"] == "b"
    ]
    assert len(members) == chat["llm"]["iterations"]
    with log.open() as stream:
        layers = {row["layer"] for row in csv.DictReader(stream) if row["tenant"] == "chat"}
    assert "h.0.attn.scores" in layers
    free = 0.9e9 - 2 * 124_439_808
    assert chat["llm"]["kv_blocks"] <= free / (16 * 2 * 18_432)
    assert chat["llm"]["kv_blocks"] > 0.8 * free / (16 * 2 * 18_432)


def test_woven_rows_do_not_change_what_a_model_computes() -> None:
    one, other = (simulate_with(SCENARIO, policy)["tenants"][0]["llm"] for policy in ("edf", "layerweaver+"))
    for key in ("tokens_in", "tokens_out", "kv_blocks"):
        assert one[key] == other[key]


def test_rows_longer_than_others_can_wait_are_told() -> None:
    def warned(**llm: int) -> list[str]:
        chat, vision = SCENARIO["tenants"]
        chat = {**chat, "llm": {**chat["llm"], **llm}, "lengths": {"prompt": 600, "output": 2}}
        vision = {**vision, "deadline_ms": 0.3}
        return list(prepare(load_scenario({**SCENARIO, "tenants": [chat, vision]})).warnings)

    (told,) = warned(max_batched_tokens=512)
    assert told.startswith("chat: row ")
    assert "and vision can wait" in told
    assert not warned(max_batched_tokens=16)


def test_energy_of_language_models_is_told_like_that_of_others() -> None:
    def told(**energy: float) -> tuple[dict[str, Any], dict[str, int]]:
        prepared = prepare(load_scenario({**SCENARIO, "npu": {**SCENARIO["npu"], "energy": energy}}))
        assert not [warning for warning in prepared.warnings if "energy" in warning]
        run = run_once(prepared, load_policy("layerweaver+"))
        decoder = run.outcomes[0].tenants[0].decoder
        assert decoder is not None
        return cast(dict[str, Any], run_document(run)), decoder.counts

    by_bytes, counts = told(dram_byte_pj=10.0)
    chat, vision = by_bytes["tenants"]
    assert chat["energy_j"] == pytest.approx(counts["data_bytes"] * 10e-12, rel=0.01)
    assert by_bytes["system"]["energy_j"] == pytest.approx(chat["energy_j"] + vision["energy_j"], rel=0.01)
    assert told(dram_byte_pj=10.0, mac_pj=1.0)[0]["tenants"][0]["energy_j"] > chat["energy_j"]


def test_peak_looks_at_tokens() -> None:
    found: Any = peak(SCENARIO, ["layerweaver+"], queries=60)["results"][0]
    assert found["peak_qps"] > 0
    assert found["status"] == "too_short"
    for point in found["trial_points"]:
        chat, other = point["tenants"]
        assert 0 < chat["ttft_p99_ms"] <= chat["p99_ms"]
        assert 0 < chat["tpot_p99_ms"] < chat["p99_ms"]
        assert "ttft_p99_ms" not in other
        assert chat["deadline"] == {"itl_ms": None, "mode": "mean", **SCENARIO["tenants"][0]["deadline"]}
        assert "deadline_ms" not in chat
        assert other["deadline_ms"] is None


def test_the_sentence_speaks_of_tokens() -> None:
    def run(policy: str, ttft_ms: float, tpot_ms: float) -> Any:
        latency = dict.fromkeys(("mean", "p50", "p90", "p99", "p999", "max"), 900.0)
        tenant = {
            "name": "chat",
            "arrived": 10,
            "qps": 10.0,
            "violation_rate": 0.0,
            "latency_ms": latency,
            "percentile_ms": 900.0,
            "status": "met",
            "deadline": {"ttft_ms": 100.0, "tpot_ms": 20.0, "itl_ms": None, "mode": "mean"},
            "llm": {"ttft_ms": {"p99": ttft_ms}, "tpot_ms": {"p99": tpot_ms}},
        }
        system = {"offered_qps": 10.0, "stp": 0.5, "bound_qps": 20.0}
        return {"policy": policy, "npu": "n", "tenants": [tenant], "system": system}

    runs = [run("fcfs", 80.0, 9.0), run("layerweaver+", 40.0, 12.0)]
    said = verdict_sentence(runs)
    assert "cut the 99th percentile of chat's TTFT from 80 to 40 ms" in said
    assert "raised the 99th percentile of chat's TPOT from 9 to 12 ms" in said
    assert "layerweaver+ (least headroom: chat's TPOT, 40% of its limit left)" in answer(
        runs, ["fcfs", "layerweaver+"]
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"llm": {"long_prefill_threshold": 4096}}, "llm.long_prefill_threshold changes nothing"),
        ({"llm": {"scheduling": "static", "kv": {"reserve_full": False}}}, "kv.reserve_full changes nothing"),
        ({"deadline": {"ttft_ms": 90, "itl_ms": 5, "mode": "strict"}}, ""),
    ],
)
def test_keys_without_effect_are_said(changes: dict[str, Any], said: str) -> None:
    chat, vision = SCENARIO["tenants"]
    warnings = load_scenario({**SCENARIO, "tenants": [{**chat, **changes}, vision]}).warnings
    assert [line for line in warnings if "changes nothing" in line and said in line] or not said
    assert said or not any("changes nothing" in line for line in warnings)


def test_what_is_not_built_is_refused() -> None:
    with pytest.raises(LayerweaverError, match="tables of fixed rows"):
        simulate_with(SCENARIO, "static-weave")
    small = {**SCENARIO, "npu": {**SCENARIO["npu"], "dram": {"bandwidth_gb_s": 100, "capacity_gb": 0.3}}}
    with pytest.raises(LayerweaverError, match="do not fit the DRAM"):
        prepare(load_scenario(small))
    unknown = {**SCENARIO, "npu": {**SCENARIO["npu"], "dram": {"bandwidth_gb_s": 100}}}
    with pytest.raises(LayerweaverError, match="capacity_gb"):
        prepare(load_scenario(unknown))


def test_stated_blocks_must_fit_the_dram() -> None:
    def prepared(blocks: Sequence[int | None], capacity_gb: float | None) -> list[int]:
        dram = {"bandwidth_gb_s": 100, **({} if capacity_gb is None else {"capacity_gb": capacity_gb})}
        chat = SCENARIO["tenants"][0]
        tenants = [
            {**chat, "name": f"chat{index}", "llm": {**chat["llm"], "kv": {"blocks": count}}}
            for index, count in enumerate(blocks)
        ]
        document = {**SCENARIO, "npu": {**SCENARIO["npu"], "dram": dram}, "tenants": tenants}
        return [model.rules.blocks for model in prepare(load_scenario(document)).decoders if model]

    weights, block = 2 * 124_439_808, 16 * 2 * 18_432
    assert prepared([10**9], None) == [10**9]
    assert prepared([1000], 1) == [1000]
    for blocks, capacity_gb in (([10**9], 1), ([1000], 0.001), ([1000], (weights + 999 * block) / 1e9)):
        with pytest.raises(LayerweaverError, match="GB too much"):
            prepared(blocks, capacity_gb)
    alone, beside = prepared([None, 1], 1.0)[0], prepared([None, 101], 1.0)[0]
    assert alone - beside == 100


@pytest.mark.parametrize(("mode", "said"), [("mean", True), ("strict", False)])
def test_a_limit_between_tokens_without_effect_is_said(mode: str, said: bool) -> None:
    chat = {**SCENARIO["tenants"][0], "deadline": {"ttft_ms": 200, "tpot_ms": 100, "itl_ms": 9, "mode": mode}}
    warnings = prepare(load_scenario({**SCENARIO, "tenants": [chat]})).warnings
    assert any("deadline.itl_ms changes nothing in mode mean" in line for line in warnings) == said
