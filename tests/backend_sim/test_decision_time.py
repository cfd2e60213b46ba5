"""Decisions that take as long as a core beside the NPU needs for their instructions."""

from __future__ import annotations

import csv
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.run.decision_time import decision_cycles
from layerweaver.backend_sim.run.run import run_once
from layerweaver.backend_sim.study.inputs import as_prepared, policy_of
from layerweaver.ir import ScenarioError
from layerweaver.scheduler.machine.view import NEVER

Keys = dict[str, Any]


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    costs = tmp_path / "rows.csv"
    lines = [f"l{k},3000,90000,90000" for k in range(4)]
    costs.write_text("\n".join(["layer,compute_cycles,dram_bytes,weight_bytes", *lines]) + "\n")
    tenants = [
        {
            "name": name,
            "model": {"costs": str(costs)},
            "deadline_ms": 1,
            "arrival": {"kind": "poisson", "qps": 9000, "seed": seed},
        }
        for seed, name in enumerate(("a", "b", "c"))
    ]
    return {"npu": "memory-centric", "min_queries": 100, "tenants": tenants}


def cycles_of(keys: Keys, policy: str) -> int:
    prepared = as_prepared(keys)
    clock_hz = prepared.machines[0][0].clock_hz
    assert clock_hz == 700_000_000
    return decision_cycles(prepared.scenario, policy_of(prepared, policy), clock_hz)


def decided_at(keys: Keys) -> list[int]:
    prepared = as_prepared(keys)
    run = run_once(prepared, policy_of(prepared, "edf"), record_cycles=(0, NEVER), compiled=False)
    log: Any = run.outcomes[0].log
    return [int(cycle) for cycle in log.fetch_start]


def test_stated_instructions_are_cycles_of_the_core(keys: Keys) -> None:
    stated = keys | {"decision": {"core_mhz": 500, "instructions": 1001}}
    assert cycles_of(stated, "aimt") == 1402  # 1001 x 700 / 500, rounded up
    assert decided_at(stated) == decided_at(keys | {"decision_cycles": 1402})
    assert decided_at(stated) != decided_at(keys)


def test_counted_instructions_of_a_shipped_policy(keys: Keys) -> None:
    text = files("layerweaver.backend_sim.run").joinpath("decision_instructions.csv").read_text("utf-8")
    counts = {
        (row["policy"], int(row["tenants"])): int(row["instructions"])
        for row in csv.DictReader(text.splitlines())
    }
    at_700 = keys | {"decision": {"core_mhz": 700}}
    between = counts["layerweaver+", 2] + counts["layerweaver+", 4]
    assert cycles_of(at_700, "layerweaver+") == -(-between // 2)
    at_700["tenants"] = keys["tenants"][:1]
    assert cycles_of(at_700, "edf") == counts["edf", 2]
    at_700["tenants"] = [keys["tenants"][0] | {"name": f"t{k}"} for k in range(24)]
    assert cycles_of(at_700, "llf") == 2 * counts["llf", 16] - counts["llf", 8]


def test_what_is_refused(keys: Keys) -> None:
    with pytest.raises(ScenarioError, match="instructions of a decision of aimt were never counted"):
        cycles_of(keys | {"decision": {"core_mhz": 500}}, "aimt")
    with pytest.raises(ScenarioError, match=r"takes [\d,]+ cycles"):
        cycles_of(keys | {"decision": {"core_mhz": 0.1, "instructions": 10**6}}, "edf")
    with pytest.raises(ScenarioError, match="leave decision_cycles out"):
        cycles_of(keys | {"decision": {"core_mhz": 500}, "decision_cycles": 3}, "edf")
    for bad in ({}, {"core_mhz": 0}, {"core_mhz": 500, "instructions": 0}, {"core_mhz": 500, "speed": 1}):
        with pytest.raises(ScenarioError, match="decision"):
            cycles_of(keys | {"decision": bad}, "edf")
