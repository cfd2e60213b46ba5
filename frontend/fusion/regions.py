"""Chains and small nets of vector and move layers become one layer."""

from __future__ import annotations

from layerweaver.frontend.fusion.epilogue import is_streamable
from layerweaver.frontend.lowering.draft import DraftGraph
from layerweaver.ir import LayerKind

__all__ = ["collapse_regions", "collapse_streams"]

_KINDS = (LayerKind.VECTOR, LayerKind.MOVE)


def collapse_streams(graph: DraftGraph) -> int:
    """Collapse only what can run on the results of a product as they appear: no reductions, no pools.

    Returns:
        Number of layers merged.
    """
    return _collapse(graph, streams=True)


def collapse_regions(graph: DraftGraph) -> int:
    """Merge every vector or move layer into its reader when all that it writes goes to that one reader.

    From the last layer backwards this yields the largest regions with a single exit. A path that left such
    a region and came back would have to start at its exit, which is last, so no circle can arise.

    Returns:
        Number of layers merged.
    """
    return _collapse(graph, streams=False)


def _collapse(graph: DraftGraph, *, streams: bool) -> int:
    merged = 0
    for draft in reversed(graph.drafts()):
        if draft.kind not in _KINDS:
            continue
        reader = graph.only_reader(draft)
        if reader is None or reader.kind not in _KINDS:
            continue
        if streams and not (is_streamable(draft) and is_streamable(reader)):
            continue
        # State must not be drawn into work that another layer could take in as it streams by.
        if graph.reads_state(draft) and any(storage not in draft.writes for storage in reader.reads):
            continue
        graph.merge(reader, draft)
        if draft.kind is LayerKind.VECTOR:
            reader.kind = LayerKind.VECTOR
        merged += 1
    return merged
