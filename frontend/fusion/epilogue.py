"""Vector and move layers behind a matrix, recurrent or gather layer run on its results as they appear."""

from __future__ import annotations

from layerweaver.frontend.draft import Draft, DraftGraph
from layerweaver.ir import LayerKind, VectorCategory

__all__ = ["fuse_epilogues", "latest_writer"]

_STREAMABLE = frozenset(
    {
        VectorCategory.ELEMENTWISE,
        VectorCategory.TRANSCENDENTAL,
        VectorCategory.SOFTMAX,
        VectorCategory.NORMALIZATION,
        VectorCategory.MOVE,
    }
)
_HOSTS = frozenset({LayerKind.MATRIX, LayerKind.RECURRENT, LayerKind.GATHER})


def latest_writer(graph: DraftGraph, draft: Draft) -> Draft | None:
    """The last of those that write what ``draft`` reads; None when it reads only graph inputs."""
    latest: Draft | None = None
    for storage in draft.reads:
        writer = graph.writer(storage)
        if writer is not None and (latest is None or writer.position > latest.position):
            latest = writer
    return latest


def _host(graph: DraftGraph, draft: Draft) -> Draft | None:
    if draft.kind not in (LayerKind.VECTOR, LayerKind.MOVE) or graph.reads_state(draft):
        return None
    if any(work.category not in _STREAMABLE for work in draft.vector):
        return None
    host = latest_writer(graph, draft)
    if host is None or host.kind not in _HOSTS:
        return None
    taken = [storage for storage in draft.reads if storage in host.writes]
    for storage in taken:
        if storage in graph.pinned or any(reader is not draft for reader in graph.readers(storage)):
            return None
    # A small result that is spread over a larger tensor (a gate, a broadcast) is not an epilogue.
    if graph.elements(draft.writes) > graph.elements(taken):
        return None
    return host


def fuse_epilogues(graph: DraftGraph) -> int:
    """Merge every streamable vector or move layer into the last layer that it reads from.

    It must be the only reader of what it takes from there, must not read state, and must not write more than
    it takes. All else that it reads was written earlier, so no circle can arise; of the two sides of a
    residual addition the later one takes it in.

    Returns:
        Number of layers merged.
    """
    merged = 0
    for draft in graph.drafts():
        host = _host(graph, draft)
        if host is not None:
            graph.merge(host, draft)
            merged += 1
    return merged
