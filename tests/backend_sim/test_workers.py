"""Processes change no byte of a result."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.study import repeat
from layerweaver.backend_sim.study.processes import in_processes
from layerweaver.backend_sim.study.repeat import RunOptions
from layerweaver.backend_sim.study.simulate import compare, compare_with, simulate, simulate_with
from layerweaver.backend_sim.study.sweep.sweep import sweep
from layerweaver.ir import OutputError, ScenarioError
from layerweaver.scheduler.policies import load_policy

COSTS = "layer,compute_cycles,dram_bytes,weight_bytes\nfirst,100000,9000000,9000000\nsecond,200000,0,0\n"


@pytest.fixture
def scenario(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "costs.csv").write_text(COSTS)
    tenants = [
        {
            "name": name,
            "model": {"costs": str(tmp_path / "costs.csv")},
            "deadline_ms": 5,
            "arrival": {"kind": "poisson", "qps": 500, "seed": seed},
        }
        for seed, name in enumerate(("one", "two"), start=1)
    ]
    return {"npu": "memory-centric", "min_queries": 200, "tenants": tenants}


def _without_clock(document: Any) -> Any:
    if "runs" in document:
        return {**document, "runs": [_without_clock(run) for run in document["runs"]]}
    return [(key, value) for key, value in document.items() if key != "run"]


def test_workers_change_no_byte_of_a_comparison(scenario: dict[str, Any], tmp_path: Path) -> None:
    policies = ["fcfs", "layerweaver+:margin_us=50"]
    documents, requests = [], []
    for workers in (1, 2):
        file = tmp_path / f"r{workers}.csv"
        options = RunOptions(seeds=2, workers=workers, details=True, requests=file)
        documents.append(_without_clock(compare_with(scenario, policies, options)))
        requests.append([path.read_bytes() for path in sorted(tmp_path.glob(f"r{workers}.*.csv"))])
    assert documents[0] == documents[1]
    assert len(requests[0]) == 2
    assert requests[0] == requests[1]


def test_workers_take_policies_that_are_objects_or_files(scenario: dict[str, Any], tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "examples" / "longest_wait.py"
    (tmp_path / "mine.py").write_text(source.read_text())
    for policy in (load_policy("layerweaver+:margin_us=50"), load_policy(tmp_path / "mine.py")):
        one, two = (
            _without_clock(simulate_with(scenario, policy, RunOptions(seeds=2, workers=workers)))
            for workers in (1, 2)
        )
        assert one == two


def test_no_workers_are_refused(scenario: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match="workers '0' is not accepted; give a whole number of 1 or more"):
        simulate(scenario, workers=0)


@pytest.mark.parametrize("finished", [0, 1, 3])
def test_after_ctrl_c_what_was_finished_in_order_is_kept(
    scenario: dict[str, Any], monkeypatch: pytest.MonkeyPatch, finished: int
) -> None:
    def interrupted(calls: Any, count: int, ended: Any) -> Any:
        assert (len(calls), count) == (4, 2)
        ended(finished)
        return [call() if place < finished else None for place, call in enumerate(calls)]

    monkeypatch.setattr(repeat, "in_processes", interrupted)
    options = RunOptions(seeds=2, workers=2)
    if not finished:
        with pytest.raises(KeyboardInterrupt):
            compare_with(scenario, ["fcfs", "edf"], options)
        return
    runs = compare_with(scenario, ["fcfs", "edf"], options)["runs"]
    assert [(run["policy"], run["seeds"], run.get("interrupted")) for run in runs] == {
        1: [("fcfs", 1, True)],
        3: [("fcfs", 2, None), ("edf", 1, True)],
    }[finished]


def test_after_ctrl_c_every_file_that_was_written_is_told(
    scenario: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also that of a policy that was finished before an earlier one, whose result is left out."""
    monkeypatch.setattr(repeat, "in_processes", lambda calls, *_: [None, calls[1]()])
    told: list[Path] = []
    options = RunOptions(workers=2, requests=tmp_path / "r.csv", wrote=told.append)
    with pytest.raises(KeyboardInterrupt):
        compare_with(scenario, ["fcfs", "edf"], options)
    assert told == list(tmp_path.glob("r*")) == [tmp_path / "r.edf.csv"]


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_one_line() -> None:
    with pytest.raises(OutputError, match="was killed"):
        in_processes([_killed, _killed], 2, lambda _: None)


@pytest.mark.parametrize("started", ["daemon", "loky"])
def test_a_process_of_another_pool_starts_none(
    scenario: dict[str, Any], monkeypatch: pytest.MonkeyPatch, started: str
) -> None:
    if started == "daemon":
        monkeypatch.setitem(vars(multiprocessing.current_process())["_config"], "daemon", True)
    else:
        monkeypatch.setattr(multiprocessing, "get_start_method", lambda **_: started)
    assert len(compare(scenario, ["fcfs", "edf"])["runs"]) == 2
    for call in (
        lambda: compare(scenario, ["fcfs", "edf"], workers=2),
        lambda: sweep({"scenario": scenario, "axes": {"load": [0.1, 0.2]}}, workers=2),
    ):
        with pytest.raises(OutputError, match="a process of a pool, which starts no others; leave workers"):
            call()
