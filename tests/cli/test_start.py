"""The process itself: what it loads, and what becomes of its output."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_S = 600
HEAVY = ("matplotlib", "networkx", "numba", "numpy", "onnx", "pandas", "plotly", "scipy", "yaml")
UNUSED = (
    "matplotlib",
    "networkx",
    "onnx",
    "pandas",
    "plotly",
    "scipy.optimize",
    "scipy.special",
    "scipy.stats",
)


@pytest.mark.parametrize("words", ["--help", "simulate --help", "inspect --help", "--version", "frobnicate"])
def test_help_and_usage_errors_load_nothing_heavy(words: str) -> None:
    program = (
        "import sys; from layerweaver.__main__ import main; main(sys.argv[1:]);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *words.split()],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
    )
    assert ran.stderr.splitlines()[-1] == "[]"


def test_a_simulation_loads_what_it_needs() -> None:
    program = (
        "import sys\nfrom layerweaver.__main__ import main\n"
        "try:\n    main(['simulate', '-q', '--policy', 'fcfs'])\n"
        "except SystemExit:\n    pass\n"
        f"print([name for name in {UNUSED!r} if name in sys.modules], file=sys.stderr)"
    )
    for _ in range(2):  # the first one may have to make what the second one finds
        ran = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=LIMIT_S
        )
    assert ran.stderr.splitlines()[-1] == "[]"


COMMANDS = ["--help", "policies", "npu list", "npu list --json", "npu show tpu-v3", "-v inspect zoo:ncf"]


@pytest.mark.parametrize("words", COMMANDS)
def test_a_reader_that_goes_away_is_no_fault(words: str) -> None:
    program = [sys.executable, "-m", "layerweaver", *words.split()]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        try:
            said = process.communicate(timeout=LIMIT_S)[1]
        finally:
            process.kill()
    assert (process.returncode, said) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("words", COMMANDS)
def test_a_full_output_is_one_line_and_exit_code_2(words: str) -> None:
    program = [sys.executable, "-m", "layerweaver", *words.split()]
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            program, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=LIMIT_S
        )
    assert ran.returncode == 2
    assert ran.stderr.splitlines() == [ran.stderr.strip()]
    assert "standard output" in ran.stderr


def test_nobody_to_complain_to_keeps_the_exit_code() -> None:
    program = [sys.executable, "-m", "layerweaver", "inspect", "nowhere.onnx"]
    with subprocess.Popen(program, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.close()
        try:
            process.wait(LIMIT_S)
        finally:
            process.kill()
    assert process.returncode == 2
