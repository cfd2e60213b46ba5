"""Rows of iterations against the graph bound to the members' sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model
from oracles.bound_decoders import SIZES, agrees

from layerweaver.costmodel import cost_graph, load_npu, npu_names
from layerweaver.ir import LayerweaverError
from layerweaver.scheduler.compile.iterations import iteration_rows
from layerweaver.scheduler.compile.sources import load_graph
from layerweaver.scheduler.iterations.costs import iteration_costs
from layerweaver.scheduler.iterations.energy import KINDS, SUMS
from layerweaver.scheduler.iterations.rows import features

OTHERS: dict[str, dict[str, Any]] = {
    "os": {"dataflow": "os"},
    "is": {"dataflow": "is", "count": 2, "split": "channels"},
    "serial": {"double_buffered": False, "pack_groups": True},
    "rows": {"count": 3, "split": "rows"},
}


@pytest.mark.parametrize(
    "name", ["memory-centric", "tpu-v3", "tpu-v6e", "nvdla-small", "planaria", "onnxim-tpuv4"]
)
def test_equal_members_cost_what_the_bound_graph_costs(name: str) -> None:
    agrees("zoo:gpt2", load_npu(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", npu_names())
def test_on_every_npu(name: str) -> None:
    agrees("zoo:gpt2", load_npu(name))
    agrees("zoo:qwen2.5-7b", load_npu(name))


@pytest.mark.parametrize("change", OTHERS)
def test_on_other_arrays(change: str) -> None:
    array = {"rows": 32, "columns": 16, **OTHERS[change]}
    document = {
        "name": change,
        "clock_mhz": 1000,
        "array": array,
        "dram": {"bandwidth_gb_s": 100, "burst_bytes": 64, "latency_ns": 30},
        "sram": {"weights_mb": 1, "activations_mb": 1},
    }
    agrees("zoo:gpt2", load_npu(document))


@pytest.mark.parametrize(("weights_mb", "activations_mb"), [(1, 0.02), (0.1, 0.3), (0.03, 0.02)])
def test_where_activations_spill(weights_mb: float, activations_mb: float) -> None:
    document = {
        "name": "small",
        "clock_mhz": 1000,
        "array": {"rows": 32, "columns": 16},
        "dram": {"bandwidth_gb_s": 100, "burst_bytes": 64, "latency_ns": 700},
        "sram": {"weights_mb": weights_mb, "activations_mb": activations_mb},
    }
    agrees("zoo:gpt2", load_npu(document))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"host": {"operators": ["Softmax", "Add", "Concat"], "ns_per_element": 1}},
        {"vector": {"lanes": 16, "free_clips": True}},
    ],
)
def test_energy_of_equal_members_is_that_of_the_bound_graph(more: dict[str, Any], tmp_path: Path) -> None:
    document = {
        "name": "told",
        "clock_mhz": 1000,
        "array": {"rows": 32, "columns": 16},
        "dram": {"bandwidth_gb_s": 100, "latency_ns": 90},
        "sram": {"weights_mb": 1, "activations_mb": 1},
        "energy": {"mac_pj": 0.7, "vector_op_pj": 1.9, "dram_byte_pj": 31.0, "sram_byte_pj": 2.3},
        **more,
    }
    config, source = load_npu(document), "zoo:gpt2"
    if more:  # a decoder that clips; its graph makes logits of every position, so that one token is compared
        source = _saved(TINY.replace("logits = MatMul (c, head)", CLIPPED), tmp_path)
    rows = iteration_rows(source, {})
    costs = iteration_costs(rows, config, tokens=256, sequences=16, cache_bits=32)
    assert costs.energy is not None
    for batch, seq, past in SIZES:
        if seq > 1 and more:
            continue
        table = cost_graph(load_graph(source, dims={"seq": seq, "past": past}, batch=batch), config).table
        sums = np.zeros((KINDS, SUMS), np.int64)
        sums[int(seq == 1) + 2 * (batch == 1)] = [*features(batch, seq, past), batch]
        found = costs.energy.energy_pj(sums, table.data_bytes)
        by_layer = len(table.layer_names) / 2  # whose energies are rounded
        assert found == pytest.approx(table.energy_pj, rel=1e-6, abs=by_layer), (batch, seq, past)


CLIPPED = """inner = MatMul (c, wq)
    clipped = Relu (inner)
    logits = MatMul (clipped, head)"""
TINY = """
<ir_version: 8, opset_import: ["" : 17]>
tiny (int64[batch, seq] ids, float[batch, 2, past, 8] past_key, float[batch, 2, past, 8] past_value)
=> (float[batch, seq, 50] logits, float[batch, 2, total, 8] present_key,
    float[batch, 2, total, 8] present_value)
<int64[2] table = {50, 16}, int64[2] square = {16, 16}, int64[2] wide = {16, 50},
 int64[4] split = {0, 0, 2, 8}, int64[3] join = {0, 0, 16}>
{
    words = ConstantOfShape (table)
    wq = ConstantOfShape (square)
    wk = ConstantOfShape (square)
    wv = ConstantOfShape (square)
    head = ConstantOfShape (wide)
    x = Gather (words, ids)
    q0 = MatMul (x, wq)
    q1 = Reshape (q0, split)
    q = Transpose <perm = [0, 2, 1, 3]> (q1)
    k0 = MatMul (x, wk)
    k1 = Reshape (k0, split)
    k2 = Transpose <perm = [0, 2, 1, 3]> (k1)
    present_key = Concat <axis = 2> (past_key, k2)
    v0 = MatMul (x, wv)
    v1 = Reshape (v0, split)
    v2 = Transpose <perm = [0, 2, 1, 3]> (v1)
    present_value = Concat <axis = 2> (past_value, v2)
    kt = Transpose <perm = [0, 1, 3, 2]> (present_key)
    scores = MatMul (q, kt)
    share = Softmax <axis = -1> (scores)
    c0 = MatMul (share, present_value)
    c1 = Transpose <perm = [0, 2, 1, 3]> (c0)
    c = Reshape (c1, join)
    logits = MatMul (c, head)
}
"""


def _saved(text: str, folder: Path) -> str:
    model = parse_model(text)
    file = folder / "tiny.onnx"
    onnx.save(model, file)
    return str(file)


def test_a_head_over_all_positions_counts_one_a_sequence(tmp_path: Path) -> None:
    source = _saved(TINY, tmp_path)
    rows = iteration_rows(source, {})
    assert "one a sequence" in rows.notes[0]
    assert rows.cache_elements == 2 * 16
    last = rows.distinct[rows.row_index[-1]][0]
    assert (last.by, last.n, last.k) == ("sequences", 50, 16)


def test_work_that_depends_on_data_is_refused_without_advice_that_iterations_do_not_take(
    tmp_path: Path,
) -> None:
    routed = TINY.replace(
        "logits = MatMul (c, head)",
        """flat = Reshape (c, all_rows)
    best, which = TopK (flat, two)
    first = Equal (which, none)
    at = NonZero (first)
    places = Gather <axis = 0> (at, none)
    sent = Gather <axis = 0> (flat, places)
    expert = ConstantOfShape (square)
    worked = MatMul (sent, expert)
    column = Unsqueeze (places, minus)
    back = ScatterND (flat, column, worked)
    joined = Reshape (back, join)
    logits = MatMul (joined, head)""",
    ).replace(
        "int64[2] table = {50, 16},",
        "int64[2] table = {50, 16}, int64[2] all_rows = {-1, 16}, int64[1] two = {2}, int64 none = {0}, "
        "int64[1] minus = {-1},",
    )
    with pytest.raises(LayerweaverError, match=r"depends on data.*routed experts are not counted$") as caught:
        iteration_rows(_saved(routed, tmp_path), {})
    assert "--shape" not in str(caught.value)


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(LayerweaverError, match="no input has a dimension named seq"):
        iteration_rows("zoo:resnet18", {})
    with pytest.raises(LayerweaverError, match="leave batch, seq and past"):
        iteration_rows("zoo:gpt2", {"past": 7})
    halved = TINY.replace(
        "(q, kt)", "(q, kt)\n    half = AveragePool <kernel_shape = [2, 1], strides = [2, 1]> (scores)"
    )
    halved = halved.replace(
        "logits = MatMul (c, head)", "logits = MatMul (c, head)\n    pooled = Identity (half)"
    )
    halved = halved.replace("=> (float", "=> (float[batch, 2, half_seq, total] pooled, float")
    with pytest.raises(LayerweaverError, match="no polynomial"):
        iteration_rows(_saved(halved, tmp_path), {})


SIZES_OF_EXPERTS = """int64[2] picked = {16, 4}, int64[3] entered = {4, 16, 24}, int64[3] left = {4, 24, 16},
int64[2] per_expert = {-1, 4}"""
EXPERTS = """pick = ConstantOfShape (picked)
    entry = ConstantOfShape (entered)
    leave = ConstantOfShape (left)
    router = MatMul (c, pick)
    sent = Reshape (router, per_expert)
    mixed = com.microsoft.MoE <k = 2> (c, sent, entry, , leave, )
    logits = MatMul (mixed, head)"""


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            TINY.replace("past, 8]", "512, 8]").replace("total, 8]", "512, 8]"),
            r"past_key has a fixed length \(batch x 2 x 512 x 8\); no input has a dimension named past",
        ),
        (
            TINY.replace("[batch, seq] ids", "[batch, 1] ids"),
            r"ids has a fixed length \(batch x 1\); no input",
        ),
        (
            TINY.replace('["" : 17]', '["" : 17, "com.microsoft" : 1]')
            .replace("logits = MatMul (c, head)", EXPERTS)
            .replace("int64[2] wide", f"{SIZES_OF_EXPERTS}, int64[2] wide"),
            "routes its tokens to experts, which are not counted; a decoder without them",
        ),
    ],
)
def test_what_users_have_and_iterations_do_not_know_is_told(
    changed: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(LayerweaverError, match=message) as refused:
        iteration_rows(_saved(changed, tmp_path), {})
    assert "\n" not in str(refused.value)


def test_what_one_sequence_alone_lacks_is_not_counted(tmp_path: Path) -> None:
    turned = TINY.replace(
        "logits = MatMul (c, head)",
        """turned = Transpose <perm = [1, 0, 2]> (c)
    straight = Relu (turned)
    back = Transpose <perm = [1, 0, 2]> (straight)
    logits = MatMul (back, head)""",
    )
    source = _saved(turned, tmp_path)
    rows = iteration_rows(source, {})
    assert [len(kinds) for kinds in rows.distinct] == [4] * len(rows.distinct)
    assert len(iteration_rows(_saved(TINY, tmp_path), {}).kinds) == 2
    source = _saved(turned, tmp_path)
    (place,) = (index for index, label in enumerate(rows.labels) if "Relu" in label.listed)
    for batch, seq, past in ((2, 9, 4), (7, 1, 30), (1, 9, 4), (1, 1, 30)):
        graph = load_graph(source, dims={"seq": seq, "past": past}, batch=batch)
        layers = {layer.name: layer for layer in graph.layers}
        assert [*layers] == list(rows.layer_names)
        expected = [work.elements * work.window for work in layers[rows.layer_names[place]].vector]
        row = rows.distinct[rows.row_index[place]][int(seq == 1) + 2 * (batch == 1)]
        found = [np.dot(term.coefficients, features(batch, seq, past)) for term in row.vector]
        assert [count for count in found if count] == expected
