"""Intervals over seeds stay within the possible, and policies are compared seed by seed."""

from __future__ import annotations

from typing import Any

import pytest

from layerweaver.backend_sim.results.confidence import confidence, differences
from layerweaver.backend_sim.study.simulate import compare


def _run(policy: str, rates: list[float], utilization: list[float]) -> Any:
    documents: list[Any] = [
        {
            "tenants": [{"name": "one", "violation_rate": rate, "latency_ms": {"p99": 10 * rate}}],
            "system": {"compute_utilization": share, "stp": 1.5},
        }
        for rate, share in zip(rates, utilization, strict=True)
    ]
    return {"policy": policy, "confidence": confidence(documents)}


def test_an_interval_never_leaves_the_possible() -> None:
    found = _run("fcfs", [0.0, 0.0, 0.3], [0.7, 1.0, 1.0])["confidence"]
    rate = found["tenants"][0]["violation_rate"]
    assert rate["mean"] == pytest.approx(0.1)
    assert rate["low"] == 0.0
    assert rate["high"] == pytest.approx(0.1 + 4.303 * 0.1)
    assert rate["values"] == [0.0, 0.0, 0.3]
    assert found["system"]["compute_utilization"]["high"] == 1.0


def test_differences_are_paired() -> None:
    before = _run("fcfs", [0.10, 0.20, 0.30], [0.5, 0.6, 0.7])
    after = _run("edf", [0.09, 0.18, 0.29], [0.5, 0.6, 0.7])
    (found,) = differences([before, after])
    assert (found["policy"], found["against"]) == ("edf", "fcfs")
    rate: Any = found["tenants"][0]["violation_rate"]
    assert rate["values"] == pytest.approx([-0.01, -0.02, -0.01])
    assert rate["mean"] == pytest.approx(-0.04 / 3)
    assert rate["low"] < rate["mean"] < rate["high"] < 0.002
    own: Any = after["confidence"]["tenants"][0]["violation_rate"]
    assert rate["high"] - rate["low"] < (own["high"] - own["low"]) / 5


def test_a_comparison_with_seeds_has_them(make_scenario: Any) -> None:
    document = compare(make_scenario(), ["fcfs", "layerweaver+"], seeds=3)
    (found,) = document["differences"]
    p99 = [run["confidence"]["tenants"][0]["latency_ms"]["p99"] for run in document["runs"]]
    values: Any = found["tenants"][0]["latency_ms"]["p99"]["values"]
    assert values == pytest.approx([b - a for a, b in zip(p99[0]["values"], p99[1]["values"], strict=True)])
    assert "differences" not in compare(make_scenario(), ["fcfs", "layerweaver+"])
