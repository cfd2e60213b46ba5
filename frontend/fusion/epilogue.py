"""Vector and move layers behind a matrix, recurrent or gather layer run on its results as they appear."""

from __future__ import annotations

from layerweaver.frontend.lowering.draft import Draft, DraftGraph
from layerweaver.ir import LayerKind, VectorCategory

__all__ = ["fuse_epilogues", "fuse_region_epilogues", "is_streamable", "latest_writer"]

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


def is_streamable(draft: Draft) -> bool:
    """Whether a vector or move layer can run on the results of a product as they appear."""
    return draft.kind in (LayerKind.VECTOR, LayerKind.MOVE) and draft.categories <= _STREAMABLE


def _fusable(graph: DraftGraph, draft: Draft) -> bool:
    return is_streamable(draft) and not graph.reads_state(draft)


def _takes_enough(graph: DraftGraph, draft: Draft, taken: list[str]) -> bool:
    """Whether a result is not spread over a larger tensor: a gate or a broadcast is not an epilogue.

    Nor is a stack of several layers' caches, of which only the new rows are counted.
    """
    if draft.kind is LayerKind.MOVE and len(draft.reads) > 1 and not graph.written.isdisjoint(draft.writes):
        return False
    return bool(taken) and graph.elements(draft.writes) <= graph.elements(taken)


def _latest_host(graph: DraftGraph, draft: Draft) -> Draft | None:
    host = latest_writer(graph, draft)
    if host is None or host.kind not in _HOSTS:
        return None
    taken = [storage for storage in draft.reads if storage in host.writes]
    for storage in taken:
        if storage in graph.pinned or any(reader is not draft for reader in graph.readers(storage)):
            return None
    return host if _takes_enough(graph, draft, taken) else None


def _earlier_host(graph: DraftGraph, draft: Draft) -> Draft | None:
    """A product whose results only ``draft`` reads: it can wait for all else that ``draft`` reads."""
    best: Draft | None = None
    for storage in draft.reads:
        host = graph.writer(storage)
        if host is None or host.kind is not LayerKind.MATRIX or graph.only_reader(host) is not draft:
            continue
        if any(name in graph.pinned for name in host.writes):
            continue
        if _takes_enough(graph, draft, list(host.writes)) and (best is None or host.position > best.position):
            best = host
    return best


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
        host = _latest_host(graph, draft) if _fusable(graph, draft) else None
        if host is not None:
            graph.merge(host, draft)
            merged += 1
    return merged


def fuse_region_epilogues(graph: DraftGraph) -> int:
    """The same for collapsed regions, or else merge them into an earlier product that can wait.

    A product whose results go nowhere else runs when all other operands of the region are there.

    Returns:
        Number of layers merged.
    """
    merged = fuse_epilogues(graph)
    for draft in graph.drafts():
        host = _earlier_host(graph, draft) if _fusable(graph, draft) else None
        if host is not None:
            position = draft.position
            graph.merge(host, draft)
            graph.delay(host, position)
            merged += 1
    return merged
