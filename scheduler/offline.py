"""Offline tables: what a scheduling decision needs to know of a model beyond its next row."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.table import CostTable
from layerweaver.ir import ConfigError

__all__ = [
    "ModelKind",
    "ModelProfile",
    "OfflineTables",
    "StaticWeave",
    "build_offline",
    "fits_rows",
    "remaining_cycles",
]


class ModelKind(StrEnum):
    """Which resource a model needs longer; equal totals count as memory-intensive."""

    COMPUTE_INTENSIVE = "compute-intensive"
    MEMORY_INTENSIVE = "memory-intensive"


@dataclass(frozen=True, slots=True, eq=False)
class OfflineTables:
    """Tables precomputed from a cost table.

    Attributes:
        kind: Compute-intensive when total compute cycles exceed total memory cycles (LW III-D).
        remaining_cycles: Shape (rows + 1,), int64: cold two-timeline makespan of the rows from this one on;
            the first entry is the standalone time, the last is 0.
        longest_fetch_cycles: The longest fetch of any row, in cycles.
        inherent_idle_cycles: Shape (rows,), float64: memory idle that a row causes by itself, in cycles:
            ``max(0, compute - max(0, buffer - W) / b)``.
    """

    kind: ModelKind
    remaining_cycles: NDArray[np.int64]
    longest_fetch_cycles: int
    inherent_idle_cycles: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class StaticWeave:
    """A woven schedule of a group of tenants that always have work, found periodic (*ours*).

    The schedule is the order of tenants; every tenant runs its rows in order, over and over. After the
    ``prefix`` the order is the ``period``, repeated for ever.

    Attributes:
        members: (entry, batch) of every tenant of the group, in the group's order.
        prefix: Shape (n,), int64: member index per appended row before the schedule repeats.
        period: Shape (p,), int64: member index per appended row of one period.
        period_cycles: Cycles from one period's start to the next.
        requests_per_period: Shape (members,), int64: requests of every member that one period completes.
        policy: Name of the rule that produced the order.
    """

    members: tuple[tuple[str, int], ...]
    prefix: NDArray[np.int64]
    period: NDArray[np.int64]
    period_cycles: int
    requests_per_period: NDArray[np.int64]
    policy: str


@dataclass(frozen=True, slots=True, eq=False)
class ModelProfile:
    """One entry of a schedule profile: a model at one batch size with its offline tables.

    Attributes:
        entry: Entry name.
        table: Its costs.
        offline: Its tables.
        weaves: Stored static woven schedules of the groups that it belongs to.
    """

    entry: str
    table: CostTable
    offline: OfflineTables
    weaves: tuple[StaticWeave, ...] = ()

    @property
    def standalone_cycles(self) -> int:
        """Cold two-timeline makespan of one request alone."""
        return int(self.offline.remaining_cycles[0])


def build_offline(table: CostTable) -> OfflineTables:
    """Precompute the offline tables of one (model, batch).

    Raises:
        ConfigError: If the table is empty, or a row has a negative cost, more resident weights than traffic,
            or more than the weight buffer holds.
    """
    _check(table)
    return OfflineTables(
        kind=_kind(table),
        remaining_cycles=remaining_cycles(table),
        longest_fetch_cycles=int(table.memory_cycles.max()),
        inherent_idle_cycles=_inherent_idle(table),
    )


def _kind(table: CostTable) -> ModelKind:
    longer = int(table.compute_cycles.sum()) > int(table.memory_cycles.sum())
    return ModelKind.COMPUTE_INTENSIVE if longer else ModelKind.MEMORY_INTENSIVE


def _inherent_idle(table: CostTable) -> NDArray[np.float64]:
    machine = table.machine
    beside = np.maximum(0, machine.weight_buffer_bytes - table.weight_bytes).astype(np.float64)
    return np.maximum(0.0, table.compute_cycles - beside / float(machine.bytes_per_cycle))


def fits_rows(offline: OfflineTables, table: CostTable, *, exact: bool = True) -> bool:
    """Whether offline tables are those of a cost table's rows.

    Remaining times are at least what either engine has left to do, and fall from row to row by at most its
    compute and fetch together. With ``exact`` they are also derived again.
    """
    compute, fetch, left = table.compute_cycles, table.memory_cycles, offline.remaining_cycles
    if left.shape != (table.rows + 1,) or left[-1] != 0:
        return False
    least = np.maximum(np.cumsum(compute[::-1]), np.cumsum(fetch[::-1]))[::-1]
    falls = left[:-1] - left[1:]
    if not ((left[:-1] >= least).all() and (falls >= 0).all() and (falls <= compute + fetch).all()):
        return False
    if (
        offline.kind is not _kind(table)
        or offline.longest_fetch_cycles != int(fetch.max())
        or not np.array_equal(offline.inherent_idle_cycles, _inherent_idle(table))
    ):
        return False
    return not exact or np.array_equal(left, remaining_cycles(table))


def remaining_cycles(table: CostTable) -> NDArray[np.int64]:
    """Cold makespan of rows ``i..`` on the two-timeline machine (LW III-C), for every ``i`` at once.

    A fetch starts when the one before it has ended and those rows are done whose bytes it needs to be free,
    and a row computes when its fetch and the row before it are done: the makespan is the longest path to the
    end, found backwards. Of the fetches that wait for a row only the first counts: a later one waits no
    longer for it than the fetches between take, since every row fetches at least what becomes resident.

    Returns:
        Shape (rows + 1,), int64, cycles; the last entry is 0.
    """
    machine, rows = table.machine, table.rows
    rate, scale = machine.bandwidth_numerator, machine.bandwidth_denominator
    fetch, compute = table.memory_cycles.tolist(), table.compute_cycles.tolist()
    before = list(itertools.accumulate(table.weight_bytes.tolist(), initial=0))
    remaining, after_fetch, after_compute = [0] * (rows + 1), [0] * rows, [0] * rows
    waiting = rows
    for row in reversed(range(rows)):
        full = before[row] + machine.weight_buffer_bytes
        while before[waiting] > full:
            waiting -= 1
        if row + 1 < rows:
            after_compute[row] = compute[row + 1] + after_compute[row + 1]
        if waiting < rows:
            missing = (before[waiting + 1] - full) * scale
            after_compute[row] = max(after_compute[row], -(-missing // rate) + after_fetch[waiting])
        after_fetch[row] = max(remaining[row + 1], compute[row] + after_compute[row])
        remaining[row] = fetch[row] + after_fetch[row]
    return np.array(remaining, np.int64)


def _check(table: CostTable) -> None:
    if table.rows == 0:
        raise ConfigError("the cost table has no rows", where=table.model)
    columns = (table.compute_cycles, table.dram_bytes, table.weight_bytes, table.live_bytes)
    problems = (
        (np.minimum.reduce(columns) < 0, "has a negative cost", "costs are 0 or more"),
        (
            table.weight_bytes > table.machine.weight_buffer_bytes,
            "needs more resident weights than the weight buffer holds",
            "split it into rows that fit",
        ),
        (
            table.weight_bytes > table.dram_bytes,
            "has more weight_bytes than dram_bytes",
            "what becomes resident has to be fetched",
        ),
    )
    for wrong, what, accepted in problems:
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ConfigError(f"row {row} {what}", where=table.model, accepted=accepted)
