"""All counts of a decoder's layers at one size, and what of them stays the same at others."""

from __future__ import annotations

from dataclasses import dataclass

from layerweaver.costmodel.joins import joins_in_place
from layerweaver.ir import LayerGraph, TensorSpec

__all__ = ["LayerCounts", "layer_counts"]


@dataclass(frozen=True, slots=True, eq=False)
class LayerCounts:
    """All counts of one layer, as a vector whose structure does not change with sizes.

    Attributes:
        structure: What the counts are of.
        counts: One for each.
        live: Bits of the live activations, for elements of the model's own types and by elements.
        moved: Names of the activations read and written, with the places of their counts.
    """

    structure: tuple[object, ...]
    counts: tuple[int, ...]
    live: tuple[int, int]
    moved: tuple[tuple[str, int], ...]


def layer_counts(graph: LayerGraph) -> list[LayerCounts]:
    """The counts of every layer."""
    entering = {tensor.name for tensor in graph.inputs}
    leaving = {tensor.name for tensor in graph.outputs}
    live = graph.live_bytes(lambda tensor: tensor.elements * tensor.dtype.bits)
    elements = graph.live_bytes(lambda tensor: tensor.elements)
    joins = joins_in_place(graph)
    result = []
    for index, layer in enumerate(graph.layers):
        work = layer.matrix
        groups: list[tuple[TensorSpec, ...]] = [
            tuple(gather.rows for gather in layer.gathers),
            tuple(layer.state_reads),
            tuple(layer.state_writes),
            tuple(layer.inputs),
            tuple(layer.outputs),
            tuple(tensor for tensor in layer.inputs if tensor.name in entering),
            tuple(tensor for tensor in layer.outputs if tensor.name in leaving),
        ]
        weights = tuple((tensor.elements, tensor.dtype.bits) for tensor in layer.weights)
        structure = (
            layer.kind,
            layer.role,
            work is not None and (work.weights, work.conv is None),
            tuple((vector.category, vector.window, vector.operator) for vector in layer.vector),
            tuple(tuple(tensor.dtype.bits for tensor in group) for group in groups),
            weights,
            joins.get(index),
        )
        extents = (0,) * 5 if work is None else (work.groups, work.m, work.n, work.k, work.steps)
        counts = (
            *extents,
            *(vector.elements * vector.window for vector in layer.vector),
            *(tensor.elements for group in groups for tensor in group),
        )
        first = len(extents) + len(layer.vector) + sum(len(group) for group in groups[:3])
        names = [tensor.name for group in groups[3:5] for tensor in group]
        moved = tuple((name, first + place) for place, name in enumerate(names))
        result.append(LayerCounts(structure, counts, (int(live[index]), int(elements[index])), moved))
    return result
