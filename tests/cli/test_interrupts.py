"""Ctrl-C and kill: what was reached is printed, and a file is complete or not there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from layerweaver.__main__ import main
from layerweaver.cli import session

SCENARIO = """
npu: memory-centric
policy: fcfs
min_queries: {queries}
tenants:
  - name: one
    model: {{costs: costs.csv}}
    deadline_ms: 5
    arrival: {{kind: poisson, qps: 900, seed: 1}}
"""
LIMIT_S = 600
COSTS = "layer,compute_cycles,dram_bytes,weight_bytes\nfirst,100000,9000000,9000000\nsecond,200000,0,0\n"


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    """A scenario that would run for minutes."""
    (tmp_path / "costs.csv").write_text(COSTS)
    path = tmp_path / "long.yaml"
    path.write_text(SCENARIO.format(queries=100_000_000))
    return path


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """Ctrl-C is heard, here and by every child: whatever started the tests may have SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C as soon as the engine reports for the first time."""
    reports: list[object] = []

    def interrupt(progress: object) -> None:
        assert len(reports) < 10, "the run goes on after Ctrl-C"
        reports.append(progress)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(session, "_no_engine_progress", interrupt)


@pytest.mark.usefixtures("soon")
def test_ctrl_c_prints_what_was_reached(
    scenario: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    output = tmp_path / "result.json"
    assert main(["simulate", str(scenario), "--json", "-o", str(output), "--no-details"]) == 130
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["interrupted"] is True
    assert 100_000 < document["tenants"][0]["completed"] < 100_000_000
    assert document["tenants"][0]["reasons"][0] == "the run was interrupted"
    assert captured.err.splitlines()[-1] == "layerweaver: interrupted"
    assert json.loads(output.read_text())["tenants"] == document["tenants"]


@pytest.mark.usefixtures("soon")
def test_ctrl_c_ends_a_comparison(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(scenario), "--policies", "fcfs,edf", "--json"]) == 130
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [(run["policy"], run["interrupted"]) for run in runs] == [("fcfs", True)]
    assert runs[0]["warnings"] == ["interrupted: edf did not run"]


@pytest.mark.usefixtures("soon")
def test_ctrl_c_says_which_seeds_there_are_none_of(
    scenario: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["compare", str(scenario), "--policies", "fcfs,edf,sjf", "--seeds", "5"]
    assert main([*words, "-o", str(tmp_path / "r.json"), "--no-details"]) == 130
    captured = capsys.readouterr()
    assert "layerweaver: warning: interrupted: 0 of 5 seeds ended; edf, sjf did not run" in captured.err
    assert "over 1 seeds" not in captured.out  # there was a table of dashes
    (run,) = json.loads((tmp_path / "r.json").read_text())["runs"]
    assert run["warnings"] == ["interrupted: 0 of 5 seeds ended; edf, sjf did not run"]


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("ending", ["json", "csv"])
def test_what_was_interrupted_is_not_run_again(
    scenario: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, ending: str
) -> None:
    """It would run to its end, which may take hours, and could only differ."""
    output = tmp_path / f"r.{ending}"
    assert main(["simulate", str(scenario), "-o", str(output)]) == 130
    assert "interrupted" in output.read_text()
    capsys.readouterr()
    assert main(["rerun", str(output)]) == 2
    assert "was interrupted, so no run gives it again; give a result that ran" in capsys.readouterr().err


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("details", ["--details", "--no-details"])
def test_ctrl_c_says_only_what_was_written(
    scenario: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, details: str
) -> None:
    """The requests of the result are written; trace and log are of a second run, which there is none of."""
    output, requests, trace, log = (tmp_path / name for name in ("r.json", "r.csv", "t.json", "log.csv"))
    words = ["simulate", str(scenario), "-o", str(output), details, "--requests", str(requests)]
    assert main([*words, "--trace", str(trace), "--log", str(log)]) == 130
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "wrote" in line] == [
        f"layerweaver: wrote {requests}",
        f"layerweaver: wrote {output}",
    ]
    assert not trace.exists()
    assert not log.exists()
    tenant = json.loads(output.read_text())["tenants"][0]
    rows = requests.read_text().splitlines()[1:]
    assert len(rows) == tenant["completed"]
    assert all(row.endswith(",completed") for row in rows)


@pytest.mark.usefixtures("soon")
def test_ctrl_c_in_a_comparison_names_its_file_as_it_is(
    scenario: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["compare", str(scenario), "--policies", "fcfs,edf", "--requests", str(tmp_path / "r.csv")]
    assert main(words) == 130
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "wrote" in line] == [f"layerweaver: wrote {tmp_path / 'r.fcfs.csv'}"]
    assert [path.name for path in tmp_path.glob("r*")] == ["r.fcfs.csv"]


def test_a_peak_search_keeps_its_trials(
    scenario: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []

    def at_the_second(share: float, _: str) -> None:
        told.append(share)
        if share > 0 and len(told) > 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(session, "_no_progress", at_the_second)
    words = ["peak", str(scenario), "--policies", "fcfs,edf", "--queries", "500", "--json"]
    assert main(words) == 130
    document = json.loads(capsys.readouterr().out)
    assert document["interrupted"] is True
    (result,) = document["results"]
    assert (result["policy"], result["trials"], result["interrupted"]) == ("fcfs", 2, True)
    low, high = result["bracket_qps"]
    assert 0 < low < high
    assert result["peak_qps"] == low


def test_a_result_file_is_checked_before_the_work(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("simulate", "compare", "peak"):
        assert main([command, str(scenario), "-o", str(scenario.parent / "result.txt")]) == 2
        assert "give .json, .csv or .parquet" in capsys.readouterr().err
        assert main([command, str(scenario), "-o", str(scenario.parent / "none" / "result.json")]) == 2
        assert "cannot be written (No such file" in capsys.readouterr().err


KILLED = """
import os, signal, sys
from layerweaver.backend_sim.results.files import save_result
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
run = dict(policy="fcfs", npu="x", simulated_s=1.0, layers_executed=1, system={}, tenants=[{"name": "one"}])
save_result(run, sys.argv[1])
"""


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_a_killed_run_leaves_the_earlier_result(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"result.{suffix}"
    path.write_text("as it was")
    command = [sys.executable, "-c", KILLED, str(path)]
    killed = subprocess.run(command, check=False, capture_output=True, timeout=LIMIT_S)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "as it was"


def _interrupted(words: list[str], folder: Path, after_s: float) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process group of its own, as a terminal does, and press Ctrl-C."""
    command = [sys.executable, "-m", "layerweaver", *words]
    with subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            time.sleep(after_s)
            os.killpg(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=LIMIT_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.mark.slow
def test_ctrl_c_in_a_terminal(scenario: Path) -> None:
    for after_s in (0.3, 4.0, 8.0, 16.0, 32.0):
        done = _interrupted(["simulate", scenario.name, "--json"], scenario.parent, after_s)
        assert done.returncode == 130
        assert done.stderr.splitlines()[-1] == "layerweaver: interrupted"
        assert "Traceback" not in done.stderr
        if done.stdout:
            break
    assert json.loads(done.stdout)["tenants"][0]["completed"] > 0


@pytest.mark.slow
def test_ctrl_c_ends_the_processes_of_a_peak_search(scenario: Path) -> None:
    words = ["peak", scenario.name, "--policies", "fcfs,edf,llf", "--queries", "20000000", "--workers", "2"]
    began = time.monotonic()
    done = _interrupted([*words, "--json", "-o", "peak.json"], scenario.parent, 12.0)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    # Every process had the pipe; communicate() would wait for the last of them.
    assert time.monotonic() - began < 60
    assert json.loads(done.stdout) == json.loads((scenario.parent / "peak.json").read_text())


@pytest.mark.slow
def test_compiled_engines_are_found_by_the_next_process(scenario: Path, tmp_path: Path) -> None:
    scenario.write_text(SCENARIO.format(queries=1000))
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    notices: list[bool] = []
    documents: list[Any] = []
    for policy in ("fcfs", "fcfs", "edf"):
        command = [sys.executable, "-m", "layerweaver", "simulate", str(scenario), "--json"]
        done = subprocess.run(
            [*command, "--policy", policy],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        notices.append("compiling the engine for policy" in done.stderr)
        documents.append(json.loads(done.stdout)["tenants"])
    assert notices == [True, False, True]
    assert documents[0] == documents[1]


_AT_AN_IMPORT = """
import signal, sys
left = int(sys.argv[1])
def heard(event, _):
    global left
    left -= event == "import"
    if event == "import" and left == 0:
        signal.raise_signal(signal.SIGINT)
sys.addaudithook(heard)
from layerweaver.__main__ import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("imports", [5, 9, 20, 45, 90, 160, 260, 400, 480])
def test_ctrl_c_while_modules_load_is_one_line(imports: int) -> None:
    words = [sys.executable, "-c", _AT_AN_IMPORT, str(imports), "inspect", "zoo:ncf", "--npu", "tpu-v4i"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "layerweaver: interrupted\n")
