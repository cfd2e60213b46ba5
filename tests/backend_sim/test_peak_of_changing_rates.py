"""A peak of arrivals whose rate changes is sure only where a trial sees all that the rate does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.study.peak.peak import peak
from layerweaver.backend_sim.study.peak.plan import plan_peak
from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.backend_sim.study.traffic import traffic


def _keys(folder: Path, *arrivals: dict[str, Any], duration_s: float = 10) -> dict[str, Any]:
    """Tenants of 1 ms each, one after another."""
    costs = folder / "costs.csv"
    costs.write_text("layer,compute_cycles,dram_bytes,weight_bytes\nl,700000,0,0\n")
    tenants = [
        {"name": f"t{place}", "model": {"costs": str(costs)}, "deadline_ms": 10, "arrival": arrival}
        for place, arrival in enumerate(arrivals)
    ]
    return {"npu": "memory-centric", "duration_s": duration_s, "tenants": tenants}


def _trace(folder: Path, *parts: tuple[int, float]) -> Path:
    """Evenly spaced requests: so many, so many seconds apart."""
    time_s, lines = 0.0, ["timestamp,tenant"]
    for count, gap_s in parts:
        for _ in range(count):
            lines.append(f"{time_s:.6f},t0")
            time_s += gap_s
    path = folder / "trace.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def _row(keys: dict[str, Any], queries: int) -> dict[str, Any]:
    (row,) = peak(keys, ["fcfs"], queries=queries)["results"]
    return dict(row)


def test_a_trial_that_sees_the_quiet_part_of_a_trace_is_too_short(tmp_path: Path) -> None:
    file = _trace(tmp_path, (1000, 0.01), (2000, 0.001), (500, 0.02))
    keys = _keys(tmp_path, {"kind": "trace", "file": str(file), "loop": True}, duration_s=60)
    quiet = _row(keys, 900)
    assert quiet["status"] == "too_short"
    assert "900 of 3,500 requests of t0" in quiet["reasons"][0]
    assert quiet["needed_queries"] == 3500
    whole = _row(keys, quiet["needed_queries"])
    assert whole["status"] == "met"
    assert whole["peak_qps"] < 0.5 * quiet["peak_qps"]


def test_a_trace_that_ends_before_the_trial_is_told(tmp_path: Path) -> None:
    file = _trace(tmp_path, (600, 0.01))
    trace: dict[str, Any] = {"kind": "trace", "file": str(file)}
    keys = _keys(tmp_path, trace, {"kind": "poisson", "qps": 100, "seed": 1})
    (told,) = [text for text in peak(keys, ["fcfs"], queries=2000)["warnings"] if "loop: true" in text]
    assert "a trial asks for 1,000 requests and the trace has 600" in told
    trace["loop"] = True
    assert not [
        text for text in peak(keys, ["fcfs"], queries=2000).get("warnings", []) if "loop: true" in text
    ]


@pytest.mark.parametrize(
    ("arrival", "shape_s"),
    [
        ({"kind": "bursts", "qps": [20, 400], "period_s": 16, "burst_s": 2, "seed": 1}, 16),
        ({"kind": "mmpp", "qps": [20, 400], "mean_s": [2, 0.5], "seed": 1}, 25),
        ({"kind": "ramp", "qps": [20, 400], "seed": 1}, 10),
        ({"kind": "ramp", "qps": [20, 400], "over_s": 5, "seed": 1}, 10),
    ],
)
def test_a_trial_that_ends_before_a_rate_has_changed_is_too_short(
    arrival: dict[str, Any], shape_s: float, tmp_path: Path
) -> None:
    keys = _keys(tmp_path, arrival)
    short = _row(keys, 500)
    assert short["status"] == "too_short"
    assert f"of {shape_s} s of t0" in short["reasons"][-1]
    assert short["needed_queries"] >= shape_s * short["peak_qps"] - 1
    assert _row(keys, 2 * short["needed_queries"])["status"] == "met"


def test_a_ramp_over_the_whole_goes_over_the_whole_of_a_trial(tmp_path: Path) -> None:
    """It went over one second, whatever the duration, and stayed at its last rate then."""
    keys = _keys(tmp_path, {"kind": "ramp", "qps": [20, 380], "seed": 1})
    plan = plan_peak(keys, queries=8000)
    times = [row[2] for row in traffic(keys, 0)]
    assert len(times) == pytest.approx(2000, rel=0.1)
    row = _row(keys, 8000)
    factor = row["peak_qps"] / 200
    again = _keys(tmp_path, {"kind": "ramp", "qps": [20 * factor, 380 * factor], "seed": 1})
    again["duration_s"] = 8000 / row["peak_qps"]
    result = simulate(again, "fcfs")
    assert result["system"]["offered_qps"] == pytest.approx(row["peak_qps"], rel=0.05)
    assert result["tenants"][0]["violation_rate"] == pytest.approx(0.01, abs=0.01)
    assert plan.total_qps(1.0) == pytest.approx(1000, rel=0.01)


def test_a_steady_rate_needs_no_more_than_before(tmp_path: Path) -> None:
    assert _row(_keys(tmp_path, {"kind": "poisson", "qps": 100, "seed": 1}), 2000)["status"] == "met"


@pytest.mark.parametrize("loop", [False, True])
def test_a_trace_has_the_rate_of_all_its_rows_whatever_the_duration(loop: bool, tmp_path: Path) -> None:
    file = _trace(tmp_path, (500, 0.01), (1501, 0.002))
    trace = {"kind": "trace", "file": str(file), "loop": loop}
    found = []
    for duration_s in (1, 5, 60):
        plan = plan_peak(_keys(tmp_path, trace, duration_s=duration_s), queries=2500)
        assert plan.trace_queries == (2001,)
        found.append(plan.rates_qps[0])
    assert found == pytest.approx([2000 / 8] * 3)


def test_no_number_of_queries_is_advised_where_the_trace_ends_before(tmp_path: Path) -> None:
    trace = {"kind": "trace", "file": str(_trace(tmp_path, (100, 0.01)))}
    keys = _keys(tmp_path, trace, {"kind": "poisson", "qps": 100, "seed": 1})
    row = _row(keys, 500)
    assert "t0 100 of 459" in row["reasons"][0]
    assert "needed_queries" not in row
    slow = {"kind": "poisson", "qps": 1e-6, "seed": 1}
    often = {"kind": "poisson", "qps": 400, "seed": 2}
    row = _row(_keys(tmp_path, slow, often, duration_s=1e6), 2000)
    assert "t0 1 of 459" in row["reasons"][0]
    assert "needed_queries" not in row
