"""Starting up: what is not needed is not loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("matplotlib", "networkx", "numba", "numpy", "onnx", "pandas", "plotly", "pydantic", "scipy", "yaml")


@pytest.mark.parametrize("words", ["--help", "simulate --help", "inspect --help", "--version", "frobnicate"])
def test_help_and_usage_errors_load_nothing_heavy(words: str) -> None:
    program = (
        "import sys; from layerweaver.__main__ import main; main(sys.argv[1:]);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *words.split()], capture_output=True, text=True, check=True
    )
    assert ran.stderr.splitlines()[-1] == "[]"
