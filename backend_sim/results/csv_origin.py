"""How the results of a CSV were made, from the columns that say so."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from layerweaver.backend_sim.results.files import ORIGIN
from layerweaver.backend_sim.results.reading import ResultError
from layerweaver.ir.csv_text import cell_text
from layerweaver.ir.json_text import parse_json

__all__ = ["csv_origins"]

_LONGEST_CELL = 1 << 28


def csv_origins(text: str, where: str) -> list[Mapping[str, Any]]:
    """What it takes to run every result of a CSV again: ``scenario``, ``seed``, ``seeds``, ``search``.

    Args:
        text: A file that :func:`~layerweaver.backend_sim.results.files.save_result` wrote.
        where: What errors call it.

    Raises:
        ResultError: If it is none, or says of no result how it was made.
    """
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error as failure:
        raise ResultError(f"is not CSV ({failure})", where=where) from None
    finally:
        csv.field_size_limit(limit)
    found: list[Mapping[str, Any]] = []
    for number, row in enumerate(rows, start=2):
        if not row.get("scenario"):
            continue
        try:
            origin = {name: parse_json(cell_text(row[name]).encode()) for name in ORIGIN if row.get(name)}
            origin["seed"] = int(row["seed"]) if row.get("seed") else None
        except (ValueError, RecursionError):
            raise ResultError("has a broken origin", where=f"{where}:{number}") from None
        if not all(isinstance(origin.get(name, {}), dict) for name in ("scenario", "search")):
            raise ResultError("has a broken origin", where=f"{where}:{number}")
        found.append(origin)
    if not found:
        raise ResultError(
            "does not say how it was made", where=where, accepted="give a result with the column 'scenario'"
        )
    return found
