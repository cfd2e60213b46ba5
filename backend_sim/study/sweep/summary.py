"""What a study's points say together: the Pareto front, and how much every axis matters."""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.results.confidence import t95
from layerweaver.backend_sim.study.sweep.front import front
from layerweaver.backend_sim.study.sweep.known import Effect, KnownPoints, SummaryNote
from layerweaver.backend_sim.study.sweep.objectives import is_number
from layerweaver.backend_sim.study.sweep.schema import ObjectivesSpec

__all__ = ["summary"]

_MOST_LEVELS = 12
_BINS = 6
_MOST_CELLS = 10**7


def summary(points: KnownPoints, axes: Sequence[str], aims: ObjectivesSpec) -> SummaryNote:
    """Numbers of the points on the Pareto front, and the ``sensitivity`` of objectives to axes.

    The effect of an axis on an objective is the share of the objective's variance over all points that lies
    between the axis' values (the correlation ratio, 0 to 1); values of long axes are taken in six bins. With
    an axis ``seed``, ``low`` and ``high`` are its 95% interval over the seeds (a jackknife: the study as it
    would be without each of them), which never leaves 0 to 1.
    """
    names = [*aims.maximise, *aims.minimise]
    numbers, reached = array("q"), [array("d") for _ in names]
    levels = [_Levels() for _ in axes]
    for own, *columns in points.picked(["point", *axes, *names]) if names else ():
        numbers.extend(own)
        for level, values in zip(levels, columns, strict=False):
            level.extend(values)
        for objective, values in zip(reached, columns[len(axes) :], strict=True):
            objective.extend(map(_number, values))
    if not numbers or not names:
        return SummaryNote(aims=aims, pareto=[], sensitivity=[])
    table = np.column_stack([np.frombuffer(objective, dtype=np.float64) for objective in reached])
    sign = np.array([-1.0] * len(aims.maximise) + [1.0] * len(aims.minimise))
    known = np.frombuffer(numbers, dtype=np.int64)
    seeds = levels[list(axes).index("seed")].levels() if "seed" in axes else None
    effects: list[Effect] = []
    for axis, level in zip(axes, levels, strict=True):
        groups = level.groups()
        for column, name in enumerate(names):
            if name == axis:
                continue
            effect = _effect(groups, table[:, column], None if axis == "seed" else seeds)
            if effect is not None:
                effects.append(Effect(axis=axis, objective=name, **effect))
    effects.sort(key=lambda item: -item.effect)
    return SummaryNote(aims=aims, pareto=known[front(table * sign)].tolist(), sensitivity=effects)


def _number(value: Any) -> float:
    return float(value) if is_number(value) else math.nan


class _Levels:
    """The values of one axis over all points."""

    def __init__(self) -> None:
        self.codes = array("q")
        self.known: defaultdict[Any, int] = defaultdict(count().__next__)

    def extend(self, values: Iterable[Any]) -> None:
        """Add the values of further points."""
        self.codes.extend(map(self.known.__getitem__, values))

    def levels(self) -> NDArray[np.int64]:
        """Number of the value that each point has."""
        return np.frombuffer(self.codes, dtype=np.int64)

    def groups(self) -> NDArray[np.int64]:
        """The same with long numeric axes in bins of about equal size."""
        codes = self.levels()
        if len(self.known) <= _MOST_LEVELS or not all(
            isinstance(value, (int, float)) for value in self.known
        ):
            return codes
        values = np.array([*self.known], dtype=np.float64)[codes]
        binned: NDArray[np.int64] = np.searchsorted(np.sort(values), values) * _BINS // len(values)
        return binned


def _effect(
    groups: NDArray[np.int64], values: NDArray[np.float64], seeds: NDArray[np.int64] | None
) -> dict[str, float] | None:
    known = ~np.isnan(values)
    groups, values = groups[known], values[known]
    effect = _correlation_ratio(groups, values)
    if effect is None:
        return None
    found = {"effect": effect}
    if seeds is not None:
        half = _half_width(groups, values, seeds[known])
        if half is not None:
            found |= {"low": max(0.0, effect - half), "high": min(1.0, effect + half)}
    return found


def _half_width(
    groups: NDArray[np.int64], values: NDArray[np.float64], seeds: NDArray[np.int64]
) -> float | None:
    """Half of the 95% interval of the correlation ratio: a jackknife that leaves every seed out once."""
    _, seeds = np.unique(seeds, return_inverse=True)
    count, width = int(seeds.max()) + 1, int(groups.max()) + 1
    if count < 2 or count * width > _MOST_CELLS:
        return None
    values = values - values.mean()
    cell = seeds * width + groups
    points = np.bincount(cell, minlength=count * width).reshape(count, width)
    sums = np.bincount(cell, weights=values, minlength=count * width).reshape(count, width)
    squares = np.bincount(seeds, weights=values**2, minlength=count)
    points, sums, squares = points.sum(0) - points, sums.sum(0) - sums, squares.sum() - squares
    mean_part = sums.sum(1) ** 2 / np.maximum(points.sum(1), 1)
    total = squares - mean_part
    between = (sums**2 / np.maximum(points, 1)).sum(1) - mean_part
    ratios = np.where(total > 0, between / np.where(total > 0, total, 1.0), 0.0)
    spread = float(((ratios - ratios.mean()) ** 2).sum()) * (count - 1) / count
    return t95(count - 1) * math.sqrt(spread)


def _correlation_ratio(groups: NDArray[np.int64], values: NDArray[np.float64]) -> float | None:
    if len(values) < 2:
        return None
    total = float(((values - values.mean()) ** 2).sum())
    if total == 0.0:
        return 0.0
    counts = np.bincount(groups)
    means = np.bincount(groups, weights=values) / np.maximum(counts, 1)
    return float((counts * (means - values.mean()) ** 2).sum() / total)
