"""Moves in front of a product: it fetches its operand in the order in which it needs it."""

from __future__ import annotations

from layerweaver.frontend.draft import Draft, DraftGraph
from layerweaver.ir import LayerKind, VectorCategory

__all__ = ["fuse_prologues"]


def _foldable(graph: DraftGraph, draft: Draft) -> bool:
    if draft.kind is LayerKind.MOVE:
        return True
    if draft.kind is not LayerKind.VECTOR or not graph.reads_state(draft):
        return False
    return all(work.category in (VectorCategory.MOVE, VectorCategory.ELEMENTWISE) for work in draft.vector)


def fuse_prologues(graph: DraftGraph) -> int:
    """Merge moves into the matrix layer that alone reads their result.

    A cache that is transposed, scaled or spread over query heads on its way is read by the product itself.

    Returns:
        Number of layers merged.
    """
    merged = 0
    for draft in reversed(graph.drafts()):
        if not _foldable(graph, draft):
            continue
        reader = graph.only_reader(draft)
        if reader is not None and reader.kind is LayerKind.MATRIX:
            graph.merge(reader, draft)
            merged += 1
    return merged
