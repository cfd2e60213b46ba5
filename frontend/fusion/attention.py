"""Attention that was exported as many operators is named for what it is."""

from __future__ import annotations

from layerweaver.frontend.lowering.draft import Draft, DraftGraph
from layerweaver.ir import LayerKind, VectorCategory

__all__ = ["name_attention"]


def _between_activations(draft: Draft) -> bool:
    return draft.kind is LayerKind.MATRIX and draft.matrix is not None and not draft.matrix.weights


def name_attention(graph: DraftGraph) -> int:
    """Mark products of activations with a fused softmax as scores and their only readers as context.

    Returns:
        Number of attentions found.
    """
    found = 0
    for draft in graph.drafts():
        if draft.role or not _between_activations(draft):
            continue
        if VectorCategory.SOFTMAX not in draft.categories:
            continue
        reader = graph.only_reader(draft)
        if reader is not None and _between_activations(reader):
            draft.role = "attention-scores"
            reader.role = "attention-context"
            found += 1
    return found
