"""The largest input of every kind takes less than 1 GB, from the command line to its end."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hostile.largest import KINDS, build

MOST_BYTES = 10**9
LIBRARIES_BYTES = 2 * 10**8
REFUSED = {
    "yaml flow": "holds more than 100000 values",
    "yaml nested": "holds more than 100000 values",
    "npu config": "unknown key",
    "scenario values": "no value is named p",
    "measured again": "all rows are of one network",
    "measurements wide": "no model can be read",
    "onnx declared": "more than 8000000 names, types and numbers",
    "onnx short lists": "more than 8000000 names, types and numbers",
    "result csv": "its origins hold more than 2,000,000 values",
    "csv of commas": "the row is longer than 1 MiB",
    "trace of quotes": "the row is longer than 1 MiB",
    "manifest": "its manifest is wrong at machine",
    "manifest of lists": "its manifest is wrong at machine",
    "manifest of text": "its manifest is wrong at machine",
}
"""What is refused, and only after it was read."""

DIFFERS = {"rerun"}
"""Documents of other runs."""

SHARES = {"batch sizes": 0.05, "measurements": 0.1, "measured again": 0.1, "measurements wide": 0.1}
"""What takes time in proportion to its size, and memory too: so much of the largest input is tried."""


def _run(kind: str, folder: Path, share: float) -> tuple[int, str, int]:
    """Exit code, standard error and the most memory in bytes; the input is made by another process."""
    builder = multiprocessing.get_context("spawn").Process(target=build, args=(kind, folder, share))
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
        assert (code, "Traceback" in stderr) == (int(kind in DIFFERS), False), stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in KiB")
@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_input_takes_less_than_a_gigabyte(kind: str, tmp_path: Path) -> None:
    share = SHARES.get(kind, 1.0)
    code, stderr, used = _run(kind, tmp_path, share)
    _check(kind, code, stderr)
    assert used - LIBRARIES_BYTES < share * (MOST_BYTES - LIBRARIES_BYTES)
