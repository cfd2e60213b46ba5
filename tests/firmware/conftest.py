"""Random scenarios on own costs, and what an export of them decides."""

from __future__ import annotations

import csv
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.engine.outcome import ScheduleLog
from layerweaver.backend_sim.firmware.export import translated
from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.backend_sim.run.run import run_once
from layerweaver.backend_sim.study.inputs import PolicyRef, as_prepared, policy_of
from layerweaver.backend_sim.study.traffic import traffic
from layerweaver.ir.csv_text import CsvWriter
from layerweaver.scheduler.machine.view import NEVER
from layerweaver.scheduler.policies import Policy

Keys = dict[str, Any]
Decisions = list[tuple[str, str, str, str]]

POLICIES: tuple[str, ...] = (
    "layerweaver+",
    "slackweave+",
    "edf",
    "llf",
    "fcfs",
    "layerweaver",
    "layerweaver+:hopeless=drop",
    "layerweaver+:sees=heads:evaluate=now:margin_us=20",
    "slackweave+:commit=early",
    "edf:commit=early",
    "layerweaver:commit=late",
    "fcfs-prefetch",
    "layerweaver+:hopeless=last:commit=early",
    "sjf",
    "fair",
    "time-slice",
)


def random_costs(chance: random.Random, path: Path) -> int:
    """Write a small model of random rows; about how many cycles it takes."""
    rows = chance.choice((1, 2, 5, 9, 20))
    compute, fetch = chance.choice(((900, 200), (200, 900), (500, 500), (3000, 100)))
    lines, cycles = ["layer,compute_cycles,dram_bytes,weight_bytes"], 0
    for row in range(rows):
        computes = chance.randrange(compute)
        traffic_bytes = chance.choice((0, chance.randrange(1, 320 * fetch)))
        weights = chance.choice((traffic_bytes, traffic_bytes // 2, 0))
        lines.append(f"l{row},{computes},{traffic_bytes},{weights}")
        cycles += max(computes, traffic_bytes // 320)
    path.write_text("\n".join(lines) + "\n")
    return max(1, cycles)


def random_scenario(seed: int, folder: Path, queries: int, most_tenants: int = 40) -> Keys:
    """Tenants of random models, loads and deadlines, on a buffer that only holds some of their weights."""
    chance = random.Random(seed)
    count = min(most_tenants, chance.choice((2, 2, 3, 4, 4, 6, 10, 40)))
    load = chance.choice((0.5, 0.8, 1.0, 1.6))
    models = [
        (path, random_costs(chance, path)) for path in (folder / f"{k}.csv" for k in range(min(count, 6)))
    ]
    tenants = []
    for index in range(count):
        path, cycles = models[index % len(models)]
        ms = cycles / 700e3
        tenant: Keys = {
            "name": chance.choice(("t", 'with, "comma" ', "é?")) + str(index),
            "model": {"costs": str(path)},
            "arrival": {"kind": "poisson", "qps": load * 1e3 / ms / count, "seed": seed * 100 + index},
        }
        deadline = chance.choice((None, 0.6, 1.5, 4, 30))
        if deadline is not None:
            tenant["deadline_ms"] = deadline * ms * count**0.5
        queue: Keys = {}
        if chance.random() < 0.3:
            queue["limit"] = chance.choice((1, 3, 20))
        if chance.random() < 0.2:
            queue["drop_hopeless"] = True
        if chance.random() < 0.2:
            queue["timeout_ms"] = chance.choice((0.5, 3, 20)) * ms * count**0.5
        if queue:
            tenant["queue"] = queue
        if chance.random() < 0.4:
            sizes = sorted({chance.choice((1, 4)), chance.choice((2, 3, 8))})
            sizes = sizes if chance.random() < 0.7 else sizes[-1:]
            tenant["model"] = {"costs": {str(size): str(path) for size in sizes}}
            tenant["batch"] = {"max": sizes[-1], "sizes": sizes} if len(sizes) > 1 else sizes[0]
            if chance.random() < 0.5:
                delay_ms = chance.choice((0.3, 2, 10)) * ms * count
                preferred = [] if chance.random() < 0.5 else sizes[:1]
                tenant["batch"] = {"max": sizes[-1], "sizes": sizes, "delay_ms": delay_ms}
                tenant["batch"]["preferred"] = preferred
        tenants.append(tenant)
    npu = {
        "name": "small",
        "clock_mhz": 700,
        "array": {"rows": 128, "columns": 128},
        "dram": {"bandwidth_gb_s": chance.choice((225, 224, 100.5))},
        "sram": {"weights_mb": chance.choice((0.3, 0.6, 40)), "activations_mb": 60},
    }
    return {
        "npu": npu,
        "min_queries": max(1, queries // count),
        "tenants": tenants,
        "dispatch_ahead": chance.choice((0, 0, 0, 1, 3)),
        "decision_cycles": chance.choice((0, 0, 25)),
    }


def write_arrivals(prepared: PreparedScenario, path: Path) -> None:
    """What the command ``traffic`` prints."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = CsvWriter(stream)
        writer.writerow(["tenant", "query", "arrival_ns"])
        writer.writerows(traffic(prepared))


def replayed(prepared: PreparedScenario, policy: Policy, folder: Path, *flags: str) -> Decisions:
    """Export, compile and replay."""
    folder.mkdir(exist_ok=True)
    for name, text in translated(prepared, policy).texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    write_arrivals(prepared, folder / "arrivals.csv")
    command = ["make", "-s", "-B", "-C", str(folder), *(flags or ("CFLAGS=-O0",))]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    done = subprocess.run(
        [str(folder / "replay"), str(folder / "arrivals.csv")], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = list(csv.reader(done.stdout.decode().splitlines()))
    assert rows[0] == ["decided_at_cycles", "tenant", "request", "row"]
    return [(row[0], row[1], row[2], row[3]) for row in rows[1:]]


def simulated(prepared: PreparedScenario, policy: Policy, *, compiled: bool) -> Decisions:
    """The same columns of the simulator's log."""
    run = run_once(prepared, policy, record_cycles=(0, NEVER), compiled=compiled)
    log = run.outcomes[0].log
    assert isinstance(log, ScheduleLog)
    names = [tenant.name for tenant in prepared.scenario.spec.tenants]
    columns = zip(
        *(column.tolist() for column in (log.decided_at, log.tenant, log.request, log.row)), strict=True
    )
    return [(str(at), names[tenant], str(request), str(row)) for at, tenant, request, row in columns]


def compare(keys: Keys, policy: PolicyRef, folder: Path, *flags: str, compiled: bool = False) -> int:
    """Replay and simulate; how many decisions there were, all of them alike."""
    prepared = as_prepared(keys)
    chosen = policy_of(prepared, policy)
    expected = simulated(prepared, chosen, compiled=compiled)
    found = replayed(prepared, chosen, folder / "export", *flags)
    assert len(found) == len(expected)
    assert all(a == b for a, b in zip(found, expected, strict=True))
    return len(expected)


Compare = Callable[..., int]


@pytest.fixture
def compiler() -> None:
    """Skip where no C compiler is."""
    if shutil.which("cc") is None or shutil.which("make") is None:
        pytest.skip("no C compiler")
