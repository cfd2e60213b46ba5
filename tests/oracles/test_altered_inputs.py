"""Altered profiles, scenarios, tables, traces and results are used or refused in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "fuzz"


@pytest.mark.slow
def test_twenty_thousand_altered_inputs_under_bounds_checks(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--count", "20000", "--seed", "1", "--keep", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
