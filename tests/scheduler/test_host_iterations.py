"""Iterations on NPUs that leave operators to a host, those included that are written in place."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Sequence
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from oracles.bound_decoders import agrees
from oracles.foreign_decoders import FORMS, build, graph_of
from oracles.naive_iteration import Member
from oracles.random_decoders import random_rows

from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.costmodel import load_npu
from layerweaver.ir import ConfigError
from layerweaver.scheduler.compile.compiler import ModelRequest, compile_models
from layerweaver.scheduler.compile.iterations import iteration_rows
from layerweaver.scheduler.iterations.pricer import RowPricer
from layerweaver.scheduler.iterations.rows import IterationRow, Term
from layerweaver.scheduler.profile.file import load_profile, save_profile

NPU: dict[str, Any] = {
    "name": "hosted",
    "clock_mhz": 1000,
    "array": {"rows": 32, "columns": 16},
    "dram": {"bandwidth_gb_s": 100, "burst_bytes": 64, "latency_ns": 30},
    "sram": {"weights_mb": 1, "activations_mb": 1},
}
ELSEWHERE = ("Concat", "Concat", "Split", "Slice", "Reshape", "Gather", "Unsqueeze", "MatMul", "Nothing")
"""What hosts run besides the operators whose work a graph counts."""


def _random_npu(rng: random.Random, operators: Sequence[str]) -> dict[str, Any]:
    host = {
        "operators": rng.sample(sorted({*operators, *ELSEWHERE}), rng.randint(1, 6)),
        "ns_per_element": rng.choice([0, 0.3, 1, 19.81]),
        "overhead_us": rng.choice([0, 5.45]),
    }
    stated: list[dict[str, Any]] = [
        {},
        {"overlap": 0.4},
        {"vector": {"lanes": 16, "beside_array": False}},
        {"inference_overhead_us": 7},
        {"array": {"rows": 32, "columns": 16, "dataflow": "os", "count": 2}},
    ]
    return {**NPU, "host": host, **rng.choice(stated)}


@pytest.mark.parametrize(
    "name",
    [
        *(QUICK := ("rotary", "fused", "stacked-rotary", "crossed-heads")),
        *(pytest.param(name, marks=pytest.mark.slow) for name in FORMS if name not in QUICK),
    ],
)
def test_equal_members_cost_what_the_bound_graph_costs(name: str, tmp_path: Path) -> None:
    source, form, rng = str(tmp_path / "decoder.onnx"), FORMS[name], random.Random(name)
    onnx.save(build(form), source)
    graphs = {size: graph_of(form, source, *size) for size in ((2, 3, 5), (2, 1, 5))}
    operators = {name for graph in graphs.values() for layer in graph.layers for name in layer.operators}
    for _ in range(12):
        agrees(source, load_npu(_random_npu(rng, sorted(operators))), partial(graph_of, form, source))


@pytest.mark.parametrize("source", ["zoo:gpt2", "zoo:qwen2.5-7b"])
def test_published_decoders(source: str) -> None:
    host = {"operators": ["Concat", "Split", "Softmax"], "ns_per_element": 0.7, "overhead_us": 2}
    agrees(source, load_npu({**NPU, "host": host}))


def _seen(row: IterationRow, member: Member) -> int:
    return min(member.past, row.window - member.new) if row.window else member.past


def _on_host(
    row: IterationRow, operators: Sequence[str], host: dict[str, Any], members: Sequence[Member]
) -> int:
    """Cycles at 1 GHz of what a host does for a row; its terms grow with sequences, new or cached tokens."""
    emits, single = sum(member.emits for member in members), all(member.new == 1 for member in members)
    # With one new token each, what grows with sequences may as well be what grows with tokens.
    by_member = row.by == "attention" or (single and row.by != "sequences")
    sequences = len(members) if by_member else emits

    def count(term: Term) -> int:
        sums = {5: sequences, 6: sum(one.new for one in members), 7: sum(_seen(row, one) for one in members)}
        return sum(term.coefficients[place] * value for place, value in sums.items())

    if row.by == "sequences" and not emits:
        return 0
    elements = calls = 0
    for term, operator in zip(row.vector, operators, strict=True):
        if operator in host["operators"]:
            elements, calls = elements + count(term), calls + 1
    if "Concat" in host["operators"]:
        assert row.joined is not None
        joined = max((min(count(term) for term in readers) for readers in row.joined), default=0)
        elements, calls = elements + joined, calls + (joined > 0)
    seconds: float = elements * host["ns_per_element"] * 1e-9 + calls * host["overhead_us"] * 1e-6
    return ceil(seconds * 10**9)


def test_unequal_members_cost_what_the_formula_says() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        rows = random_rows(rng)
        host = {
            "operators": rng.sample(["Add", "Mul", "Concat"], rng.randint(1, 3)),
            "ns_per_element": rng.choice([1, 2.5]),
            "overhead_us": rng.choice([0, 3]),
        }
        free = {**host, "ns_per_element": 0, "overhead_us": 0}
        pricers = [RowPricer(rows, load_npu({**NPU, "host": one}), 16) for one in (host, free)]
        for _ in range(3):
            members = [
                Member(rng.choice([1, 1, rng.randint(1, 10)]), rng.randint(1, 90), rng.random() < 0.5)
                for _ in range(rng.randint(1, 40))
            ]
            asked = np.array([[one.new, one.past, one.emits] for one in members], np.int64)
            costs, without = (pricer.price(asked, None, 1) for pricer in pricers)
            expected = [
                _on_host(rows.distinct[index][0], label.operators, host, members)
                for index, label in zip(rows.row_index, rows.labels, strict=True)
            ]
            assert (costs - without)[:, 0].tolist() == expected, seed
            assert (costs - without)[:, 1:].any() == np.False_


CHAT: dict[str, Any] = {
    "name": "chat",
    "llm": {"max_num_seqs": 8, "max_batched_tokens": 64, "kv": {"blocks": 200}},
    "lengths": {"prompt": {"lognormal": {"mean": 50, "cv": 1, "most": 200}}, "output": 5},
    "deadline": {"ttft_ms": 100, "tpot_ms": 20},
    "arrival": {"kind": "poisson", "qps": 30, "seed": 3},
}
HOST = {"operators": ["Concat"], "ns_per_element": 0.7, "overhead_us": 2}


def _served(npu: dict[str, Any], model: Any) -> dict[str, Any]:
    document = dict(simulate({"npu": npu, "min_queries": 5, "tenants": [{**CHAT, "model": model}]}, "edf"))
    del document["run"], document["scenario"]
    return document


def test_profiles_tell_what_is_joined_and_older_ones_are_asked_only_otherwise(tmp_path: Path) -> None:
    model, hosted = str(tmp_path / "decoder.onnx"), {**NPU, "host": HOST}
    onnx.save(build(FORMS["rotary"]), model)
    new, old = tmp_path / "new.lwp", tmp_path / "old.lwp"
    save_profile(compile_models([ModelRequest("chat", model, iterations=True)], NPU), new)
    assert load_profile(new).decoder("chat").rows.distinct == iteration_rows(model, {}).distinct
    with zipfile.ZipFile(new) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members["manifest.json"])
    assert manifest["version"] == 6
    manifest["version"] = 4
    for decoder in manifest["decoders"]:
        for label in decoder["labels"]:
            del label["listed"], label["single_listed"]
        for row in (row for pair in decoder["distinct"] for row in pair):
            del row["joined"]
    members["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(old, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    assert _served(hosted, {"profile": str(new)}) == _served(hosted, model)
    assert _served(hosted, {"profile": str(new)}) != _served(NPU, model)
    for npu in (NPU, {**NPU, "host": {**HOST, "operators": ["Softmax"]}}):
        assert _served(npu, {"profile": str(old)}) == _served(npu, model)
    with pytest.raises(ConfigError, match=r"compiled by an older version.*compile it again$"):
        _served(hosted, {"profile": str(old)})
