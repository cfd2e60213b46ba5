"""What a study gave, in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.report.notebook import data_frame
from layerweaver.backend_sim.study.sweep.known import KnownPoints
from layerweaver.backend_sim.study.sweep.origin import FILE
from layerweaver.backend_sim.study.sweep.tables import point_columns, point_rows
from layerweaver.ir.json_text import parse_json
from layerweaver.ir.text import counted

__all__ = ["StudyResult"]


class StudyResult(dict[str, Any]):
    """The document of ``layerweaver sweep``, with its points.

    Args:
        document: ``points``, ``done_before``, ``failed``, ``pareto`` and ``sensitivity``.
        axes: Names of the axes.
        folder: Where its points are.
    """

    def __init__(self, document: Mapping[str, Any], axes: Sequence[str], folder: Path) -> None:
        super().__init__(document)
        self._axes = tuple(axes)
        self._folder = folder

    def __repr__(self) -> str:
        front = f"{len(self['pareto']):,} on the Pareto front"
        return f"StudyResult({counted(self['points'], 'point')}, {self['failed']:,} failed, {front})"

    def to_dataframe(self, library: str | None = None) -> Any:
        """Every point as a row of a data frame: its number, axes, metrics and error.

        Of pandas, ``attrs["origin"]`` says how they were made, as ``study.json`` does.

        Args:
            library: ``"pandas"`` or ``"polars"`` to insist; else whichever is installed, pandas if both are.

        Raises:
            OutputError: If neither is installed, or the points are there no more.
        """
        with KnownPoints(self._folder) as points:
            columns = point_columns(points, self._axes)
            frame = data_frame(columns, point_rows(points, self._axes, columns), library)
        if hasattr(frame, "attrs"):
            frame.attrs["origin"] = parse_json((self._folder / FILE).read_bytes())
        return frame
