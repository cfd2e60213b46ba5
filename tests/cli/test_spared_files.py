"""What a command reads is never what it writes, and no two of its options write one file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

COSTS = "layer,compute_cycles,dram_bytes,weight_bytes\nl,1000,1000,1000\n"
ARRIVALS = "timestamp,tenant\n0,one\n0.001,one\n0.002,one\n"


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "costs.csv").write_text(COSTS)
    (tmp_path / "arrivals.csv").write_text(ARRIVALS)
    keys = {
        "npu": "memory-centric",
        "duration_s": 0.01,
        "tenants": [
            {
                "name": "one",
                "model": {"costs": "costs.csv"},
                "deadline_ms": 5,
                "arrival": {"kind": "trace", "file": "arrivals.csv"},
            }
        ],
    }
    path = tmp_path / "one.json"  # JSON is YAML, and results may have that ending
    path.write_text(json.dumps(keys))
    monkeypatch.chdir(tmp_path)
    return path


def _refused(ran: Any, *words: str) -> None:
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran.err
    assert all(word in ran.err for word in words), ran.err


@pytest.mark.parametrize(
    ("words", "lost"),
    [
        (("simulate", "--requests", "arrivals.csv"), "arrivals.csv"),
        (("simulate", "--log", "costs.csv"), "costs.csv"),
        (("simulate", "-o", "link.csv"), "costs.csv"),
        (("compare", "-o", "one.json"), "one.json"),
        (("peak", "-o", "costs.csv"), "costs.csv"),
    ],
)
def test_no_file_of_a_scenario_is_written_over(
    words: tuple[str, str, str], lost: str, scenario: Path, run: Run
) -> None:
    command, option, output = words
    Path("link.csv").symlink_to("costs.csv")
    before = Path(lost).read_text()
    _refused(run(command, scenario, option, output), output, "would be lost")
    assert Path(lost).read_text() == before


@pytest.mark.parametrize(
    ("first", "second", "path"),
    [
        ("--requests", "--output", "a.csv"),
        ("--log", "--requests", "a.csv"),
        ("--trace", "--output", "a.json"),
    ],
)
def test_two_options_write_two_files(first: str, second: str, path: str, scenario: Path, run: Run) -> None:
    _refused(run("simulate", scenario, first, path, second, f"./{path}"), first, second, path)
    assert not Path(path).exists()


def test_devices_take_what_several_options_write(scenario: Path, run: Run) -> None:
    ran = run("simulate", scenario, "--requests", os.devnull, "-o", os.devnull)
    assert ran.code == 0


def test_a_result_and_its_files_are_not_written_over_when_it_runs_again(scenario: Path, run: Run) -> None:
    assert run("simulate", scenario, "-o", "run.json").code == 0
    assert run("simulate", scenario, "-o", "run.csv").code == 0
    for result, output in (
        ("run.json", "run.json"),
        ("run.json", "costs.csv"),
        ("run.csv", "run.csv"),
        ("run.csv", "costs.csv"),
    ):
        before = Path(output).read_text()
        _refused(run("rerun", result, "-o", output), output, "would be lost")
        assert Path(output).read_text() == before
    assert run("rerun", "run.json", "-o", "again.json").code == 0


def test_a_table_of_layers_is_not_written_over_its_model(tmp_path: Path, run: Run) -> None:
    model = tmp_path / "m.onnx"
    assert run("models", "export", "ncf", "-o", model).code == 0
    before = model.read_bytes()
    _refused(run("inspect", model, "--csv", model), "would be lost")
    assert model.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="a folder in use cannot be removed there")
def test_a_working_folder_that_was_removed(scenario: Path, run: Run, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    try:
        _refused(run("simulate", scenario, "-o", "run.json"), "run.json", "cannot be written")
    finally:
        os.chdir(tmp_path)
