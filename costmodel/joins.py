"""Concatenations whose parts are written in place: what of a graph tells how much they join."""

from __future__ import annotations

from layerweaver.ir import LayerGraph

__all__ = ["JOIN", "joins_in_place"]

JOIN = "Concat"


def joins_in_place(graph: LayerGraph) -> dict[int, list[list[int]]]:
    """Layers that list a concatenation without work of its own, and of each of their outputs who reads it.

    What is joined is what a reader of a part reads in all; of several readers the least, since others read
    more than the concatenation; of several outputs the most. An output that nobody reads counts itself.

    Returns:
        By index of a layer with outputs, the indices of the readers of each output.
    """
    lists = {
        index: layer
        for index, layer in enumerate(graph.layers)
        if layer.outputs and JOIN in layer.operators and all(work.operator != JOIN for work in layer.vector)
    }
    readers: dict[str, list[int]] = {tensor.name: [] for layer in lists.values() for tensor in layer.outputs}
    if lists:
        for index, layer in enumerate(graph.layers):
            for tensor in layer.inputs:
                if tensor.name in readers:
                    readers[tensor.name].append(index)
    return {index: [readers[tensor.name] for tensor in layer.outputs] for index, layer in lists.items()}
