"""What the points of a study warn of and note, and of how many of them it is said."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

__all__ = ["PARTED", "counted_lines"]

PARTED = "; "
"""What stands between the warnings of a point in its cell."""

_NO_EFFECT = re.compile(r"\bchanges? nothing\b")
_KEY = re.compile(r"tenant (['\"])(?P<tenant>.+)\1: (?P<key>\S+) changes nothing")


def counted_lines(cells: Iterable[str | None], axes: Sequence[str] = ()) -> list[tuple[str, int]]:
    """What points say, and how many of them; what most say comes first.

    That a key changes nothing at some points, as a delay of batches does beside ``batch.max: 1``, is expected
    where axes meet in every way: it is left out unless all points say so. A key that is an axis is then
    called as the study calls it.

    Args:
        cells: What each point that was measured says, several lines parted by :data:`PARTED`; None of one
            that says nothing.
        axes: The study's axes.
    """
    found = Counter(cells)
    points = found.total()
    parts: Counter[str] = Counter()
    for cell, many in found.items():
        for part in set(_idle_parts(cell)):
            parts[part] += many
    told: Counter[str] = Counter()
    for part, many in parts.items():
        if many == points:
            told[_by_axis(part, axes)] += many
    for cell, many in found.items():
        rest = [part for part in (cell or "").split(PARTED) if part and not _NO_EFFECT.search(part)]
        if rest:
            told[PARTED.join(rest)] += many
    return told.most_common()


def _idle_parts(cell: str | None) -> list[str]:
    return [part for part in (cell or "").split(PARTED) if _NO_EFFECT.search(part)]


def _by_axis(part: str, axes: Sequence[str]) -> str:
    """A line with its key called as the study's axis is, where it is one."""
    named = _KEY.match(part)
    axis = named and f"tenants.{named['tenant']}.{named['key']}"
    return f"axis {axis}{part[named.end('key') :]}" if named and axis in axes else part
