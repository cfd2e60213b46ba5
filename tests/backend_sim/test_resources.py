"""What scenarios and results may expand to: refused while it is read, not when memory ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hostile.guard import bounded

from layerweaver.backend_sim.report.page import build_report
from layerweaver.backend_sim.run.prepare import prepare
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.ir import LayerweaverError, ScenarioError, TrafficError
from layerweaver.ir.json_text import parse_json

ARRIVAL = {"kind": "poisson", "qps": 1000, "seed": 1}


def scenario(*tenants: dict[str, Any], **keys: Any) -> dict[str, Any]:
    named = [{"name": f"t{number}", "arrival": ARRIVAL, **tenant} for number, tenant in enumerate(tenants)]
    return {"npu": "memory-centric", "duration_s": 0.001, "tenants": named, **keys}


def test_batch_sizes_of_all_tenants_are_bounded() -> None:
    sizes = {"max": 4096, "sizes": list(range(1, 4097))}
    with bounded(), pytest.raises(ScenarioError, match="81,920 batch sizes; at most 8,192"):
        prepare(load_scenario(scenario(*[{"model": "zoo:ncf", "batch": sizes}] * 20)))


@pytest.fixture
def long_costs(tmp_path: Path) -> str:
    rows = "".join(f"l{row},1000,900,800\n" for row in range(60_000))
    (tmp_path / "long.csv").write_text(f"layer,compute_cycles,dram_bytes,weight_bytes\n{rows}")
    return str(tmp_path / "long.csv")


def test_rows_of_all_tenants_are_bounded(long_costs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerweaver.backend_sim.run.variants.MAX_ROWS", 100_000)
    with bounded(), pytest.raises(ScenarioError, match="have more than 100,000 rows"):
        prepare(load_scenario(scenario(*[{"model": {"costs": long_costs}}] * 2)))


def test_samples_that_multiply_rows_are_bounded(long_costs: str) -> None:
    arrival = {"kind": "multi_stream", "samples": 4096, "queries": 1}
    with bounded(), pytest.raises(ScenarioError, match="have more than 1,000,000 rows"):
        prepare(load_scenario(scenario({"model": {"costs": long_costs}, "arrival": arrival})))


def test_requests_of_a_language_model_are_bounded() -> None:
    chat = {
        "model": "zoo:llama-3.1-8b",
        "llm": {"max_num_seqs": 4},
        "lengths": {"prompt": 1, "output": 1},
        "arrival": {"kind": "poisson", "qps": 1e9, "seed": 1},
    }
    with pytest.raises(TrafficError, match="more than 5,000,000 requests"):
        prepare(load_scenario(scenario(chat, npu="tpu-v6e", duration_s=1)))


def test_a_result_has_as_many_tenants_as_a_scenario() -> None:
    document = simulate(scenario({"model": "zoo:ncf"}), "fcfs")
    document["tenants"] = document["tenants"] * 1001
    with pytest.raises(LayerweaverError, match="tenants"):
        build_report([document])


def test_json_is_bounded_by_its_values() -> None:
    with bounded(), pytest.raises(ValueError, match="more than 2,000,000 values"):
        parse_json(json.dumps([[]] * 1_100_000).encode())
