"""Iterations that a cost model prices as they come: plug-ins, and rules that no table holds."""

from __future__ import annotations

import pickle
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from oracles.bound_decoders import agrees
from oracles.cost_models import FIXED_CYCLES
from oracles.foreign_decoders import FORMS, build, graph_of
from oracles.naive_iteration import Member
from oracles.random_decoders import random_rows

from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.costmodel import load_npu
from layerweaver.costmodel.plugins import ARRAY_MODELS, COST_MODELS
from layerweaver.ir import ConfigError
from layerweaver.scheduler.compile.compiler import ModelRequest, compile_models
from layerweaver.scheduler.compile.iterations import iteration_rows
from layerweaver.scheduler.iterations.pricer import RowPricer
from layerweaver.scheduler.iterations.rows import IterationRow, Term
from layerweaver.scheduler.profile.file import save_profile

EXAMPLE = Path(__file__).parents[2] / "examples" / "layerweaver-example-npu"

NPU: dict[str, Any] = {
    "name": "other",
    "clock_mhz": 1000,
    "array": {"rows": 32, "columns": 16},
    "dram": {"bandwidth_gb_s": 100, "burst_bytes": 64, "latency_ns": 30},
    "sram": {"weights_mb": 1, "activations_mb": 1},
}

STATED: dict[str, dict[str, Any]] = {
    "efficiency": {"array": {"rows": 32, "columns": 16, "efficiency": 0.7}},
    "fold losses": {"array": {"rows": 32, "columns": 16, "fold_losses": False}},
    "speed": {"vector": {"lanes": 16, "speed": 0.7}},
    "one after the other": {"vector": {"lanes": 16, "beside_array": False, "free_clips": True}},
    "overlap": {"overlap": 0.5},
    "overlap in pieces": {"overlap": 0.3, "pipeline_mb": 0.2},
    "head and stores": {
        "overlap": 0.8,
        "overlap_from_mb": 0.01,
        "shortest_load_us": 2,
        "stores_last": True,
        "activations_in_dram": "all",
    },
    "evenly": {"array": {"rows": 32, "columns": 16, "count": 6, "split": "even", "swap_operands": True}},
    "cores": {
        "array": {"rows": 32, "columns": 16, "count": 2, "cores": 2},
        "activations_in_dram": "graph_io",
    },
    "share": {"activations_in_dram_share": 0.5},
    "inference": {"inference_overhead_us": 7},
    "host": {"host": {"operators": ["Softmax", "Gather", "Add"], "ns_per_element": 1, "overhead_us": 3}},
    "products": {"activations_in_dram": "products"},
    "outer product": {"array": {"rows": 32, "columns": 16, "dataflow": "outer-product"}},
    "with host": {"cost_model": "with-host"},
    "linear": {"cost_model": "linear"},
    "curious": {"cost_model": "curious"},
}


@pytest.fixture(autouse=True)
def _plug_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)
    places = {name: f"oracles.cost_models:{name}" for name in ("linear", "curious", "fails", "halves")}
    places["with-host"] = "layerweaver_example_npu.models:with_host"
    for name, place in places.items():
        monkeypatch.setitem(COST_MODELS.entries, name, EntryPoint(name, place, COST_MODELS.group))
    place, group = "layerweaver_example_npu.models:outer_product", ARRAY_MODELS.group
    monkeypatch.setitem(ARRAY_MODELS.entries, "outer-product", EntryPoint("outer-product", place, group))


@pytest.mark.parametrize("name", STATED)
def test_equal_members_cost_what_the_bound_graph_costs(name: str) -> None:
    agrees("zoo:gpt2", load_npu({**NPU, **STATED[name]}))


@pytest.mark.parametrize("name", STATED)
def test_behind_a_window_too(name: str, tmp_path: Path) -> None:
    form, source = FORMS["window"], str(tmp_path / "decoder.onnx")
    onnx.save(build(form), source)
    agrees(source, load_npu({**NPU, **STATED[name]}), partial(graph_of, form, source))


@pytest.mark.slow
@pytest.mark.parametrize("name", STATED)
def test_with_grouped_queries(name: str) -> None:
    agrees("zoo:qwen2.5-7b", load_npu({**NPU, **STATED[name]}))


def _counted(terms: Sequence[Term], members: Sequence[Member]) -> int:
    """Terms of random rows: some per new token, some per cached one."""
    return sum(
        term.coefficients[6] * member.new + term.coefficients[7] * member.past
        for term in terms
        for member in members
    )


def _by_blocks(row: IterationRow, member: Member, block: int) -> int:
    tokens = range(member.past)[-(row.window - 1) :] if row.window > 1 else range(member.past)
    return block * len({token // block for token in tokens})


def _looks_at(row: IterationRow, member: Member) -> int:
    return min(member.new + member.past, row.window or 10**9) - member.new


def _linear(row: IterationRow, members: Sequence[Member]) -> int:
    """A cycle per multiply-accumulate, two per operand, and the fixed ones."""
    macs = 0
    if row.attention is not None:
        shape = row.attention
        for member in members:
            sizes = (1, member.new, _looks_at(row, member))
            m, n, k = (
                sum(factor * size for factor, size in zip(extent, sizes, strict=True))
                for extent in (shape.m, shape.n, shape.k)
            )
            macs += shape.groups * m * n * k
    elif row.by:
        streams = {
            "tokens": sum(member.new for member in members),
            "sequences": sum(member.emits for member in members),
            "nothing": 1,
        }
        macs = streams[row.by] * row.m * row.groups * row.n * row.k
        if row.by == "sequences" and not macs:
            return 0
    return macs * max(1, row.steps) + 2 * _counted(row.vector, members) + FIXED_CYCLES


def test_unequal_members_cost_what_the_formula_says() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        rows, block = random_rows(rng), rng.choice([1, 4, 16])
        dram, waited = {"bandwidth_gb_s": 9, "latency_ns": 100}, 900
        config = load_npu({**NPU, "precision_bytes": 2, "dram": dram, "cost_model": "linear"})
        pricer = RowPricer(rows, config, 16)
        for _ in range(3):
            members = [
                Member(rng.choice([1, 1, rng.randint(1, 10)]), rng.randint(1, 90), rng.random() < 0.5)
                for _ in range(rng.randint(1, 40))
            ]
            asked = np.array([[one.new, one.past, one.emits] for one in members], np.int64)
            prices = pricer.price(asked, None, block)
            for place, index in enumerate(rows.row_index):
                row = rows.distinct[index][0]
                moved = [2 * elements for elements, _ in row.weights]
                moved += [2 * _counted([term], members) for term in (*row.gathers, *row.writes)]
                whole = [replace(one, past=_by_blocks(row, one, block)) for one in members]
                read = [2 * _counted([term], whole) for term in row.reads]
                requests, cached = (sum(size > 0 for size in sizes) for sizes in (moved + read, read))
                data, cache = sum(moved + read), sum(read) + cached * waited
                expected = [_linear(row, members), data + requests * waited, cache, data]
                assert prices[place, [0, 1, 3, 6]].tolist() == expected, (seed, row, members)


CHAT: dict[str, Any] = {
    "name": "chat",
    "model": "zoo:gpt2",
    "llm": {"max_num_seqs": 8, "max_batched_tokens": 64, "kv": {"blocks": 200}},
    "lengths": {"prompt": {"lognormal": {"mean": 50, "cv": 1, "most": 200}}, "output": 5},
    "deadline": {"ttft_ms": 100, "tpot_ms": 20},
    "arrival": {"kind": "poisson", "qps": 30, "seed": 3},
}
VISION = {"name": "vision", "model": "zoo:resnet18", "arrival": {"kind": "poisson", "qps": 20, "seed": 4}}


def test_compiled_and_plain_code_ask_the_same() -> None:
    scenario = {"npu": {**NPU, "cost_model": "curious"}, "min_queries": 10, "tenants": [CHAT, VISION]}
    documents = [simulate(scenario, "layerweaver+", compiled=compiled) for compiled in (True, False)]
    for document in documents:
        del document["run"]
    assert documents[0] == documents[1]
    assert documents[0]["tenants"][0]["llm"]["iterations"] > 10


def test_tables_and_prices_tell_the_same_story(monkeypatch: pytest.MonkeyPatch) -> None:
    """One request at a time has equal members only, so both roads have to agree on every time."""
    alone = {**CHAT, "llm": {**CHAT["llm"], "max_num_seqs": 1}}
    documents: list[Any] = []
    for tabled in (True, False):
        if not tabled:
            monkeypatch.setattr("layerweaver.scheduler.iterations.costs._is_tabulated", lambda _: False)
        document = simulate({"npu": NPU, "min_queries": 10, "tenants": [alone]}, "edf")
        del document["run"]
        documents.append(document)
    assert documents[0] == documents[1]


def test_a_profile_serves_without_its_graph(tmp_path: Path) -> None:
    npu = {**NPU, "cost_model": "curious"}
    requests = [ModelRequest("chat", "zoo:gpt2", iterations=True)]
    save_profile(compile_models(requests, npu), tmp_path / "chat.lwp")
    compiled = {**CHAT, "model": {"profile": str(tmp_path / "chat.lwp")}}
    ours, theirs = (
        simulate({"npu": npu, "min_queries": 5, "tenants": [tenant]}, "edf") for tenant in (compiled, CHAT)
    )
    for document in (ours, theirs):
        del document["run"], document["scenario"]
    assert ours == theirs


def test_costs_go_to_other_processes() -> None:
    rows, config = iteration_rows("zoo:gpt2", {}), load_npu({**NPU, "cost_model": "curious"})
    asked = np.array([[1, 9, 1], [3, 0, 1]], np.int64)
    pricer = RowPricer(rows, config, 16)
    prices = pricer.price(asked, 10**5, 16)
    sent = pickle.loads(pickle.dumps(pricer))  # noqa: S301 - our own
    assert sent.price(asked, 10**5, 16).tolist() == prices.tolist()


def test_what_fails_within_a_run_is_named() -> None:
    with pytest.raises(ConfigError, match=r"gpt2: cost model 'fails' fails \(ZeroDivisionError: more than"):
        simulate({"npu": {**NPU, "cost_model": "fails"}, "min_queries": 10, "tenants": [CHAT]}, "edf")


def test_nonsense_is_named() -> None:
    with pytest.raises(ConfigError, match=r"cost model 'halves' returned float64 .* whole numbers from 0"):
        simulate({"npu": {**NPU, "cost_model": "halves"}, "min_queries": 10, "tenants": [CHAT]}, "edf")
    old = replace(iteration_rows("zoo:gpt2", {}), labels=())
    with pytest.raises(ConfigError, match="compiled by an older version"):
        RowPricer(old, load_npu({**NPU, "cost_model": "linear"}), 16)
