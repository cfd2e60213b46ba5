"""CSV that every reader understands and no spreadsheet runs.

Names come from files that nobody vouches for, and a spreadsheet runs a cell that begins like a formula. Such
a text is written with an apostrophe before it, and so is a text that already looks like that, so that
:func:`cell_text` gives back exactly what was written. Numbers are written as they are.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

__all__ = ["MARKED", "CsvWriter", "RowLines", "TextReader", "TextWriter", "cell_text", "plain_cell", "split"]

_FORMULA = re.compile(
    "'*[=+\\-@\t\r\n\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"
    "\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}]"
)
_MAX_ROW = 1 << 20
MARKED = f"^'({_FORMULA.pattern})"
"""Regular expression of what a text begins with where an apostrophe was put before it."""


class TextWriter(Protocol):
    """What can be written text to."""

    def write(self, text: str, /) -> object:
        """Write it."""
        ...


class TextReader(Protocol):
    """What a line can be read of."""

    def readline(self, most: int, /) -> str:
        """Read one of at most so many characters."""
        ...


class _UnixLines:
    """Takes whole rows with the line ends of the CSV standard and passes them on with those of Unix.

    The csv module quotes what looks like *its* line end: only with both is a lone carriage return quoted.
    """

    def __init__(self, stream: TextWriter) -> None:
        self._stream = stream

    def write(self, row: str) -> object:
        return self._stream.write(f"{row[:-2]}\n")


class CsvWriter:
    """Writes rows of texts and numbers; None is an empty cell.

    Args:
        stream: Text stream that leaves line ends alone.
    """

    def __init__(self, stream: TextWriter) -> None:
        self._writer = csv.writer(_UnixLines(stream), lineterminator="\r\n")

    def writerow(self, cells: Iterable[Any]) -> None:
        """Write one row."""
        self._writer.writerow([_inert(cell) if isinstance(cell, str) else cell for cell in cells])

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        """Write several rows."""
        for row in rows:
            self.writerow(row)


class RowLines:
    """Lines of a text for the csv module, of which no row may have more than 1 MiB of characters.

    Quotes may go on over any number of lines, so that a row could be as long as its file.

    Args:
        stream: The text, with its line ends.
        refusal: Told the number of a line at which a row is too long, answers what to raise.
    """

    def __init__(self, stream: TextReader, refusal: Callable[[int], Exception]) -> None:
        self._stream, self._refusal = stream, refusal
        self._number = self._pending = 0

    def __iter__(self) -> Iterator[str]:
        while text := self._stream.readline(_MAX_ROW):
            self._number += 1
            self._pending += len(text)
            if self._pending >= _MAX_ROW:
                raise self._refusal(self._number)
            yield text

    def row_ended(self) -> None:
        """Say that a row is whole."""
        self._pending = 0


def _inert(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def cell_text(cell: str) -> str:
    """The text that :class:`CsvWriter` wrote as this cell; other programs' cells stay as they are."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def split(line: str) -> list[str]:
    """The cells of a line without its end, each as it stands there: commas between them give the line back.

    Much quicker than reading it where cells are only moved about, or few of them are looked at.
    """
    bare, *rest = line.split('"')
    cells = bare.split(",")
    for quoted, bare in zip(rest[::2], rest[1::2], strict=False):
        after, *others = bare.split(",")
        cells[-1] += f'"{quoted}"{after}'
        cells += others
    return cells


def plain_cell(cell: str) -> str:
    """The text of a cell that :func:`split` gave."""
    return cell_text(cell[1:-1].replace('""', '"') if cell.startswith('"') else cell)
