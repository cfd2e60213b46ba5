"""The user's cache folders: where they are, and that nothing in them can do harm."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

import pytest

from layerweaver.ir.cache import Cache

ONE_MB = 1 << 20


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and a folder for temporary files."""
    for name in ("home", "tmp", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Cache, "_noted", False)
    monkeypatch.delenv("PLACE", raising=False)
    return tmp_path / "home"


def test_an_entry_is_read_as_it_was_written(home: Path) -> None:
    cache = Cache("things", ONE_MB)
    assert cache.read("one") is None
    cache.write("one", b"first")
    assert Cache("things", ONE_MB).read("one") == b"first"
    assert cache.folder == home / ".cache" / "layerweaver" / "things"
    assert cache.has("on")
    assert not cache.has("two")


@pytest.mark.parametrize("xdg", ["", " ", "relative"])
def test_the_folder_is_never_the_working_directory(
    home: Path, monkeypatch: pytest.MonkeyPatch, xdg: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    cache = Cache("things", ONE_MB)
    cache.write("one", b"first")
    assert cache.read("one") == b"first"
    assert not list(Path.cwd().iterdir())
    assert cache.folder is not None
    assert cache.folder.is_relative_to(home.parent)


def test_the_variable_names_another_place(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", str(home / "elsewhere"))
    assert Cache("things", ONE_MB, "PLACE").folder == home / "elsewhere" / "layerweaver" / "things"
    monkeypatch.setenv("PLACE", "")
    assert Cache("things", ONE_MB, "PLACE").folder == home / ".cache" / "layerweaver" / "things"


def test_without_a_home_entries_go_to_a_temporary_folder_with_one_note(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HOME", "/dev/null")
    caplog.set_level(logging.INFO, "layerweaver")
    cache = Cache("things", ONE_MB)
    cache.write("one", b"first")
    cache.write("two", b"second")
    assert cache.read("one") == b"first"
    assert cache.folder is not None
    assert cache.folder.is_relative_to(home.parent / "tmp")
    assert len(caplog.messages) == 1


def test_with_no_folder_at_all_nothing_is_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.setattr(tempfile, "tempdir", "/dev/null")
    caplog.set_level(logging.INFO, "layerweaver")
    cache = Cache("things", ONE_MB)
    cache.write("one", b"first")
    assert cache.read("one") is None
    assert not cache.has("one")
    assert len(caplog.messages) == 1
    assert not list(home.rglob("*"))


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_folder_that_others_can_write_is_not_used(home: Path, mode: int) -> None:
    folder = home / ".cache" / "layerweaver" / "things"
    folder.mkdir(parents=True)
    folder.chmod(mode)
    used = Cache("things", ONE_MB).folder
    assert used is not None
    assert used.is_relative_to(home.parent / "tmp")


@pytest.mark.usefixtures("home")
def test_a_folder_of_somebody_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    own = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    assert Cache("things", ONE_MB).folder is None


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("damage", [b"", b"x", b"y" * 31, b"z" * 100])
def test_a_damaged_entry_is_a_miss_and_is_written_anew(damage: bytes) -> None:
    cache = Cache("things", ONE_MB)
    cache.write("one", b"first")
    assert cache.folder is not None
    (cache.folder / "one").write_bytes(damage)
    assert cache.read("one") is None
    cache.write("one", b"again")
    assert cache.read("one") == b"again"


@pytest.mark.usefixtures("home")
def test_an_entry_that_cannot_be_written_is_noted_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "layerweaver")
    cache = Cache("things", ONE_MB)
    assert cache.folder is not None
    (cache.folder / "one").mkdir()
    for _ in range(2):
        cache.write("one", b"first")
        assert cache.read("one") is None
    other = Cache("other", ONE_MB)
    assert other.folder is not None
    (other.folder / "one").mkdir()
    other.write("one", b"first")
    assert len(caplog.messages) == 1
    assert [path.name for path in cache.folder.iterdir()] == ["one"]


@pytest.mark.usefixtures("home")
def test_entries_not_used_for_longest_go_first() -> None:
    cache = Cache("things", most_bytes=2500)
    for age, name in enumerate(("one", "two")):
        cache.write(name, bytes(1000))
        assert cache.folder is not None
        os.utime(cache.folder / name, (age, age))
    assert cache.read("one") is not None
    cache.write("three", bytes(1000))
    assert [cache.has(name) for name in ("one", "two", "three")] == [True, False, True]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
@pytest.mark.parametrize("foreign", ["above", "itself", "link above", "link"])
def test_what_somebody_else_can_replace_is_not_used(home: Path, foreign: str) -> None:
    above = home / ".cache" / "layerweaver"
    place = above / "things" if foreign in {"itself", "link"} else above
    place.parent.mkdir(parents=True)
    if foreign.startswith("link"):
        own = home / "own"
        (own / "things").mkdir(parents=True)
        place.symlink_to(own)
    else:
        place.mkdir()
    os.chown(place, 12345, 12345, follow_symlinks=False)
    used = Cache("things", ONE_MB).folder
    assert used is not None
    assert used.is_relative_to(home.parent / "tmp")


def test_a_link_of_ones_own_is_followed(home: Path, tmp_path: Path) -> None:
    (home / ".cache").mkdir()
    (tmp_path / "disk").mkdir()
    (home / ".cache" / "layerweaver").symlink_to(tmp_path / "disk")
    cache = Cache("things", ONE_MB)
    cache.write("one", b"first")
    assert cache.read("one") == b"first"
    assert list((tmp_path / "disk" / "things").iterdir())


def test_the_folder_above_is_closed_to_others(home: Path) -> None:
    above = home / ".cache" / "layerweaver"
    above.mkdir(parents=True)
    above.chmod(0o775)
    assert Cache("things", ONE_MB).folder == above / "things"
    assert above.stat().st_mode & 0o777 == 0o700
