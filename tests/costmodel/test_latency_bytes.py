"""What stands for the DRAM's latency is time, not data: it is not in energy, totals or rooflines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layerweaver.backend_sim.run.prepare import prepare
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.study.repeat import RunOptions
from layerweaver.backend_sim.study.simulate import simulate_with
from layerweaver.costmodel import cost_graph, load_npu, npu_document
from layerweaver.costmodel.explain import costed_document
from layerweaver.costmodel.measured import override_costs
from layerweaver.scheduler.compile.compiler import compile_models
from layerweaver.scheduler.compile.sources import load_graph
from layerweaver.scheduler.profile.document import profile_document
from layerweaver.scheduler.profile.file import parse_profile, profile_bytes, save_profile

NPU: dict[str, Any] = {
    "name": "edge",
    "clock_mhz": 800,
    "precision_bytes": 1,
    "array": {"rows": 64, "columns": 64, "count": 2, "dataflow": "ws"},
    "vector": {"lanes": 64},
    "dram": {"bandwidth_gb_s": 25.6, "burst_bytes": 64},
    "sram": {"weights_mb": 1, "activations_mb": 0.6},
    "energy": {"mac_pj": 0.4, "vector_op_pj": 1, "dram_byte_pj": 30, "sram_byte_pj": 1},
}
BUDGETS = (20_000, 100_000, 400_000, 600_000)


def _npu(latency_ns: float, **changes: Any) -> Any:
    return load_npu({**NPU, "dram": {**NPU["dram"], "latency_ns": latency_ns}, **changes})


@pytest.fixture(scope="module", name="graph")
def graph_fixture() -> Any:
    return load_graph("zoo:mobilenetv2")


@pytest.mark.parametrize("kind", ["spilled", "graph_io", "products", "all"])
def test_data_moved_does_not_depend_on_latency(graph: Any, kind: str) -> None:
    """A latency of a billionth of a second per request stands for 26 bytes, and changes no tiling."""
    prompt, late = (cost_graph(graph, _npu(ns, activations_in_dram=kind)) for ns in (0, 1))
    assert (late.dram_bytes >= prompt.dram_bytes).all()
    assert late.dram_bytes.sum() > prompt.dram_bytes.sum()
    assert np.array_equal(late.moved_bytes, prompt.moved_bytes)
    assert late.table.energy_pj == prompt.table.energy_pj
    for budget in BUDGETS:
        one, other = (model.table.with_activation_budget(budget) for model in (prompt, late))
        assert np.array_equal(_moved(one), _moved(other))
        assert one.energy_pj == pytest.approx(other.energy_pj, abs=1)


def _moved(table: Any) -> Any:
    traffic = np.zeros(len(table.layer_names), np.int64)
    np.add.at(traffic, table.layer_index, table.dram_bytes)
    return traffic - table.waited_bytes


def test_time_counts_the_latency(graph: Any) -> None:
    prompt, late = (costed_document(cost_graph(graph, _npu(ns))) for ns in (0, 1000))
    assert late["totals"]["memory_cycles"] > 1.1 * prompt["totals"]["memory_cycles"]
    assert late["roofline"]["arithmetic_intensity"] >= 0.8 * prompt["roofline"]["arithmetic_intensity"]
    moved = sum(layer["dram_bytes"] for layer in late["layers"])
    assert moved == late["totals"]["dram_bytes"] == pytest.approx(prompt["totals"]["dram_bytes"], rel=0.2)


CHAT = {"llm": {"max_num_seqs": 2, "kv": {"blocks": 20}}, "lengths": {"prompt": 20, "output": 3}}


@pytest.mark.parametrize(
    ("model", "arrival", "more"),
    [
        ("zoo:mobilenetv2", {"kind": "periodic", "period_ms": 50}, {}),
        ("zoo:mobilenetv2", {"kind": "multi_stream", "samples": 3, "queries": 2}, {"batch": 2}),
        ("zoo:gpt2", {"kind": "periodic", "period_ms": 50}, CHAT),
    ],
    ids=["alone", "multi-stream", "language model"],
)
def test_details_of_a_result_count_data(model: str, arrival: dict[str, Any], more: dict[str, Any]) -> None:
    tenant = {"name": "eye", "model": model, "arrival": arrival, **more}
    scenario = {"duration_s": 0.1, "tenants": [tenant]}
    counted = []
    for ns in (0, 1):
        npu = npu_document(_npu(ns))
        result = simulate_with({**scenario, "npu": npu}, "fcfs", RunOptions(details=True))
        details = result["details"]
        assert details is not None
        rows = [row["dram_bytes"] for row in details["configuration"]["models"]]
        counted.append((rows, result["system"]["energy_j"]))
    assert counted[0] == counted[1]


def test_several_samples_of_a_query_share_the_buffer_as_one_does() -> None:
    beside = {"name": "b", "model": "zoo:mobilenetv2", "arrival": {"kind": "saturated"}}
    counted = []
    for samples in (1, 3):
        stream = {"kind": "multi_stream", "samples": samples, "queries": 2}
        tenant = {"name": "a", "model": "zoo:mobilenetv2", "arrival": stream}
        prepared = prepare(load_scenario({"duration_s": 0.1, "npu": _npu(30), "tenants": [tenant, beside]}))
        (table,) = (profile.table for profile in prepared.npus[0].menus[0])
        assert table.activation_budget_bytes == 300_000
        counted.append((int(table.dram_bytes.sum()), table.data_bytes, table.energy_pj or 0))
    assert counted[1] == tuple(3 * value for value in counted[0])


def test_a_profile_that_does_not_tell_the_latency_is_told(tmp_path: Path) -> None:
    eye = compile_models(["eye=zoo:mobilenetv2"], _npu(80))
    older = replace(
        eye, entries=tuple(replace(entry, table=replace(entry.table, latency=None)) for entry in eye.entries)
    )
    said = "the energy of eye counts the latency_ns of edge as bytes: profiles of an older version do not"
    for profile, told in ((eye, False), (older, True)):
        save_profile(profile, tmp_path / "eye.lwp")
        tenant = {
            "name": "eye",
            "model": {"profile": str(tmp_path / "eye.lwp")},
            "arrival": {"kind": "saturated"},
        }
        prepared = prepare(load_scenario({"duration_s": 0.1, "npu": _npu(80), "tenants": [tenant]}))
        assert any(note.startswith(said) for note in prepared.notes) is told


def test_a_profile_keeps_what_is_latency() -> None:
    for ns, kept in ((0, False), (80, True)):
        profile = compile_models(["eye=zoo:mobilenetv2"], _npu(ns))
        data = profile_bytes(profile, "p")
        again = parse_profile(data, "p").entries[0].table
        assert (b"latency_fixed_bytes" in data) == kept
        assert (b'"latency"' in data) == kept
        table = profile.entries[0].table
        layers = profile_document(profile)["models"][0]["layers"]
        assert [layer["dram_bytes"] for layer in layers] == _moved(table).tolist()
        for budget in BUDGETS:
            one, other = (item.with_activation_budget(budget) for item in (table, again))
            assert one.energy_pj == other.energy_pj
            assert np.array_equal(one.waited_bytes, other.waited_bytes)


def test_measured_layers_move_what_their_file_says(graph: Any, tmp_path: Path) -> None:
    costed = cost_graph(graph, _npu(80))
    name = costed.table.layer_names[5]
    (tmp_path / "m.csv").write_text(f"layer,compute_cycles,dram_bytes,weight_bytes\n{name},900,5000,0\n")
    table = override_costs(costed, tmp_path / "m.csv")
    assert table.waited_bytes[5] == 0
    assert costed.table.waited_bytes[5] > 0
    more = 5000 - int(costed.moved_bytes[5])
    assert table.energy_pj == pytest.approx((costed.table.energy_pj or 0) + 30 * more, abs=1)
    assert replace(table, latency=None).waited_bytes.sum() == 0
