"""Files appear whole or not at all."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from layerweaver.ir import OutputError, atomic_write, check_writable, write_text


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    write_text(target, "old")

    def interrupted_write() -> None:
        with atomic_write(target) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_write()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["missing/out.json", "."])
def test_places_that_cannot_be_written_are_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"give (a|the) path"):
        write_text(tmp_path / name, "x")


def test_a_link_stays_and_what_it_points_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link = tmp_path / "link.json"
    link.symlink_to(Path("far") / "real.json")
    for text in ("new", "newer"):
        write_text(link, text)
        assert link.is_symlink()
        assert (tmp_path / "far" / "real.json").read_text() == text
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["real.json"]


def test_a_link_onto_itself_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "loop"
    link.symlink_to("loop")
    with pytest.raises(OutputError, match="cannot be written"):
        check_writable(link)


def test_the_mode_of_a_file_stays(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    target.touch()
    for mode in (0o600, 0o664, 0o755):
        target.chmod(mode)
        write_text(target, "x")
        assert stat.S_IMODE(target.stat().st_mode) == mode


def test_a_read_only_file_is_refused_even_to_root(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    target.write_text("old")
    target.chmod(0o444)
    for attempt in (check_writable, lambda path: write_text(path, "new")):
        with pytest.raises(OutputError, match="read-only"):
            attempt(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_device_is_written_into() -> None:
    for _ in range(2):
        check_writable(Path(os.devnull))
        write_text(Path(os.devnull), "x")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_device_is_one_line() -> None:
    with pytest.raises(OutputError, match="No space left"):
        write_text(Path("/dev/full"), "x" * 100_000)


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()), daemon=True)
    check_writable(pipe)  # does not wait for a reader
    reader.start()
    write_text(pipe, "through")
    reader.join(timeout=10)
    assert got == ["through"]
    assert pipe.is_fifo()


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no name for standard output")
@pytest.mark.parametrize("piped", [True, False])
def test_standard_output_by_its_name(tmp_path: Path, piped: bool) -> None:
    code = "from layerweaver.ir import *; from pathlib import Path; write_text(Path('/dev/stdout'), 'x')"
    out = tmp_path / "out"
    with out.open("wb") as stream:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE if piped else stream, check=True, timeout=60
        )
    assert (done.stdout if piped else out.read_bytes()) == b"x"
    assert list(tmp_path.iterdir()) == [out]


def test_what_a_killed_process_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    code = f"""
import os, signal
from pathlib import Path
from layerweaver.ir import atomic_write
with atomic_write(Path({str(target)!r})) as stream:
    stream.write(b"half")
    stream.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    other = tmp_path / ".out.json.tmp.partial"
    other.touch()
    write_text(target, "whole")
    assert sorted(tmp_path.iterdir()) == sorted([target, other])


def test_two_writers_of_one_file_leave_each_other_alone(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    with atomic_write(target) as first:
        first.write(b"first")
        with atomic_write(target) as second:
            second.write(b"second")
        assert target.read_text() == "second"
    assert target.read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


def test_names_as_long_as_the_system_allows_and_longer(tmp_path: Path) -> None:
    longest = tmp_path / ("x" * 250 + ".json")
    check_writable(longest)
    write_text(longest, "x")
    assert list(tmp_path.iterdir()) == [longest]
    for name in ("x" * 251 + ".json", "\N{SNOWMAN}" * 90, "a\0b"):
        with pytest.raises(OutputError, match="cannot be written"):
            check_writable(tmp_path / name)


def test_errors_of_the_writer_are_its_own(tmp_path: Path) -> None:
    def fails() -> None:
        with atomic_write(tmp_path / "out"):
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fails()
    assert not list(tmp_path.iterdir())


def test_checking_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    target.write_text("old")
    check_writable(target)
    check_writable(tmp_path / "new.json")
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_text() == "old"
    with pytest.raises(OutputError, match="No such file"):
        check_writable(tmp_path / "missing" / "out.json")
