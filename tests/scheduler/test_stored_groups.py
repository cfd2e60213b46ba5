"""What a profile stores of declared groups is what a run would build, is used, and is checked when read."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.traffic.source import Saturated
from layerweaver.ir import ProfileError
from layerweaver.scheduler.compile.groups import table_group, weave_group
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.policies import load_policy
from layerweaver.scheduler.profile.document import profile_document
from layerweaver.scheduler.profile.file import load_profile, save_profile
from layerweaver.scheduler.profile.profile import Profile, Provenance
from layerweaver.scheduler.static import tables as decision_tables
from layerweaver.scheduler.static import weave as weaving
from layerweaver.scheduler.static.tables import MAX_PAIRS, build_tables
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
    profile = Profile({}, entries[0].table.machine, entries, (origin,) * len(entries))
    groups = (["vision", "language"], ["words", "vision@4", "language"])
    tables = [table_group(profile, group) for group in groups]
    path = tmp_path / "mix.lwp"
    save_profile(
        replace(
            profile,
            weaves=tuple(weave_group(profile, group) for group in groups),
            decisions=tuple(item for item in tables if item is not None),
        ),
        path,
    )
    return path


def test_stored_groups_come_back_and_are_shown(stored: Path) -> None:
    profile = load_profile(stored)
    assert [item.members for item in profile.decisions] == [
        (("vision", 1), ("vision", 4), ("language", 1)),
        (("words", 1), ("vision", 4), ("language", 1)),
    ]
    shown = profile_document(profile)["decision_tables"]
    assert [item["bytes"] for item in shown] == [item.tables.nbytes for item in profile.decisions]


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


@pytest.mark.parametrize(
    "tenants",
    [
        [[("vision", 1)], [("language", 1)]],
        [[("language", 1)], [("vision", 1), ("vision", 4)]],
        [[("language", 1)], [("vision", 4)], [("language", 1)], [("vision", 1)]],
        [[("words", 1)], [("vision", 4)]],
    ],
)
def test_stored_tables_decide_as_those_built(
    stored: Path, tenants: list[list[tuple[str, int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = load_profile(stored)
    menus = [[profile.find(*member) for member in menu] for menu in tenants]
    bare = [[replace(model, decisions=()) for model in menu] for menu in menus]
    policy = load_policy("layerweaver-tables")

    def order(used: list[list[ModelProfile]]) -> list[Any]:
        streams = tuple(
            TenantLoad(str(index), (menu[-1],), Saturated(min_queries=40)) for index, menu in enumerate(used)
        )
        outcome = run(
            SimulationInput(menus[0][0].table.machine, streams),
            policy,
            record_cycles=(0, 2**62),
            compiled=False,
        )
        assert outcome.log is not None
        return list(zip(outcome.log.tenant.tolist(), outcome.log.mode.tolist(), strict=True))

    built = order(bare)
    monkeypatch.setattr(decision_tables, "_compiled_fills", None)  # nothing may be built any more
    assert order(menus) == built
    with pytest.raises(TypeError):
        build_tables(bare)


def test_a_model_outside_of_the_group_has_its_tables_built(stored: Path) -> None:
    profile = load_profile(stored)
    mixed = [[profile.find("words")], [profile.find("vision", 1)]]
    bare = [[replace(model, decisions=()) for model in menu] for menu in mixed]
    np.testing.assert_array_equal(build_tables(mixed), build_tables(bare))


def _with_tables(path: Path, change: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = "decisions/0/tables.npy"
    changed = change(np.load(io.BytesIO(members[name])).copy())
    stream = io.BytesIO()
    np.save(stream, changed)
    members[name] = stream.getvalue()
    manifest = json.loads(members["manifest.json"])
    manifest["decisions"][0]["length"] = len(changed)
    members["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def _put(place: int, value: int) -> Callable[[NDArray[np.int64]], NDArray[np.int64]]:
    def change(tables: NDArray[np.int64]) -> NDArray[np.int64]:
        tables[place] = value
        return tables

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda tables: tables[:11],
        lambda tables: tables[:-1],
        lambda tables: np.append(tables, 1),
        _put(0, 2**40),
        _put(9, 5),
        _put(12, 7),
        _put(-1, 3),
        _put(-1, -4),
        lambda tables: _put(int(tables[decision_tables.PAIRS]) + 1, 2**50)(tables),
        lambda tables: _put(int(tables[decision_tables.THETA]), 0)(tables),
    ],
)
def test_tables_that_could_lead_astray_are_refused(
    stored: Path, change: Callable[[NDArray[np.int64]], NDArray[np.int64]]
) -> None:
    _with_tables(stored, change)
    with pytest.raises(ProfileError, match="decision tables 0 are not those of their models"):
        load_profile(stored)


def test_files_of_version_1_are_read(stored: Path) -> None:
    with zipfile.ZipFile(stored) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if "decisions" not in name}
    manifest = json.loads(members["manifest.json"])
    assert manifest["version"] == 2
    del manifest["decisions"]
    members["manifest.json"] = json.dumps(manifest | {"version": 1}).encode()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    assert len(load_profile(stored).weaves) == 2


def test_groups_too_large_for_tables_go_without(make_model: Make) -> None:
    rows = int(MAX_PAIRS**0.5)
    models = [make_model(name, [(1 + k % 7, 2 + k % 5) for k in range(rows)]) for name in "ab"]
    profile = Profile({}, models[0].table.machine, tuple(models), (Provenance("x", ""),) * 2)
    assert table_group(profile, ["a", "b"]) is None
