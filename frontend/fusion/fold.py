"""Batch normalisation and bias behind a product: folded into its weights and its accumulators."""

from __future__ import annotations

from layerweaver.frontend.draft import Draft, DraftGraph
from layerweaver.ir import LayerKind

__all__ = ["fold_batch_normalization", "fold_bias"]


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
    """Fold BatchNormalization into the weights and the bias of the product before it: no work is left."""
    merged = 0
    for draft in graph.drafts():
        if draft.operator == "BatchNormalization" and draft.kind is LayerKind.VECTOR:
            host = _weighted_host(graph, draft)
            if host is not None:
                graph.merge(host, draft, vector=[])
                merged += 1
    return merged


def fold_bias(graph: DraftGraph) -> int:
    """Let the accumulators start from a constant that Add gives every output channel: no work is left."""
    merged = 0
    for draft in graph.drafts():
        if draft.operator != "Add" or draft.kind is not LayerKind.VECTOR or len(draft.weights) != 1:
            continue
        host = _weighted_host(graph, draft)
        if host is None or host.matrix is None:
            continue
        (bias,) = draft.weights.values()
        if bias.elements == host.matrix.n * host.matrix.groups:
            graph.merge(host, draft, vector=[])
            merged += 1
    return merged
