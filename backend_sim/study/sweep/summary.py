"""What a study's points say together: the Pareto front, and how much every axis matters."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.study.sweep.axes import label
from layerweaver.backend_sim.study.sweep.store import Store
from layerweaver.backend_sim.study.sweep.study import Study
from layerweaver.backend_sim.study.sweep.tables import point_columns
from layerweaver.ir import ScenarioError
from layerweaver.ir.spelling import nearest

__all__ = ["check_objectives", "front", "summary"]

_MOST_LEVELS = 12
_BINS = 6


def check_objectives(study: Study, columns: Sequence[str]) -> None:
    """Refuse objectives that are no column.

    Raises:
        ScenarioError: With the nearest that is one.
    """
    for kind, names in (
        ("maximise", study.spec.objectives.maximise),
        ("minimise", study.spec.objectives.minimise),
    ):
        for name in names:
            if name not in columns:
                raise ScenarioError(
                    f"there is no column {name!r}",
                    where=study.source.where(("objectives", kind)),
                    accepted=nearest(name, get_close_matches(name, columns, n=5, cutoff=0.3) or columns),
                )


def front(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Rows that no other row beats in every column (all columns small), ascending; rows with NaN are none.

    Args:
        values: Shape (points, objectives).
    """
    known = np.flatnonzero(~np.isnan(values).any(axis=1))
    order = known[np.lexsort(values[known].T[::-1])]
    kept: list[int] = []
    best = np.empty((0, values.shape[1]))
    for row in order:
        # Rows come with the first column ascending, so only kept ones can beat this one.
        candidate = values[row]
        if not ((best <= candidate).all(axis=1) & (best < candidate).any(axis=1)).any():
            kept.append(int(row))
            best = np.vstack((best, candidate))
    return np.array(sorted(kept), dtype=np.intp)


def summary(study: Study, store: Store) -> dict[str, Any]:
    """``pareto`` (whole rows) and ``sensitivity`` of a study's points.

    The effect of an axis on an objective is the share of the objective's variance over all points that lies
    between the axis' values (the correlation ratio, 0 to 1); values of long axes are taken in six bins.
    """
    names = study.objectives
    if not names:
        return {"pareto": [], "sensitivity": []}
    axes = [axis.name for axis in study.axes]
    numbers: list[int] = []
    objectives: list[list[float]] = []
    levels: list[list[Any]] = []
    for number, values, metrics, error in store.rows():
        if error:
            continue
        row = {**metrics, **dict(zip(axes, values, strict=True))}
        numbers.append(number)
        objectives.append([_number(row.get(name)) for name in names])
        levels.append([label(value) for value in values])
    if not numbers:
        return {"pareto": [], "sensitivity": []}
    table = np.array(objectives, dtype=np.float64)
    sign = np.array(
        [-1.0] * len(study.spec.objectives.maximise) + [1.0] * len(study.spec.objectives.minimise)
    )
    chosen = {numbers[index] for index in front(table * sign)}
    columns = point_columns(store, axes)
    pareto = []
    for number, values, metrics, _ in store.rows():
        if number in chosen:
            row = {"point": number, **metrics, **{a: label(v) for a, v in zip(axes, values, strict=True)}}
            pareto.append({name: row.get(name) for name in columns if name != "error"})
    effects: list[tuple[float, str, str]] = []
    for place, axis in enumerate(axes):
        groups = _groups([level[place] for level in levels])
        for column, name in enumerate(names):
            effect = None if name == axis else _correlation_ratio(groups, table[:, column])
            if effect is not None:
                effects.append((effect, axis, name))
    effects.sort(key=lambda item: -item[0])
    return {
        "pareto": pareto,
        "sensitivity": [
            {"axis": axis, "objective": name, "effect": effect} for effect, axis, name in effects
        ],
    }


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float("nan")


def _groups(values: Sequence[Any]) -> NDArray[np.intp]:
    """Number of the level that each point has, long numeric axes in bins of about equal size."""
    if len(set(map(str, values))) > _MOST_LEVELS and all(isinstance(value, (int, float)) for value in values):
        ranks = np.searchsorted(np.sort(np.array(values, dtype=np.float64)), values)
        binned: NDArray[np.intp] = ranks * _BINS // len(values)
        return binned
    known: dict[str, int] = {}
    return np.array([known.setdefault(str(value), len(known)) for value in values], dtype=np.intp)


def _correlation_ratio(groups: NDArray[np.intp], values: NDArray[np.float64]) -> float | None:
    known = ~np.isnan(values)
    groups, values = groups[known], values[known]
    if len(values) < 2:
        return None
    total = float(((values - values.mean()) ** 2).sum())
    if total == 0.0:
        return 0.0
    counts = np.bincount(groups)
    means = np.bincount(groups, weights=values) / np.maximum(counts, 1)
    return float((counts * (means - values.mean()) ** 2).sum() / total)
