"""Offline tables: what a scheduling decision needs to know of a model beyond its next row."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.table import CostTable
from layerweaver.ir import ConfigError

__all__ = [
    "DecisionTables",
    "ModelKind",
    "ModelProfile",
    "OfflineTables",
    "StaticWeave",
    "build_offline",
    "fits_rows",
    "remaining_cycles",
]

_INT64_SAFE = 2**61


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
class DecisionTables:
    """Decision tables of a declared group (:mod:`layerweaver.scheduler.static.tables`).

    Attributes:
        members: (entry, batch) of every model that they cover, each once; ``class_of`` has one value each.
        tables: The flat int64 array.
    """

    members: tuple[tuple[str, int], ...]
    tables: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ModelProfile:
    """One entry of a schedule profile: a model at one batch size with its offline tables.

    Attributes:
        entry: Entry name.
        table: Its costs.
        offline: Its tables.
        weaves: Stored static woven schedules of the groups that it belongs to.
        decisions: Stored decision tables of these groups.
    """

    entry: str
    table: CostTable
    offline: OfflineTables
    weaves: tuple[StaticWeave, ...] = ()
    decisions: tuple[DecisionTables, ...] = ()

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


MOST_ROWS_AGAIN = 4096
"""Rows up to which remaining times are derived again; of longer models only bounds are known quickly."""


def fits_rows(offline: OfflineTables, table: CostTable, *, exact: bool = True) -> bool:
    """Whether offline tables are those of a cost table's rows.

    Remaining times are at least what either engine has left to do, and fall from row to row by at most its
    compute and fetch together. With ``exact`` those of models of up to 4,096 rows are also derived again.
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
    return not exact or table.rows > MOST_ROWS_AGAIN or np.array_equal(left, remaining_cycles(table))


def remaining_cycles(table: CostTable) -> NDArray[np.int64]:
    """Cold makespan of rows ``i..`` on the two-timeline machine (LW III-C), for every ``i`` at once.

    All suffixes run in lockstep, row by row: ``dma`` and ``compute`` hold each one's timelines. A fetch
    of W bytes waits for the completions of leading entries j whose free space ``A_j`` is below W. In the run
    of one suffix, ``A_j = buffer - (bytes of rows j..r-1)`` does not depend on the suffix, entries enter
    that leading range in order, and an entry that completed before the fetch starts never binds; so a
    running maximum of ``c_j - (bytes before j) / b`` per suffix replaces the list.

    Returns:
        Shape (rows + 1,), int64, cycles; the last entry is 0.
    """
    machine, rows = table.machine, table.rows
    rate, scale = machine.bandwidth_numerator, machine.bandwidth_denominator
    longest_run = int(table.compute_cycles.sum()) + int(table.memory_cycles.sum())
    weight_total = int(table.weight_bytes.sum())
    exact = np.int64 if longest_run * rate + weight_total * scale < _INT64_SAFE else np.object_
    buffer_scaled = machine.weight_buffer_bytes * scale
    before_scaled = [0]
    for weight in table.weight_bytes.tolist():
        before_scaled.append(before_scaled[-1] + weight * scale)
    dma, compute = np.zeros(rows, exact), np.zeros(rows, exact)
    bound = np.full(rows, -before_scaled[rows], exact)
    completions: dict[int, NDArray[Any]] = {}
    leading = 0
    for row in range(rows):
        active = slice(0, row + 1)
        needed = before_scaled[row + 1] - buffer_scaled
        while leading < row and before_scaled[leading] < needed:
            done = completions.pop(leading)
            key = done * rate - before_scaled[leading]
            bound[: leading + 1] = np.maximum(bound[: leading + 1], key)
            leading += 1
        end: NDArray[Any] = dma[active] * rate + int(table.dram_bytes[row]) * scale
        if leading:
            end[:leading] = np.maximum(end[:leading], bound[:leading] + needed)
        dma[active] = -((-end) // rate)
        compute[active] = np.maximum(compute[active], dma[active]) + int(table.compute_cycles[row])
        if before_scaled[rows] - buffer_scaled > before_scaled[row]:
            completions[row] = compute[active].copy()
    return np.append(compute, 0).astype(np.int64)


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
