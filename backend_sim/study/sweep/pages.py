"""A study's folder as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from layerweaver.backend_sim.report.study_page import MOST_POINTS, StudyPoints, build_study_page
from layerweaver.backend_sim.study.sweep.store import KnownPoints
from layerweaver.backend_sim.study.sweep.summary import SUMMARY, summary
from layerweaver.backend_sim.study.sweep.tables import point_columns, point_rows
from layerweaver.ir import OutputError

__all__ = ["STUDY", "study_page"]

STUDY = "study"
"""Note of a store: the names of its axes, its aims and its number of points."""


def study_page(folder: Path, *, title: str) -> str:
    """The page of the study in a folder, finished or not.

    Raises:
        OutputError: If the folder holds no study or it is damaged, or none of its points was run yet.
    """
    with KnownPoints(folder) as points:
        study = points.note(STUDY)
        if not isinstance(study, dict) or not points.count:
            raise OutputError("has no points yet", where=str(folder), accepted="run the study first")
        axes, aims = study["axes"], study["aims"]
        said = points.note(SUMMARY)
        if said is None or said["aims"] != aims:
            said = summary(points, axes, **aims)
        columns = point_columns(points, axes)
        shown = StudyPoints(
            columns=columns,
            rows=point_rows(points, axes, columns, _chosen(points.numbers(), said["pareto"])),
            axes=axes,
            front=said["pareto"],
            sensitivity=said["sensitivity"],
            total=study["points"],
            known=points.count,
            failed=points.failed,
            **aims,
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
