"""What a study gave, in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from layerweaver.ir import OutputError
from layerweaver.ir.extras import need_extra

__all__ = ["StudyResult"]


class StudyResult(dict[str, Any]):
    """The document of ``layerweaver sweep``, with its points.

    Args:
        document: ``points``, ``done_before``, ``failed``, ``pareto`` and ``sensitivity``.
        rows: One mapping per point; None where there are too many to hold.
    """

    MOST_ROWS = 200_000

    def __init__(self, document: Mapping[str, Any], rows: Sequence[Mapping[str, Any]] | None) -> None:
        super().__init__(document)
        self._rows = rows

    def to_dataframe(self) -> Any:
        """Every point as a row of a pandas frame: its number, axes, metrics and error.

        Raises:
            OutputError: If pandas is not installed, or there are too many points to hold.
        """
        need_extra("pandas", "a data frame", "data")
        import pandas as pd  # noqa: PLC0415 - optional and heavy

        if self._rows is None:
            raise OutputError("has too many points for one frame", accepted="read points.parquet")
        return pd.DataFrame(list(self._rows))
