"""A study of two tenants with costs of their own, small enough to run in a blink."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import yaml

COSTS = "layer,compute_cycles,dram_bytes,weight_bytes\nfirst,100000,9000000,9000000\nsecond,200000,0,0\n"
AXES: dict[str, Any] = {
    "npu.dram.bandwidth_gb_s": {"from": 100, "to": 400, "points": 3, "scale": "log"},
    "tenants.a.b.deadline_ms": [1, 5],
    "policy": ["fcfs", "layerweaver+:margin_us=50"],
    "seed": {"count": 2},
}


def study_scenario(**changes: Any) -> dict[str, Any]:
    tenants = [
        {
            "name": name,
            "model": {"costs": "costs.csv"},
            "deadline_ms": 5,
            "arrival": {"kind": "poisson", "qps": 500, "seed": seed},
        }
        for seed, name in enumerate(("a.b", "other"), start=1)
    ]
    return {"npu": "memory-centric", "min_queries": 200, "tenants": tenants, **changes}


def write_study(folder: Path, **changes: Any) -> Path:
    (folder / "costs.csv").write_text(COSTS)
    aims = {"maximise": ["system.stp"], "minimise": ["tenants.a.b.latency_ms.p99"]}
    study = {"scenario": study_scenario(), "axes": AXES, "objectives": aims, **changes}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def point_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "points.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))
