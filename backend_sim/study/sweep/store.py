"""What a study has found so far, in one embedded database that survives whatever stops it.

Rows of one kind share their columns, so a point is kept as the number of its layout and a list of values.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.study.sweep.measure import Measured
from layerweaver.ir import OutputError, ScenarioError

__all__ = ["Store"]

_FORMAT = "1"
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


class Store:
    """The database of one folder; held by one study at a time. Use as a context manager.

    Args:
        folder: The study's folder, made if it is not there.

    Raises:
        OutputError: If the folder cannot be written, another sweep holds it, or the file is no store.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "study.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot be made ({error.strerror})", where=str(folder)) from None
        self._layouts: dict[str, int] = {}
        try:
            self._db = sqlite3.connect(self.path, timeout=0.5, isolation_level=None)
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("BEGIN IMMEDIATE")
            for statement in _TABLES.split(";"):
                self._db.execute(statement)
            self._db.execute("COMMIT")
            self._layouts = {text: key for key, text in self._db.execute("SELECT id, columns FROM layouts")}
        except sqlite3.OperationalError as error:
            busy = "locked" in str(error)
            raise OutputError(
                "another sweep is at work in this folder" if busy else f"cannot be written ({error})",
                where=str(folder),
                accepted="wait for it, or give another folder"
                if busy
                else "give a folder that can be written",
            ) from None
        except sqlite3.DatabaseError as error:
            raise OutputError(
                f"is no store of a study ({error})", where=str(self.path), accepted="give another folder"
            ) from None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def claim(self, parts: Mapping[str, str], version: str) -> None:
        """Make the store one of a study, or check that it is the same.

        Raises:
            ScenarioError: If it is of another version of the package, or the study has changed.
        """
        known = dict(self._db.execute("SELECT key, value FROM meta"))
        wanted = {"format": _FORMAT, "version": version, "parts": json.dumps(dict(parts))}
        if not known:
            with self._db:
                self._db.executemany("INSERT INTO meta VALUES (?, ?)", wanted.items())
            return
        for key in ("format", "version"):
            if known.get(key) != wanted[key]:
                raise ScenarioError(
                    f"was begun by layerweaver {known.get('version', '?')}, this is {version}",
                    where=str(self.path),
                    accepted="give another folder, or go on with that version",
                )
        before, now = json.loads(known["parts"]), dict(parts)
        changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        if changed:
            shown = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
            raise ScenarioError(
                f"the study has changed since its points were run: {shown}",
                where=str(self.path),
                accepted="give another folder, or the study as it was",
            )

    def done(self, total: int) -> bytearray:
        """One byte per point: 1 where it is known."""
        flags = bytearray(total)
        for (number,) in self._db.execute("SELECT number FROM points WHERE number < ?", (total,)):
            flags[number] = 1
        return flags

    def add(self, points: Sequence[tuple[Measured, Sequence[Any]]]) -> None:
        """Keep measured points with the values of their axes.

        Raises:
            OutputError: If the disk is full.
        """
        try:
            self._db.execute("BEGIN")
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
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise OutputError(f"cannot be written ({error})", where=str(self.path)) from None

    @property
    def failed(self) -> int:
        """Points that failed."""
        (count,) = self._db.execute("SELECT COUNT(*) FROM points WHERE error != ''").fetchone()
        return int(count)

    def columns(self) -> list[str]:
        """Names of all metrics, in the order in which the points bring them."""
        orders = self._db.execute(
            "SELECT layouts.columns FROM points JOIN layouts ON layouts.id = points.layout "
            "GROUP BY points.layout ORDER BY MIN(points.number)"
        )
        return list(dict.fromkeys(name for (text,) in orders for name in json.loads(text)))

    def rows(self) -> Iterator[tuple[int, list[Any], dict[str, Any], str]]:
        """Number, axis values, metrics and error of every point, in order."""
        names = {key: json.loads(text) for text, key in self._layouts.items()}
        found = self._db.execute("SELECT number, axes, layout, cells, error FROM points ORDER BY number")
        for number, axes, layout, cells, error in found:
            yield number, json.loads(axes), dict(zip(names[layout], json.loads(cells), strict=True)), error
