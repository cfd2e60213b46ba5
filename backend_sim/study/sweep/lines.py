"""A point as its line of the table: written once, when it is measured, and read again without a loss."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from layerweaver.ir.csv_text import CsvWriter, plain_cell, split

__all__ = ["WIDE", "Line", "line_of", "values_of"]

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


def values_of(text: str, kinds: str, places: tuple[int, ...] | None = None) -> list[Any]:
    """The cells of a line as they were, or those at some places.

    Raises:
        ValueError: If the line has not as many cells as kinds, or one is not of its kind.
    """
    cells = split(text)
    if len(cells) != len(kinds):
        raise ValueError(f"a point has {len(cells)} cells instead of {len(kinds)}")
    if places is not None:
        return [read(cells[place]) for place, read in zip(places, _readers(kinds, places), strict=True)]
    return [read(cell) for cell, read in zip(cells, _readers(kinds, None), strict=True)]


@functools.lru_cache(maxsize=1024)
def _readers(kinds: str, places: tuple[int, ...] | None) -> list[Callable[[str], Any]]:
    return [_READ[kind] for kind in (kinds if places is None else map(kinds.__getitem__, places))]
