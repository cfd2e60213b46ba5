"""What a user sees of decisions: the log with its reasons, and the warning when a policy starves someone."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.scenario.reading import builtin_scenario
from layerweaver.backend_sim.study.repeat import RunOptions
from layerweaver.backend_sim.study.simulate import simulate, simulate_with
from layerweaver.backend_sim.timeline.decision_log import DECISION_COLUMNS
from layerweaver.ir import OutputError, ScenarioError


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_every_decision_is_logged_with_its_reason(make_scenario: Any, tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    keys = make_scenario(policy="layerweaver+", duration_s=0.2)
    document = simulate_with(keys, None, RunOptions(log=path))
    rows = _read(path)
    assert tuple(rows[0]) == DECISION_COLUMNS
    assert len(rows) == document["layers_executed"]
    times = [int(row["decided_at_cycles"]) for row in rows]
    assert times == sorted(times)
    for row in rows:
        assert int(row["decided_at_cycles"]) <= int(row["fetch_start_cycles"]) <= int(row["fetch_end_cycles"])
        assert int(row["fetch_end_cycles"]) <= int(row["compute_start_cycles"])
    modes = Counter(row["mode"] for row in rows)
    assert set(modes) <= {"throughput", "single", "starved compute", "starved memory", "failsafe", "deadline"}
    system = document["system"]
    assert modes["deadline"] / len(rows) == pytest.approx(system["deadline_mode_share"])
    assert {mode: modes[mode] / len(rows) for mode in system["decision_modes"]} == system["decision_modes"]
    assert sum(system["decision_modes"].values()) == pytest.approx(1)


def test_models_of_one_kind_are_logged_as_failsafe(make_scenario: Any, tmp_path: Path) -> None:
    model = make_scenario()["tenants"][1]["model"]
    keys = make_scenario(policy="layerweaver", duration_s=0.2, tenants=[{"model": model}, {}])
    simulate_with(keys, None, RunOptions(log=tmp_path / "log.csv"))
    assert {row["mode"] for row in _read(tmp_path / "log.csv")} == {"failsafe"}


def test_a_window_of_the_log(make_scenario: Any, tmp_path: Path) -> None:
    keys, path = make_scenario(duration_s=0.2), tmp_path / "log.csv"
    simulate_with(keys, None, RunOptions(log=path, trace_window="10ms:20ms"))
    rows = _read(path)
    assert rows
    begin, end = 7_000_000, 14_000_000  # 700 MHz
    for row in rows:
        assert int(row["fetch_start_cycles"]) < end
        assert int(row["compute_end_cycles"]) > begin
    with pytest.raises(ScenarioError):
        simulate_with(keys, None, RunOptions(log=path, trace_window="20ms:10ms"))
    with pytest.raises(OutputError):
        simulate_with(keys, None, RunOptions(log=tmp_path / "no" / "log.csv"))


def test_rows_of_no_time_are_logged_at_the_beginning_of_a_window(make_scenario: Any, tmp_path: Path) -> None:
    costs, path = tmp_path / "nothing.csv", tmp_path / "log.csv"
    costs.write_text("layer,compute_cycles,dram_bytes,weight_bytes\na,0,0,0\n")
    periodic = {"kind": "periodic", "period_ms": 1}
    tenant = {"model": {"costs": str(costs)}, "arrival": periodic, "deadline_ms": None}
    keys = make_scenario(duration_s=0.01, tenants=[tenant, tenant])
    document = simulate_with(keys, None, RunOptions(log=path))
    assert len(_read(path)) == document["layers_executed"] > 0
    simulate_with(keys, None, RunOptions(log=path, trace_window="1ms:2ms"))
    assert {row["decided_at_cycles"] for row in _read(path)} == {"700000"}


def test_starvation_is_said(make_scenario: Any) -> None:
    # Two streams that always have work; least laxity serves the one with a deadline for ever.
    busy = {"arrival": {"kind": "saturated"}}
    keys = make_scenario(tenants=[busy, busy | {"deadline_ms": None}], duration_s=1)
    starved = simulate(keys, policy={"name": "llf", "commit": "early"})
    (text,) = starved["warnings"]
    assert text.startswith("chat starves: a request at the head of its queue waited 1")
    assert starved["tenants"][1]["longest_wait_ms"] > 900
    assert "warnings" not in simulate(keys, policy="fair")


def test_a_language_model_takes_its_whole_request_alone() -> None:
    # One at a time, the images wait for a few whole chats, each of which takes hundreds of iterations.
    document = simulate(builtin_scenario("llm"), policy="fcfs")
    alone_ms = sum(tenant["standalone_ms"] for tenant in document["tenants"])
    assert max(tenant["longest_wait_ms"] for tenant in document["tenants"]) < 50 * alone_ms
    assert not [text for text in document.get("warnings", ()) if "starves" in text]
