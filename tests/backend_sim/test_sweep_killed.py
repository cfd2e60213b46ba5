"""Studies from the command line: killed, interrupted and out of disk, nothing that was finished is lost."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

COSTS = "layer,compute_cycles,dram_bytes,weight_bytes\nfirst,100000,9000000,9000000\nsecond,200000,0,0\n"
POINTS = 1_000


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "c.csv").write_text(COSTS)
    scenario = {"npu": "memory-centric", "tenants": [{"name": "one", "model": {"costs": "c.csv"}}]}
    axes = {"npu.dram.bandwidth_gb_s": {"from": 100, "to": 400, "points": POINTS}}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({"scenario": scenario, "axes": axes, "measure": "cost"}))
    return path


def _words(study: Path, out: Path, workers: int = 2) -> list[str]:
    return [
        sys.executable,
        "-m",
        "layerweaver",
        "sweep",
        str(study),
        "-o",
        str(out),
        "--workers",
        str(workers),
    ]


@contextlib.contextmanager
def _begun(study: Path, out: Path) -> Iterator[subprocess.Popen[str]]:
    """A sweep that knows some of its points."""
    pipe = subprocess.PIPE
    with subprocess.Popen(_words(study, out), stdout=pipe, stderr=pipe, text=True) as asked:
        log = out / "study.sqlite-wal"
        while asked.poll() is None and not (log.exists() and log.stat().st_size > 100_000):
            time.sleep(0.01)
        try:
            yield asked
        finally:
            asked.kill()


def _children(process: int) -> list[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            words = place.read_text().rpartition(")")[2].split()
            if int(words[1]) == process:
                found.append(int(place.parent.name))
    return found


def _is_alive(process: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _workers(process: int) -> list[int]:
    """Processes of the pool of another process."""
    found = []
    for child in _children(process):
        with contextlib.suppress(OSError):
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


def _resumed(study: Path, out: Path) -> None:
    """Going on gives the table of a study that nothing interrupted, and nothing twice."""
    before = len((out / "points.csv").read_text().splitlines()) - 1 if (out / "points.csv").exists() else 0
    done = subprocess.run([*_words(study, out), "--json"], capture_output=True, text=True, check=True)
    assert f'"points": {POINTS}' in done.stdout
    assert f'"done_before": {before}' in done.stdout or before == 0
    whole = out.with_name("whole")
    subprocess.run(_words(study, whole, 1), capture_output=True, check=True)
    assert (out / "points.csv").read_bytes() == (whole / "points.csv").read_bytes()


@pytest.mark.slow
def test_a_killed_client_takes_its_workers_along(study: Path, tmp_path: Path) -> None:
    with _begun(study, tmp_path / "out") as asked:
        workers = _workers(asked.pid)
        assert len(workers) == 2
        asked.send_signal(signal.SIGKILL)
        asked.wait()
        ends = time.monotonic() + 20
        while any(map(_is_alive, workers)) and time.monotonic() < ends:
            time.sleep(0.05)
        assert not any(map(_is_alive, workers))
    _resumed(study, tmp_path / "out")


@pytest.mark.slow
def test_a_killed_worker_ends_with_the_command_that_goes_on(study: Path, tmp_path: Path) -> None:
    with _begun(study, tmp_path / "out") as asked:
        os.kill(_workers(asked.pid)[0], signal.SIGKILL)
        _, said = asked.communicate(timeout=60)
    assert asked.returncode == 2
    assert len(said.strip().splitlines()) == 1
    assert f"go on with: layerweaver sweep {study} -o {tmp_path / 'out'} --workers 2" in said
    _resumed(study, tmp_path / "out")


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_known(study: Path, tmp_path: Path) -> None:
    with _begun(study, tmp_path / "out") as asked:
        asked.send_signal(signal.SIGINT)
        asked.communicate(timeout=60)
    assert asked.returncode == 130
    _resumed(study, tmp_path / "out")


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_loses_nothing(study: Path, tmp_path: Path) -> None:
    def little() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    words = _words(study, tmp_path / "out", 1)
    done = subprocess.run(words, capture_output=True, text=True, check=False, preexec_fn=little)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "cannot be written" in done.stderr
    _resumed(study, tmp_path / "out")
