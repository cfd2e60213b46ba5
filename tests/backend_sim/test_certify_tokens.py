"""The official LoadGen agrees on the times of tokens, to the nanosecond, and on the order of samples."""

from __future__ import annotations

import importlib.util
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from layerweaver.backend_sim.results.tokens import decoder_of, token_times
from layerweaver.backend_sim.run.prepare import prepare
from layerweaver.backend_sim.run.run import run_once
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.study.certify.certify import certify
from layerweaver.ir import LayerweaverError
from layerweaver.scheduler.policies import load_policy

needs_loadgen = pytest.mark.skipif(
    importlib.util.find_spec("mlperf_loadgen") is None or shutil.which("c++") is None,
    reason="needs mlcommons-loadgen and a C++ compiler",
)
TIMINGS = {
    "clock_mhz": 1000,
    "token_cycles": {"tokens": [1, 100], "cycles": [1000, 2000]},
    "sequence_cycles": {"sequences": [1, 2], "cycles": [40, 42]},
    "attention_cycles": {"per_context_token": 1},
}
CARD = {
    "name": "card",
    "clock_mhz": 1000,
    "array": {"rows": 128, "columns": 128},
    "dram": {"bandwidth_gb_s": 1008},
    "sram": {"weights_mb": 10},
    "fits_activations": True,
}


def _scenario(folder: Path, chance: random.Random) -> dict[str, Any]:
    """A random language model; one in two takes LoadGen's samples with equal issue."""
    (folder / "timings.yaml").write_text(yaml.safe_dump(TIMINGS))
    samples = chance.randint(2, 700)
    pairs = [f"{chance.randint(1, 60)},{chance.randint(2, 12)}" for _ in range(samples)]
    (folder / "pairs.csv").write_text("\n".join(["prompt,output", *pairs]))
    seeds = {"qsl_seed": chance.getrandbits(63), "sample_seed": chance.getrandbits(63)}
    file = {"file": str(folder / "pairs.csv")}
    lengths: list[dict[str, Any]] = [
        {**file, "order": "loadgen", **seeds},
        {**file, "order": "loadgen", **seeds},
        file,
        {"prompt": {"lognormal": {"mean": 30, "most": 200}}, "output": chance.randint(2, 9)},
    ]
    tenant = {
        "name": "chat",
        "model": {"timings": str(folder / "timings.yaml")},
        "llm": {"kv": {"blocks": 200}, "max_num_seqs": chance.randint(1, 32)},
        "lengths": chance.choice(lengths),
        "deadline": {"ttft_ms": 1000, "tpot_ms": 1000},
        "arrival": {"kind": "poisson", "qps": chance.randint(5000, 60_000), "seed": chance.getrandbits(63)},
    }
    # 459 and 662 queries are what early stopping needs with none and with one late.
    queries = chance.choice((458, 459, 460, 661, 662, 663, chance.randint(100, 3000)))
    duration = {"duration_s": chance.choice((0.01, 0.05, 0.2))} if chance.random() < 0.3 else {}
    return {"npu": CARD, "min_queries": queries, **duration, "tenants": [tenant]}


def _limits(scenario: dict[str, Any]) -> list[tuple[int, int]]:
    """Limits in ns on the edge: both percentiles just kept, either just missed, none late, one late."""
    prepared = prepare(load_scenario(scenario))
    run = run_once(prepared, load_policy("fcfs"))
    decoder = decoder_of(run, 0)
    assert decoder is not None
    times = token_times(run, 0, decoder)
    found = []
    for values in (sorted(times.ttft_ns.tolist()), sorted(times.tpot_ns.tolist())):
        found.append((values[int(len(values) * 0.99)], values[-1]))
    (first, most), (rest, longest) = found
    return [(first, rest), (first - 1, longest), (most, rest - 1), (most, longest), (most - 1, longest - 1)]


def _agree(folder: Path, seed: int) -> list[str]:
    """Verdicts of one random scenario at all its limits."""
    scenario, verdicts = _scenario(folder, random.Random(seed)), []
    for ttft_ns, tpot_ns in _limits(scenario):
        deadline = {"ttft_ms": ttft_ns / 1e6, "tpot_ms": tpot_ns / 1e6}
        tenants = [{**scenario["tenants"][0], "deadline": deadline}]
        found: Any = certify({**scenario, "tenants": tenants}, "fcfs")["tenants"][0]
        summary = found.pop("loadgen_summary")
        assert found["agree"], (seed, ttft_ns, tpot_ns, found, summary)
        assert found["ttft_p99_ns"] == found["loadgen_ttft_p99_ns"]
        assert found["tpot_p99_ns"] == found["loadgen_tpot_p99_ns"]
        assert f"tpot_latency (ns): {tpot_ns}" in summary
        verdicts.append(found["verdict"])
    return verdicts


@needs_loadgen
def test_tokens_agree_at_every_limit(tmp_path: Path) -> None:
    assert {*_agree(tmp_path, 1), *_agree(tmp_path, 5)} == {"VALID", "INVALID"}


@pytest.mark.slow
@needs_loadgen
def test_tokens_agree_very_often(tmp_path: Path) -> None:
    verdicts = [verdict for seed in range(100, 145) for verdict in _agree(tmp_path, seed)]
    assert len(verdicts) == 225
    assert min(verdicts.count("VALID"), verdicts.count("INVALID")) > 40


@needs_loadgen
def test_offline_agrees(tmp_path: Path) -> None:
    scenario = _scenario(tmp_path, random.Random(3))
    arrival = {"kind": "offline", "samples": 300}
    lengths = {"prompt": 50, "output": 5}
    found: Any = certify(
        {**scenario, "tenants": [{**scenario["tenants"][0], "arrival": arrival, "lengths": lengths}]}, "fcfs"
    )["tenants"][0]
    assert (found["agree"], found["verdict"]) == (True, "VALID")


@needs_loadgen
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lengths": {"prompt": 9, "output": 1}}, "request 0 has one token"),
        ({"deadline": {"ttft_ms": 5}}, "limits of both times"),
        ({"arrival": {"kind": "gamma", "qps": 5}}, "no gamma arrivals"),
    ],
)
def test_what_loadgen_cannot_judge_is_refused_before_simulating(
    tmp_path: Path, change: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("layerweaver.backend_sim.study.certify.certify.run_once", None)
    scenario = _scenario(tmp_path, random.Random(3))
    with pytest.raises(LayerweaverError, match=message):
        certify({**scenario, "tenants": [{**scenario["tenants"][0], **change}]}, "fcfs")


@pytest.mark.parametrize(
    ("model", "ttft_ms", "tpot_ms"),
    [
        ("llama2-70b", 2000, 200),
        ("llama2-70b-interactive", 450, 40),
        ("llama3.1-8b", 2000, 100),
        ("llama3.1-8b-interactive", 500, 30),
        ("llama3.1-405b", 6000, 175),
        ("llama3.1-405b-interactive", 4500, 80),
        ("mixtral-8x7b", 2000, 200),
        ("gpt-oss-120b", 3000, 80),
        ("gpt-oss-120b-interactive", 2000, 15),
        ("deepseek-r1", 2000, 80),
        ("deepseek-r1-interactive", 1500, 15),
    ],
)
def test_limits_of_mlperf(tmp_path: Path, model: str, ttft_ms: int, tpot_ms: int) -> None:
    scenario = _scenario(tmp_path, random.Random(3))
    own = {key: value for key, value in scenario["tenants"][0].items() if key != "deadline"}
    limits = load_scenario({**scenario, "tenants": [{**own, "mlperf_model": model}]}).token_limits(0)
    assert (limits.ttft_ns, limits.tpot_ns) == (ttft_ms * 10**6, tpot_ms * 10**6)
