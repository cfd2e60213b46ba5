"""The work of all trips of a loop whose extents grow from trip to trip, as one piece."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TypeAlias

from layerweaver.frontend.node.registry import Registry
from layerweaver.frontend.node.resolved import ResolvedNode
from layerweaver.frontend.node.treatment import call_of, work_of
from layerweaver.frontend.node.values import Info
from layerweaver.frontend.node.work import Step
from layerweaver.ir import MatrixWork

__all__ = ["grows", "summed"]

_DEGREE = 6
"""Highest power of the trip that the size of a piece of work may grow with."""


def grows(resolved: ResolvedNode, values: Mapping[str, Info]) -> bool:
    """Whether an operand or a result changes its extents from trip to trip."""
    names = (*resolved.node.inputs, *resolved.node.outputs)
    return resolved.trips > 1 and any(name in values and values[name].slope for name in names)


def summed(
    resolved: ResolvedNode, values: Mapping[str, Info], registry: Registry, where: str
) -> tuple[Step, ...]:
    """The steps of the last trip with the work of all trips.

    Multiply-accumulates are exact: the one extent that grows is summed, and where several do, the products
    are laid out in one row.
    """
    trips = resolved.trips
    known: dict[int, tuple[Step, ...]] = {}

    def at(trip: int) -> tuple[Step, ...]:
        if trip not in known:
            back = trips - 1 - trip
            names = (*resolved.node.inputs, *resolved.node.outputs)
            shown = {name: _earlier(values[name], back) for name in names if name in values}
            answer, _ = work_of(call_of(resolved, shown), registry, where)
            steps = answer if isinstance(answer, tuple) else (answer,)
            known[trip] = tuple(step for step in steps if isinstance(step, Step))
        return known[trip]

    def total(index: int, measure: Callable[[Step], int]) -> int:
        return _sum(lambda trip: measure(at(trip)[index]) if index < len(at(trip)) else 0, trips)

    return tuple(_joined(step, index, total) for index, step in enumerate(at(trips - 1)))


_Total: TypeAlias = Callable[[int, Callable[[Step], int]], int]


def _joined(step: Step, index: int, total: _Total) -> Step:
    """The last trip's step ``index`` with the work of the same step in all trips."""
    vector = []
    for place, work in enumerate(step.vector):
        operands = total(index, partial(_vector_operands, place=place))
        vector.append(replace(work, elements=-(-operands // max(1, work.window))))
    gathers = [
        replace(gather, rows=total(index, partial(_rows, place=place)))
        for place, gather in enumerate(step.gathers)
    ]
    matrix = None if step.matrix is None else _joined_matrix(step.matrix, index, total)
    return replace(step, matrix=matrix, vector=tuple(vector), gathers=tuple(gathers))


def _vector_operands(step: Step, place: int) -> int:
    return step.vector[place].elements * step.vector[place].window if place < len(step.vector) else 0


def _rows(step: Step, place: int) -> int:
    return step.gathers[place].rows if place < len(step.gathers) else 0


def _extent(step: Step, name: str) -> int:
    return int(getattr(step.matrix, name)) if step.matrix is not None else 0


def _joined_matrix(last: MatrixWork, index: int, total: _Total) -> MatrixWork:
    macs = total(index, partial(_extent, name="macs"))
    m, n, k, groups, steps = (
        total(index, partial(_extent, name=name)) for name in ("m", "n", "k", "groups", "steps")
    )
    candidates = (
        replace(last, m=m),
        replace(last, n=n),
        replace(last, k=k),
        replace(last, groups=groups),
        replace(last, steps=steps),
    )
    for joined in candidates:
        if joined.macs == macs:
            return joined
    return MatrixWork(1, 1, macs, 1, last.weights, 1, last.batch_axis)


def _earlier(info: Info, back: int) -> Info:
    """A value as it was ``back`` trips before the last."""
    if not info.slope or info.shape is None:
        return info
    return info.part(tuple(e - s * back for e, s in zip(info.shape, info.slope, strict=True)))


def _sum(function: Callable[[int], int], trips: int) -> int:
    """Sum over all trips: by Newton's series where the function is a polynomial, else term by term."""
    if trips <= 2 * _DEGREE:
        return sum(map(function, range(trips)))
    row = [function(trip) for trip in range(_DEGREE + 1)]
    leading = []
    while row:
        leading.append(row[0])
        row = [after - before for before, after in pairwise(row)]
    for trip in (trips // 2, trips - 1):
        if sum(math.comb(trip, order) * value for order, value in enumerate(leading)) != function(trip):
            return sum(map(function, range(trips)))
    return sum(math.comb(trips, order + 1) * value for order, value in enumerate(leading))
