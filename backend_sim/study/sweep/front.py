"""The Pareto front of points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["front"]

_STRONG = 64
"""Rows with the best ranks in all columns together that are held against all others."""


def front(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Rows that no other row beats in every column (all columns small), ascending; rows with NaN are none.

    Args:
        values: Shape (points, objectives).
    """
    known = np.flatnonzero(~np.isnan(values).any(axis=1))
    order = known[np.lexsort(values[known].T[::-1])]
    ranked = values[order]
    kept = _of_two(ranked) if values.shape[1] <= 2 else _of_many(ranked)
    return np.sort(order[kept])


def _of_two(ranked: NDArray[np.float64]) -> NDArray[np.intp]:
    """Of rows in order: the best second value of every first one, if it is better than all before."""
    if not len(ranked):
        return np.empty(0, dtype=np.intp)
    first, last = ranked[:, 0], ranked[:, -1]
    begins = np.flatnonzero(np.append(True, first[1:] != first[:-1]))
    group = np.cumsum(np.append(True, first[1:] != first[:-1])) - 1
    least = last[begins]
    before = np.append(np.inf, np.minimum.accumulate(least)[:-1])
    if ranked.shape[1] == 1:
        return np.flatnonzero(group == 0)
    return np.flatnonzero((last == least[group]) & ((least < before)[group] | (group == 0)))


def _of_many(ranked: NDArray[np.float64]) -> NDArray[np.intp]:
    """Rows come with the first column ascending, so only kept ones can beat a later one."""
    kept: list[int] = []
    best = np.empty((16, ranked.shape[1]))
    for place in _unbeaten(ranked):
        candidate = ranked[place]
        others = best[: len(kept)]
        if ((others <= candidate).all(axis=1) & (others < candidate).any(axis=1)).any():
            continue
        if len(kept) == len(best):
            best = np.concatenate((best, np.empty_like(best)))
        best[len(kept)] = candidate
        kept.append(int(place))
    return np.array(kept, dtype=np.intp)


def _unbeaten(ranked: NDArray[np.float64]) -> NDArray[np.intp]:
    """Rows that none of a few strong ones beats: most of a large study goes at once."""
    ranks = ranked.argsort(axis=0, kind="stable").argsort(axis=0).sum(axis=1)
    left = np.ones(len(ranked), dtype=bool)
    for strong in ranked[ranks.argsort(kind="stable")[:_STRONG]]:
        left &= ~((strong <= ranked).all(axis=1) & (strong < ranked).any(axis=1))
    return np.flatnonzero(left)
