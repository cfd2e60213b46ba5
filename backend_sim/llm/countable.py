"""Whether 64 bits hold whatever an iteration may count."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from layerweaver.ir.limits import MAX_QUANTITY
from layerweaver.scheduler.iterations.costed import CostedRows, IterationCosts, PricedCosts
from layerweaver.scheduler.iterations.timings import Timings

__all__ = ["countable"]

_MOST = 2.0**61
_PARTS = 2.0**20
"""Folds of attention are counted in such parts."""


def countable(costs: Timings | CostedRows, *, members: int, tokens: int, longest: int, cached: int) -> bool:
    """Whether the costs of every iteration stay within what is counted exactly.

    Args:
        costs: The decoder's costs.
        members: Most members.
        tokens: Most new tokens together.
        longest: Most cached tokens of one.
        cached: Most cached tokens together.
    """
    if isinstance(costs, Timings):
        sizes = np.array([1.0, members, cached, tokens, float(tokens) * longest, float(tokens) ** 2])
        rows = costs.by_tokens(tokens).max(initial=0) + costs.by_sequences(members).max(initial=0)
        return bool(rows + np.abs(costs.coefficients) @ sizes <= MAX_QUANTITY)
    one = [1.0, tokens, longest, float(tokens) * longest, float(tokens) ** 2]
    every = [members, tokens, cached, float(tokens) * longest, float(tokens) ** 2]
    if isinstance(costs, PricedCosts):
        return costs.pricer.is_countable(one, every, (members, tokens, longest))
    assert isinstance(costs, IterationCosts)
    terms = np.abs(costs.terms.astype(np.float64))
    counted = (terms[:, 1:] @ np.array([*one, *every])) * terms[:, 0]
    fetched = float(costs.weight_traffic.max(initial=0)) + counted.sum()
    most, total = (_extents(costs, sizes) for sizes in ((1, tokens, longest), (members, tokens, cached)))
    work = max(
        _work(costs, (members, most, total), swapped)
        for swapped in range(1 + costs.settings["swap_operands"])
    )
    return max(fetched, work) < _MOST and int(costs.cycles.max(initial=0)) <= MAX_QUANTITY


def _extents(costs: IterationCosts, sizes: tuple[int, int, int]) -> list[NDArray[np.float64]]:
    """The extents m, n and k of every product of activations, for so many members, new and cached tokens."""
    attention = costs.attention.astype(np.float64)
    return [attention[:, first : first + 3] @ np.array(sizes, np.float64) for first in (1, 4, 7)]


Extents: TypeAlias = list[NDArray[np.float64]]


def _work(costs: IterationCosts, sizes: tuple[int, Extents, Extents], swapped: int) -> float:
    """Folds times what streams past each, at most: the streams of all members, the folds of the longest."""
    settings, (members, most, total) = costs.settings, sizes
    m, n, k = (1, 0, 2) if swapped else (0, 1, 2)
    across, along, stream = ((k, n, m), (k, m, n), (m, n, k), (k, n, m))[settings["flow"]]
    edge = settings["swap_cycles"] + settings["rows_of_array"] + settings["columns_of_array"]
    folds = (most[across] / settings["rows_of_array"] + 1) * (most[along] / settings["columns_of_array"] + 1)
    work = costs.attention[:, 0] * folds * (total[stream] + members * edge) * _PARTS
    return float((work * np.maximum(costs.attention[:, 10], 1)).max(initial=0.0))
