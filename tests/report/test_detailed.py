from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.report.page import build_report
from layerweaver.backend_sim.study.repeat import RunOptions
from layerweaver.backend_sim.study.simulate import compare_with, simulate, simulate_with
from layerweaver.ir import LayerweaverError

VISION = {"name": "vision", "model": "zoo:resnet50", "deadline_ms": 3}
CLICKS = {"name": "clicks", "model": "zoo:ncf", "deadline_ms": 1}


def poisson(qps: float, seed: int) -> dict[str, Any]:
    return {"kind": "poisson", "qps": qps, "seed": seed}


def scenario(*tenants: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"npu": "memory-centric", "duration_s": 0.03, "tenants": list(tenants)} | keys


SCENARIOS = {
    "closed loop": scenario(
        {**VISION, "arrival": {"kind": "closed_loop", "concurrency": 3, "think_ms": 1}},
        {**CLICKS, "arrival": {"kind": "saturated"}},
        duration_s=0.004,
    ),
    "batches": scenario(
        {**VISION, "batch": {"max": 4, "delay_ms": 1}, "arrival": poisson(3000, 1)},
        {**CLICKS, "arrival": poisson(500, 2)},
    ),
    "drops": scenario(
        {**VISION, "queue": {"limit": 3, "drop_hopeless": True}, "arrival": poisson(4000, 1)},
        {**CLICKS, "arrival": poisson(500, 2)},
    ),
    "warm-up": scenario({**VISION, "arrival": poisson(900, 1)}, warmup_s=0.015),
    "one request": scenario({**VISION, "arrival": {"kind": "periodic", "period_ms": 20}}, duration_s=0.02),
}
POOL = {
    "pool": [{"npu": "memory-centric", "count": 2}, {"npu": "compute-centric"}],
    "router": "least_work",
    "duration_s": 0.02,
    "tenants": [{**VISION, "arrival": poisson(4000, 1)}, {**CLICKS, "arrival": poisson(500, 2)}],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SCENARIOS, "pool"])
def test_details_and_trace_hold_the_whole_run(name: str, tmp_path: Path) -> None:
    given = POOL if name == "pool" else SCENARIOS[name]
    path = tmp_path / "trace.json.gz"
    document: Any = simulate_with(given, "layerweaver+", RunOptions(details=True, trace=path))
    for tenant, entry in zip(document["tenants"], document["details"]["latency"], strict=True):
        assert sum(entry["counts"]) == tenant["completed"]
        assert entry["dropped"] == tenant["dropped"]
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    computes = [event for event in events if event["ph"] == "X" and event["cat"] == "compute"]
    assert len(computes) == document["layers_executed"]
    assert "<h1>" in build_report([document])


@pytest.mark.slow
def test_details_change_nothing_else() -> None:
    given = SCENARIOS["drops"]
    detailed: Any = simulate_with(given, "layerweaver+", RunOptions(details=True))
    plain: Any = simulate(given, "layerweaver+")
    for key in ("details", "run"):
        detailed.pop(key)
        plain.pop(key, None)
    assert detailed == plain
    assert (
        simulate_with(given, "layerweaver+", RunOptions(details=True))["details"]
        == simulate_with(given, "layerweaver+", RunOptions(details=True))["details"]
    )


@pytest.mark.slow
def test_every_run_of_a_comparison_has_its_own_details() -> None:
    runs: Any = compare_with(SCENARIOS["drops"], ["fcfs", "layerweaver+"], RunOptions(details=True))["runs"]
    assert [run["policy"] for run in runs] == ["fcfs", "layerweaver+"]
    assert runs[0]["details"]["timeline"] != runs[1]["details"]["timeline"]


@pytest.mark.slow
def test_a_window_of_a_trace_holds_only_what_overlaps_it(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    sizes: list[int] = []
    given = SCENARIOS["batches"]
    simulate_with(given, None, RunOptions(trace=path, trace_window="10ms:12ms", announce=sizes.append))
    assert abs(path.stat().st_size - sizes[0]) < 0.1 * sizes[0]
    events = json.loads(path.read_text())["traceEvents"]
    computes = [event for event in events if event["ph"] == "X" and event["cat"] == "compute"]
    fetches = [event for event in events if event["ph"] == "X" and event["cat"] == "fetch"]
    assert computes
    assert min(event["ts"] + event["dur"] for event in computes) >= 10_000
    assert max(event["ts"] for event in fetches) <= 12_000


def test_a_wrong_window_is_refused_before_anything_runs(tmp_path: Path) -> None:
    given = {"npu": "memory-centric", "duration_s": 1, "tenants": [{**CLICKS, "arrival": poisson(10, 1)}]}
    with pytest.raises(LayerweaverError, match="window"):
        simulate_with(
            given, None, RunOptions(details=True, trace=tmp_path / "t.json", trace_window="5ms:1ms")
        )
    assert list(tmp_path.iterdir()) == []
