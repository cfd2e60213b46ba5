"""The points of a study as they are kept in its folder, to be read.

A point is kept as its line of the table (see ``lines``) and the number of its layout, the metrics that it
has, so that the table is written by copying lines.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from layerweaver.backend_sim.study.sweep.lines import Line, columns_of, values_of
from layerweaver.backend_sim.study.sweep.schema import ObjectivesSpec
from layerweaver.ir import OutputError, ScenarioError
from layerweaver.ir.csv_text import split
from layerweaver.ir.files import is_file
from layerweaver.ir.json_text import parse_json
from layerweaver.ir.sections import Section

__all__ = [
    "FILE",
    "FORMAT",
    "STUDY",
    "SUMMARY",
    "Effect",
    "KnownPoint",
    "KnownPoints",
    "StudyNote",
    "SummaryNote",
    "distrust",
]

FORMAT = 2
STUDY, SUMMARY = "study", "said"
_MOST_BYTES = 1 << 26
"""Of one value, and of the names of all layouts together."""
FILE = "study.sqlite"
_PIECE = 2048


class Effect(Section):
    """How much an axis matters to an objective; with repeated seeds, within what; or why nobody can tell."""

    axis: str
    objective: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    note: str | None = None

    def document(self) -> dict[str, Any]:
        """Its JSON, which always has the effect."""
        found = self.model_dump()
        return {key: value for key, value in found.items() if value is not None or key == "effect"}


class SummaryNote(Section):
    """What all points say together: the aims that were asked, the front's numbers, the effects."""

    aims: ObjectivesSpec
    pareto: list[int]
    sensitivity: list[Effect]


class StudyNote(Section):
    """What study the points are of: its axes, its aims, its number of points and how they are chosen."""

    axes: list[str]
    aims: ObjectivesSpec
    points: int
    sample: str = ""


def distrust(db: sqlite3.Connection) -> None:
    """Bound what is read from somebody's file: no value without end, and tables only.

    Raises:
        ValueError: If it has views or triggers, which could say anything.
    """
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_BYTES)
    for (kind,) in db.execute("SELECT type FROM sqlite_master WHERE type NOT IN ('table', 'index') LIMIT 1"):
        raise ValueError(f"it has a {kind}")


class KnownPoint(NamedTuple):
    """One point as it is kept.

    Attributes:
        number: Its number.
        axes: Values of the axes as the table has them, in their order.
        columns: Names of its metrics; one tuple for all points with the same.
        cells: Their values.
        error: Why it failed; "" if it did not.
    """

    number: int
    axes: list[Any]
    columns: tuple[str, ...]
    cells: list[Any]
    error: str

    def row(self, axes: Sequence[str]) -> dict[str, Any]:
        """Metrics and axes by column; an axis wins over a metric of its name."""
        return {
            **dict(zip(self.columns, self.cells, strict=True)),
            **dict(zip(axes, self.axes, strict=True)),
        }


_DAMAGED = (
    sqlite3.Error,
    ValueError,
    TypeError,
    AttributeError,  # a cell of another type, or none at all, where a text should be
    LookupError,
    ArithmeticError,
    RecursionError,
)
"""What reading a damaged store ends with."""


class KnownPoints:
    """The points in a folder, to be read. Use as a context manager.

    Args:
        folder: The study's folder.

    Raises:
        OutputError: If there is no study, a sweep is at work on it, or the file is no store.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        if not is_file(self.path):
            raise OutputError("holds no study", where=str(folder), accepted="the folder of a sweep")
        beside = self.path.with_name(f"{FILE}-wal")
        still = not beside.exists() or beside.stat().st_size == 0
        # A database that nobody has open can be read where nothing can be written.
        address = f"file:{quote(str(self.path.absolute()))}?mode=ro{'&immutable=1' if still else ''}"
        with self.refusing():
            self._db = sqlite3.connect(address, timeout=0.5, isolation_level=None, uri=True)
            distrust(self._db)
            self._read_layouts()
        self._check_format()

    def _read_layouts(self) -> None:
        (size,) = self._db.execute("SELECT SUM(LENGTH(columns)) FROM layouts").fetchone()
        if (size or 0) > _MOST_BYTES:
            raise ValueError("its names of columns are too many")
        found = self._db.execute("SELECT id, columns FROM layouts")
        self._layouts: dict[int, tuple[str, ...]] = {key: _names(text) for key, text in found}

    def _check_format(self) -> None:
        with self.refusing():
            known = dict(self._db.execute("SELECT key, value FROM meta WHERE key IN ('format', 'version')"))
        if known.get("format", str(FORMAT)) != str(FORMAT):
            raise ScenarioError(
                f"was begun by layerweaver {known.get('version', '?')}, whose studies this one cannot read",
                where=str(self.path),
                accepted="give another folder, or go on with that version",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """What the database complains about, in one line."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise OutputError(
                    "another sweep is at work in this folder",
                    where=str(self.path.parent),
                    accepted="wait for it, or give another folder",
                ) from None
            raise OutputError(
                f"cannot be written or read ({error})",
                where=str(self.path),
                accepted="give a folder that can be written",
            ) from None
        except _DAMAGED as error:
            said = " ".join(str(error).split())
            raise OutputError(
                f"is no store of a study, or damaged ({said[:120]})",
                where=str(self.path),
                accepted="give another folder",
            ) from None

    def note(self, key: str) -> Any:
        """What was noted under a key; None if nothing was."""
        with self.refusing():
            found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
            return None if found is None else parse_json(str(found[0]).encode())

    @functools.cached_property
    def study(self) -> StudyNote | None:
        """What study the points are of; None if it was never begun."""
        found = self.note(STUDY)
        with self.refusing():
            return None if found is None else StudyNote.model_validate(found)

    @property
    def summary(self) -> SummaryNote | None:
        """What the points say together, if it was noted since the last was added."""
        try:
            found = self.note(SUMMARY)
            return None if found is None else SummaryNote.model_validate(found)
        except ValueError:  # it is worked out again
            return None

    @property
    def count(self) -> int:
        """Points that are known."""
        with self.refusing():
            return int(self._db.execute("SELECT COUNT(*) FROM points").fetchone()[0])

    @property
    def failed(self) -> int:
        """Points that failed."""
        with self.refusing():
            (count,) = self._db.execute("SELECT COUNT(*) FROM points WHERE failed").fetchone()
            return int(count)

    def reasons(self) -> Iterator[str]:
        """Why each point that failed did, in order."""
        with self.refusing():
            failed = self._db.execute("SELECT layout, kinds, line FROM points WHERE failed ORDER BY number")
            for layout, kinds, line in failed:
                self._check(layout, len(kinds))
                yield str(values_of(line, kinds)[-1])

    def numbers(self) -> list[int]:
        """Numbers of the points that are known, ascending."""
        with self.refusing():
            return [number for (number,) in self._db.execute("SELECT number FROM points ORDER BY number")]

    def columns(self) -> list[str]:
        """Names of all metrics, in the order in which the points bring them."""
        with self.refusing():
            orders = self._db.execute("SELECT layout FROM points GROUP BY layout ORDER BY MIN(number)")
            return list(dict.fromkeys(name for (layout,) in orders for name in self._layouts[layout]))

    def rows(self, numbers: Sequence[int] | None = None) -> Iterator[KnownPoint]:
        """All points, or some, in order."""
        with self.refusing():
            width = len(self._axes)
            for layout, kinds, line in self._found("layout, kinds, line", numbers):
                self._check(layout, len(kinds))
                number, *cells, error = values_of(line, kinds)
                yield KnownPoint(number, cells[:width], self._layouts[layout], cells[width:], error or "")

    def picked(self, columns: Sequence[str]) -> Iterator[list[list[Any]]]:
        """Some columns of all points that did not fail, in order, so many points at once."""
        with self.refusing():
            found = self._found("layout, line, kinds", failed=False)
            while piece := list(islice(found, _PIECE)):
                for layout, rows in groupby(piece, itemgetter(0)):
                    lines = [Line(*row[1:]) for row in rows]
                    for line in lines:
                        self._check(layout, len(line.kinds))
                    yield columns_of(lines, self._places(layout, columns))

    def lines(self, columns: Sequence[str]) -> Iterator[str]:
        """All points as lines of the table with these columns, in order."""
        with self.refusing():
            moves: dict[int, tuple[str | None, Callable[[list[str]], tuple[str, ...]]]] = {}
            for layout, line in self._found("layout, line"):
                if layout not in moves:
                    places = self._places(layout, columns)
                    moves[layout] = _further(places), itemgetter(*places)
                further, move = moves[layout]
                if further is not None and line.endswith(","):
                    self._check(layout, line.count(",") + 1, '"' in line)
                    yield line + further
                    continue
                cells = split(line)
                self._check(layout, len(cells))
                yield ",".join(move([*cells, ""]))

    def kinds(self, columns: Sequence[str]) -> list[set[str]]:
        """Kinds of the cells that these columns have."""
        with self.refusing():
            found: list[set[str]] = [set() for _ in columns]
            for layout, kinds in self._db.execute("SELECT DISTINCT layout, kinds FROM points"):
                self._check(layout, len(kinds))
                for kind, place in zip(found, self._places(layout, columns), strict=True):
                    kind.add(f"{kinds}n"[place])
            return found

    def valued(self, columns: Sequence[str]) -> tuple[int, list[int]]:
        """How many points did not fail, and how many of them have a value in each of these columns."""
        with self.refusing():
            measured, valued = 0, [0] * len(columns)
            grouped = "SELECT layout, kinds, COUNT(*) FROM points WHERE NOT failed GROUP BY layout, kinds"
            for layout, kinds, many in self._db.execute(grouped):
                self._check(layout, len(kinds))
                measured += many
                for number, place in enumerate(self._places(layout, columns)):
                    valued[number] += many * (f"{kinds}n"[place] != "n")
            return measured, valued

    def _found(
        self, asked: str, numbers: Sequence[int] | None = None, *, failed: bool = True
    ) -> Iterator[Any]:
        if numbers is None:
            only = "" if failed else "WHERE NOT failed"
            yield from self._db.execute(f"SELECT {asked} FROM points {only} ORDER BY number")
        for number in numbers or ():
            yield from self._db.execute(f"SELECT {asked} FROM points WHERE number = ?", (number,))

    @property
    def _axes(self) -> list[str]:
        if self.study is None:
            raise ValueError("it does not say its axes")
        return self.study.axes

    def _places(self, layout: int, columns: Sequence[str]) -> list[int]:
        """Where a line has these columns; behind its end what it does not have."""
        own = ["point", *self._axes, *self._layouts[layout], "error"]
        known = {name: place for place, name in reversed([*enumerate(own)])}  # an axis wins
        return [known.get(name, len(own)) for name in columns]

    def _check(self, layout: int, cells: int, or_more: bool = False) -> None:
        """Refuse a line that has not as many cells as it should."""
        wanted = len(self._axes) + len(self._layouts[layout]) + 2
        if cells != wanted and not (or_more and cells > wanted):
            raise ValueError(f"a point has {cells} cells instead of {wanted}")


def _further(places: Sequence[int]) -> str | None:
    """What a line without an error lacks at its end to be one of the table; None if cells must be moved."""
    *before, last = places
    own = last  # the error comes last in both
    return "," * (len(before) - own) if before == [*range(own), *[own + 1] * (len(before) - own)] else None


def _names(text: str) -> tuple[str, ...]:
    found = parse_json(text.encode())
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ValueError("its columns are none")
    return tuple(found)
