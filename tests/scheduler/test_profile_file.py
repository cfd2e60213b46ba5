from __future__ import annotations

import contextlib
import csv
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.spills import SpillColumns
from layerweaver.costmodel.table import CostTable
from layerweaver.ir import OutputError, ProfileError
from layerweaver.scheduler.offline import ModelProfile, OfflineTables, StaticWeave
from layerweaver.scheduler.profile.document import profile_csv, profile_document
from layerweaver.scheduler.profile.file import (
    OFFLINE_COLUMNS,
    SPILL_COLUMNS,
    TABLE_COLUMNS,
    load_profile,
    save_profile,
)
from layerweaver.scheduler.profile.manifest import VERSION
from layerweaver.scheduler.profile.profile import Profile, Provenance

Make = Callable[..., ModelProfile]
Edit = Callable[[dict[str, bytes]], None]


@pytest.fixture(scope="module")
def profile(make_model: Make, unit_machine: MachineSpec) -> Profile:
    origin = Provenance("net.onnx", "ab" * 32, dims={"seq": 4}, shapes={"x": (1, 3)}, warnings=("guessed",))
    first = make_model("net", [(5, 10), (20, 3), (20, 3)], layer_index=[0, 1, 1])
    spills = SpillColumns.from_array(np.arange(1, 2 * len(SPILL_COLUMNS) + 1).reshape(2, -1))
    first = replace(first, table=replace(first.table, activation_budget_bytes=50, spills=spills))
    return Profile(
        npu={"name": "unit", "clock_mhz": 1000},
        machine=unit_machine,
        entries=(
            first,
            make_model("net", [(9, 10), (40, 3), (40, 3)], layer_index=[0, 1, 1], batch=2),
            make_model("übung/1", [(1, 900)]),
        ),
        provenance=(origin, origin, Provenance("b.onnx", "")),
        weaves=(
            StaticWeave(
                members=(("net", 1), ("übung/1", 1)),
                prefix=np.array([0], dtype=np.int64),
                period=np.array([1, 0, 0, 0], dtype=np.int64),
                period_cycles=916,
                requests_per_period=np.array([1, 1], dtype=np.int64),
                policy="layerweaver",
            ),
        ),
    )


@pytest.fixture
def stored(profile: Profile, tmp_path: Path) -> Path:
    path = tmp_path / "mix.lwp"
    save_profile(profile, path)
    return path


def _rewrite(path: Path, edit: Edit, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    edit(members)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def _edit_manifest(change: Callable[[Any], None]) -> Edit:
    def edit(members: dict[str, bytes]) -> None:
        document = json.loads(members["manifest.json"])
        change(document)
        members["manifest.json"] = json.dumps(document).encode()

    return edit


def _with_array(name: str, array: Any) -> Edit:
    def edit(members: dict[str, bytes]) -> None:
        stream = io.BytesIO()
        np.save(stream, np.asarray(array))
        members[name] = stream.getvalue()

    return edit


def _refused(path: Path) -> str:
    with pytest.raises(ProfileError) as caught:
        load_profile(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text


def test_what_is_stored_comes_back(profile: Profile, stored: Path) -> None:
    loaded = load_profile(stored)
    assert profile_document(loaded) == profile_document(profile)
    assert loaded.machine == profile.machine
    assert loaded.provenance == profile.provenance
    assert loaded.warnings == ("net: guessed",)
    for old, new in zip(profile.entries, loaded.entries, strict=True):
        for part in ("table", "offline"):
            for field in (field for field in fields(getattr(old, part)) if field.name != "spills"):
                left, right = (getattr(getattr(side, part), field.name) for side in (old, new))
                np.testing.assert_array_equal(left, right, err_msg=field.name)
    spills = [entry.table.spills for entry in (*profile.entries, *loaded.entries)]
    assert spills[0] is not None
    assert spills[3] is not None
    np.testing.assert_array_equal(spills[0].to_array(), spills[3].to_array())
    assert loaded.entries[0].table.activation_budget_bytes == 50
    np.testing.assert_array_equal(loaded.weaves[0].period, profile.weaves[0].period)


def test_every_array_of_the_tables_has_a_column() -> None:
    for tables, columns in ((CostTable, TABLE_COLUMNS), (OfflineTables, OFFLINE_COLUMNS)):
        arrays = {field.name for field in fields(tables) if "NDArray" in str(field.type)}
        assert arrays == set(columns)
    assert len(fields(SpillColumns)) == len(SPILL_COLUMNS)


def test_same_profile_same_bytes_and_numpy_opens_it(stored: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.lwp"
    save_profile(load_profile(stored), again)
    assert again.read_bytes() == stored.read_bytes()
    with np.load(stored, allow_pickle=False) as arrays:
        assert arrays["entries/0/compute_cycles"].tolist() == [5, 20, 20]


def test_show_joins_the_rows_of_a_split_layer(profile: Profile) -> None:
    model = profile_document(profile)["models"][0]
    assert [layer["name"] for layer in model["layers"]] == ["net.0", "net.1"]
    assert [layer["rows"] for layer in model["layers"]] == [1, 2]
    assert model["layers"][1]["compute_cycles"] == 40
    assert model["layers"][0]["remaining_cycles"] == model["standalone_cycles"] == 55
    assert model["kind"] == "compute-intensive"
    rows = list(csv.DictReader(io.StringIO(profile_csv(profile))))
    assert [row["layer"] for row in rows] == ["net.0", "net.1", "net.0", "net.1", "übung/1.0"]
    assert rows[3] == {
        "model": "net",
        "batch": "2",
        "layer": "net.1",
        "compute_cycles": "80",
        "memory_cycles": "6",
        "dram_bytes": "6",
        "weight_bytes": "6",
        "remaining_cycles": "83",
        "rows": "2",
    }


def test_entries_are_found_by_name_and_batch(profile: Profile) -> None:
    assert profile.find("net", 2).table.batch == 2
    assert profile.batches("net") == (1, 2)
    with pytest.raises(ProfileError, match=r"no entry 'nett'; did you mean 'net'"):
        profile.find("nett")
    with pytest.raises(ProfileError, match=r"batch 4; it has batch 1, 2"):
        profile.find("net", 4)


def test_two_entries_of_one_name_and_batch_are_refused(profile: Profile) -> None:
    with pytest.raises(ProfileError, match="appears twice"):
        Profile({}, profile.machine, profile.entries[:1] * 2, profile.provenance[:2])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_profile_cut_off_is_refused(stored: Path, share: float) -> None:
    data = stored.read_bytes()
    stored.write_bytes(data[: int(len(data) * share)])
    assert "damaged" in _refused(stored) or share == 0.0


def test_files_that_are_not_profiles_are_refused(tmp_path: Path) -> None:
    assert "no such file" in _refused(tmp_path / "missing.lwp")
    assert "cannot be read" in _refused(tmp_path)
    text = tmp_path / "text.lwp"
    text.write_text("hello")
    assert "not a schedule profile" in _refused(text)
    other = tmp_path / "other.npz"
    np.savez(other, a=np.zeros(3))
    assert "not a schedule profile" in _refused(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(version=VERSION + 1), "newer"),
        (lambda d: d.update(version=10**50), "newer"),
        (lambda d: d.update(version="1"), "version"),
        (lambda d: d.update(format="zip"), "not a schedule profile"),
        (lambda d: d.update(surprise=1), "surprise"),
        (lambda d: d["machine"].update(clock_hz=0), "clock_hz"),
        (lambda d: d["machine"].update(bandwidth_numerator=-5), "bandwidth_numerator"),
        (lambda d: d["entries"][0].update(rows=2), "numbers of type"),
        (lambda d: d["entries"][0].update(rows=10**9), "rows"),
        (lambda d: d["entries"][0].update(kind="neither"), "kind"),
        (lambda d: d["entries"][1].update(layer_names=["a"]), "consecutive rows"),
        (lambda d: d["entries"][1].update(batch=1), "twice"),
        (lambda d: d["entries"].pop(), "woven group"),
        (lambda d: d["weaves"][0]["members"].pop(), "does not have|numbers of type"),
    ],
)
def test_a_wrong_manifest_is_refused(stored: Path, change: Callable[[Any], None], message: str) -> None:
    _rewrite(stored, _edit_manifest(change))
    assert any(part in _refused(stored) for part in message.split("|"))


def test_a_manifest_that_is_not_json_is_refused(stored: Path) -> None:
    for text in (b"{", b"[1]", b'{"npu": NaN}', b"[" * 100_000, b"\xff", b"1" * 10_000):
        _rewrite(stored, lambda members, text=text: members.update({"manifest.json": text}))  # type: ignore[misc]
        _refused(stored)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("entries/0/compute_cycles.npy", [1.0, 2.0, 3.0], "numbers of type"),
        ("entries/0/compute_cycles.npy", [[1, 2, 3]], "numbers of type"),
        ("entries/0/compute_cycles.npy", [1, 2, -3], "outside"),
        ("entries/0/compute_cycles.npy", [1, 2, 2**46], "outside"),
        ("entries/0/compute_cycles.npy", [2**45, 2**45, 2**45], "totals"),
        ("entries/0/weight_bytes.npy", [1, 2, 1001], "weight buffer"),
        ("entries/0/inherent_idle_cycles.npy", [0.0, np.nan, 0.0], "outside"),
        ("entries/0/remaining_cycles.npy", [1, 2, 3, 0], "fall to 0"),
        ("entries/0/extra.npy", [1], "unexpected member"),
        ("weaves/0/period.npy", [5, 0, 0, 0], "does not have"),
    ],
)
def test_wrong_arrays_are_refused(stored: Path, name: str, array: Any, message: str) -> None:
    _rewrite(stored, _with_array(name, array))
    assert message in _refused(stored)


def test_pickles_and_compressed_members_are_refused(stored: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([{}], dtype=object), allow_pickle=True)
    _rewrite(stored, lambda members: members.update({"entries/0/dram_bytes.npy": stream.getvalue()}))
    assert "numbers of type" in _refused(stored)
    _rewrite(stored, lambda _: None, zipfile.ZIP_DEFLATED)
    assert "compressed" in _refused(stored)


@given(position=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_flipped_byte_never_escapes_as_another_error(
    tmp_path_factory: pytest.TempPathFactory, profile: Profile, position: float, flip: int
) -> None:
    path = tmp_path_factory.mktemp("flip") / "mix.lwp"
    save_profile(profile, path)
    data = bytearray(path.read_bytes())
    data[int(position * len(data))] ^= flip
    path.write_bytes(bytes(data))
    with contextlib.suppress(ProfileError):
        assert load_profile(path).names


def test_an_existing_file_survives_a_failed_write(profile: Profile, tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        save_profile(profile, tmp_path / "no" / "folder.lwp")
    path = tmp_path / "kept.lwp"
    path.write_bytes(b"old")
    bad = Profile({"name": float("nan")}, profile.machine, (), ())
    with pytest.raises((ProfileError, ValueError)):
        save_profile(bad, path)
    assert path.read_bytes() == b"old"
