"""Scenarios at the edges of what tables and types hold: exports compile and decide as what is simulated."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import pytest
from firmware.conftest import Keys, compare

from layerweaver.scheduler.policies.words import read_policy_words

HEADER = "layer,compute_cycles,dram_bytes,weight_bytes"
NPU = {
    "name": "small",
    "clock_mhz": 700,
    "array": {"rows": 128, "columns": 128},
    "dram": {"bandwidth_gb_s": 225},
    "sram": {"weights_mb": 0.6, "activations_mb": 60},
}


def tenants(folder: Path, rows: list[str], names: list[str], cycles: int, deadline: float | None) -> Keys:
    """Tenants of one model, each with as many cycles between requests as all need for one."""
    (folder / "costs.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    made: list[Keys] = []
    for index, name in enumerate(names):
        qps = 0.8 * 700e6 / cycles / len(names)
        arrival = {"kind": "poisson", "qps": qps, "seed": index}
        made.append({"name": name, "model": {"costs": str(folder / "costs.csv")}, "arrival": arrival})
        if deadline is not None:
            made[-1]["deadline_ms"] = deadline * cycles / 700e3
    return {"npu": NPU, "min_queries": 40, "tenants": made}


PLAIN = ["a,900,64000,64000", "b,100,320000,0", "c,3000,200000,150000"]


def one_tenant(folder: Path) -> Keys:
    return tenants(folder, PLAIN, ["alone"], 4200, 4)


def without_deadlines(folder: Path) -> Keys:
    return tenants(folder, PLAIN, ["alone"], 4200, None)


def equal_tenants(folder: Path) -> Keys:
    return tenants(folder, PLAIN, ["a", "b", "c"], 4200, 6)


def long_rows(folder: Path) -> Keys:
    rows = ["a,5000000000,64000,64000", "b,100,960000000000,0", "c,3000000000,200000,150000"]
    return tenants(folder, rows, ["a", "b"], 11_000_000_000, 5)


def names_as_comments(folder: Path) -> Keys:
    return tenants(folder, PLAIN, ["/* open", "close */ x", 'quoted "x" \\', "??/"], 4200, 6)


def one_row_of_no_time(folder: Path) -> Keys:
    return tenants(folder, ["a,0,0,0"], ["a", "b"], 4200, 6)


def one_row_of_one_tenant(folder: Path) -> Keys:
    return tenants(folder, ["a,0,0,0"], ["a"], 4200, None)


IDLE = """
from typing import Any

from layerweaver.scheduler.policies.contract import Memory, PolicySpec, View


def choose(view: View, options: Any, memory: Memory) -> int:
    machine = view.machine
    idle = min(machine.now - machine.compute_end, machine.now - machine.fetch_end)
    return view.ready[machine.ready_count - 1] if idle > 800_000_000 else view.ready[0]


POLICY = PolicySpec("idle", choose, "the last tenant first after a long pause")
"""


@pytest.mark.usefixtures("compiler")
def test_a_policy_that_looks_back(tmp_path: Path) -> None:
    """However long ago an engine ended: pauses of .9 s are told apart from those of 1.2 s."""
    keys = equal_tenants(tmp_path)
    del keys["min_queries"]
    trace = tmp_path / "trace.csv"
    times = accumulate(900_000_000 + 300_000_000 * (query % 2) for query in range(9))
    lines = [f"any,{time}" for time in times]
    trace.write_text("\n".join(["tenant,arrival_ns", *lines]) + "\n")
    for tenant in keys["tenants"]:
        tenant["arrival"] = {"kind": "trace", "file": str(trace), "tenant": "*"}
    keys["duration_s"] = 20
    (tmp_path / "idle.py").write_text(IDLE)
    assert compare(keys, tmp_path / "idle.py", tmp_path) == 3 * 3 * 9


CASES = (
    one_tenant,
    without_deadlines,
    equal_tenants,
    long_rows,
    names_as_comments,
    one_row_of_no_time,
    one_row_of_one_tenant,
)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("policy", ["edf", "layerweaver+", "slackweave+"])
@pytest.mark.parametrize("case", CASES)
def test_an_edge(case: Callable[[Path], Keys], policy: str, tmp_path: Path) -> None:
    assert compare(case(tmp_path), read_policy_words(policy), tmp_path) >= 40
