"""Small CSV files with a header: bounded, and every refusal with its line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from layerweaver.ir.csv_text import RowLines, TextReader
from layerweaver.ir.errors import LayerweaverError
from layerweaver.ir.files import read_bounded
from layerweaver.ir.text import counted

__all__ = ["COMMAS", "CsvRow", "CsvTable", "beyond_header", "other_marks"]

COMMAS = "commas, and points in numbers"
"""What is accepted in place of :func:`other_marks`."""

_OTHER_MARKS = {";": "semicolons", "\t": "tabs", "|": "bars"}
"""What spreadsheets put between cells where they put no comma."""


def other_marks(header: Sequence[str]) -> str:
    """That what divides the cells of a header is no comma, in words; empty where nothing says so."""
    found = (name for mark, name in _OTHER_MARKS.items() if len(header) == 1 and mark in header[0])
    return next((f"cells are divided by {name}" for name in found), "")


def beyond_header(header: Sequence[str], cells: Sequence[str]) -> str:
    """That a row has something behind the last column, in words; empty where it has not.

    So has a number with a comma in it, whose other part nobody would read.
    """
    if not any(cell.strip() for cell in cells[len(header) :]):
        return ""
    return f"the row has {counted(len(cells), 'value')} for {counted(len(header), 'column')}"


class CsvRow(NamedTuple):
    """One line: its place, and its cells by column without the blanks around them."""

    where: str
    cells: Mapping[str, str]


class CsvTable:
    """A file of comma-separated values; empty lines and lines that start with ``#`` are left out.

    Args:
        path: The file.
        refusal: Kind of error.
        accepted: What errors say of the columns.
        most_bytes: Size that is refused beyond.
        most_rows: Number of lines that is refused beyond.

    Attributes:
        data: Its bytes.
        header: Names of its columns.
        where: File and line of the header.

    Raises:
        LayerweaverError: Of that kind, if it cannot be read, is too large or no text, or its header has no
            commas but what other programs put in their place.
    """

    def __init__(
        self,
        path: Path,
        refusal: type[LayerweaverError],
        *,
        accepted: str,
        most_bytes: int,
        most_rows: int,
    ) -> None:
        self._path, self._refusal, self._accepted, self._most_rows = path, refusal, accepted, most_rows
        try:
            data = read_bounded(path, most_bytes)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise refusal(f"cannot be read ({reason})", where=str(path), accepted=accepted) from None
        if data is None:
            raise refusal(f"is larger than {most_bytes >> 20} MiB", where=str(path), accepted=accepted)
        self.data = data
        self._lines = self._read(io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=""))
        self.where, cells = next(self._lines, (str(path), []))
        self.header = tuple(name.strip() for name in cells)
        if marks := other_marks(cells):
            raise refusal(marks, where=self.where, accepted=f"{COMMAS}; {accepted}")

    def _too_long(self, line: int) -> LayerweaverError:
        return self._refusal(
            "the row is longer than 1 MiB", where=f"{self._path}:{line}", accepted=self._accepted
        )

    def _read(self, stream: TextReader) -> Iterator[tuple[str, list[str]]]:
        lines = RowLines(stream, self._too_long)
        reader = csv.reader(lines)
        try:
            for cells in reader:
                lines.row_ended()
                if any(cell.strip() for cell in cells) and not cells[0].startswith("#"):
                    yield f"{self._path}:{reader.line_num}", cells
        except csv.Error as error:
            where = f"{self._path}:{reader.line_num}"
            raise self._refusal(f"is not CSV ({error})", where=where) from None
        except UnicodeDecodeError:
            raise self._refusal("is not UTF-8 text", where=str(self._path), accepted=self._accepted) from None

    def require(self, columns: Sequence[str]) -> None:
        """Refuse a header that lacks one of these columns, or has it twice."""
        for column in columns:
            if self.header.count(column) != 1:
                what = "appears twice" if column in self.header else "is missing"
                raise self._refusal(f"column {column!r} {what}", where=self.where, accepted=self._accepted)

    def rows(self) -> Iterator[CsvRow]:
        """The lines after the header, once.

        Raises:
            LayerweaverError: If one has another number of cells than the header, or there are too many.
        """
        for count, (where, cells) in enumerate(self._lines, start=1):
            if len(cells) != len(self.header):
                raise self._refusal(
                    f"has {counted(len(cells), 'column')}", where=where, accepted=f"give {len(self.header)}"
                )
            if count > self._most_rows:
                raise self._refusal(f"has more than {self._most_rows} rows", where=where)
            yield CsvRow(where, dict(zip(self.header, (cell.strip() for cell in cells), strict=True)))
