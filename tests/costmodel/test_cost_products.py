"""What layers of products move through DRAM, and at which stride they read."""

from __future__ import annotations

from collections.abc import Callable

from layerweaver.costmodel import NpuConfig, cost_graph
from layerweaver.ir import (
    ConvGeometry,
    Layer,
    LayerGraph,
    LayerKind,
    MatrixWork,
    TensorSpec,
    VectorCategory,
    VectorWork,
)

MakeNpu = Callable[..., NpuConfig]


def test_products_alone_move_through_dram(npu: MakeNpu) -> None:
    image, made, pooled = TensorSpec("x", 4096), TensorSpec("y", 4096), TensorSpec("z", 1024)
    product = Layer(
        "y", LayerKind.MATRIX, ("MatMul",), (), (image,), (made,), MatrixWork(1, 64, 64, 64, weights=False)
    )
    pool = Layer(
        "z",
        LayerKind.VECTOR,
        ("MaxPool",),
        (),
        (made,),
        (pooled,),
        vector=(VectorWork("MaxPool", VectorCategory.POOLING, 1024, 4),),
    )
    graph = LayerGraph("g", (product, pool), inputs=(image,), outputs=(pooled,))
    moved = {
        choice: cost_graph(graph, npu(activations_in_dram=choice)).dram_bytes.tolist()
        for choice in ("spilled", "graph_io", "products", "all")
    }
    assert moved == {
        "spilled": [0, 0],
        "graph_io": [8192, 2048],
        "products": [16384, 0],
        "all": [16384, 10240],
    }


def test_products_read_their_operands_at_the_stride(npu: MakeNpu) -> None:
    image, skip, made = TensorSpec("x", 8 * 8 * 4), TensorSpec("s", 4 * 4 * 2), TensorSpec("y", 4 * 4 * 2)
    geometry = ConvGeometry((1, 1), (2, 2), (1, 1), (8, 8), (4, 4), 4, 2)
    layer = Layer(
        "y",
        LayerKind.MATRIX,
        ("Conv", "Add"),
        inputs=(image, skip),
        outputs=(made,),
        weights=(TensorSpec("w", 8),),
        matrix=MatrixWork(1, 16, 2, 4, conv=geometry),
    )
    graph = LayerGraph("g", (layer,), inputs=(image, skip), outputs=(made,))
    weights = 8 * 2
    moved = int(cost_graph(graph, npu(activations_in_dram="products")).dram_bytes[0])
    assert moved == weights + 4 * 4 * 4 * 2 + 4 * 4 * 2 * 2
    every = int(cost_graph(graph, npu(activations_in_dram="all")).dram_bytes[0])
    assert every == weights + (8 * 8 * 4 + 2 * 4 * 4 * 2) * 2
