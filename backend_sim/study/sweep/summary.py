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
_LEAST_PER_GROUP = 4
"""Points that a group of a sample has on average, below which nothing is said of its mean."""
_NO_SPREAD = 1e-12
"""What rounding leaves of the width of an interval that has none."""
_MOST_CELLS = 10**7


def summary(points: KnownPoints, axes: Sequence[str], aims: ObjectivesSpec) -> SummaryNote:
    """Numbers of the points on the Pareto front, and the ``sensitivity`` of objectives to axes.

    The effect of an axis on an objective is the share of the objective's variance over all points that
    lies between the axis' values (the correlation ratio, 0 to 1); of axes with many numbers, between six
    bins. That is exact for a whole grid. Of a sample, or a grid with points missing, groups differ by chance
    even where the axis changes nothing: numbers are taken in bins of at least four points, the share expected
    by chance is taken off (epsilon squared), and where groups would be smaller a note stands instead. With
    an axis ``seed``, ``low`` and ``high`` are its 95% interval over the seeds (a jackknife: the study as it
    would be without each of them), which never leaves 0 to 1; left out where no seed makes a difference.
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
    study = points.study
    drawn = study is None or study.sample != "grid" or len(known) < study.points
    effects: list[Effect] = []
    for axis, level in zip(axes, levels, strict=True):
        for column, name in enumerate(names):
            reaching = ~np.isnan(table[:, column])
            if name == axis or reaching.sum() < 2:
                continue
            groups = level.drawn_groups(reaching, axis != "seed") if drawn else level.groups()[reaching]
            if groups is None:
                effects.append(Effect(axis=axis, objective=name, effect=None, note="too few points"))
                continue
            others = None if seeds is None or axis == "seed" else seeds[reaching]
            found = _effect(groups, table[reaching, column], others, drawn)
            effects.append(Effect(axis=axis, objective=name, **found))
    effects.sort(key=lambda item: math.inf if item.effect is None else -item.effect)
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
        return self._binned(codes, _BINS) if len(self.known) > _MOST_LEVELS and self._are_numbers else codes

    def drawn_groups(self, chosen: NDArray[np.bool_], have_order: bool) -> NDArray[np.int64] | None:
        """The same for some points of a sample; None if groups would be too small.

        Args:
            chosen: Which points.
            have_order: Whether neighbouring numbers have something in common, so that they may share a bin.
        """
        codes = np.unique(self.levels()[chosen], return_inverse=True)[1]
        count, room = int(codes.max()) + 1, len(codes) // _LEAST_PER_GROUP
        if have_order and self._are_numbers and (count > _MOST_LEVELS or count > room):
            return self._binned(self.levels()[chosen], min(_BINS, room)) if room > 1 else None
        return codes if count <= room else None

    @property
    def _are_numbers(self) -> bool:
        return all(isinstance(value, (int, float)) for value in self.known)

    def _binned(self, codes: NDArray[np.int64], bins: int) -> NDArray[np.int64]:
        """Bins of about equal size that points with these values are in."""
        values = np.array([*self.known], dtype=np.float64)[codes]
        binned: NDArray[np.int64] = np.searchsorted(np.sort(values), values) * bins // len(values)
        return binned


def _effect(
    groups: NDArray[np.int64], values: NDArray[np.float64], seeds: NDArray[np.int64] | None, drawn: bool
) -> dict[str, float]:
    """The effect, and what bounds it; points that were drawn lose what chance gives."""
    effect = max(0.0, _correlation_ratio(groups, values, drawn))
    half = None if seeds is None else _half_width(groups, values, seeds, drawn)
    if half is None or half <= _NO_SPREAD:
        return {"effect": effect}
    return {"effect": effect, "low": max(0.0, effect - half), "high": min(1.0, effect + half)}


def _half_width(
    groups: NDArray[np.int64], values: NDArray[np.float64], seeds: NDArray[np.int64], drawn: bool
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
    if drawn:
        free = points.sum(1) - (points > 0).sum(1)
        if not free.all():
            return None
        ratios = 1 - (1 - ratios) * (points.sum(1) - 1) / free
    spread = float(((ratios - ratios.mean()) ** 2).sum()) * (count - 1) / count
    return t95(count - 1) * math.sqrt(spread)


def _correlation_ratio(groups: NDArray[np.int64], values: NDArray[np.float64], drawn: bool) -> float:
    total = float(((values - values.mean()) ** 2).sum())
    if total == 0.0:
        return 0.0
    counts = np.bincount(groups)
    means = np.bincount(groups, weights=values) / np.maximum(counts, 1)
    ratio = float((counts * (means - values.mean()) ** 2).sum() / total)
    if not drawn:
        return ratio
    return 1 - (1 - ratio) * (len(values) - 1) / (len(values) - np.count_nonzero(counts))
