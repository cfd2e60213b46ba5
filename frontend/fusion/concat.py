"""Concatenations are written in place: every part goes straight to where it belongs."""

from __future__ import annotations

from layerweaver.frontend.fusion.epilogue import latest_writer
from layerweaver.frontend.lowering.draft import DraftGraph
from layerweaver.ir import LayerKind

__all__ = ["MAX_PARTS", "write_concat_in_place"]

MAX_PARTS = 64
"""A layer that would read more parts than this reads the copied whole instead."""


def write_concat_in_place(graph: DraftGraph) -> int:
    """Let the readers of a concatenation read its parts: nothing is copied and no work is left.

    The node is listed with the last layer that writes a part.

    Returns:
        Number of nodes removed.
    """
    removed = 0
    for draft in graph.drafts():
        if draft.operator != "Concat" or draft.kind is not LayerKind.MOVE or len(draft.writes) != 1:
            continue
        (result,) = draft.writes
        host = latest_writer(graph, draft)
        if host is None or draft.weights or draft.gathers or result in graph.pinned:
            continue
        readers = tuple(graph.readers(result))
        parts = tuple(draft.reads)
        if graph.reads_state(draft) or not readers:
            continue
        if any(len(reader.reads) + len(parts) > MAX_PARTS for reader in readers):
            continue
        for reader in readers:
            graph.redirect(reader, {result: parts})
        host.origins.extend(draft.origins)
        graph.remove(draft)
        removed += 1
    return removed
