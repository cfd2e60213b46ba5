"""Places for the nodes of a layered graph: rows by depth, columns that keep edges short."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["place"]

_SWEEPS = 4


def place(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, tuple[float, float]]:
    """Column and row of every node.

    The row is the longest path from a source. Within a row, nodes are sorted by the mean column of their
    neighbours (barycentres, a few sweeps), centred around column 0.

    Args:
        nodes: In a topological order.
        edges: Pairs of nodes.

    Returns:
        Node to (column, row), both from 0 at the middle and the top.
    """
    before: dict[str, list[str]] = {node: [] for node in nodes}
    after: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in edges:
        before[target].append(source)
        after[source].append(target)
    row: dict[str, int] = {}
    for node in nodes:
        row[node] = max((row[parent] + 1 for parent in before[node]), default=0)
    rows: dict[int, list[str]] = {}
    for node in nodes:
        rows.setdefault(row[node], []).append(node)
    column = {node: float(index) for members in rows.values() for index, node in enumerate(members)}
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for level in sorted(rows, reverse=not down):
            neighbours = before if down else after
            wanted = {
                node: sum(column[other] for other in neighbours[node]) / len(neighbours[node])
                if neighbours[node]
                else column[node]
                for node in rows[level]
            }
            members = sorted(rows[level], key=lambda node: (wanted[node], column[node]))
            middle = (len(members) - 1) / 2
            for index, node in enumerate(members):
                column[node] = index - middle
    return {node: (column[node], float(row[node])) for node in nodes}
