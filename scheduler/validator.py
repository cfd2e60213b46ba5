"""Is an executed schedule possible on the machine? Checked without any of the engine's code.

The invariants (LW III-C): fetches never overlap; computes never overlap; a compute starts neither before its
fetch ends nor before its request's previous row ends; resident bytes never exceed the buffer; nothing starts
before its request arrived, or after it gave up; a policy that holds does so between two decisions; a
request's rows run in order, each exactly once; a tenant's requests run in order of arrival. Beside them,
every row takes the time that its costs demand.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.table import CostTable

__all__ = ["ExecutedSchedule", "Violation", "find_violations"]


class ExecutedSchedule(Protocol):
    """Executed rows in schedule order, as columns of shape (entries,), int64; times in cycles.

    ``request`` is the number of the batch's first request within its tenant, ``profile`` the index of the
    cost table among the tenant's.
    """

    @property
    def tenant(self) -> NDArray[np.int64]:
        """Tenant index."""
        ...

    @property
    def request(self) -> NDArray[np.int64]:
        """Number of the batch's first request."""
        ...

    @property
    def profile(self) -> NDArray[np.int64]:
        """Index of the cost table."""
        ...

    @property
    def row(self) -> NDArray[np.int64]:
        """Row of the cost table."""
        ...

    @property
    def fetch_start(self) -> NDArray[np.int64]:
        """Start of the fetch."""
        ...

    @property
    def fetch_end(self) -> NDArray[np.int64]:
        """End of the fetch."""
        ...

    @property
    def compute_start(self) -> NDArray[np.int64]:
        """Start of the compute."""
        ...

    @property
    def compute_end(self) -> NDArray[np.int64]:
        """End of the compute."""
        ...

    @property
    def decided_at(self) -> NDArray[np.int64]:
        """Cycle of the decision."""
        ...

    @property
    def held_cycles(self) -> NDArray[np.int64]:
        """How long nothing was scheduled although requests were waiting, up to the decision."""
        ...


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken invariant.

    Attributes:
        entry: Index into the schedule.
        invariant: Which one, in a few words.
        detail: Tenant, request, row and the numbers that contradict it.
    """

    entry: int
    invariant: str
    detail: str

    def __str__(self) -> str:
        return f"entry {self.entry}: {self.invariant}: {self.detail}"


@dataclass(frozen=True, slots=True)
class _Entry:
    index: int
    tenant: int
    request: int
    profile: int
    row: int
    fetch_start: int
    fetch_end: int
    compute_start: int
    compute_end: int
    decided_at: int
    held_cycles: int

    def name(self) -> str:
        return f"tenant {self.tenant}, request {self.request}, row {self.row}"


def find_violations(
    schedule: ExecutedSchedule,
    machine: MachineSpec,
    tables: Sequence[Sequence[CostTable]],
    arrival_cycles: Sequence[NDArray[np.int64]] | None = None,
    *,
    timeout_cycles: Sequence[int | None] = (),
    complete: bool = True,
    in_order: bool = True,
    at_most: int = 20,
) -> tuple[Violation, ...]:
    """Check a schedule against every invariant.

    Args:
        schedule: What was executed, in schedule order.
        machine: The machine.
        tables: Per tenant, the cost tables of its profiles.
        arrival_cycles: Per tenant, the cycle at which each request arrived; None to skip that check.
        timeout_cycles: Per tenant, how long a request may have waited when the first row of its batch is
            decided on; None for any time. Checked with the arrivals.
        complete: Whether the schedule holds a whole run: every request from its first to its last row. If
            not, it is a window of one: requests may begin before it and end after it.
        in_order: Whether a tenant's requests run in order of arrival; if not, each runs once.
        at_most: Stop after so many violations.
    """
    columns = [getattr(schedule, field.name).tolist() for field in fields(_Entry)[1:]]
    entries = [_Entry(index, *values) for index, values in enumerate(zip(*columns, strict=True))]
    found: list[Violation] = []
    unknown = [entry for entry in entries if not _exists(entry, tables)]
    if unknown:
        return tuple(Violation(entry.index, "the row exists", entry.name()) for entry in unknown[:at_most])
    _check_order(entries, tables, found, complete, in_order)
    _check_engines(entries, found)
    _check_decisions(entries, found)
    _check_costs(entries, machine, tables, found)
    _check_buffer(entries, machine, tables, found)
    if arrival_cycles is not None:
        _check_arrivals(entries, arrival_cycles, timeout_cycles or [None] * len(tables), found)
    return tuple(sorted(found, key=lambda violation: violation.entry)[:at_most])


def _exists(entry: _Entry, tables: Sequence[Sequence[CostTable]]) -> bool:
    return (
        0 <= entry.tenant < len(tables)
        and 0 <= entry.profile < len(tables[entry.tenant])
        and 0 <= entry.row < tables[entry.tenant][entry.profile].rows
    )


def _check_order(
    entries: list[_Entry],
    tables: Sequence[Sequence[CostTable]],
    found: list[Violation],
    complete: bool,
    in_order: bool,
) -> None:
    """Rows of a request in order, each once; requests of a tenant in order, one at a time."""
    last: dict[int, _Entry] = {}
    begun: set[tuple[int, int]] = set()
    for entry in entries:
        before = last.get(entry.tenant)
        last[entry.tenant] = entry
        if before is None:
            if complete and entry.row != 0:
                found.append(Violation(entry.index, "a request begins with row 0", entry.name()))
            continue
        if entry.request == before.request:
            if entry.row != before.row + 1 or entry.profile != before.profile:
                what = f"{entry.name()} after row {before.row}"
                found.append(Violation(entry.index, "rows run in order, each once", what))
            if entry.compute_start < before.compute_end:
                what = f"{entry.name()} computes at {entry.compute_start}, before {before.compute_end}"
                found.append(Violation(entry.index, "a row follows its request's previous row", what))
            continue
        whole = before.row == tables[before.tenant][before.profile].rows - 1
        again = (entry.tenant, entry.request) in begun
        begun.add((before.tenant, before.request))
        if (in_order and entry.request < before.request) or again or not whole or entry.row != 0:
            what = f"{entry.name()} after {before.name()}"
            found.append(Violation(entry.index, "a tenant's requests run in order, each to its end", what))
    if complete:
        for entry in last.values():
            if entry.row != tables[entry.tenant][entry.profile].rows - 1:
                found.append(Violation(entry.index, "a request runs to its end", entry.name()))


def _check_engines(entries: list[_Entry], found: list[Violation]) -> None:
    """Neither engine does two things at once, and a compute has its data."""
    for before, entry in itertools.pairwise(entries):
        if entry.fetch_start < before.fetch_end:
            what = f"{entry.name()} from {entry.fetch_start}, {before.name()} until {before.fetch_end}"
            found.append(Violation(entry.index, "fetches never overlap", what))
        if entry.compute_start < before.compute_end:
            what = f"{entry.name()} from {entry.compute_start}, {before.name()} until {before.compute_end}"
            found.append(Violation(entry.index, "computes never overlap", what))
    for entry in entries:
        if entry.compute_start < entry.fetch_end:
            what = f"{entry.name()} computes at {entry.compute_start}, fetched at {entry.fetch_end}"
            found.append(Violation(entry.index, "a compute follows its fetch", what))


def _check_decisions(entries: list[_Entry], found: list[Violation]) -> None:
    """Decisions follow one another, each before its fetch; holding takes no more than the time between."""
    last = 0
    for entry in entries:
        if not last <= entry.decided_at <= entry.fetch_start:
            what = f"{entry.name()} decided at {entry.decided_at}, fetched from {entry.fetch_start}"
            found.append(Violation(entry.index, "a fetch follows its decision, decisions in order", what))
        if not 0 <= entry.held_cycles <= entry.decided_at - last:
            what = f"{entry.name()}: held {entry.held_cycles} cycles, decided {entry.decided_at - last} later"
            found.append(Violation(entry.index, "holding lies between two decisions", what))
        last = entry.decided_at


def _check_costs(
    entries: list[_Entry],
    machine: MachineSpec,
    tables: Sequence[Sequence[CostTable]],
    found: list[Violation],
) -> None:
    """A compute takes exactly its cycles; a fetch at least the transfer of its bytes."""
    for entry in entries:
        table = tables[entry.tenant][entry.profile]
        cycles = int(table.compute_cycles[entry.row])
        if entry.compute_end - entry.compute_start != cycles:
            what = f"{entry.name()} takes {entry.compute_end - entry.compute_start} cycles, not {cycles}"
            found.append(Violation(entry.index, "a compute takes its cycles", what))
        moved = (entry.fetch_end - entry.fetch_start) * machine.bytes_per_cycle
        if moved < int(table.dram_bytes[entry.row]):
            what = f"{entry.name()} in {entry.fetch_end - entry.fetch_start} cycles"
            found.append(Violation(entry.index, "a fetch takes the time of its bytes", what))


def _check_buffer(
    entries: list[_Entry],
    machine: MachineSpec,
    tables: Sequence[Sequence[CostTable]],
    found: list[Violation],
) -> None:
    """Resident bytes never exceed the buffer, at no instant of any fetch.

    At the end of a fetch all its weights are resident beside what has not completed. Before each completion
    inside the fetch only the space free until then can have been filled: the rest has to be moved in the time
    that is left.
    """
    capacity = machine.weight_buffer_bytes
    resident = 0
    completions: list[tuple[int, int]] = []
    for entry in entries:
        while completions and completions[0][0] <= entry.fetch_start:
            resident -= heapq.heappop(completions)[1]
        weight = int(tables[entry.tenant][entry.profile].weight_bytes[entry.row])
        while completions and completions[0][0] <= entry.fetch_end:
            until, freed = completions[0]
            missing = weight - (capacity - resident)
            if missing > 0 and Fraction(missing) > (entry.fetch_end - until) * machine.bytes_per_cycle:
                what = (
                    f"{entry.name()}: {missing} of {weight} bytes lack space until {until}, "
                    f"but are there at {entry.fetch_end}"
                )
                found.append(Violation(entry.index, "resident bytes never exceed the buffer", what))
                break
            heapq.heappop(completions)
            resident -= freed
        while completions and completions[0][0] <= entry.fetch_end:
            resident -= heapq.heappop(completions)[1]
        resident += weight
        if resident > capacity:
            what = f"{entry.name()}: {resident} bytes at cycle {entry.fetch_end}, the buffer holds {capacity}"
            found.append(Violation(entry.index, "resident bytes never exceed the buffer", what))
        heapq.heappush(completions, (entry.compute_end, weight))


def _check_arrivals(
    entries: list[_Entry],
    arrival_cycles: Sequence[NDArray[np.int64]],
    timeout_cycles: Sequence[int | None],
    found: list[Violation],
) -> None:
    """Nothing starts before its request arrived, or after it gave up."""
    for entry in entries:
        arrivals, patience = arrival_cycles[entry.tenant], timeout_cycles[entry.tenant]
        if not 0 <= entry.request < len(arrivals):
            found.append(Violation(entry.index, "the request exists", entry.name()))
        elif entry.fetch_start < int(arrivals[entry.request]):
            what = f"{entry.name()} at {entry.fetch_start}, arrived at {int(arrivals[entry.request])}"
            found.append(Violation(entry.index, "nothing starts before its request arrived", what))
        elif patience is not None and entry.row == 0:
            waited = entry.decided_at - int(arrivals[entry.request])
            if waited > patience:
                what = f"{entry.name()} waited {waited} cycles of {patience} when decided on"
                found.append(Violation(entry.index, "nothing starts after its request gave up", what))
