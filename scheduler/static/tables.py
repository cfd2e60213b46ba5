"""Decision tables: Layerweaver's choice between any two rows, over the state of the machine (*ours*).

Let ``x = max(0, tc - s)`` be how far fetched work reaches beyond the decision, and ``room`` what space
alone would let the DMA fetch by ``tc``. In two cases the total idle that the rule compares depends on little:

- *slack space* (no candidate's fetch stalls, and what bandwidth lets every candidate leave to be fetched
  until ``tc`` also fits): on ``x`` alone;
- *scarce space* (space binds for every candidate, stalling or not, and neither compute idle nor potential
  compute idle remain): on ``buffer - room`` alone. Equal rows are told apart by their distances, which do
  depend on the ends of their fetches.

In both cases it is piecewise linear in one integer, so between two given rows the winner changes at a few
thresholds, which are found exactly. A decision among several candidates is then a chain of look-ups: the
rule's order (least idle, then its ties) is total for a given state. The starvation rules need one threshold
per row. States outside both cases are left to the direct rule; nothing is approximated.

The tables are stored as one flat int64 array, whose sections :class:`Tables` names for
:func:`layerweaver.scheduler.policies.layerweaver_tables.table_choice`::

    header  offsets of the sections below, then C (classes), V (levels)
    class_of     per profile of the scenario: its class (equal models share one)
    first_row    per class: its first row
    row_count    per class
    levels       V values that the longest fetch in flight can take, ascending
    theta        per row: with slack space it causes memory idle if x > theta
    phi          per row: with scarce space it causes memory idle if buffer - room < phi
    slack        per (class p, class q >= p, level): first pair of its block, -1 if the level is too low
    scarce       per (class p, class q >= p): first pair of its block
    pairs        per pair of rows (row of p major): first entry
    entries      threshold * 4 + winner + 1, ascending; winner 1: row of p, -1: row of q, 0: equal
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from layerweaver.ir import ProfileError
from layerweaver.scheduler.machine.jit import compile_bound
from layerweaver.scheduler.machine.timelines import NEVER
from layerweaver.scheduler.offline import DecisionTables, ModelProfile
from layerweaver.scheduler.static.pairs import (
    MOST_CHANGES,
    Setting,
    Work,
    fill,
    scarce_key,
    slack_key,
)

__all__ = ["MAX_PAIRS", "PAIRS", "THETA", "Tables", "build_tables", "prepare_tables", "tables_fit"]

MAX_PAIRS = 1 << 22
"""Pairs of rows (times levels) that a group's tables may hold."""

(CLASS_OF, FIRST_ROW, _, _, THETA, _, _, _, PAIRS, _, CLASSES, _) = range(12)
_HEADER = 12


class Tables(NamedTuple):
    """The sections of decision tables, as the module describes them."""

    class_of: NDArray[np.int64]
    first_row: NDArray[np.int64]
    row_count: NDArray[np.int64]
    levels: NDArray[np.int64]
    theta: NDArray[np.int64]
    phi: NDArray[np.int64]
    slack: NDArray[np.int64]
    scarce: NDArray[np.int64]
    pairs: NDArray[np.int64]
    entries: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Class:
    """One distinct model: what the thresholds depend on, per row, in scaled bytes and cycles."""

    compute: NDArray[np.int64]
    fetch: NDArray[np.int64]
    weight: NDArray[np.int64]
    longest: int


def _classes(profiles: Sequence[ModelProfile]) -> tuple[list[_Class], list[int]]:
    found: dict[bytes, int] = {}
    classes: list[_Class] = []
    index = []
    for profile in profiles:
        table = profile.table
        columns = (
            table.compute_cycles,
            table.memory_cycles,
            table.weight_bytes * table.machine.bandwidth_denominator,
        )
        key = b"".join(column.astype("<i8").tobytes() for column in columns)
        if key not in found:
            found[key] = len(classes)
            classes.append(_Class(*columns, longest=profile.offline.longest_fetch_cycles))
        index.append(found[key])
    return classes, index


def _blocks(
    classes: Sequence[_Class], levels: Sequence[int]
) -> tuple[list[tuple[int, int, int]], list[int], list[int]]:
    """Which (class, class, level) have a block (level -1: scarce), and the two block tables."""
    wanted: list[tuple[int, int, int]] = []
    slack, scarce, pairs = [], [], 0
    count = len(classes)
    for p in range(count):
        for q in range(count):
            size = len(classes[p].compute) * len(classes[q].compute)
            for level, longest in enumerate(levels):
                if q < p or longest < max(classes[p].longest, classes[q].longest):
                    slack.append(-1)
                    continue
                slack.append(pairs)
                wanted.append((p, q, level))
                pairs += size
            if q < p:
                scarce.append(-1)
                continue
            scarce.append(pairs)
            wanted.append((p, q, -1))
            pairs += size
    if pairs > MAX_PAIRS:
        raise ProfileError(
            f"decision tables would need {pairs} pairs of rows, more than {MAX_PAIRS}",
            accepted="use fewer distinct models or batch sizes, or the direct rule",
        )
    return wanted, slack, scarce


def _thresholds(group: _Class, rate: int, buffer: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``theta`` and ``phi`` of every row of a class."""
    room = np.maximum(0, buffer - group.weight)
    phi = np.minimum(group.compute * rate, room)
    theta = group.fetch + (room - phi) // rate
    return np.where(phi > 0, theta, NEVER), phi


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """All of the tables but the pairs: cheap to compute, so stored tables are checked against it.

    Attributes:
        classes: The distinct models.
        levels: Values that the longest fetch in flight can take.
        wanted: (class, class, level) of every block, level -1 for scarce space.
        sections: The sections before ``pairs``.
        pairs: Number of pairs of rows.
    """

    classes: list[_Class]
    levels: list[int]
    wanted: list[tuple[int, int, int]]
    sections: list[NDArray[np.int64]]
    pairs: int

    @property
    def header(self) -> NDArray[np.int64]:
        """Offsets of all sections, number of classes and of levels."""
        lengths = [_HEADER, *(len(section) for section in self.sections), self.pairs + 1]
        return np.array([*np.cumsum(lengths), len(self.classes), len(self.levels)], np.int64)


def _layout(profiles: Sequence[ModelProfile]) -> _Layout:
    spec = profiles[0].table.machine
    rate, buffer = spec.bandwidth_numerator, spec.weight_buffer_bytes * spec.bandwidth_denominator
    classes, class_of = _classes(profiles)
    levels = sorted({group.longest for group in classes})
    wanted, slack, scarce = _blocks(classes, levels)
    limits = [_thresholds(group, rate, buffer) for group in classes]
    lengths = [len(group.compute) for group in classes]
    sections = [
        np.array(class_of, np.int64),
        np.cumsum([0, *lengths[:-1]]).astype(np.int64),
        np.array(lengths, np.int64),
        np.array(levels, np.int64),
        np.concatenate([theta for theta, _ in limits]),
        np.concatenate([phi for _, phi in limits]),
        np.array(slack, np.int64),
        np.array(scarce, np.int64),
    ]
    return _Layout(classes, levels, wanted, sections, sum(lengths[p] * lengths[q] for p, q, _ in wanted))


def sections_of(tables: NDArray[np.int64]) -> Tables:
    """The sections of a flat array."""
    ends = [*tables[FIRST_ROW:CLASSES].tolist(), len(tables)]
    return Tables(*(tables[first:end] for first, end in zip(tables[:CLASSES].tolist(), ends, strict=True)))


def prepare_tables(tenants: Sequence[Sequence[ModelProfile]]) -> Tables:
    """:func:`build_tables`, as a policy reads them."""
    return sections_of(build_tables(tenants))


def build_tables(tenants: Sequence[Sequence[ModelProfile]]) -> NDArray[np.int64]:
    """Decision tables of a group: taken from the profile that its models come from, or built.

    Args:
        tenants: Per tenant, its model at every batch size it may run, in the order of the scenario; all of
            one machine.

    Returns:
        The flat array described above.

    Raises:
        ProfileError: If there are too many pairs of rows.
    """
    profiles = [profile for menu in tenants for profile in menu]
    for stored in profiles[0].decisions:
        if all(any(stored is other for other in profile.decisions) for profile in profiles):
            return _for_profiles(stored, profiles)
    layout = _layout(profiles)
    spec = profiles[0].table.machine
    rate, buffer = spec.bandwidth_numerator, spec.weight_buffer_bytes * spec.bandwidth_denominator
    rows = [np.stack([group.compute, group.fetch, group.weight], axis=1) for group in layout.classes]
    fills = _compiled_fills()
    starts: list[NDArray[np.int64]] = []
    entries: list[NDArray[np.int64]] = []
    offset = 0
    nothing = np.zeros(0, np.int64)
    scratch = np.zeros(MOST_CHANGES, np.int64), np.zeros(4 * MOST_CHANGES, np.int64)
    for p, q, level in layout.wanted:
        run = fills[0] if level >= 0 else fills[1]
        setting = Setting(layout.levels[level] if level >= 0 else 0, rate, buffer)
        counts = np.zeros(len(rows[p]) * len(rows[q]), np.int64)
        total = run(rows[p], rows[q], setting, Work(counts, nothing, *scratch))
        begin = np.cumsum(counts) - counts
        block = np.zeros(total, np.int64)
        run(rows[p], rows[q], setting, Work(begin, block, *scratch))
        starts.append(begin + offset)
        entries.append(block)
        offset += total
    return np.concatenate([layout.header, *layout.sections, *starts, np.array([offset], np.int64), *entries])


def _for_profiles(stored: DecisionTables, profiles: Sequence[ModelProfile]) -> NDArray[np.int64]:
    """Stored tables with ``class_of`` for these profiles instead of the group's members."""
    tables = stored.tables
    first, after = int(tables[CLASS_OF]), int(tables[FIRST_ROW])
    members = tables[first:after]
    place = {member: index for index, member in enumerate(stored.members)}
    class_of = members[[place[profile.entry, profile.table.batch] for profile in profiles]]
    header = tables[:_HEADER].copy()
    header[FIRST_ROW:CLASSES] += len(class_of) - len(members)
    return np.concatenate([header, class_of, tables[after:]])


def tables_fit(tables: NDArray[np.int64], profiles: Sequence[ModelProfile]) -> bool:
    """Whether stored tables can be those of these models: no look-up then leaves the array.

    All sections are compared with what the models give, except the thresholds between pairs of rows, of which
    only the form is checked.
    """
    try:
        layout = _layout(profiles)
    except ProfileError:
        return False
    fixed = np.concatenate([layout.header, *layout.sections])
    first = len(fixed) + layout.pairs + 1
    if len(tables) <= first or not np.array_equal(tables[: len(fixed)], fixed):
        return False
    starts, entries = tables[len(fixed) : first], tables[first:]
    if starts[0] != 0 or starts[-1] != len(entries) or (np.diff(starts) < 1).any():
        return False
    return bool((entries >= 0).all() and ((entries & 3) < 3).all())


def _compiled_fills() -> tuple[Callable[..., int], Callable[..., int]]:
    function = cast(FunctionType, fill)
    return (
        compile_bound(function, {"key": slack_key}, "slack"),
        compile_bound(function, {"key": scarce_key}, "scarce"),
    )
