"""A tenant of whom no request came in the measured time has no share of late ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.report.page import build_report
from layerweaver.backend_sim.study.simulate import compare, simulate


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Any]:
    costs = tmp_path / "costs.csv"
    costs.write_text("layer,compute_cycles,dram_bytes,weight_bytes\nl,7000,0,0\n")
    common = {"model": {"costs": str(costs)}, "deadline_ms": 5}
    return {
        "npu": "memory-centric",
        "duration_s": 1,
        "warmup_s": 0.5,
        "tenants": [
            {**common, "name": "bulk", "arrival": {"kind": "offline", "samples": 20}},
            {**common, "name": "other", "arrival": {"kind": "poisson", "qps": 300, "seed": 1}},
        ],
    }


def test_a_share_of_nothing_is_none(keys: dict[str, Any]) -> None:
    bulk, other = simulate(keys)["tenants"]
    assert (bulk["arrived"], bulk["violation_rate"], bulk["status"]) == (0, None, "too_short")
    assert (other["arrived"] > 0, other["violation_rate"]) == (True, 0.0)


def test_a_language_model_without_requests_has_no_share_either(keys: dict[str, Any]) -> None:
    chat = {
        "name": "chat",
        "model": "zoo:gpt2",
        "llm": {"kv": {"blocks": 100}},
        "lengths": {"prompt": 4, "output": 2},
        "deadline": {"ttft_ms": 100, "tpot_ms": 10},
        "arrival": {"kind": "offline", "samples": 2},
    }
    result = simulate({**keys, "tenants": [chat, keys["tenants"][1]]})
    tenant = result["tenants"][0]
    shares = [tenant["llm"]["ttft_violation_rate"], tenant["llm"]["tpot_violation_rate"]]
    assert (tenant["arrived"], tenant["violation_rate"], shares) == (0, None, [None, None])


def test_seeds_pages_and_sentences_take_it(keys: dict[str, Any]) -> None:
    result = compare(keys, ["fcfs", "edf"], seeds=2)
    assert "bulk" in build_report([result])
