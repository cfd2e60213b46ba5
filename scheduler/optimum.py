"""The true optimum of small cases: the least makespan over every order in which rows could be scheduled.

For a handful of requests that are all there at time 0, every policy produces one interleaving of their
rows. This searches them all, with exact times, so that a policy's optimality gap can be stated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from layerweaver.ir import ProfileError
from layerweaver.scheduler.offline import ModelProfile

__all__ = ["MAX_INTERLEAVINGS", "Optimum", "best_makespan"]

MAX_INTERLEAVINGS = 20_000
"""Orders that may exist at most: two models of eight rows have 12,870."""


@dataclass(frozen=True, slots=True)
class Optimum:
    """Result of the search.

    Attributes:
        makespan_cycles: Completion of the last row.
        order: Model index per scheduled row.
        visited: Partial schedules that were extended.
    """

    makespan_cycles: int
    order: tuple[int, ...]
    visited: int


@dataclass(frozen=True, slots=True)
class _Row:
    compute: int
    fetch: Fraction
    weight: int


@dataclass(frozen=True, slots=True)
class _Partial:
    """The machine after some rows: LW III-C's state, entries that completed by ``dma`` dropped."""

    dma: int
    compute: int
    resident: tuple[tuple[int, int], ...]


def _interleavings(lengths: Sequence[int]) -> int:
    count, placed = 1, 0
    for length in lengths:
        for step in range(1, length + 1):
            placed += 1
            count = count * placed // step
    return count


def _append(partial: _Partial, row: _Row, buffer: int, rate: Fraction) -> _Partial:
    """Schedule one more row: fill free space at once, then what every completion frees (LW Fig. 9)."""
    end = partial.dma + row.fetch
    free = buffer - sum(weight for weight, _ in partial.resident)
    for weight, completion in partial.resident:
        if row.weight <= free:
            break
        end = max(end, completion + (row.weight - free) / rate)
        free += weight
    dma = -(-end.numerator // end.denominator)
    compute = max(partial.compute, dma) + row.compute
    resident = tuple(entry for entry in partial.resident if entry[1] > dma)
    return _Partial(dma, compute, (*resident, (row.weight, compute)))


def best_makespan(models: Sequence[ModelProfile]) -> Optimum:
    """Least makespan of one request of every model, all arrived at time 0, by branch and bound.

    A partial schedule is given up when even perfect overlap of what is left could not beat the best order
    found. The first branch is always the model with the most compute left, so the bound is tight early.

    Raises:
        ProfileError: If there are no models, they are for different machines, or there are too many orders.
    """
    if not models or len({model.table.machine for model in models}) != 1:
        raise ProfileError("the optimum needs one or more models of one machine")
    lengths = [model.table.rows for model in models]
    orders = _interleavings(lengths)
    if orders > MAX_INTERLEAVINGS:
        raise ProfileError(f"{orders} orders are too many", accepted=f"at most {MAX_INTERLEAVINGS}")
    spec = models[0].table.machine
    rate, buffer = spec.bytes_per_cycle, spec.weight_buffer_bytes
    rows = [
        [
            _Row(compute, Fraction(dram) / rate, weight)
            for compute, dram, weight in zip(
                model.table.compute_cycles.tolist(),
                model.table.dram_bytes.tolist(),
                model.table.weight_bytes.tolist(),
                strict=True,
            )
        ]
        for model in models
    ]
    compute_left = [[sum(row.compute for row in part[k:]) for k in range(len(part) + 1)] for part in rows]
    tail_left = [[_tail(part[k:]) for k in range(len(part) + 1)] for part in rows]
    best, visited = sum(model.standalone_cycles for model in models) + 1, 0
    best_order: tuple[int, ...] = ()
    stack: list[tuple[_Partial, tuple[int, ...], tuple[int, ...]]] = [
        (_Partial(0, 0, ()), (0,) * len(models), ())
    ]
    while stack:
        partial, at, order = stack.pop()
        visited += 1
        if len(order) == sum(lengths):
            if partial.compute < best:
                best, best_order = partial.compute, order
            continue
        left = [index for index in range(len(models)) if at[index] < lengths[index]]
        fetches = sum(tail_left[index][at[index]][0] for index in left)
        last = min(tail_left[index][at[index]][1] for index in left)
        computes = sum(compute_left[index][at[index]] for index in left)
        if max(partial.compute + computes, partial.dma + fetches + last) >= best:
            continue
        for index in sorted(left, key=lambda index: (compute_left[index][at[index]], index)):
            row = rows[index][at[index]]
            following = (*at[:index], at[index] + 1, *at[index + 1 :])
            stack.append((_append(partial, row, buffer, rate), following, (*order, index)))
    return Optimum(best, best_order, visited)


def _tail(rows: Sequence[_Row]) -> tuple[Fraction, int]:
    """Fetch time of these rows, and the compute that must follow the last of them."""
    return sum((row.fetch for row in rows), Fraction(0)), rows[-1].compute if rows else 0
