"""Running a study, or one of its points, again from its folder."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from layerweaver.backend_sim.results.reading import ResultError
from layerweaver.backend_sim.study.rerun import differences
from layerweaver.backend_sim.study.sweep.axes import label
from layerweaver.backend_sim.study.sweep.known import KnownPoints
from layerweaver.backend_sim.study.sweep.lines import line_of, values_of
from layerweaver.backend_sim.study.sweep.measure import Measured, measure_points, point_document
from layerweaver.backend_sim.study.sweep.origin import study_again
from layerweaver.backend_sim.study.sweep.sweep import run_study

__all__ = ["PointAgain", "rerun_point", "rerun_study"]

_TABLE = "points.csv"


class PointAgain(NamedTuple):
    """One point, run once more.

    Attributes:
        row: What it gave, by column.
        error: Why it failed; "" if it did not.
        document: The whole result of one that was simulated or searched, which can be run again by itself.
        apart: Columns in which it differs from the study's table; None if the table does not have it yet.
    """

    row: dict[str, object]
    error: str
    document: dict[str, Any] | None
    apart: list[str] | None


def rerun_point(folder: Path, number: int, *, allow_code: bool = False) -> PointAgain:
    """Run one point of a study again, and compare it with what is known of it.

    Args:
        folder: The study's folder.
        number: The point's number in the table.
        allow_code: Run policies that the study gives as Python files.

    Raises:
        ResultError: If the folder does not say how its points were made, something has changed since, or
            there is no such point.
        LayerweaverError: If the study can no longer be read.
    """
    study = study_again(folder, allow_code=allow_code)
    if study.spec.sample.kind == "search":
        raise ResultError(
            "points of a search follow from those before",
            where=f"{folder}, point {number}",
            accepted="leave out --point: the whole study is run again",
        )
    if not 0 <= number < study.total:
        raise ResultError(
            f"there is no point {number}", where=str(folder), accepted=f"0 to {study.total - 1}"
        )
    values, axes = study.values(number), [axis.name for axis in study.axes]
    (measured,) = measure_points(study.job, [(number, values)])
    document = None
    if study.job.measure != "cost" and not measured.error:
        document = point_document(study.job, dict(zip(axes, values, strict=True)))
    row = {**measured.row, **dict(zip(axes, map(label, values), strict=True))}
    return PointAgain(row, measured.error, document, _apart(folder, measured, row, axes))


def _apart(folder: Path, measured: Measured, row: Mapping[str, object], axes: list[str]) -> list[str] | None:
    """In which columns a point differs from the one that is kept."""
    names = list(row)
    *cells, error = values_of(*line_of([*row.values(), measured.error or None]))
    after = {**dict(zip(names, cells, strict=True)), "error": error or ""}
    with KnownPoints(folder) as known:
        for point in known.rows([measured.number]):
            return list(differences({**point.row(axes), "error": point.error}, after))
    return None


def rerun_study(
    folder: Path,
    *,
    workers: int = 1,
    allow_code: bool = False,
    progress: Callable[[float, str], None] | None = None,
) -> list[int]:
    """Run all points of a study again.

    Args:
        folder: The study's folder.
        workers: Processes.
        allow_code: Run policies that the study gives as Python files.
        progress: Told the share done and what is being done.

    Returns:
        Numbers of the lines of its table that came out otherwise, from 1.

    Raises:
        ResultError: If the folder does not say how its points were made, has not all of them, or something
            has changed since.
        LayerweaverError: If the study can no longer be read.
    """
    study = study_again(folder, allow_code=allow_code)
    with KnownPoints(folder) as points:
        if points.count < study.total:
            raise ResultError(
                f"has {points.count:,} of {study.total:,} points",
                where=str(folder),
                accepted="go on with the sweep first, or give --point",
            )
    try:
        before = (folder / _TABLE).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ResultError("cannot be read", where=str(folder / _TABLE)) from None
    with tempfile.TemporaryDirectory(prefix="layerweaver-") as place:
        run_study(study, Path(place), workers, None, progress)
        after = (Path(place) / _TABLE).read_text(encoding="utf-8").splitlines()
    pairs = enumerate(itertools.zip_longest(before, after), start=1)
    return [line for line, (old, new) in pairs if old != new]
