"""What a profile stores of declared groups is what a run would build, is used, and is checked when read."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layerweaver.scheduler.compile.groups import weave_group
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.profile.document import profile_document
from layerweaver.scheduler.profile.file import load_profile, save_profile
from layerweaver.scheduler.profile.profile import Profile, Provenance
from layerweaver.scheduler.static import weave as weaving
from layerweaver.scheduler.static.weave import find_weave

Make = Callable[..., ModelProfile]
ROWS = {
    ("vision", 1): [(60, 10), (50, 20), (40, 15), (70, 40)],
    ("vision", 4): [(240, 10), (200, 20), (160, 15), (280, 40)],
    ("language", 1): [(8, 50), (8, 50), (10, 80)],
    ("words", 1): [(5, 90), (9, 200)],
}


@pytest.fixture
def stored(make_model: Make, tmp_path: Path) -> Path:
    entries = tuple(make_model(name, rows, batch=batch) for (name, batch), rows in ROWS.items())
    origin = Provenance("x.onnx", "")
    profile = Profile({"name": "unit"}, entries[0].table.machine, entries, (origin,) * len(entries))
    groups = (["vision", "language"], ["words", "vision@4", "language"])
    path = tmp_path / "mix.lwp"
    save_profile(
        replace(
            profile,
            weaves=tuple(weave_group(profile, group) for group in groups),
        ),
        path,
    )
    return path


def test_stored_groups_come_back_and_are_shown(stored: Path) -> None:
    profile = load_profile(stored)
    assert [item.members for item in profile.weaves] == [
        (("vision", 1), ("language", 1)),
        (("words", 1), ("vision", 4), ("language", 1)),
    ]
    shown = profile_document(profile)["weaves"]
    assert [item["period_rows"] for item in shown] == [len(item.period) for item in profile.weaves]


def test_a_stored_schedule_is_not_searched_again(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = load_profile(stored)
    group = [profile.find("vision"), profile.find("language")]
    bare = [replace(model, weaves=()) for model in group]
    built, starving = find_weave(bare)
    monkeypatch.setattr(weaving, "SaturatedLoop", None)
    found, same = find_weave(group)
    assert found is profile.weaves[0]
    assert same == starving
    np.testing.assert_array_equal(found.period, built.period)
    with pytest.raises(TypeError):  # in the other order ties fall otherwise: it must be searched
        find_weave(group[::-1])


def _rewritten(path: Path, changes: dict[str, Any], more: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members["manifest.json"]) | changes
    members |= {"manifest.json": json.dumps(manifest).encode(), **more}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_files_of_version_1_are_read(stored: Path) -> None:
    _rewritten(stored, {"version": 1}, {})
    assert len(load_profile(stored).weaves) == 2


def test_decision_tables_of_older_files_are_left_out(stored: Path) -> None:
    record = {"members": [["vision", 1]], "length": 3}
    _rewritten(stored, {"decisions": [record]}, {"decisions/0/tables.npy": b"whatever"})
    profile = load_profile(stored)
    assert len(profile.weaves) == 2
    save_profile(profile, stored)
    with zipfile.ZipFile(stored) as archive:
        assert not [name for name in archive.namelist() if "decisions" in name]
        assert "decisions" not in json.loads(archive.read("manifest.json"))
