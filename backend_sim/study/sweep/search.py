"""Searching a study's axes with Optuna where the grid is too large.

Points are asked for in batches of one size and told in the order of their numbers, so workers change nothing;
going on asks again and is told what the store knows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from layerweaver.backend_sim.study.sweep.axes import AxisValues
from layerweaver.backend_sim.study.sweep.measure import Measured
from layerweaver.backend_sim.study.sweep.objectives import is_number
from layerweaver.backend_sim.study.sweep.store import Store
from layerweaver.backend_sim.study.sweep.study import Study
from layerweaver.ir.extras import need_extra

__all__ = ["searched"]

BATCH = 8
"""Points asked for before any of them is told."""

Point = tuple[int, tuple[Any, ...]]


def searched(study: Study, store: Store, measure: Callable[[Sequence[Point]], list[Measured]]) -> None:
    """Run the trials of a study.

    Args:
        study: The study.
        store: What is known of it.
        measure: Measures points and keeps them.

    Raises:
        OutputError: If Optuna is not installed.
    """
    need_extra("optuna", "a search", "search")
    import optuna  # noqa: PLC0415 - optional and heavy

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kinds = optuna.study.StudyDirection
    directions = [kinds.MAXIMIZE] * len(study.spec.objectives.maximise)
    directions += [kinds.MINIMIZE] * len(study.spec.objectives.minimise)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = optuna.samplers.TPESampler(seed=study.spec.sample.seed % 2**32, multivariate=True)
        search = optuna.create_study(directions=directions, sampler=sampler)
        names = [axis.name for axis in study.axes]
        known = {point.number: (point.row(names), point.error) for point in store.rows()}
        for first in range(0, study.total, BATCH):
            trials = [search.ask() for _ in range(min(BATCH, study.total - first))]
            points = [
                (first + place, tuple(_suggested(trial, axis) for axis in study.axes))
                for place, trial in enumerate(trials)
            ]
            fresh = [point for point in points if point[0] not in known]
            for measured in measure(fresh) if fresh else []:
                known[measured.number] = (measured.row, measured.error)
            for trial, (number, values) in zip(trials, points, strict=True):
                row = {**known[number][0], **dict(zip(names, values, strict=True))}
                reached = [float(row[name]) for name in study.objectives if is_number(row.get(name))]
                if known[number][1] or len(reached) < len(study.objectives):
                    search.tell(trial, state=optuna.trial.TrialState.FAIL)
                else:
                    search.tell(trial, reached)


def _suggested(trial: Any, axis: AxisValues) -> Any:
    if axis.range is not None:
        low, high = sorted((axis.range.from_, axis.range.to))
        return axis.between(trial.suggest_float(axis.name, low, high, log=axis.range.scale == "log"))
    return axis.values[trial.suggest_categorical(axis.name, range(len(axis.values)))]
