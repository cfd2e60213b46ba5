"""The layer graph: order, liveness, batch, and what it refuses."""

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerweaver.ir import (
    BatchAxis,
    DType,
    Layer,
    LayerGraph,
    LayerKind,
    MatrixWork,
    ModelError,
    TensorSpec,
)


def tensor(name: str, elements: int = 1, *, batched: bool = True) -> TensorSpec:
    return TensorSpec(name, elements, DType.INT8, batched)


def layer(name: str, reads: str, writes: str, elements: int = 1) -> Layer:
    return Layer(
        name,
        LayerKind.VECTOR,
        ("Relu",),
        inputs=tuple(tensor(each) for each in reads.split()),
        outputs=tuple(tensor(each, elements) for each in writes.split()),
    )


def test_execution_order_is_topological_and_keeps_the_given_order_elsewhere() -> None:
    graph = LayerGraph("g", [layer("c", "b", "z"), layer("a", "x", "y"), layer("b", "y", "b")])
    assert [each.name for each in graph] == ["a", "b", "c"]
    free = LayerGraph("g", [layer("late", "x", "y"), layer("early", "x", "z")])
    assert [each.name for each in free] == ["late", "early"]


def test_a_circle_of_layers_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"circle: (a, b|b, a)"):
        LayerGraph("g", [layer("a", "y", "x"), layer("b", "x", "y")])


def test_repeated_layer_names_and_producers_are_refused() -> None:
    with pytest.raises(ModelError, match="same name"):
        LayerGraph("g", [layer("a", "x", "y"), layer("a", "x", "z")])
    with pytest.raises(ModelError, match="two producers, 'a'"):
        LayerGraph("g", [layer("a", "x", "y"), layer("b", "x", "y")])


def test_live_bytes_follow_a_residual_connection() -> None:
    graph = LayerGraph(
        "g",
        [layer("a", "x", "y", 10), layer("b", "y", "z", 20), layer("c", "y z", "out", 5)],
        inputs=[tensor("x", 3)],
        outputs=[tensor("out", 5)],
    )
    # a: x + y; b: y + z; c: y + z + out.
    assert graph.live_bytes().tolist() == [13, 30, 35]


def test_graph_outputs_stay_live_to_the_end_and_unused_results_do_not() -> None:
    graph = LayerGraph(
        "g",
        [layer("a", "x", "kept unused", 7), layer("b", "x", "other", 1)],
        inputs=[tensor("x", 2)],
        outputs=[tensor("kept", 7)],
    )
    assert graph.live_bytes().tolist() == [16, 10]


def test_with_batch_scales_activations_and_work_but_not_weights() -> None:
    product = Layer(
        "fc",
        LayerKind.MATRIX,
        ("Gemm",),
        inputs=(tensor("x", 8),),
        outputs=(tensor("y", 4),),
        matrix=MatrixWork(groups=1, m=1, n=4, k=8),
        weights=(tensor("w", 32, batched=False),),
    )
    graph = LayerGraph("g", [product], inputs=[tensor("x", 8)], outputs=[tensor("y", 4)])
    wide = graph.with_batch(16)
    assert (graph.macs, wide.macs) == (32, 512)
    assert wide.parameters == graph.parameters == 32
    assert wide.layers[0].inputs[0].elements == 128
    assert wide.with_batch(1).layers == graph.layers


@given(st.sampled_from(list(BatchAxis)), st.integers(1, 64))
def test_batch_scales_macs_by_its_axis(axis: BatchAxis, batch: int) -> None:
    work = MatrixWork(groups=2, m=3, n=5, k=7, steps=11, batch_axis=axis)
    scale = 1 if axis is BatchAxis.NONE else batch
    assert work.with_batch(batch, 1).macs == scale * work.macs


@given(st.data())
def test_random_graphs_run_every_producer_before_its_readers(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    layers = []
    for index in range(count):
        sources = data.draw(st.lists(st.integers(0, index), unique=True, max_size=3))
        reads = " ".join("x" if source == 0 else f"t{source - 1}" for source in sources)
        layers.append(layer(f"n{index}", reads, f"t{index}"))
    graph = LayerGraph("g", data.draw(st.permutations(layers)))
    done: set[str] = {"x"}
    for each in graph:
        assert {read.name for read in each.inputs} <= done
        done |= {written.name for written in each.outputs}
    assert nx.is_directed_acyclic_graph(graph.graph)


def test_int4_is_packed() -> None:
    assert TensorSpec("w", 5, DType.INT4).nbytes() == 3
    assert TensorSpec("w", 5, DType.INT4).nbytes(16) == 10
