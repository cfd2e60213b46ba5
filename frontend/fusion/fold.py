"""Batch normalisation, scale and bias behind a product: folded into its weights and accumulators."""

from __future__ import annotations

from layerweaver.frontend.lowering.draft import Draft, DraftGraph
from layerweaver.ir import LayerKind, MatrixWork

__all__ = ["fold_affine", "fold_batch_normalization"]

_AFFINE = frozenset({"Add", "Sub", "Mul", "Div"})


def _weighted_host(graph: DraftGraph, draft: Draft) -> Draft | None:
    """The product by constant weights that alone feeds ``draft``, with nothing between them."""
    if len(draft.reads) != 1:
        return None
    (storage,) = draft.reads
    host = graph.writer(storage)
    if host is None or host.kind is not LayerKind.MATRIX or host.matrix is None or storage in graph.pinned:
        return None
    if not host.matrix.weights or len(host.writes) != 1 or any(work.elements for work in host.vector):
        return None
    return host if graph.only_reader(host) is draft else None


def fold_batch_normalization(graph: DraftGraph) -> int:
    """Fold BatchNormalization into the weights and the bias of the product before it: no work is left.

    Returns:
        Number of nodes folded.
    """
    merged = 0
    for draft in graph.drafts():
        if draft.operator == "BatchNormalization" and draft.kind is LayerKind.VECTOR:
            host = _weighted_host(graph, draft)
            if host is not None:
                graph.merge(host, draft, free=True)
                merged += 1
    return merged


def _channels(work: MatrixWork) -> int:
    """Output channels of a product by weights."""
    per_group = work.conv.out_channels if work.conv is not None else work.n
    return per_group * work.groups


def fold_affine(graph: DraftGraph) -> int:
    """Fold constant factors and sums per output channel into the weights and the accumulators' start.

    Add and Sub make a bias, Mul and Div by a constant are a batch normalisation's scale: no work is left.

    Returns:
        Number of nodes folded.
    """
    merged = 0
    for draft in graph.drafts():
        if draft.operator not in _AFFINE or draft.kind is not LayerKind.VECTOR or len(draft.weights) != 1:
            continue
        if draft.operator == "Div" and draft.operands[0] not in draft.reads:
            continue
        host = _weighted_host(graph, draft)
        if host is None or host.matrix is None:
            continue
        (constant,) = draft.weights.values()
        if constant.elements == _channels(host.matrix):
            graph.merge(host, draft, free=True)
            merged += 1
    return merged
