"""Which layers stand side by side in a graph: none of them waits for another."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from layerweaver.ir import LayerGraph

__all__ = ["layers_abreast"]


def layers_abreast(graph: LayerGraph) -> NDArray[np.int64]:
    """Layers with work that lie as deep in the graph as each layer, at least 1, shape (layers,).

    A layer's depth is the number of layers on the longest way to it.
    """
    depth_of: dict[str, int] = {}
    depths: list[int] = []
    for layer in graph.layers:
        depth = 1 + max((depth_of.get(tensor.name, 0) for tensor in layer.inputs), default=0)
        depths.append(depth)
        depth_of.update((tensor.name, depth) for tensor in layer.outputs)
    works = Counter(
        depth for depth, layer in zip(depths, graph.layers, strict=True) if layer.matrix or layer.vector
    )
    return np.array([max(1, works[depth]) for depth in depths], dtype=np.int64)
