"""Stores of studies that are damaged or altered are gone on with, or refused in one line."""

from __future__ import annotations

import csv
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.study.sweep.known import StudyNote
from layerweaver.backend_sim.study.sweep.measure import Measured
from layerweaver.backend_sim.study.sweep.pages import study_page
from layerweaver.backend_sim.study.sweep.schema import ObjectivesSpec
from layerweaver.backend_sim.study.sweep.store import Store
from layerweaver.backend_sim.study.sweep.sweep import sweep
from layerweaver.backend_sim.study.sweep.tables import point_columns, point_rows, write_tables
from layerweaver.ir import LayerweaverError
from layerweaver.ir.csv_text import cell_text

STUDY: dict[str, Any] = {
    "scenario": {"npu": "memory-centric", "tenants": [{"name": "one", "model": "zoo:ncf"}]},
    "axes": {"npu.dram.bandwidth_gb_s": [100, 200, 300], "npu.array.columns": [10, 20]},
    "measure": "cost",
    "objectives": {"minimise": ["models.one.standalone_ms"]},
}
EDITS = (
    "UPDATE points SET line='2,300' WHERE number=2",
    "UPDATE points SET line=replace(line, ',', ';') WHERE number=2",
    "UPDATE points SET line=line || ',' WHERE number=2",
    "UPDATE points SET line=replace(line, 'memory', '\"memory') WHERE number=2",
    "UPDATE points SET kinds='i' WHERE number=2",
    "UPDATE points SET kinds=replace(kinds, 's', 'f') WHERE number=2",
    "UPDATE points SET kinds=replace(kinds, 's', '?') WHERE number=2",
    "UPDATE points SET layout=99 WHERE number=2",
    "UPDATE layouts SET columns='5'",
    "UPDATE layouts SET columns='[[1]]'",
    "DROP TABLE layouts; CREATE TABLE layouts AS SELECT 1 AS id, NULL AS columns",
    "DROP TABLE layouts; CREATE TABLE layouts AS SELECT 1 AS id, 5 AS columns",
    "UPDATE meta SET value='5'",
    "UPDATE meta SET value='{}'",
    "UPDATE meta SET value=replace(hex(zeroblob(50000)), '0', '[')",
    "DELETE FROM meta",
    "DROP TABLE layouts",
    "DROP TABLE meta",
    "INSERT INTO points VALUES (-1,1,0,'[1,2]','')",
    "INSERT INTO layouts VALUES (9, hex(zeroblob(40000000)))",
    "UPDATE points SET line=hex(zeroblob(40000000)) WHERE number=2",
    "DROP TABLE points; CREATE VIEW points AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) "
    "SELECT i AS number, 1 AS layout, 0 AS failed, '' AS kinds, '' AS line FROM n",
)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "known"
    sweep(STUDY, folder)
    return folder


def _said(folder: Path) -> Iterator[str]:
    """What the commands say of a store, if they refuse it."""
    for command in (lambda: study_page(folder, title="x"), lambda: sweep(STUDY, folder)):
        try:
            command()
        except LayerweaverError as error:
            yield str(error)


@pytest.mark.parametrize("seed", range(24))
def test_damage_is_survived_or_one_line(known: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray((known / "study.sqlite").read_bytes())
    if seed % 4 == 0:
        del data[chance.randrange(len(data)) :]
    for _ in range(3 if data else 0):
        data[chance.randrange(len(data))] = chance.randrange(256)
    (tmp_path / "study.sqlite").write_bytes(data)
    assert all("\n" not in said and str(tmp_path) in said for said in _said(tmp_path))


@pytest.mark.parametrize("edit", EDITS)
def test_what_somebody_altered_is_one_line(known: Path, tmp_path: Path, edit: str) -> None:
    folder = tmp_path / "altered"
    shutil.copytree(known, folder)
    (folder / "points.csv").unlink()
    with closing(sqlite3.connect(folder / "study.sqlite")) as database, database:
        database.executescript(edit)
    found = list(_said(folder))
    assert found
    assert all("\n" not in said and str(folder) in said for said in found)


def test_a_store_of_another_form_is_named(known: Path, tmp_path: Path) -> None:
    folder = tmp_path / "older"
    shutil.copytree(known, folder)
    with closing(sqlite3.connect(folder / "study.sqlite")) as database, database:
        database.execute("UPDATE meta SET value='1' WHERE key='format'")
        database.execute("ALTER TABLE points DROP COLUMN kinds")
    said = list(_said(folder))
    assert len(said) == 2
    assert all("whose studies this one cannot read" in text for text in said)


ROWS: list[tuple[dict[str, Any], str]] = [
    ({"whole": 1, "large": 2**64 - 1, "part": 0.1, "either": True, "note": '=a,"b"'}, ""),
    ({}, 'it, "failed"'),
    ({"whole": None, "large": -1, "part": 3, "either": False, "note": "a\nb\rc"}, ""),
    ({"part": 1e300, "more": "x", "whole": -5}, ""),
    ({"more": None, "note": "'=plain", "part": None}, ""),
]


def test_what_is_kept_comes_back_from_every_table(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    axes, columns = ["text", "load"], ["whole", "large", "part", "either", "note", "more"]
    with Store(tmp_path) as store:
        store.claim({}, "x")
        store.begin(StudyNote(axes=axes, aims=ObjectivesSpec(), points=9))
        points = [Measured(number, *row) for number, row in enumerate(ROWS)]
        store.add([(point, [f"t,{point.number}", 0.5 * point.number]) for point in reversed(points)])
        write_tables(store, axes, tmp_path)
        found = point_columns(store, axes)
        rows = list(point_rows(store, axes, found))
        pieces = store.picked(["more", "point", "text", "part"])
        picked = [row for piece in pieces for row in zip(*piece, strict=True)]
    assert found == ["point", *axes, *columns, "error"]
    assert rows == [
        [n, f"t,{n}", 0.5 * n, *(row.get(name) for name in columns), error or None]
        for n, (row, error) in enumerate(ROWS)
    ]
    assert picked == [
        (row.get("more"), n, f"t,{n}", row.get("part")) for n, (row, error) in enumerate(ROWS) if not error
    ]
    with (tmp_path / "points.csv").open(newline="") as stream:
        lines = list(csv.reader(stream))
    assert [[cell_text(cell) for cell in line] for line in lines[1:]] == [
        ["" if cell is None else str(cell) for cell in row] for row in rows
    ]
    table = parquet.read_table(tmp_path / "points.parquet").to_pydict()
    wide = {"large": [None if row[4] is None else str(row[4]) for row in rows]}
    assert table == {name: [row[place] for row in rows] for place, name in enumerate(found)} | wide
