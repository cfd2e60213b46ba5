"""Stores of studies that are damaged or altered are gone on with, or refused in one line."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.study.sweep.pages import study_page
from layerweaver.backend_sim.study.sweep.sweep import sweep
from layerweaver.ir import LayerweaverError

STUDY: dict[str, Any] = {
    "scenario": {"npu": "memory-centric", "tenants": [{"name": "one", "model": "zoo:ncf"}]},
    "axes": {"npu.dram.bandwidth_gb_s": [100, 200, 300], "npu.array.columns": [10, 20]},
    "measure": "cost",
    "objectives": {"minimise": ["models.one.standalone_ms"]},
}
EDITS = (
    "UPDATE points SET axes='[1]' WHERE number=2",
    "UPDATE points SET axes='5'",
    "UPDATE points SET cells='[]' WHERE number=2",
    "UPDATE points SET cells='{' WHERE number=2",
    "UPDATE points SET layout=99 WHERE number=2",
    "UPDATE layouts SET columns='5'",
    "UPDATE layouts SET columns='[[1]]'",
    "UPDATE meta SET value='5'",
    "UPDATE meta SET value='{}'",
    "DELETE FROM meta",
    "DROP TABLE layouts",
    "DROP TABLE meta",
    "INSERT INTO points VALUES (-1,'[1,2]',1,'[]','')",
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
        database.execute(edit)
    found = list(_said(folder))
    assert found
    assert all("\n" not in said and str(folder) in said for said in found)
