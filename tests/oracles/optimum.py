"""True optima of small cases, by an exact solver over every order in which rows could be scheduled.

The solver (OR-tools CP-SAT) knows all arrivals beforehand. Its variables are the times of every row on both
engines and, for two rows of different requests, which goes first; computes follow the order of fetches, and a
fetch waits for space as in LW Fig. 9. So a policy's distance from the best possible can be stated, and
:mod:`layerweaver.scheduler.in_time` be checked. Nothing else needs the solver, of the extra ``dev``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from layerweaver.ir import ProfileError
from layerweaver.scheduler.offline import ModelProfile

__all__ = ["MAX_ROWS", "Optimum", "Request", "best_makespan", "most_in_time"]

MAX_ROWS = 64
"""Rows of all requests together at most."""
_EFFORT = 120.0
"""Limit of the solver in its own deterministic unit, about a second."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        model: What it runs.
        arrival_cycles: It can start from this cycle on.
        deadline_cycles: Last cycle at which its end is in time.
    """

    model: ModelProfile
    arrival_cycles: int = 0
    deadline_cycles: int = 0


@dataclass(frozen=True, slots=True)
class Optimum:
    """Result of the search.

    Attributes:
        value: Completion of the last row, or the number of requests in time.
        order: Request per scheduled row; without the requests that are not in time.
    """

    value: int
    order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    """One row: costs, and its variables, the end of its fetch and of its compute."""

    request: int
    compute: int
    fetch: int
    weight: int
    fetched: Any
    computed: Any


def best_makespan(models: Sequence[ModelProfile]) -> Optimum:
    """Least makespan of one request of every model, all arrived at cycle 0.

    Raises:
        ProfileError: If there are no models, they are for different machines or too large, OR-tools is
            missing, or the solver gives up.
    """
    search = _Search([Request(model) for model in models])
    last = search.model.new_int_var(0, search.horizon, "makespan")
    for row in search.rows:
        search.model.add(last >= row.computed)
    for present in search.present:
        search.model.add(present == 1)
    search.model.minimize(last)
    return search.solve()


def most_in_time(requests: Sequence[Request]) -> Optimum:
    """The largest number of requests that can be in time, whoever is late coming after all others.

    Raises:
        ProfileError: As for :func:`best_makespan`.
    """
    search = _Search(requests)
    for index, request in enumerate(requests):
        last = [row for row in search.rows if row.request == index][-1]
        search.model.add(last.computed <= request.deadline_cycles).only_enforce_if(search.present[index])
    search.model.maximize(sum(search.present))
    return search.solve()


class _Search:
    """The machine of LW III-C as constraints.

    Attributes:
        model: The solver's model.
        horizon: No time is beyond.
        rows: All rows, request by request.
        present: Per request, whether it is scheduled.
    """

    def __init__(self, requests: Sequence[Request]) -> None:
        machines = {request.model.table.machine for request in requests}
        if len(machines) != 1:
            raise ProfileError("the optimum needs one or more models of one machine")
        total = sum(request.model.table.rows for request in requests)
        if total > MAX_ROWS:
            raise ProfileError(f"{total} rows are too many for an optimum", accepted=f"at most {MAX_ROWS}")
        try:
            from ortools.sat.python import cp_model
        except ImportError:
            raise ProfileError(
                "the optimum needs OR-tools", accepted="pip install 'layerweaver[dev]'"
            ) from None
        self._solver = cp_model.CpSolver()
        self._solved = cp_model.OPTIMAL
        self._machine = machines.pop()
        self.model = cp_model.CpModel()
        self.horizon = max(request.arrival_cycles for request in requests) + sum(
            request.model.standalone_cycles for request in requests
        )
        self.present = [self.model.new_bool_var(f"present{k}") for k in range(len(requests))]
        self.rows: list[_Row] = []
        for index, request in enumerate(requests):
            self._add_request(index, request)
        self._first: dict[tuple[int, int], Any] = {}
        for left, right in itertools.combinations(range(total), 2):
            self._add_order(left, right)
        if sum(row.weight for row in self.rows) > self._machine.weight_buffer_bytes:
            self._add_buffer()

    def solve(self) -> Optimum:
        """Solve to the end, in one thread: the same order on every machine."""
        self._solver.parameters.num_workers = 1
        self._solver.parameters.max_deterministic_time = _EFFORT
        if self._solver.solve(self.model) != self._solved:
            raise ProfileError("the solver found no optimum within its limit", accepted="give fewer rows")
        done = [row for row in self.rows if self._solver.boolean_value(self.present[row.request])]
        done.sort(key=lambda row: (self._solver.value(row.fetched), self._solver.value(row.computed)))
        return Optimum(round(self._solver.objective_value), tuple(row.request for row in done))

    def _add_request(self, index: int, request: Request) -> None:
        table = request.model.table
        columns = (table.compute_cycles, table.memory_cycles, table.weight_bytes)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for number, (compute, fetch, weight) in enumerate(rows):
            fetched, computed = (
                self.model.new_int_var(0, self.horizon, f"{engine}{index}.{number}")
                for engine in ("fetched", "computed")
            )
            row = _Row(index, compute, fetch, weight, fetched, computed)
            self.model.add(fetched >= request.arrival_cycles + row.fetch)
            self.model.add(computed >= fetched + row.compute)
            self.rows.append(row)

    def _add_order(self, left: int, right: int) -> None:
        """Of two rows that are there, one goes first, on both engines."""
        first, second = self.rows[left], self.rows[right]
        if first.request == second.request:
            self._first[left, right], self._first[right, left] = 1, 0
            if right == left + 1:
                self.model.add(second.fetched >= first.fetched + second.fetch)
                self.model.add(second.computed >= first.computed + second.compute)
            return
        there = [self.present[first.request], self.present[second.request]]
        forward, backward = (
            self.model.new_bool_var(f"{a} before {b}") for a, b in ((left, right), (right, left))
        )
        self.model.add_bool_or([forward, backward, *(present.negated() for present in there)])
        for chosen, before, after in ((forward, first, second), (backward, second, first)):
            for present in there:
                self.model.add_implication(chosen, present)
            self.model.add(after.fetched >= before.fetched + after.fetch).only_enforce_if(chosen)
            self.model.add(after.computed >= before.computed + after.compute).only_enforce_if(chosen)
        self.model.add_at_most_one([forward, backward])
        self._first[left, right], self._first[right, left] = forward, backward

    def _add_buffer(self) -> None:
        """A fetch ends when the row that frees its last bytes is computed, and these are fetched."""
        machine, rows = self._machine, self.rows
        rate, scale, buffer = (
            machine.bandwidth_numerator,
            machine.bandwidth_denominator,
            machine.weight_buffer_bytes,
        )
        before = [
            sum(
                rows[other].weight * self._first[other, index] for other in range(len(rows)) if other != index
            )
            for index in range(len(rows))
        ]
        for index, row in enumerate(rows):
            for other, earlier in enumerate(rows):
                goes_first = self._first.get((other, index), 0)
                if isinstance(goes_first, int) and goes_first == 0:
                    continue
                needed = before[index] - before[other] + row.weight - buffer
                fits = self.model.new_bool_var(f"{other} may stay beside {index}")
                there = [self.present[row.request], *([] if isinstance(goes_first, int) else [goes_first])]
                self.model.add(needed <= 0).only_enforce_if([fits, *there])
                waits = row.fetched * rate >= earlier.computed * rate + needed * scale
                self.model.add(waits).only_enforce_if([fits.negated(), *there])
