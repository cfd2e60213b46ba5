"""Moves in front of a product: it fetches its operand in the order in which it needs it."""

from __future__ import annotations

from layerweaver.frontend.lowering.draft import Draft, DraftGraph
from layerweaver.ir import LayerKind, VectorCategory

__all__ = ["fuse_prologues"]
_PRODUCTS = (LayerKind.MATRIX, LayerKind.RECURRENT)
_ON_THE_WAY = frozenset({VectorCategory.MOVE, VectorCategory.ELEMENTWISE})


def _is_scale(graph: DraftGraph, draft: Draft, reader: Draft) -> bool:
    """Whether single numbers make at most one factor per output channel."""
    if reader.matrix is None or not draft.reads:
        return False
    channels = reader.matrix.n * reader.matrix.groups
    return graph.elements(draft.reads) == len(draft.reads) and graph.elements(draft.writes) <= channels


def _foldable(graph: DraftGraph, draft: Draft, reader: Draft) -> bool:
    if draft.kind is LayerKind.MOVE:
        return True
    if not draft.categories <= _ON_THE_WAY:
        return False
    if _is_scale(graph, draft, reader):
        return True
    if graph.reads_state(draft):
        return True
    between_activations = reader.matrix is not None and not reader.matrix.weights
    return between_activations and len(draft.reads) == 1


def fuse_prologues(graph: DraftGraph) -> int:
    """Merge moves into the matrix or recurrent layer that alone reads their result.

    Scales that single numbers make (of dynamically quantised operands) are made by the product itself.
    A cache that is transposed, scaled or spread over query heads on its way is read by the product itself,
    and so are queries or keys that are scaled or biased for one product of an attention.

    Returns:
        Number of layers merged.
    """
    merged = 0
    for draft in reversed(graph.drafts()):
        if draft.kind not in (LayerKind.VECTOR, LayerKind.MOVE):
            continue
        reader = graph.only_reader(draft)
        if reader is not None and reader.kind in _PRODUCTS and _foldable(graph, draft, reader):
            graph.merge(reader, draft)
            merged += 1
    return merged
