"""How the results of a CSV or Parquet file were made, from the columns that say so."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from layerweaver.backend_sim.results.files import ORIGIN
from layerweaver.backend_sim.results.reading import ResultError
from layerweaver.ir.csv_table import COMMAS, other_marks
from layerweaver.ir.csv_text import cell_text
from layerweaver.ir.json_text import MAX_VALUES, parse_json, values_in

__all__ = ["csv_origins", "row_origins"]

_SAID = (*ORIGIN, "seed")
_LONGEST_CELL = 1 << 28
_MOST_LINES = 1_000_000


def csv_origins(text: str, where: str) -> list[Mapping[str, Any]]:
    """What it takes to run every result of a CSV again: ``scenario``, ``seed``, ``seeds``, ``search``.

    Args:
        text: A file that :func:`~layerweaver.backend_sim.results.files.save_result` wrote.
        where: What errors call it.

    Raises:
        ResultError: If it is none, or says of no result how it was made.
    """
    if text.count("\n") > _MOST_LINES:
        raise ResultError(f"has more than {_MOST_LINES:,} lines", where=where)
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        lines = io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8", newline="")
        found = _origins(enumerate(map(_texts, csv.DictReader(lines)), start=2), where)
    except csv.Error as failure:
        raise ResultError(f"is not CSV ({failure})", where=where) from None
    finally:
        csv.field_size_limit(limit)
    if not found and text.partition("\n")[0].strip().endswith(",study"):
        raise ResultError(
            "is the table of a study", where=where, accepted="give the whole folder that its sweep wrote"
        )
    if not found and (marks := other_marks([text.partition("\n")[0]])):
        raise ResultError(marks, where=f"{where}:1", accepted=COMMAS)
    if not found:
        raise ResultError(
            "does not say how it was made", where=where, accepted="give a result with the column 'scenario'"
        )
    return found


def row_origins(rows: Sequence[Mapping[str, object]], where: str) -> list[Mapping[str, Any]]:
    """The same of the rows of a table that are read already; errors count them from 1.

    Raises:
        ResultError: If no row says how it was made.
    """
    texts = ({name: str(row[name]) for name in _SAID if row.get(name) is not None} for row in rows)
    found = _origins(enumerate(texts, start=1), where)
    if not found:
        raise ResultError(
            "does not say how it was made", where=where, accepted="give a result with the column 'scenario'"
        )
    return found


def _texts(row: Mapping[str, str | None]) -> Mapping[str, str]:
    """What a row of a CSV says of how it was made."""
    return {name: cell_text(cell) for name in _SAID if (cell := row.get(name))}


def _origins(rows: Iterable[tuple[int, Mapping[str, str]]], where: str) -> list[Mapping[str, Any]]:
    """Origins by row; all of them may hold as many values as one document of JSON."""
    found: list[Mapping[str, Any]] = []
    held = 0
    for number, row in rows:
        if "scenario" not in row:
            continue
        cells = {name: row[name].encode() for name in ORIGIN if name in row}
        held += sum(map(values_in, cells.values()))
        if held > MAX_VALUES:
            raise ResultError(f"its origins hold more than {MAX_VALUES:,} values", where=f"{where}:{number}")
        try:
            origin: dict[str, object] = {name: parse_json(cell) for name, cell in cells.items()}
            origin["seed"] = int(row["seed"]) if "seed" in row else None
        except (ValueError, RecursionError):
            raise ResultError("has a broken origin", where=f"{where}:{number}") from None
        if not all(isinstance(origin.get(name, {}), dict) for name in ("scenario", "search")):
            raise ResultError("has a broken origin", where=f"{where}:{number}")
        found.append(origin)
    return found
