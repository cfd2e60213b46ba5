"""What a study has found so far, in one embedded database that survives whatever stops it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.study.sweep.axes import label
from layerweaver.backend_sim.study.sweep.known import (
    FILE,
    FORMAT,
    STUDY,
    SUMMARY,
    KnownPoints,
    StudyNote,
    SummaryNote,
    distrust,
)
from layerweaver.backend_sim.study.sweep.lines import line_of
from layerweaver.backend_sim.study.sweep.measure import Measured
from layerweaver.ir import OutputError, ScenarioError
from layerweaver.ir.text import first_of

__all__ = ["WRITTEN", "Store"]

WRITTEN = "tables"
"""Note: hashes of the tables, as long as no point was added since."""

_NAMED = 5
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS layouts (id INTEGER PRIMARY KEY, columns TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS points (
    number INTEGER PRIMARY KEY,
    layout INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    kinds TEXT NOT NULL,
    line TEXT NOT NULL
);
"""


class Store(KnownPoints):
    """The database of one folder, to be added to; held by one study at a time.

    Args:
        folder: The study's folder, made if it is not there.

    Raises:
        OutputError: If the folder cannot be written, another sweep holds it, or the file is no store.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._stale = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot be made ({error.strerror})", where=str(folder)) from None
        except ValueError as error:  # no folder can be called that
            raise OutputError(f"cannot be made ({error})", where=repr(str(folder))) from None
        with self.refusing():
            self._db = sqlite3.connect(self.path, timeout=0.5, isolation_level=None)
            distrust(self._db)
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            with self._whole():
                for statement in _TABLES.split(";"):
                    self._db.execute(statement)
            self._read_layouts()
        self._check_format()

    def _read_layouts(self) -> None:
        super()._read_layouts()
        self._numbers = {names: number for number, names in self._layouts.items()}

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
        wanted = {"format": str(FORMAT), "version": version, "parts": json.dumps(dict(parts))}
        with self.refusing():
            known = dict(self._db.execute("SELECT key, value FROM meta"))
            if not self.count:  # nothing is lost by beginning anew
                with self._whole():
                    self._db.execute("DELETE FROM meta")
                    self._db.executemany("INSERT INTO meta VALUES (?, ?)", wanted.items())
                return
            before = json.loads(known.get("parts", "{}"))
            if not isinstance(before, dict):
                raise ValueError("its parts are none")
        if known.get("version") != version:
            raise ScenarioError(
                f"was begun by layerweaver {known.get('version', '?')}, this is {version}",
                where=str(self.path),
                accepted="give another folder, or go on with that version",
            )
        now = dict(parts)
        changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        if changed:
            raise ScenarioError(
                f"the study has changed since its points were run: {first_of(changed, _NAMED)}",
                where=str(self.path),
                accepted="give another folder, or the study as it was",
            )

    def begin(self, study: StudyNote) -> None:
        """Note what study the points are of."""
        self.put_note(STUDY, study.model_dump())
        self.__dict__.pop("study", None)

    def summarise(self, said: SummaryNote) -> None:
        """Note what the points say together."""
        self.put_note(SUMMARY, said.model_dump(exclude_none=True))

    def put_note(self, key: str, value: Any) -> None:
        """Note something under a key."""
        with self.refusing():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def done(self, total: int) -> bytearray:
        """One byte per point: 1 where it is known."""
        flags = bytearray(total)
        with self.refusing():
            for (number,) in self._db.execute("SELECT number FROM points WHERE number < ?", (total,)):
                flags[number] = 1
        return flags

    def add(self, points: Sequence[tuple[Measured, Sequence[Any]]]) -> None:
        """Keep measured points with the values of their axes; what was noted of all points is wrong then.

        Raises:
            OutputError: If the disk is full.
        """
        with self.refusing(), self._whole():
            own = set(self._axes)  # an axis wins over a metric of its name
            for key in () if self._stale else (SUMMARY, WRITTEN):
                self._db.execute("DELETE FROM meta WHERE key = ?", (key,))
            for point, axes in points:
                number, error = point.number, point.error
                row = {name: cell for name, cell in point.row.items() if name not in own}
                text, kinds = line_of([number, *map(label, axes), *row.values(), error or None])
                layout = self._layout(tuple(row))
                self._db.execute(
                    "INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?)",
                    (number, layout, error != "", kinds, text),
                )
        self._stale = True

    def _layout(self, names: tuple[str, ...]) -> int:
        """Number of the metrics that a point has."""
        found = self._numbers.get(names)
        if found is None:
            found = self._numbers[names] = len(self._numbers) + 1
            self._layouts[found] = names
            self._db.execute("INSERT INTO layouts VALUES (?, ?)", (found, json.dumps(names)))
        return found
