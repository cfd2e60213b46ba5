"""What chips showed and the data sheet does not say: each mechanism alone, off by default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from layerweaver.costmodel import NpuConfig, cost_graph
from layerweaver.ir import ConfigError, Layer, LayerGraph, LayerKind, MatrixWork, TensorSpec, VectorCategory
from layerweaver.scheduler.offline import build_offline

MakeNpu = Callable[..., NpuConfig]
GraphOf = Callable[..., LayerGraph]


def test_efficiency_divides_array_cycles(npu: MakeNpu, chain: GraphOf) -> None:
    plain = cost_graph(chain(), npu())
    half = cost_graph(chain(), npu(array={"efficiency": 0.5}))
    assert (half.compute.array_cycles == 2 * plain.compute.array_cycles).all()


def test_without_fold_losses_products_take_their_macs_over_the_peak(npu: MakeNpu, chain: GraphOf) -> None:
    graph = chain(extent=9)
    cycles = cost_graph(graph, npu(array={"fold_losses": False})).compute.array_cycles
    assert cycles.tolist() == [-(-(9**3) // 64)] * 3


def test_depthwise_has_its_own_rate(npu: MakeNpu, one: GraphOf, depthwise: Layer) -> None:
    costs = cost_graph(one(depthwise), npu(array={"depthwise_macs_per_cycle": 4})).compute
    assert costs.array_cycles[0] == 64 * 196 * 9 // 4
    assert not costs.products_on_vector[0]


def test_the_vector_unit_has_a_speed(npu: MakeNpu, single_vector: GraphOf) -> None:
    graph = single_vector(VectorCategory.ELEMENTWISE, 800)
    assert cost_graph(graph, npu()).compute.vector_cycles[0] == 100
    assert cost_graph(graph, npu(vector={"speed": 0.25})).compute.vector_cycles[0] == 400


@pytest.mark.parametrize(("operator", "free"), [("Relu", True), ("Clip", True), ("Add", False)])
def test_clips_may_be_free(
    npu: MakeNpu, single_vector: GraphOf, one: GraphOf, operator: str, free: bool
) -> None:
    (layer,) = single_vector(VectorCategory.ELEMENTWISE, 800).layers
    graph = one(replace(layer, vector=(replace(layer.vector[0], operator=operator),)))
    assert cost_graph(graph, npu()).compute.vector_cycles[0] == 100
    cycles = cost_graph(graph, npu(vector={"free_clips": True})).compute.vector_cycles[0]
    assert cycles == (0 if free else 100)


def test_an_inference_costs_once_after_its_last_layer(npu: MakeNpu, chain: GraphOf) -> None:
    plain = cost_graph(chain(), npu())
    charged = cost_graph(chain(), npu(inference_overhead_us=3))
    change = charged.table.compute_cycles - plain.table.compute_cycles
    assert change.tolist() == [0, 0, 3000]
    alone = [int(build_offline(costed.table).remaining_cycles[0]) for costed in (plain, charged)]
    assert alone[1] - alone[0] == 3000


def test_layers_that_do_not_wait_for_one_another_share_an_overhead(npu: MakeNpu) -> None:
    def reads(name: str, *sources: str) -> Layer:
        return Layer(
            name,
            LayerKind.MATRIX,
            ("Conv",),
            inputs=tuple(TensorSpec(source, 64) for source in sources),
            outputs=(TensorSpec(name, 64),),
            matrix=MatrixWork(1, 8, 8, 8),
        )

    layers = (
        *(reads("a", "x"), reads("b", "a"), reads("c", "a"), reads("d", "c"), reads("e", "a")),
        reads("f", "b", "d", "e"),
    )
    graph = LayerGraph("branches", layers, inputs=layers[0].inputs, outputs=layers[-1].outputs)
    own = cost_graph(graph, npu(overhead_cycles=100)).compute
    assert own.overhead_cycles.tolist() == [100] * 6
    shared = cost_graph(graph, npu(overhead_cycles=100, shared_overheads=True)).compute
    assert shared.overhead_cycles.tolist() == [100, 34, 34, 100, 34, 100]
    assert (shared.compute_cycles - shared.overhead_cycles == own.compute_cycles - 100).all()


@pytest.mark.parametrize("overlap", [0.0, 0.25, 1.0])
def test_overlap_holds_a_layer_until_its_own_transfers_are_done(
    npu: MakeNpu, chain: GraphOf, overlap: float
) -> None:
    plain = cost_graph(chain(), npu())
    held = cost_graph(chain(), npu(overlap=overlap))
    compute, memory = plain.compute.compute_cycles, plain.table.machine.fetch_cycles(plain.dram_bytes)
    expected = np.maximum(compute, memory) + np.ceil((1 - overlap) * np.minimum(compute, memory))
    assert held.layer_latency_cycles.tolist() == expected.tolist()
    assert held.table.compute_cycles.sum() == expected.sum()


def test_what_overlaps_begins_after_the_head_and_ends_before_the_stores(npu: MakeNpu, chain: GraphOf) -> None:
    """Loads of a layer are 64 x 64 weights and 64 x 64 inputs, 16384 bytes in all; it stores half as much."""
    plain = cost_graph(chain(count=1), npu(activations_in_dram="all"))
    machine, (busy,) = plain.table.machine, plain.compute.compute_cycles.tolist()
    loads, head, stores = machine.fetch_cycles(np.array([16_384, 1_000, 8_192])).tolist()

    def latency(**change: object) -> int:
        costed = cost_graph(chain(count=1), npu(activations_in_dram="all", **change))
        assert costed.dram_bytes.tolist() == plain.dram_bytes.tolist()
        return int(costed.layer_latency_cycles[0])

    assert latency(overlap=1) == max(busy, loads + stores)
    assert latency(overlap=1, stores_last=True) == max(busy, loads) + stores
    assert latency(overlap=1, stores_last=True, overlap_from_mb="1 KB") == max(busy, loads) + head + stores
    assert latency(overlap=1, stores_last=True, overlap_from_mb=1) == busy + loads + stores
    half = -(-(min(busy, loads) - head) // 2)
    found = latency(overlap=0.5, stores_last=True, overlap_from_mb="1 KB")
    assert found == max(busy, loads) + head + half + stores
    assert latency(overlap=0, stores_last=True, shortest_load_us=50) == busy + 50_000 + stores
    assert latency(overlap=0, stores_last=True, shortest_load_us=0.001) == busy + loads + stores


def test_a_layer_without_loads_waits_for_none(npu: MakeNpu, single_vector: GraphOf) -> None:
    graph = single_vector(VectorCategory.ELEMENTWISE, 800)
    assert cost_graph(graph, npu(overlap=0, shortest_load_us=50)).layer_latency_cycles[0] == 100


def test_spilled_results_are_stored_last_too(npu: MakeNpu, chain: GraphOf) -> None:
    small = {"weights_mb": 1, "activations_mb": 0.001}
    plain = cost_graph(chain(count=1), npu(overlap=0, sram=small))
    last = cost_graph(chain(count=1), npu(overlap=1, overlap_from_mb=1, stores_last=True, sram=small))
    assert plain.dram_bytes[0] >= 3 * 8_192
    assert abs(int(last.layer_latency_cycles[0]) - int(plain.layer_latency_cycles[0])) <= 1


@pytest.mark.parametrize("key", ["overlap_from_mb", "shortest_load_us", "stores_last"])
def test_how_a_layer_waits_needs_an_overlap(npu: MakeNpu, key: str) -> None:
    with pytest.raises(ConfigError, match="give overlap, too"):
        npu(**{key: 1 if key != "stores_last" else True})


@pytest.mark.parametrize(("m", "weights", "inputs"), [(16, 1, 2), (256, 2, 1)])
def test_every_core_fetches_the_smaller_operand(npu: MakeNpu, m: int, weights: int, inputs: int) -> None:
    layer = Layer(
        "product",
        LayerKind.MATRIX,
        ("MatMul",),
        inputs=(TensorSpec("a", m * 64),),
        outputs=(TensorSpec("c", m * 64),),
        weights=(TensorSpec("b", 64 * 64),),
        matrix=MatrixWork(1, m, 64, 64),
    )
    graph = LayerGraph("product", (layer,), inputs=layer.inputs, outputs=layer.outputs)
    for kept in ("graph_io", "all", "products"):
        costed = cost_graph(graph, npu(array={"count": 4, "cores": 2}, activations_in_dram=kept))
        assert costed.dram_bytes[0] == 2 * 64 * (64 * weights + m * inputs + m), kept
    with pytest.raises(ConfigError, match="give a divisor of count"):
        npu(array={"count": 4, "cores": 3})


def test_groups_are_divided_among_cores_with_all_they_read(
    npu: MakeNpu, one: GraphOf, depthwise: Layer
) -> None:
    alone, shared = (
        cost_graph(one(depthwise), npu(array={"count": 2, **more})) for more in ({}, {"cores": 2})
    )
    assert shared.dram_bytes.tolist() == alone.dram_bytes.tolist()


def test_a_network_that_waits_takes_the_sum_of_its_layers(npu: MakeNpu, chain: GraphOf) -> None:
    table = cost_graph(chain(count=40, extent=128), npu(overlap=0.5, sram={"weights_mb": 0.05})).table
    alone = int(build_offline(table).remaining_cycles[0])
    assert table.compute_cycles.sum() <= alone <= 1.02 * table.compute_cycles.sum()


def test_a_share_of_activations_moves_though_it_fits(npu: MakeNpu, chain: GraphOf) -> None:
    plain = cost_graph(chain(), npu())
    moved = cost_graph(chain(), npu(activations_in_dram_share=0.5))
    per_layer = 2 * 64 * 64 * 2
    assert (moved.dram_bytes - plain.dram_bytes).tolist() == [per_layer // 2] * 3


def test_operators_that_fall_back_cost_on_the_host_and_not_on_the_vector_unit(
    npu: MakeNpu, single_vector: GraphOf
) -> None:
    graph = single_vector(VectorCategory.ELEMENTWISE, 800)
    host = {"operators": ["Any"], "ns_per_element": 10, "overhead_us": 5}
    costs = cost_graph(graph, npu(host=host)).compute
    assert costs.vector_cycles[0] == 0
    assert costs.compute_cycles[0] == 8000 + 5000
    elsewhere = cost_graph(graph, npu(host={**host, "operators": ["Other"]})).compute
    assert elsewhere.compute_cycles[0] == 100


def test_a_concatenation_in_place_costs_only_a_host_that_joins_it(npu: MakeNpu) -> None:
    def product(name: str, reads: tuple[str, ...], operators: tuple[str, ...]) -> Layer:
        return Layer(
            name,
            LayerKind.MATRIX,
            operators,
            inputs=tuple(TensorSpec(one, 64) for one in reads),
            outputs=(TensorSpec(name, 64),),
            weights=(TensorSpec(f"{name}.w", 64 * len(reads)),),
            matrix=MatrixWork(1, 8, 8, 8 * len(reads)),
        )

    layers = (
        product("a", ("x",), ("Conv",)),
        product("b", ("a",), ("Conv", "Concat")),
        product("c", ("a", "b"), ("Conv",)),
        product("d", ("a", "b", "c"), ("Conv",)),
    )
    graph = LayerGraph("joined", layers, inputs=layers[0].inputs, outputs=layers[-1].outputs)
    plain = cost_graph(graph, npu()).compute.compute_cycles
    host = {"operators": ["Concat"], "ns_per_element": 10, "overhead_us": 5}
    more = cost_graph(graph, npu(host=host)).compute.compute_cycles - plain
    assert more.tolist() == [0, 128 * 10 + 5000, 0, 0]
