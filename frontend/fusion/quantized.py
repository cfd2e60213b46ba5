"""DequantizeLinear in front of an operator: the operator reads the integers themselves."""

from __future__ import annotations

from layerweaver.frontend.lowering.draft import Draft, DraftGraph
from layerweaver.ir import LayerKind

__all__ = ["fold_dequantize"]


def fold_dequantize(graph: DraftGraph) -> int:
    """Let every reader of a dequantised activation read the integers: no work is left.

    Together with the QuantizeLinear that the next passes merge into the layer before it, this turns
    quantise-dequantise pairs into integer operators. The node is listed with its first reader.

    Returns:
        Number of nodes folded.
    """
    sources: dict[str, tuple[str, ...]] = {}
    affected: dict[int, Draft] = {}
    for draft in graph.drafts():
        if draft.operator != "DequantizeLinear" or draft.kind is not LayerKind.VECTOR:
            continue
        if len(draft.reads) != 1 or len(draft.writes) != 1:
            continue
        (source,) = draft.reads
        (result,) = draft.writes
        readers = sorted(graph.readers(result), key=lambda reader: reader.position)
        if result in graph.pinned or not readers:
            continue
        sources[result] = sources.get(source, (source,))
        affected.update((reader.position, reader) for reader in readers)
        readers[0].origins.extend(draft.origins)
        readers[0].weights.update(draft.weights)
        graph.remove(draft)
    for reader in affected.values():
        if graph.alive(reader):
            graph.redirect(reader, sources)
    return len(sources)
