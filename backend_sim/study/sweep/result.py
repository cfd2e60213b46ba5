"""What a study gave, in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.study.sweep.known import KnownPoints
from layerweaver.backend_sim.study.sweep.origin import FILE
from layerweaver.backend_sim.study.sweep.tables import point_columns, point_rows
from layerweaver.ir.extras import need_extra
from layerweaver.ir.json_text import parse_json

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

    def to_dataframe(self) -> Any:
        """Every point as a row of a pandas frame: its number, axes, metrics and error.

        ``attrs["origin"]`` says how they were made, as ``study.json`` does.

        Raises:
            OutputError: If pandas is not installed, or the points are there no more.
        """
        need_extra("pandas", "a data frame", "data")
        import pandas as pd  # noqa: PLC0415 - optional and heavy

        with KnownPoints(self._folder) as points:
            columns = point_columns(points, self._axes)
            frame = pd.DataFrame(point_rows(points, self._axes, columns), columns=columns)
        frame.attrs["origin"] = parse_json((self._folder / FILE).read_bytes())
        return frame
