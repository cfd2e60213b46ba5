"""No schedule of a language model's iterations is above the bound on its rate, and some are near it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from layerweaver.backend_sim.study.simulate import simulate

WAYS = ("vllm-v1", "prefill-first", "static")
SHAPES = ((300, 20, 32, 512), (40, 200, 16, 64), (900, 4, 8, 256), (64, 64, 64, 2048), (500, 30, 1, 512))


def _system(way: str, shape: tuple[int, int, int, int], qps: float) -> dict[str, Any]:
    prompt, output, members, budget = shape
    chat = {
        "name": "chat",
        "model": "zoo:gpt2",
        "llm": {"max_num_seqs": members, "max_batched_tokens": budget, "scheduling": way},
        "lengths": {"prompt": prompt, "output": output},
        "arrival": {"kind": "poisson", "qps": qps, "seed": 1},
    }
    document: Any = simulate({"npu": "tpu-v5e", "min_queries": 300, "tenants": [chat]}, "edf")
    return {**document["system"], "completed_qps": document["tenants"][0]["qps"]}


@pytest.mark.parametrize(("way", "shape"), list(itertools.product(WAYS, SHAPES)))
def test_nobody_is_above_the_bound(way: str, shape: tuple[int, int, int, int]) -> None:
    if way != "vllm-v1" and shape[0] > shape[3]:
        pytest.skip("prompts are not served in chunks")
    system = _system(way, shape, 1e6)
    assert system["completed_qps"] <= system["bound_qps"]
    if way == "vllm-v1":
        assert system["completed_qps"] >= 0.5 * system["bound_qps"]
