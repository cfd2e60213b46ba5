"""Nodes that nobody needs: what no output of the graph depends on is not run and not costed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from layerweaver.frontend.node.resolved import ResolvedNode

__all__ = ["live_nodes"]


def live_nodes(nodes: Sequence[ResolvedNode], needed: Iterable[str]) -> tuple[ResolvedNode, ...]:
    """Those of ``nodes``, which are in execution order, that one of the values ``needed`` depends on."""
    live = set(needed)
    kept = []
    for resolved in reversed(nodes):
        if not live.isdisjoint(resolved.node.outputs):
            live.update(resolved.node.inputs)
            live.discard("")
            kept.append(resolved)
    return tuple(reversed(kept))
