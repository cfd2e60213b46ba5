"""Time of networks whose transfers run ahead of their layers, as far as the weight buffer allows.

The two timelines of the machine that schedules (LW III-C), with one network alone: a row is fetched when the
row before it is, and when the rows are done whose weights it needs the room of; it computes when it is
fetched and the row before it is done. In real numbers, since a fit asks for smooth changes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["ahead_cycles"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def ahead_cycles(
    first: IntArray, pieces: IntArray, cycles: FloatArray, room_cycles: FloatArray, buffer_cycles: float
) -> FloatArray:
    """Cycles of each network alone, shape (networks,).

    Args:
        first: First layer of each network, shape (networks,).
        pieces: Rows of each layer, shape (layers of all,).
        cycles: Transfers of each layer, and what it computes with its overhead, shape (2, layers of all).
        room_cycles: Cycles in which its weights, which take room in the buffer, are transferred.
        buffer_cycles: Cycles in which as much is transferred as the buffer holds.
    """
    bounds = np.append(first, len(pieces))
    return _compiled()(bounds, pieces, cycles, room_cycles, buffer_cycles)


@functools.cache
def _compiled() -> Callable[..., FloatArray]:
    from numba import njit  # noqa: PLC0415 - half a second, and only fits of such structures need it

    compiled: Callable[..., FloatArray] = njit()(_alone)
    return compiled


def _alone(
    bounds: IntArray, pieces: IntArray, cycles: FloatArray, room_cycles: FloatArray, buffer_cycles: float
) -> FloatArray:
    """The same for networks that lie between ``bounds``."""
    rows = pieces.sum()
    done, before = np.zeros(rows), np.zeros(rows + 1)
    total = np.zeros(len(bounds) - 1)
    for network in range(len(total)):
        row, holding, fetched, computed = 0, 0, 0.0, 0.0
        for layer in range(bounds[network], bounds[network + 1]):
            share = 1.0 / pieces[layer]
            room = room_cycles[layer] * share
            for _ in range(pieces[layer]):
                end = fetched + cycles[0, layer] * share
                needed = before[row] + room - buffer_cycles
                while holding < row and before[holding] < needed:
                    end = max(end, done[holding] + needed - before[holding])
                    if before[holding + 1] >= needed:
                        break
                    holding += 1
                fetched = end
                computed = max(computed, fetched) + cycles[1, layer] * share
                done[row] = computed
                before[row + 1] = before[row] + room
                row += 1
        total[network] = computed
    return total
