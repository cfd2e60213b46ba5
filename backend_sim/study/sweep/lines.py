"""A point as its line of the table: written once, when it is measured, and read again without a loss."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from layerweaver.ir.csv_text import CsvWriter, plain_cell, split

__all__ = ["WIDE", "Line", "columns_of", "line_of", "values_of"]

WIDE = "w"
"""Kind of a whole number beyond 64 bits with sign; the others are in :func:`_kind`."""

_SIGNED = 1 << 63

_READ: Mapping[str, Callable[[str], Any]] = {
    "n": lambda _: None,
    "b": "True".__eq__,
    "i": int,
    WIDE: int,
    "f": float,
    "s": plain_cell,
}


class Line(NamedTuple):
    """Cells as text, and what they were.

    Attributes:
        text: The line, without its end.
        kinds: One letter per cell.
    """

    text: str
    kinds: str


def line_of(cells: Sequence[Any]) -> Line:
    """The line of numbers, texts, truth values and None."""
    text: list[str] = []
    CsvWriter(_Piece(text)).writerow(cells)
    return Line(text[0][:-1], "".join(map(_kind, cells)))


class _Piece:
    """Takes the text that a writer gives."""

    def __init__(self, text: list[str]) -> None:
        self.write = text.append


def _kind(cell: Any) -> str:
    if cell is None:
        return "n"
    if isinstance(cell, bool):
        return "b"
    if isinstance(cell, int):
        return "i" if -_SIGNED <= cell < _SIGNED else WIDE
    return "f" if isinstance(cell, float) else "s"


def values_of(text: str, kinds: str) -> list[Any]:
    """The cells of a line as they were.

    Raises:
        ValueError: If the line has not as many cells as kinds, or one is not of its kind.
    """
    return [_READ[kind](cell) for cell, kind in zip(_cells(text, kinds), kinds, strict=True)]


def columns_of(lines: Sequence[Line], places: Sequence[int]) -> list[list[Any]]:
    """The cells at some places of lines as they were; None behind the end of a line.

    Raises:
        ValueError: As in :func:`values_of`.
    """
    pick = operator.itemgetter(*places, *places[:1])  # of one place it would give no tuple
    # What a point does not have is the empty cell behind its line.
    cells = zip(*(pick(_cells(f"{text},", f"{kinds}n")) for text, kinds in lines), strict=True)
    known = zip(*(pick(f"{kinds}n") for _, kinds in lines), strict=True)
    return [_column(*both) for _, *both in zip(places, cells, known, strict=False)]


def _column(cells: Sequence[str], kinds: Sequence[str]) -> list[Any]:
    if len(set(kinds)) == 1:
        return [*map(_READ[kinds[0]], cells)]
    return [_READ[kind](cell) for cell, kind in zip(cells, kinds, strict=True)]


def _cells(text: str, kinds: str) -> list[str]:
    cells = split(text)
    if len(cells) != len(kinds):
        raise ValueError("a point has not as many cells as it should")
    return cells
