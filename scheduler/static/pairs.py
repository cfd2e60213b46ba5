"""The thresholds at which the better one of two rows changes: the kernel of the decision tables (*ours*).

See :mod:`layerweaver.scheduler.static.tables` for what the keys mean. The functions are plain Python and
compile under numba as they stand; ``key`` is replaced by one of the two keys when they do.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_CHANGES", "Setting", "Work", "fill", "scarce_key", "slack_key"]

MOST_CHANGES = 64
"""Room for the breakpoints of a pair; four times as many entries."""


class Setting(NamedTuple):
    """What the keys depend on besides the rows.

    Attributes:
        longest: Longest fetch in flight, cycles.
        rate: Scaled bytes per cycle.
        buffer: Weight buffer, scaled bytes.
    """

    longest: int
    rate: int
    buffer: int


def slack_key(x: int, row: Any, setting: Setting) -> tuple[int, int, int]:
    """What the rule minimises with slack space: total idle, inherent idle or not, minus the distance.

    ``row`` is (compute cycles, fetch cycles, weight in scaled bytes).
    """
    compute, fetch, weight = row[0], row[1], row[2]
    rate, room = setting.rate, max(0, setting.buffer - weight)
    beyond = max(0, x - fetch)
    inherent = max(0, compute * rate - room)
    memory_idle = max(0, compute * rate - max(0, room - beyond * rate)) - inherent
    compute_idle = max(0, fetch - x)
    distance = beyond + compute
    total = memory_idle + (compute_idle + max(0, setting.longest - distance)) * rate
    return total, 1 if inherent > 0 else 0, -distance


def scarce_key(taken: int, row: Any, setting: Setting) -> tuple[int, int, int]:
    """The same with scarce space, where only ``taken = buffer - room`` matters; distances are left open."""
    compute, weight = row[0], row[2]
    inherent = max(0, compute * setting.rate - max(0, setting.buffer - weight))
    total = max(0, compute * setting.rate - max(0, taken)) - inherent
    return total, 1 if inherent > 0 else 0, 0


def key(at: int, row: Any, setting: Setting) -> tuple[int, int, int]:
    """Stands for :func:`slack_key` or :func:`scarce_key`."""
    return slack_key(at, row, setting)


def winner(at: int, first: Any, second: Any, setting: Setting) -> int:
    """1 if ``first`` has the smaller key at this state, -1 if ``second`` has, 0 if they are equal."""
    left = key(at, first, setting)
    right = key(at, second, setting)
    if left < right:
        return 1
    return -1 if left > right else 0


def breakpoints(row: Any, setting: Setting, out: Any, count: int) -> int:
    """Append the integers around which either key of a row stops being linear; returns the new count."""
    compute, fetch, weight = row[0], row[1], row[2]
    rate, room = setting.rate, max(0, setting.buffer - weight)
    for at in (
        fetch,
        fetch + setting.longest - compute,
        fetch + max(0, room - compute * rate) // rate,
        fetch + room // rate,
        compute * rate,
    ):
        for near in (at, at + 1):
            if near > 0:
                out[count] = near
                count += 1
    return count


def changes(first: Any, second: Any, setting: Setting, marks: Any, out: Any) -> int:
    """Write the thresholds and winners of one pair of rows; returns how many.

    Between neighbouring breakpoints both keys are linear, so their difference changes sign at most once, with
    at most one point of equality: every change is found by bisection.
    """
    marks[0] = 0
    count = breakpoints(first, setting, marks, 1)
    count = breakpoints(second, setting, marks, count)
    for k in range(1, count):
        mark, place = marks[k], k
        while place > 0 and marks[place - 1] > mark:
            marks[place] = marks[place - 1]
            place -= 1
        marks[place] = mark
    written = 0
    last = -2
    for k in range(count):
        at = marks[k]
        high = at if k + 1 == count else marks[k + 1] - 1
        while at <= high:
            here = winner(at, first, second, setting)
            if here != last:
                out[written] = at * 4 + here + 1
                written += 1
                last = here
            if winner(high, first, second, setting) == here:
                break
            below, above = at, high
            while above - below > 1:
                middle = (below + above) // 2
                if winner(middle, first, second, setting) == here:
                    below = middle
                else:
                    above = middle
            at = above
    return written


class Work(NamedTuple):
    """Arrays that :func:`fill` writes; compiled code allocates nothing.

    Attributes:
        starts: Shape (pairs,): counts are written here, or say where each pair's entries go.
        entries: Empty to count, or shape (entries,) to be filled.
        marks: Scratch for breakpoints.
        out: Scratch for one pair's entries.
    """

    starts: NDArray[np.int64]
    entries: NDArray[np.int64]
    marks: NDArray[np.int64]
    out: NDArray[np.int64]


def fill(left: Any, right: Any, setting: Setting, work: Work) -> int:
    """All pairs of two classes' rows: without room for entries their counts, else the entries themselves.

    Args:
        left: Shape (rows, 3): compute cycles, fetch cycles, scaled weight.
        right: The same of the other class.
        setting: Longest fetch, bandwidth and buffer.
        work: What is written.
    """
    total = 0
    pair = 0
    for a in range(len(left)):
        for b in range(len(right)):
            count = changes(left[a], right[b], setting, work.marks, work.out)
            if len(work.entries) == 0:
                work.starts[pair] = count
            else:
                for k in range(count):
                    work.entries[work.starts[pair] + k] = work.out[k]
            total += count
            pair += 1
    return total
