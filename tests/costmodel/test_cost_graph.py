"""Costing of graphs: units, traffic, spills, rows, explanations."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerweaver.costmodel import (
    NpuConfig,
    cost_graph,
    costed_document,
    roofline,
    share_activation_buffer,
)
from layerweaver.costmodel.compute import analytical
from layerweaver.costmodel.explain import explain
from layerweaver.costmodel.spills import SpillColumns
from layerweaver.costmodel.table import split_into_rows
from layerweaver.ir import (
    ConfigError,
    GatherWork,
    Layer,
    LayerGraph,
    LayerKind,
    MatrixWork,
    ModelError,
    TensorSpec,
    VectorCategory,
    VectorWork,
)

MakeNpu = Callable[..., NpuConfig]
GraphOf = Callable[..., LayerGraph]


def test_weights_are_always_fetched_and_activations_that_fit_are_not(npu: MakeNpu, chain: GraphOf) -> None:
    costed = cost_graph(chain(), npu())
    assert costed.table.dram_bytes.tolist() == [64 * 64 * 2] * 3
    assert costed.table.weight_bytes.tolist() == [64 * 64 * 2] * 3
    assert costed.table.memory_cycles.tolist() == [64 * 64 * 2 // 4] * 3


def test_what_does_not_fit_is_read_and_written_once(npu: MakeNpu, chain: GraphOf) -> None:
    tensor = 64 * 64 * 2
    tight = cost_graph(chain(), npu(sram={"activations_mb": tensor * 1.5 / 1e6}))
    assert tight.table.dram_bytes.tolist() == [3 * tensor] * 3
    assert cost_graph(chain(), npu(fits_activations=True)).table.dram_bytes.tolist() == [tensor] * 3


def test_layers_larger_than_the_buffer_become_rows(npu: MakeNpu, chain: GraphOf) -> None:
    weights = 64 * 64 * 2
    costed = cost_graph(chain(), npu(sram={"weights_mb": weights / 2.5 / 1e6}, fits_activations=True))
    table = costed.table
    assert table.rows == 3 * 5  # ceil(2 W / buffer)
    assert int(table.weight_bytes.max()) <= table.machine.weight_buffer_bytes
    assert int(table.weight_bytes.sum()) == 3 * weights
    assert len(explain(costed)) == 3
    assert sum(layer.compute_cycles for layer in explain(costed)) == int(table.compute_cycles.sum())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 9)), min_size=1, max_size=8))
def test_split_rows_sum_up_and_differ_by_one_at_most(layers: list[tuple[int, int]]) -> None:
    values, pieces = (np.array(column, dtype=np.int64) for column in zip(*layers, strict=True))
    rows = split_into_rows(values, pieces)
    start = 0
    for value, count in layers:
        part = rows[start : start + count].tolist()
        assert sum(part) == value
        assert part == sorted(part)
        assert part[-1] - part[0] <= 1
        start += count
    assert start == len(rows)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_spills_shrink_with_the_budget_and_are_at_least_one_pass(data: Any) -> None:
    size = st.integers(0, 10**7)
    layers = data.draw(st.integers(1, 5))
    column = st.lists(size, min_size=layers, max_size=layers)
    arrays = [np.array(data.draw(column), dtype=np.int64) for _ in range(9)]
    arrays[4] = np.maximum(arrays[4] % 9, 1)
    arrays[7] = np.maximum(arrays[7] % 9, 1)
    arrays[8] = np.minimum(arrays[8], arrays[1] + arrays[2])
    spills = SpillColumns(*arrays)
    budgets = sorted(data.draw(st.lists(st.integers(1, 2 * 10**7), min_size=2, max_size=6)))
    traffic = [spills.spilled_bytes(budget) for budget in budgets]
    for budget, moved in zip(budgets, traffic, strict=True):
        spilled = spills.live_bytes > budget
        assert np.all(moved[spilled] >= (spills.input_bytes + spills.output_bytes)[spilled])
        assert np.all(moved[~spilled] == spills.resting_bytes[~spilled])
    for tighter, looser in pairwise(traffic):
        assert np.all(tighter >= looser)
    rebuilt = SpillColumns.from_array(spills.to_array())
    assert np.array_equal(rebuilt.spilled_bytes(budgets[0]), traffic[0])


def test_recosting_a_table_equals_costing_the_graph(npu: MakeNpu, chain: GraphOf) -> None:
    energy = {"dram_byte_pj": 10}
    config = npu(sram={"weights_mb": 0.005}, energy=energy)
    whole = cost_graph(chain(), config).table
    for budget in (1000, 9000, 20_000, 10**6):
        direct = cost_graph(chain(), config, activation_budget_bytes=budget).table
        recosted = whole.with_activation_budget(budget)
        assert recosted.dram_bytes.tolist() == direct.dram_bytes.tolist()
        assert recosted.energy_pj == direct.energy_pj


def test_tenants_share_the_activation_buffer_by_their_peaks(npu: MakeNpu, chain: GraphOf) -> None:
    peak = 2 * 64 * 64 * 2
    roomy, tight = (
        npu(sram={"activations_mb": 4 * peak / 1e6}),
        npu(sram={"activations_mb": 1.5 * peak / 1e6}),
    )
    tables = [cost_graph(chain(), roomy).table] * 2
    assert share_activation_buffer(tables) == tuple(tables)
    shared = share_activation_buffer([cost_graph(chain(), tight).table] * 2)
    assert [table.activation_budget_bytes for table in shared] == [3 * peak // 4] * 2
    assert int(shared[0].dram_bytes.sum()) > int(tables[0].dram_bytes.sum())


def test_fused_work_hides_under_the_array(npu: MakeNpu, matmul: Callable[..., Layer], one: GraphOf) -> None:
    plain = matmul(64, 64, 64)
    short = VectorWork("Relu", VectorCategory.ELEMENTWISE, 64)
    long = VectorWork("Softmax", VectorCategory.SOFTMAX, 64 * 640)
    cycles = {}
    for name, work in (("plain", ()), ("short", (short,)), ("long", (long,))):
        layer = Layer(
            "y",
            LayerKind.MATRIX,
            ("MatMul",),
            (),
            plain.inputs,
            plain.outputs,
            plain.matrix,
            work,
            plain.weights,
        )
        cycles[name] = explain(cost_graph(one(layer), npu(overhead_cycles=5)))[0]
    assert cycles["short"].compute_cycles == cycles["plain"].compute_cycles
    assert cycles["long"].compute_cycles == 64 * 640 * 7 // 8 + 5
    assert cycles["long"].bound_by == "vector"
    assert cycles["plain"].overhead_cycles == 5


@pytest.mark.parametrize(
    ("category", "window", "cycles"),
    [
        (VectorCategory.ELEMENTWISE, 1, 100),
        (VectorCategory.TRANSCENDENTAL, 1, 400),
        (VectorCategory.SOFTMAX, 1, 700),
        (VectorCategory.NORMALIZATION, 1, 300),
        (VectorCategory.POOLING, 9, 900),
        (VectorCategory.MOVE, 1, 100),
    ],
)
def test_vector_costs(
    npu: MakeNpu, single_vector: GraphOf, category: VectorCategory, window: int, cycles: int
) -> None:
    layer = explain(cost_graph(single_vector(category, 800, window), npu()))[0]
    assert layer.compute_cycles == cycles
    assert layer.unit == "vector"
    assert layer.utilization == pytest.approx(1.0)


def test_depthwise_runs_where_it_is_cheaper_and_says_so(npu: MakeNpu, depthwise: Layer, one: GraphOf) -> None:
    on_array = explain(cost_graph(one(depthwise), npu(array={"depthwise": "array"})))[0]
    on_vector = explain(cost_graph(one(depthwise), npu(array={"depthwise": "vector"})))[0]
    cheaper = explain(cost_graph(one(depthwise), npu()))[0]
    assert (on_array.unit, on_vector.unit) == ("array", "vector")
    assert on_vector.compute_cycles == 64 * 196 * 9 // 8
    assert cheaper == min((on_array, on_vector), key=lambda layer: layer.compute_cycles)


def test_recurrent_layers_repeat_their_step(npu: MakeNpu, matmul: Callable[..., Layer], one: GraphOf) -> None:
    step = explain(cost_graph(one(matmul(1, 64, 64)), npu()))[0]
    sequence = explain(cost_graph(one(matmul(1, 64, 64, steps=10)), npu()))[0]
    assert sequence.compute_cycles == 10 * step.compute_cycles
    assert sequence.dram_bytes == step.dram_bytes


def test_gathers_and_state_move_and_do_not_stay(npu: MakeNpu, one: GraphOf) -> None:
    layer = Layer(
        "embed",
        LayerKind.GATHER,
        ("Gather",),
        outputs=(TensorSpec("embed", 100),),
        gathers=(GatherWork(TensorSpec("table", 10**6), TensorSpec("rows", 100)),),
        state_reads=(TensorSpec("cache", 50),),
        state_writes=(TensorSpec("cache.out", 60),),
    )
    table = cost_graph(one(layer), npu()).table
    assert table.dram_bytes.tolist() == [2 * (100 + 50 + 60)]
    assert table.weight_bytes.tolist() == [0]


def test_low_bit_and_compressed_weights(npu: MakeNpu, chain: GraphOf) -> None:
    four_bit = cost_graph(chain(), npu(precision_bytes={"weights": 0.5, "activations": 2})).table
    assert four_bit.dram_bytes.tolist() == [64 * 64 // 2] * 3
    compressed = cost_graph(chain(), npu(weight_compression=1.5)).table
    assert compressed.dram_bytes.tolist() == [-(-64 * 64 * 4 // 3)] * 3


def test_bursts_latency_and_efficiency(npu: MakeNpu, chain: GraphOf) -> None:
    plain = cost_graph(chain(1, 9), npu()).table
    bursts = cost_graph(chain(1, 9), npu(dram={"burst_bytes": 64})).table
    late = cost_graph(chain(1, 9), npu(dram={"latency_ns": 100})).table
    slow = cost_graph(chain(1, 9), npu(dram={"efficiency": 0.5})).table
    assert plain.dram_bytes.tolist() == [162]
    assert bursts.dram_bytes.tolist() == [192]
    assert late.memory_cycles.tolist() == [plain.memory_cycles[0] + 100]
    assert slow.memory_cycles.tolist() == [2 * 162 // 4]


def test_pinned_models_fetch_no_weights(npu: MakeNpu, chain: GraphOf) -> None:
    table = cost_graph(chain(), npu(pinned_models=["chain"])).table
    assert table.dram_bytes.tolist() == table.weight_bytes.tolist() == [0, 0, 0]


def test_unified_buffers_are_divided(npu: MakeNpu) -> None:
    config = npu(sram={"weights_mb": None, "activations_mb": None, "unified_mb": 4, "weight_share": 0.25})
    assert config.machine().weight_buffer_bytes == 1_000_000
    assert config.machine().activation_buffer_bytes == 3_000_000


def test_energy_adds_up(npu: MakeNpu, chain: GraphOf) -> None:
    energy = {"mac_pj": 2, "dram_byte_pj": 100, "sram_byte_pj": 1}
    costed = cost_graph(chain(), npu(energy=energy))
    tensor = 64 * 64 * 2
    assert [layer.energy_pj for layer in explain(costed)] == [2 * 64**3 + 100 * tensor + 3 * tensor] * 3
    assert costed.table.energy_pj == 3 * (2 * 64**3 + 103 * tensor)
    assert costed_document(costed)["totals"]["energy_j"] == pytest.approx(costed.table.energy_pj * 1e-12)
    assert cost_graph(chain(), npu()).table.energy_pj is None


def test_explanations_are_within_their_limits(npu: MakeNpu, chain: GraphOf) -> None:
    costed = cost_graph(chain(), npu())
    document = costed_document(costed)
    for layer in document["layers"]:
        assert 0 < layer["utilization"] <= 1
        assert layer["arithmetic_intensity"] == pytest.approx(2 * 64**3 / (64 * 64 * 2))
        assert layer["bound_by"] == ("dram" if layer["memory_cycles"] > layer["compute_cycles"] else "array")
    roof = roofline(costed)
    assert roof.achieved_tops <= roof.attainable_tops <= costed.config.computed_peak_tops
    assert document["totals"]["memory_cycles"] == int(costed.table.memory_cycles.sum())


def test_a_graph_costed_again_costs_as_a_fresh_one(npu: MakeNpu, chain: GraphOf) -> None:
    again = chain()
    for config in (npu(), npu(array={"rows": 4}), npu(dram={"bandwidth_gb_s": 2})):
        first, second = cost_graph(again, config).table, cost_graph(chain(), config).table
        assert (first.compute_cycles == second.compute_cycles).all()
        assert (first.dram_bytes == second.dram_bytes).all()


def test_layers_that_fit_are_fetched_whole(npu: MakeNpu, chain: GraphOf) -> None:
    whole, cut = cost_graph(chain(1), npu()), cost_graph(chain(1), npu(pipeline_mb=0.001))
    traffic = int(whole.dram_bytes[0])
    at = cost_graph(chain(1), npu(pipeline_mb=0.001, pipeline_from_mb=f"{traffic} B"))
    below = cost_graph(chain(1), npu(pipeline_mb=0.001, pipeline_from_mb=f"{traffic - 1} B"))
    assert at.table.rows == whole.table.rows == 1
    assert below.table.rows == cut.table.rows == -(-traffic // 1000)
    with pytest.raises(ConfigError, match="give pipeline_mb"):
        npu(pipeline_from_mb=1)


def test_pipelined_layers_overlap_within(npu: MakeNpu, chain: GraphOf) -> None:
    whole = cost_graph(chain(1), npu())
    cut = cost_graph(chain(1), npu(pipeline_mb=0.001))
    compute, memory = int(whole.table.compute_cycles[0]), int(whole.table.memory_cycles[0])
    assert whole.layer_latency_cycles.tolist() == [compute + memory]
    pieces = cut.table.rows
    assert pieces == 9
    assert cut.layer_latency_cycles.tolist() == [max(compute, memory) - (-min(compute, memory) // pieces)]


def test_array_models_that_return_nonsense_are_named(
    npu: MakeNpu, chain: GraphOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    for nonsense in (np.array([1.5, 2, 3]), np.array([1]), np.array([-1, 2, 3])):
        monkeypatch.setattr(
            analytical, "array_model", lambda _name, given=nonsense: lambda _work, _array: given
        )
        with pytest.raises(ConfigError, match="array model 'ws'"):
            cost_graph(chain(), npu())


def test_huge_layers_are_refused(npu: MakeNpu) -> None:
    layer = Layer("y", LayerKind.MATRIX, ("MatMul",), matrix=MatrixWork(1, 2**30, 2**30, 2**30))
    with pytest.raises(ModelError, match="layer 'y'"):
        cost_graph(LayerGraph("huge", (layer,)), npu())
    wide = Layer("t", LayerKind.VECTOR, ("Add",), inputs=(TensorSpec("x", 2**60),))
    with pytest.raises(ModelError, match="layer 't'"):
        cost_graph(LayerGraph("huge", (wide,)), npu())


def test_tables_carry_nothing_negative_and_weights_are_part_of_traffic(npu: MakeNpu, chain: GraphOf) -> None:
    table = cost_graph(chain(4, 33), npu(sram={"weights_mb": 0.0009, "activations_mb": 0.003})).table
    for column in (table.compute_cycles, table.dram_bytes, table.weight_bytes, table.live_bytes):
        assert column.dtype == np.int64
        assert int(column.min()) >= 0
    assert np.all(table.weight_bytes <= table.dram_bytes)
