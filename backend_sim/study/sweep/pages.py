"""A study's folder as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from layerweaver.backend_sim.report.study_page import MOST_POINTS, StudyPoints, build_study_page
from layerweaver.backend_sim.study.sweep.known import KnownPoints
from layerweaver.backend_sim.study.sweep.summary import summary
from layerweaver.backend_sim.study.sweep.tables import point_columns, point_rows
from layerweaver.ir import OutputError

__all__ = ["study_page"]


def study_page(folder: Path, *, title: str) -> str:
    """The page of the study in a folder, finished or not.

    Raises:
        OutputError: If the folder holds no study or it is damaged, or none of its points was run yet.
    """
    with KnownPoints(folder) as points:
        study = points.study
        if study is None or not points.count:
            raise OutputError("has no points yet", where=str(folder), accepted="run the study first")
        said = points.summary
        if said is None or said.aims != study.aims:
            said = summary(points, study.axes, study.aims)
        columns = point_columns(points, study.axes)
        chosen = _chosen(points.numbers(), said.pareto)
        shown = StudyPoints(
            columns=columns,
            rows=point_rows(points, study.axes, columns, chosen),
            axes=study.axes,
            maximise=study.aims.maximise,
            minimise=study.aims.minimise,
            front=said.pareto,
            sensitivity=[item.document() for item in said.sensitivity],
            total=study.points,
            known=points.count,
            failed=points.failed,
        )
        return build_study_page(shown, title=title)


def _chosen(numbers: Sequence[int], front: Sequence[int]) -> list[int] | None:
    """The points that the page shows: all (None), or the front and every so many-th of the others."""
    if len(numbers) <= MOST_POINTS:
        return None
    kept = _spaced(front, MOST_POINTS // 2)
    others = sorted(set(numbers).difference(front))
    return sorted([*kept, *_spaced(others, MOST_POINTS - len(kept))])


def _spaced(numbers: Sequence[int], most: int) -> list[int]:
    count = min(len(numbers), most)
    return [numbers[place * len(numbers) // count] for place in range(count)]
