"""What a trace brings into a result and its numbers do not explain is said, of NPUs, pools and searches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.study.peak.peak import peak
from layerweaver.backend_sim.study.simulate import simulate

NPUS: dict[str, dict[str, Any]] = {
    "one": {"npu": "memory-centric"},
    "pool": {"pool": [{"npu": "memory-centric", "count": 2}]},
}


def _keys(folder: Path, text: str, npus: str, **arrival: Any) -> dict[str, Any]:
    (folder / "costs.csv").write_text("layer,compute_cycles,dram_bytes,weight_bytes\nl,7000,0,0\n")
    (folder / "trace.csv").write_text(text)
    one = {
        "name": "one",
        "model": {"costs": str(folder / "costs.csv")},
        "deadline_ms": 10,
        "arrival": {"kind": "trace", "file": str(folder / "trace.csv"), **arrival},
    }
    return {**NPUS[npus], "duration_s": 30, "tenants": [one]}


def _ticks(seconds: int, each: int) -> str:
    return "timestamp,tenant\n" + "".join(f"{second},one\n" for second in range(seconds) for _ in range(each))


@pytest.mark.parametrize("npus", NPUS)
def test_requests_of_one_second_come_at_once_which_is_said(npus: str, tmp_path: Path) -> None:
    keys = _keys(tmp_path, _ticks(20, 5), npus)
    (note,) = [text for text in simulate(keys).get("notes", []) if "spread_ms" in text]
    assert note.startswith("one: 100 of 100 requests come in one second with others")
    assert note in peak(keys, ["fcfs"], queries=1000)["warnings"]
    finer = _ticks(20, 5).replace("7,one", "7.5,one")
    for text, changes in ((_ticks(20, 5), {"spread_ms": 1000}), (_ticks(25, 1), {}), (finer, {})):
        result = simulate(_keys(tmp_path, text, npus, **changes))
        assert not [text for text in result.get("notes", []) if "spread_ms" in text]


@pytest.mark.parametrize(("seconds", "clock"), [(1, "second"), (7, "second"), (60, "minute"), (7200, "hour")])
def test_the_clock_of_a_trace_is_the_one_to_spread_over(seconds: int, clock: str, tmp_path: Path) -> None:
    text = "timestamp,tenant\n" + "".join(f"{seconds * (k // 5)},one\n" for k in range(100))
    keys = {**_keys(tmp_path, text, "one"), "duration_s": 1e6}
    (note,) = [text for text in simulate(keys).get("notes", []) if "spread_ms" in text]
    ticks = {"second": 1, "minute": 60, "hour": 3600}
    assert f"come in one {clock} with others, and so at once; spread_ms: {1000 * ticks[clock]} " in note


@pytest.mark.parametrize("npus", NPUS)
def test_a_tenant_of_a_trace_that_no_row_is_of_is_said(npus: str, tmp_path: Path) -> None:
    text = "timestamp,tenant\n0,one\n1.5,two\n2.5,one\n"
    keys = _keys(tmp_path, text, npus, tenant=["one", "two", "three"])
    assert "one: no row of its trace is of three" in simulate(keys)["notes"]
    named = simulate(_keys(tmp_path, text, npus, tenant=["one", "two"]))
    assert not [note for note in named.get("notes", ()) if "no row" in note]


@pytest.mark.parametrize("npus", NPUS)
def test_bad_rows_that_were_skipped_are_counted(npus: str, tmp_path: Path) -> None:
    keys = _keys(tmp_path, "timestamp,tenant\n0,one\nx,one\n0.5,one\ny,one\n1.5,one\n", npus)
    result = simulate(keys, skip_bad_rows=True)
    assert result["tenants"][0]["skipped_rows"] == 2
    assert "one: 2 bad rows of its trace were skipped" in result["warnings"]
    assert "one: 2 bad rows of its trace were skipped" in peak(keys, ["fcfs"], skip_bad_rows=True)["warnings"]


def test_a_peak_far_below_the_bound_is_found(tmp_path: Path) -> None:
    """A trace with a gap asks for hundreds of times its mean rate: what is stated kept the deadlines."""
    rows = "".join(f"{k * 0.002 + (3000 if k >= 500 else 0):.4f},one\n" for k in range(1000))
    keys = {**_keys(tmp_path, "timestamp,tenant\n" + rows, "one"), "duration_s": 4000}
    (tmp_path / "costs.csv").write_text("layer,compute_cycles,dram_bytes,weight_bytes\nl,700000,0,0\n")
    assert simulate(keys)["tenants"][0]["status"] == "met"
    (row,) = peak(keys, ["fcfs"], queries=1000)["results"]
    low, high = row["bracket_qps"] or (None, None)
    assert low is not None
    assert high is not None
    assert 1 / 3 < low < high < 1.12 * low
    assert row["status"] == "met"


def test_a_trial_of_a_trace_that_ends_is_as_short_as_the_trace(tmp_path: Path) -> None:
    """Three requests in time were a peak at the bound, and met."""
    keys = _keys(tmp_path, "timestamp,tenant\n0,one\n0.1,one\n0.3,one\n", "one")
    (row,) = peak(keys, ["fcfs"], queries=20_000)["results"]
    assert row["status"] == "too_short"
    assert "one 3 of 459" in row["reasons"][0]
    assert "needed_queries" not in row
