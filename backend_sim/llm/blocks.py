"""Blocks of a language model's rows that are repeated, as the layers of most are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["repeated_blocks"]

_MOST_BLOCK_ROWS = 4096


def repeated_blocks(rows: NDArray[np.int64]) -> tuple[int, int, int]:
    """The block whose repetitions make up most of the rows, the first row aside.

    Args:
        rows: What every row is, shape (rows,).

    Returns:
        First row of the first block, never 0; rows of a block, at least 1; the row after the last block, the
        first again if nothing is repeated.
    """
    best, most_saved = (1, 1, 1), 0
    for length in range(1, min(len(rows) // 2, _MOST_BLOCK_ROWS) + 1):
        changes = np.flatnonzero(rows[1:-length] != rows[1 + length :])
        edges = np.concatenate(([-1], changes, [len(rows) - 1 - length]))
        equal = np.diff(edges) - 1
        place = int(np.argmax(equal))
        count = int(equal[place]) // length + 1
        saved = (count - 1) * length
        if saved > most_saved:
            first = 2 + int(edges[place])
            best, most_saved = (first, length, first + count * length), saved
    return best
