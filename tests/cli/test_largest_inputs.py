"""The largest input of every kind takes less than 1 GB, from the command line to its end."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile.largest_files import FILES
from hostile.largest_models import MODELS
from hostile.largest_results import RESULTS

KINDS: dict[str, Callable[[Path, float], list[str]]] = {**MODELS, **FILES, **RESULTS}
MOST_BYTES = 10**9
REFUSED = {
    "yaml flow": "holds more than 100000 values",
    "yaml nested": "holds more than 100000 values",
    "npu config": "unknown key",
    "scenario values": "node input 'p'",
    "csv of commas": "the row is longer than 1 MiB",
    "trace of quotes": "the row is longer than 1 MiB",
    "manifest": "its manifest is wrong at machine",
    "manifest of lists": "its manifest is wrong at machine",
    "manifest of text": "its manifest is wrong at machine",
}
"""What is refused, and only after it was read."""


def _build(kind: str, folder: Path, share: float) -> None:
    words = KINDS[kind](folder, share)
    (folder / "words.json").write_text(json.dumps(words))


def _run(kind: str, folder: Path, share: float) -> tuple[int, str, int]:
    """Exit code, standard error and the most memory in bytes; the input is made by another process."""
    builder = multiprocessing.get_context("spawn").Process(target=_build, args=(kind, folder, share))
    builder.start()
    builder.join()
    words = json.loads((folder / "words.json").read_text())
    with (folder / "stderr").open("w+") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-m", "layerweaver", *words],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        stderr.seek(0)
        return child.returncode, stderr.read(), usage.ru_maxrss * 1024


def _check(kind: str, code: int, stderr: str) -> None:
    if kind in REFUSED:
        assert (code, REFUSED[kind] in stderr) == (2, True), stderr
    else:
        assert (code, "Traceback" in stderr) == (0, False), stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in KiB")
@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_input_takes_less_than_a_gigabyte(kind: str, tmp_path: Path) -> None:
    code, stderr, used = _run(kind, tmp_path, 1.0)
    _check(kind, code, stderr)
    assert used < MOST_BYTES
