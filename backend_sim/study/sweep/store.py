"""What a study has found so far, in one embedded database that survives whatever stops it.

Rows of one kind share their columns, so a point is kept as the number of its layout and a list of values.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from layerweaver.backend_sim.study.sweep.measure import Measured
from layerweaver.backend_sim.study.sweep.schema import ObjectivesSpec
from layerweaver.ir import OutputError, ScenarioError
from layerweaver.ir.sections import Section

__all__ = ["WRITTEN", "Effect", "KnownPoint", "KnownPoints", "Store", "StudyNote", "SummaryNote"]

_FORMAT = "1"
_STUDY, _SUMMARY = "study", "summary"
WRITTEN = "tables"
"""Note: hashes of the tables, as long as no point was added since."""

_FILE = "study.sqlite"
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS layouts (id INTEGER PRIMARY KEY, columns TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS points (
    number INTEGER PRIMARY KEY,
    axes TEXT NOT NULL,
    layout INTEGER NOT NULL,
    cells TEXT NOT NULL,
    error TEXT NOT NULL
);
"""


class Effect(Section):
    """How much an axis matters to an objective; with repeated seeds, within what."""

    axis: str
    objective: str
    effect: float
    low: float | None = None
    high: float | None = None


class SummaryNote(Section):
    """What all points say together: the aims that were asked, the front's numbers, the effects."""

    aims: ObjectivesSpec
    pareto: list[int]
    sensitivity: list[Effect]


class StudyNote(Section):
    """What study the points are of: its axes, its aims and its number of points."""

    axes: list[str]
    aims: ObjectivesSpec
    points: int


class KnownPoint(NamedTuple):
    """One point as it is kept.

    Attributes:
        number: Its number.
        axes: Values of the axes, in their order.
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


class KnownPoints:
    """The points in a folder, to be read. Use as a context manager.

    Args:
        folder: The study's folder.

    Raises:
        OutputError: If there is no study, a sweep is at work on it, or the file is no store.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / _FILE
        if not self.path.is_file():
            raise OutputError("holds no study", where=str(folder), accepted="the folder of a sweep")
        beside = self.path.with_name(f"{_FILE}-wal")
        still = not beside.exists() or beside.stat().st_size == 0
        # A database that nobody has open can be read where nothing can be written.
        address = f"file:{quote(str(self.path.absolute()))}?mode=ro{'&immutable=1' if still else ''}"
        with self._refusing():
            self._db = sqlite3.connect(address, timeout=0.5, isolation_level=None, uri=True)
            self._read_layouts()

    def _read_layouts(self) -> None:
        found = self._db.execute("SELECT id, columns FROM layouts")
        self._layouts: dict[str, int] = {text: key for key, text in found}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
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
        except (sqlite3.DatabaseError, ValueError, TypeError, KeyError) as error:
            said = " ".join(str(error).split())
            raise OutputError(
                f"is no store of a study, or damaged ({said[:120]})",
                where=str(self.path),
                accepted="give another folder",
            ) from None

    def note(self, key: str) -> Any:
        """What was noted under a key; None if nothing was."""
        with self._refusing():
            found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
            return None if found is None else json.loads(found[0])

    @functools.cached_property
    def study(self) -> StudyNote | None:
        """What study the points are of; None if it was never begun."""
        found = self.note(_STUDY)
        with self._refusing():
            return None if found is None else StudyNote.model_validate(found)

    @property
    def summary(self) -> SummaryNote | None:
        """What the points say together, if it was noted since the last was added."""
        try:
            found = self.note(_SUMMARY)
            return None if found is None else SummaryNote.model_validate(found)
        except ValueError:  # it is worked out again
            return None

    @property
    def count(self) -> int:
        """Points that are known."""
        with self._refusing():
            return int(self._db.execute("SELECT COUNT(*) FROM points").fetchone()[0])

    @property
    def failed(self) -> int:
        """Points that failed."""
        with self._refusing():
            (count,) = self._db.execute("SELECT COUNT(*) FROM points WHERE error != ''").fetchone()
            return int(count)

    def numbers(self) -> list[int]:
        """Numbers of the points that are known, ascending."""
        with self._refusing():
            return [number for (number,) in self._db.execute("SELECT number FROM points ORDER BY number")]

    def columns(self) -> list[str]:
        """Names of all metrics, in the order in which the points bring them."""
        with self._refusing():
            orders = self._db.execute(
                "SELECT layouts.columns FROM points JOIN layouts ON layouts.id = points.layout "
                "GROUP BY points.layout ORDER BY MIN(points.number)"
            )
            return list(dict.fromkeys(name for (text,) in orders for name in json.loads(text)))

    def rows(self, numbers: Sequence[int] | None = None) -> Iterator[KnownPoint]:
        """All points, or some, in order."""
        asked = "SELECT number, axes, layout, cells, error FROM points"
        width = len(self.study.axes) if self.study is not None else None
        with self._refusing():
            names = {key: tuple(json.loads(text)) for text, key in self._layouts.items()}
            if numbers is None:
                found: Iterator[Any] = iter(self._db.execute(f"{asked} ORDER BY number"))
            else:
                one = f"{asked} WHERE number = ?"
                found = (row for number in numbers for row in self._db.execute(one, (number,)))
            for number, axes, layout, cells, error in found:
                columns, values, given = names[layout], json.loads(cells), json.loads(axes)
                if len(columns) != len(values) or len(given) != (len(given) if width is None else width):
                    raise ValueError(f"point {number} has other columns than it should")
                yield KnownPoint(number, list(given), columns, values, error)


class Store(KnownPoints):
    """The database of one folder, to be added to; held by one study at a time.

    Args:
        folder: The study's folder, made if it is not there.

    Raises:
        OutputError: If the folder cannot be written, another sweep holds it, or the file is no store.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / _FILE
        self._stale = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot be made ({error.strerror})", where=str(folder)) from None
        with self._refusing():
            self._db = sqlite3.connect(self.path, timeout=0.5, isolation_level=None)
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            with self._whole():
                for statement in _TABLES.split(";"):
                    self._db.execute(statement)
            self._read_layouts()

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """All that is done inside, or nothing of it."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # it may have been undone already
                self._db.execute("ROLLBACK")
            self._read_layouts()
            raise

    def claim(self, parts: Mapping[str, str], version: str) -> None:
        """Make the store one of a study, or check that it is the same.

        Raises:
            ScenarioError: If it is of another version of the package, or the study has changed.
        """
        wanted = {"format": _FORMAT, "version": version, "parts": json.dumps(dict(parts))}
        with self._refusing():
            known = dict(self._db.execute("SELECT key, value FROM meta"))
            if not self.count:  # nothing is lost by beginning anew
                with self._whole():
                    self._db.execute("DELETE FROM meta")
                    self._db.executemany("INSERT INTO meta VALUES (?, ?)", wanted.items())
                return
            before = json.loads(known.get("parts", "{}"))
            if not isinstance(before, dict):
                raise ValueError("its parts are none")
        for key in ("format", "version"):
            if known.get(key) != wanted[key]:
                raise ScenarioError(
                    f"was begun by layerweaver {known.get('version', '?')}, this is {version}",
                    where=str(self.path),
                    accepted="give another folder, or go on with that version",
                )
        now = dict(parts)
        changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        if changed:
            shown = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
            raise ScenarioError(
                f"the study has changed since its points were run: {shown}",
                where=str(self.path),
                accepted="give another folder, or the study as it was",
            )

    def begin(self, study: StudyNote) -> None:
        """Note what study the points are of."""
        self.put_note(_STUDY, study.model_dump())
        self.__dict__.pop("study", None)

    def summarise(self, said: SummaryNote) -> None:
        """Note what the points say together."""
        self.put_note(_SUMMARY, said.model_dump(exclude_none=True))

    def put_note(self, key: str, value: Any) -> None:
        """Note something under a key."""
        with self._refusing():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def done(self, total: int) -> bytearray:
        """One byte per point: 1 where it is known."""
        flags = bytearray(total)
        with self._refusing():
            for (number,) in self._db.execute("SELECT number FROM points WHERE number < ?", (total,)):
                flags[number] = 1
        return flags

    def add(self, points: Sequence[tuple[Measured, Sequence[Any]]]) -> None:
        """Keep measured points with the values of their axes; what was noted of all points is wrong then.

        Raises:
            OutputError: If the disk is full.
        """
        with self._refusing(), self._whole():
            for key in () if self._stale else (_SUMMARY, WRITTEN):
                self._db.execute("DELETE FROM meta WHERE key = ?", (key,))
            for point, axes in points:
                columns = json.dumps(list(point.row))
                layout = self._layouts.get(columns)
                if layout is None:
                    layout = len(self._layouts) + 1
                    self._db.execute("INSERT INTO layouts VALUES (?, ?)", (layout, columns))
                    self._layouts[columns] = layout
                cells = json.dumps(list(point.row.values()))
                given = json.dumps(list(axes))
                self._db.execute(
                    "INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?)",
                    (point.number, given, layout, cells, point.error),
                )
        self._stale = True
