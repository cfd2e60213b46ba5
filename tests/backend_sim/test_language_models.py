"""Language models in scenarios: a measured run, verdicts on tokens, and what is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles.timed_chat import CARD, TIMINGS

from layerweaver.backend_sim.results.verdict import Judgement, RunFacts, judge_tokens
from layerweaver.backend_sim.study.repeat import RunOptions
from layerweaver.backend_sim.study.simulate import simulate_with
from layerweaver.ir import LayerweaverError

DATA = Path(__file__).parent.parent / "data"
Make = Callable[..., dict[str, Any]]


def _columns(name: str, key: str) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    with (DATA / "vllm_rtx4090" / name).open() as stream:
        for row in csv.DictReader(stream):
            found.setdefault(row["layer"], {})[int(row[key])] = float(row["time_us"])
    return found


def _measured_timings() -> dict[str, Any]:
    """Times of Llama-3.1-8B on the card: kernels as measured, attention as linear forms of relative error."""
    dense, heads = _columns("profile_dense.csv", "tokens"), _columns("profile_per_sequence.csv", "sequences")
    once = ("embedding", "final_layernorm")
    times = {name: 1 if name in once else 64 if name == "layernorm" else 32 for name in dense}
    with (DATA / "vllm_rtx4090" / "profile_attention.csv").open() as stream:
        rows = np.array([[float(value) for value in row.values()] for row in csv.DictReader(stream)])
    chunk, cached, sequences, context, micros = rows.T

    def fitted(which: Any, *terms: Any) -> list[float]:
        form = np.stack([np.ones(int(which.sum())), *(term[which] for term in terms)], 1)
        weight = 1 / micros[which]
        values = np.linalg.lstsq(form * weight[:, None], np.ones(len(form)), rcond=None)[0]
        return [float(value) * 32_000 for value in values]

    decode = fitted((chunk == 0) & (sequences > 0), sequences, sequences * context)
    prefill = fitted((chunk > 0) & (sequences == 0), chunk, chunk * cached, chunk**2)
    tokens, emitting = sorted(dense["layernorm"]), sorted(heads["lm_head"])
    return {
        "clock_mhz": 1000,
        "token_cycles": {
            "tokens": tokens,
            "cycles": [sum(1000 * times[name] * dense[name][count] for name in dense) for count in tokens],
        },
        "sequence_cycles": {
            "sequences": emitting,
            "cycles": [sum(1000 * heads[name][count] for name in heads) for count in emitting],
        },
        "attention_cycles": {
            "fixed": decode[0],
            "per_sequence": decode[1],
            "per_context_token": decode[2],
            "per_prefill_token": prefill[1],
            "per_prefill_pair": prefill[2],
            "per_prefill_square": prefill[3],
        },
    }


def test_equals_a_measured_run_of_vllm(chat: Make, tmp_path: Path) -> None:
    with (DATA / "vllm_rtx4090" / "requests.jsonl").open() as stream:
        measured = [json.loads(line) for line in stream]
    measured.sort(key=lambda request: float(request["queued_ts"]))
    trace = tmp_path / "trace.csv"
    rows = ["tenant,arrival_ns,prompt,output"]
    for request in measured:
        due = round((request["queued_ts"] - measured[0]["queued_ts"]) * 1e9)
        rows.append(f"chat,{due},{request['input_toks']},{request['output_toks']}")
    trace.write_text("\n".join(rows))
    scenario = chat(
        _measured_timings(),
        llm={"kv": {"blocks": 2588}},
        lengths={"from": "trace"},
        arrival={"kind": "trace", "file": str(trace)},
    )
    requests = tmp_path / "requests.csv"
    served = simulate_with(scenario, None, RunOptions(requests=requests))["tenants"][0]
    ttft = np.array([request["first_token_ts"] - request["queued_ts"] for request in measured]) * 1e3
    latency = np.array([request["last_token_ts"] - request["queued_ts"] for request in measured]) * 1e3
    tpot = (latency - ttft) / np.array([request["output_toks"] - 1 for request in measured])
    for ours, theirs in (
        (served["llm"]["ttft_ms"], ttft),
        (served["llm"]["tpot_ms"], tpot),
        (served["latency_ms"], latency),
    ):
        assert ours["mean"] == pytest.approx(theirs.mean(), rel=0.02)
        assert ours["p99"] == pytest.approx(np.percentile(theirs, 99), rel=0.04)
    assert 150 < served["llm"]["preemptions"] < 240
    with requests.open() as stream:
        written = list(csv.DictReader(stream))
    assert [int(row["tokens"]) for row in written] == [request["output_toks"] for request in measured]
    assert sum(int(row["preemptions"]) for row in written) == served["llm"]["preemptions"]
    mean = np.mean([int(row["last_token_ns"]) - int(row["arrival_ns"]) for row in written]) / 1e6
    assert mean == pytest.approx(served["latency_ms"]["mean"])


def test_one_request_takes_what_its_iterations_take(chat: Make) -> None:
    scenario = chat(lengths={"prompt": 150, "output": 3}, deadline={"ttft_ms": 1, "tpot_ms": 1})
    scenario["min_queries"] = 1
    scenario["tenants"][0]["llm"]["max_batched_tokens"] = 100
    served: Any = simulate_with(scenario)["tenants"][0]
    assert served["llm"]["iterations"] == 4
    first = 2000 + int(1000 + 1000 * 49 / 99 + 40)
    assert served["llm"]["ttft_ms"]["max"] * 1e6 == pytest.approx(first)
    assert served["latency_ms"]["max"] * 1e6 == pytest.approx(first + 2 * 1040)
    assert served["standalone_ms"] == pytest.approx(served["latency_ms"]["mean"])
    assert served["deadline"] == {"ttft_ms": 1.0, "tpot_ms": 1.0, "itl_ms": None, "mode": "mean"}
    assert served["violation_rate"] == 0
    assert served["llm"]["kv_occupancy"]["max"] == 10 / 100


@pytest.mark.parametrize("overhead_us", [0, 500])
def test_time_alone_is_that_of_iterations_one_after_the_other(overhead_us: float, chat: Make) -> None:
    antt = {}
    for boundary in ("sync", "async"):
        llm: dict[str, Any] = {"boundary": boundary, "step_overhead_us": overhead_us, "kv": {"blocks": 100}}
        llm["max_batched_tokens"] = 64
        arrival = {"kind": "poisson", "qps": 1, "seed": 1}
        scenario = chat(model="zoo:gpt2", llm=llm, lengths={"prompt": 100, "output": 4}, arrival=arrival)
        scenario |= {"min_queries": 3, "npu": {**CARD, "sram": {"weights_mb": 400}}}
        document: Any = simulate_with(scenario, "layerweaver+")
        antt[boundary] = document["system"]["antt"]
    assert antt["sync"] == pytest.approx(1, abs=1e-5)
    assert 0.5 < antt["async"] < 0.999


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"llm": None, "model": "zoo:ncf"}, "lengths is for language models"),
        ({"batch": 4}, "max_num_seqs"),
        ({"deadline_ms": 5}, "ttft_ms"),
        ({"queue": {"limit": 3}}, "does not work with language models"),
        ({"arrival": {"kind": "closed_loop", "concurrency": 2}}, "not built for language models"),
        ({"lengths": None}, "needs lengths"),
        ({"lengths": {"from": "trace"}}, "kind: trace"),
        ({"lengths": {"prompt": 5}}, "both prompt and output"),
        ({"lengths": {"prompt": 5, "output": 0}}, "number of tokens"),
        ({"lengths": {"prompt": 99_999_999, "output": 1}}, "'99999999' is too large; give 1 to 10,000,000"),
        ({"lengths": {"source": "trace"}}, r"lengths\.source: unknown key 'source'; accepted: .* from, file"),
        ({"lengths": {"from": "trade"}}, r"lengths\.from: 'trade' is not accepted"),
        ({"lengths": {"file": "x.csv", "order": "loadgen", "qsl_seed": 1}}, "sample_seed"),
        ({"lengths": {"prompt": 1600, "output": 10}}, "request 0 with 1600"),
        ({"llm": {}}, "kv: {blocks"),
        ({"llm": {"kv": {"blocks": 0}}}, "blocks"),
        ({"llm": {"max_batched_tokens": 0}}, "max_batched_tokens: .* from 1 to 1,000,000$"),
        ({"llm": {"max_num_seqs": 0}}, "max_num_seqs: .* from 1 to 100,000$"),
        ({"llm": {"max_num_seqs": 200_000}}, "max_num_seqs: .* from 1 to 100,000$"),
        (
            {"model": "zoo:ncf"},
            r"tenants\[0\]\.llm: the model of tenant 'chat' is no language model: zoo:ncf",
        ),
        ({"llm": {"kv": {"blocks": 9, "prefix_cache": True}}}, "not built"),
        ({"llm": {"kv": {"blocks": 9}, "buckets": {"tokens": [8]}}}, "not built"),
        ({"llm": {"kv": {"blocks": 9}, "tensor_parallel": {"chips": 2}}}, "not built"),
        ({"llm": {"kv": {"blocks": 9}, "preemption": "swap"}}, "not built"),
        ({"llm": {"kv": {"blocks": 100}, "max_model_len": 54}}, "max_model_len"),
        ({"deadline": {"mode": "strict"}}, "itl_ms"),
        ({"deadline": {"itl_ms": 5, "mode": "strict"}}, "itl_ms: only guides policies.* ttft_ms and tpot_ms"),
        ({"deadline_ms": 5}, "deadline_ms: .*or leave llm out"),
        ({"lengths": {"prompt": {"mean": 100, "most": 5}, "output": 1}}, "100 tokens is above most, 5"),
        ({"mlperf_model": "resnet50-v1.5"}, "no limits per token"),
        ({"timings": {**TIMINGS, "clock_mhz": 900}}, "900 MHz"),
        ({"timings": {**TIMINGS, "token_cycles": {"tokens": [2, 1], "cycles": [1, 2]}}}, "ascend"),
        ({"timings": {"clock_mhz": 1000}}, "token_cycles"),
    ],
    ids=str,
)
def test_refusals(change: dict[str, Any], message: str, chat: Make) -> None:
    scenario = chat(**change)
    with pytest.raises(LayerweaverError, match=message) as refused:
        simulate_with(scenario)
    assert "\n" not in str(refused.value)


def test_what_a_model_of_times_lacks_is_not_told_of_it(chat: Make) -> None:
    documents = [
        simulate_with(chat(llm={"kv": {"blocks": 100}, "max_batched_tokens": 512})),
        simulate_with(chat(model="zoo:gpt2", llm={"kv": {"blocks": 100}})),
    ]
    for document in documents:
        system: Any = document["system"]
        busy = max(system["compute_utilization"], system["dram_utilization"])
        assert busy > 1.5 * system["offered_share"], "the note has nothing to explain"
    timed, costed = ("move the weights" in " ".join(item.get("notes", ())) for item in documents)
    assert (timed, costed) == (False, True)


def _facts() -> RunFacts:
    return RunFacts("poisson", 0.99, None, 10**12, 0, 100, 0)


def test_verdict_on_tokens() -> None:
    good, bad = np.full(1000, 5), np.full(1000, 50)
    few_bad = np.where(np.arange(1000) < 11, 50, 5)
    assert judge_tokens(good, good, (10, 10), _facts()) == Judgement("VALID", "met")
    assert judge_tokens(good, good, (None, None), _facts()) == Judgement(None)
    reasons = judge_tokens(bad, bad, (10, 10), _facts()).reasons
    assert [reason.startswith("early stopping") for reason in reasons] == [False, False]
    assert "time per output token" in reasons[0]
    found = judge_tokens(few_bad, good, (10, 10), _facts())
    assert (found.verdict, found.status) == ("INVALID", "late")
    assert found.reasons[0].startswith("p99 time to first token is above")
    allowed = np.where(np.arange(1000) < 3, 50, 5)
    assert judge_tokens(allowed, allowed, (10, 10), _facts()).status == "too_short"
    assert judge_tokens(np.resize(allowed, 2000), good, (10, 10), _facts()).verdict == "VALID"
