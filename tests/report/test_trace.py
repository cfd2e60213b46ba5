from __future__ import annotations

import gzip
import itertools
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.engine.input import SimulationInput
from layerweaver.backend_sim.engine.outcome import SimulationOutcome
from layerweaver.backend_sim.timeline.perfetto import estimate_trace_bytes, write_trace
from layerweaver.backend_sim.timeline.record import TraceRun, scheduled_times
from layerweaver.backend_sim.timeline.window import parse_window
from layerweaver.ir import OutputError, ScenarioError

HandMade = Callable[[], tuple[SimulationInput, SimulationOutcome]]


def trace_run(hand_made: HandMade) -> TraceRun:
    given, outcome = hand_made()
    assert outcome.log is not None
    latency = tuple(tenant.latency_ns for tenant in outcome.tenants)
    return TraceRun(given, outcome.log, latency, scheduled_times(given, outcome), "by-hand")


def check_trace_rules(trace: dict[str, Any]) -> dict[tuple[int, int], str]:
    """The rules of the trace event format that a viewer depends on; returns the names of the threads."""
    events = trace["traceEvents"]
    threads = {
        (event["pid"], event["tid"]): event["args"]["name"]
        for event in events
        if event["ph"] == "M" and event["name"] == "thread_name"
    }
    processes = {event["pid"] for event in events if event["ph"] == "M" and event["name"] == "process_name"}
    open_slices: dict[tuple[int, int], list[float]] = defaultdict(list)
    last_ts: dict[tuple[Any, ...], float] = {}
    slices: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    spans: dict[tuple[str, str], int] = defaultdict(int)
    flows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        assert event["ph"] in {"M", "X", "i", "C", "b", "e", "s", "f"}
        assert isinstance(event["name"], str)
        assert event["name"]
        assert event["pid"] in processes
        if event["ph"] == "M":
            continue
        assert event["ts"] >= 0
        if event["ph"] != "C":
            assert (event["pid"], event["tid"]) in threads
        if event["ph"] in {"X", "i", "C"}:
            track = (event["ph"], event["pid"], event.get("tid"), event["name"] if event["ph"] == "C" else "")
            assert event["ts"] >= last_ts.get(track, 0.0), "time runs backwards on a track"
            last_ts[track] = event["ts"]
        match event["ph"]:
            case "X":
                assert event["dur"] >= 0
                begin, end = round(event["ts"] * 1000), round((event["ts"] + event["dur"]) * 1000)
                stack = open_slices[event["pid"], event["tid"]]
                while stack and stack[-1] <= begin:
                    stack.pop()
                assert not stack or end <= stack[-1], "slices overlap without nesting"
                stack.append(end)
                slices[event["pid"], event["tid"]].append((begin, end))
            case "i":
                assert event["s"] in {"g", "p", "t"}
            case "C":
                assert all(value >= 0 for value in event["args"].values())
            case "b":
                spans[event["cat"], event["id"]] += 1
            case "e":
                spans[event["cat"], event["id"]] -= 1
                assert spans[event["cat"], event["id"]] == 0, "a span ends before it begins"
            case "s" | "f":
                flows[event["id"]].append(event)
    assert not any(spans.values()), "a span is left open"
    for ends in flows.values():
        assert [event["ph"] for event in ends] == ["s", "f"]
        assert ends[0]["ts"] <= ends[1]["ts"]
        assert ends[0]["name"] == ends[1]["name"]
        for event in ends:
            at = round(event["ts"] * 1000)
            assert any(begin <= at <= end for begin, end in slices[event["pid"], event["tid"]]), (
                "a flow is bound to no slice"
            )
    return threads


def test_trace_obeys_the_format(hand_made: HandMade, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    written = write_trace(path, trace_run(hand_made))
    assert written == path.stat().st_size
    threads = check_trace_rules(json.loads(path.read_text()))
    assert "DRAM" in threads.values()
    assert "compute" in threads.values()


def test_trace_shows_every_row_with_its_costs(hand_made: HandMade, tmp_path: Path) -> None:
    run = trace_run(hand_made)
    path = tmp_path / "out.json"
    write_trace(path, run)
    events = json.loads(path.read_text())["traceEvents"]
    compute = [event for event in events if event["ph"] == "X" and event["cat"] == "compute"]
    fetch = [event for event in events if event["ph"] == "X" and event["cat"] == "fetch"]
    assert len(compute) == len(run.log.row)
    tables = {tenant.name: tenant.profiles[0].table for tenant in run.simulation_input.tenants}
    for name, table in tables.items():
        mine = [event["args"] for event in compute if event["args"]["tenant"] == name]
        assert sum(args["cycles"] for args in mine) == 40 * int(table.compute_cycles.sum())
        assert sum(args["bytes"] for args in mine) == 40 * int(table.dram_bytes.sum())
    colours = {(event["args"]["tenant"], event["cname"], event["name"]) for event in compute + fetch}
    assert len(colours) == 2
    assert {"vision/conv0 (part 1 of 2)", "vision/conv0 (part 2 of 2)", "vision/conv1"} <= {
        event["args"]["layer"] for event in compute
    }
    stalled = sum(event["args"]["stalled_cycles"] for event in fetch)
    assert stalled > 0, "the buffer holds less than two requests, so some fetch must have waited"


def test_trace_tells_late_requests_from_those_on_time(hand_made: HandMade, tmp_path: Path) -> None:
    run = trace_run(hand_made)
    path = tmp_path / "out.json"
    write_trace(path, run)
    events = json.loads(path.read_text())["traceEvents"]
    late = int((run.latency_ns[0] > 400_000).sum())
    assert 0 < late < 40
    spans = [event for event in events if event["ph"] == "b"]
    assert len(spans) == 80
    assert sum(event["args"]["late"] for event in spans) == late
    flows = [event["name"] for event in events if event["ph"] == "s"]
    assert flows.count("arrival") == 80
    assert flows.count("deadline, late") == late
    assert flows.count("deadline, on time") == 40 - late


def test_mode_switches_and_counters(hand_made: HandMade, tmp_path: Path) -> None:
    run = trace_run(hand_made)
    path = tmp_path / "out.json"
    write_trace(path, run)
    events = json.loads(path.read_text())["traceEvents"]
    modes = [event["name"] for event in events if event["ph"] == "i"]
    assert set(modes) == {"mode: throughput", "mode: deadline"}
    assert all(first != second for first, second in itertools.pairwise(modes))
    occupancy = [event["args"]["bytes"] for event in events if event["name"] == "weight buffer bytes"]
    assert max(occupancy) == int(run.log.resident_bytes.max())
    assert max(occupancy) <= run.simulation_input.machine.weight_buffer_bytes
    assert occupancy[-1] == 0
    queued = [event["args"]["requests"] for event in events if event["name"] == "queued requests"]
    assert max(queued) == int(run.log.queued.max())


def test_window_keeps_what_overlaps_it(hand_made: HandMade, tmp_path: Path) -> None:
    run = trace_run(hand_made)
    window = parse_window("0.5ms:1ms", run.simulation_input.machine.clock_hz)
    announced: list[int] = []
    path = tmp_path / "out.json"
    written = write_trace(path, run, window_cycles=window, announce=announced.append)
    assert abs(announced[0] - written) < 0.1 * written
    trace = json.loads(path.read_text())
    check_trace_rules(trace)
    kept = [event for event in trace["traceEvents"] if event["ph"] == "X" and event["cat"] == "compute"]
    inside = (run.log.fetch_start < window[1]) & (run.log.compute_end > window[0])
    assert len(kept) == int(inside.sum()) < len(run.log.row)


def test_compressed_trace_holds_the_same_and_is_reproducible(hand_made: HandMade, tmp_path: Path) -> None:
    run = trace_run(hand_made)
    write_trace(tmp_path / "out.json", run)
    write_trace(tmp_path / "a.json.gz", run)
    write_trace(tmp_path / "b.json.gz", run)
    packed = (tmp_path / "a.json.gz").read_bytes()
    assert packed == (tmp_path / "b.json.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "out.json").read_bytes()


def test_refused_trace_leaves_the_old_file(hand_made: HandMade, tmp_path: Path) -> None:
    run = trace_run(hand_made)
    path = tmp_path / "out.json"
    path.write_text("old")
    with pytest.raises(OutputError):
        write_trace(tmp_path / "missing" / "out.json", run)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_trace(path, run, announce=stop)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.json"]


def test_estimate_from_a_sample_is_close(hand_made: HandMade, tmp_path: Path, monkeypatch: Any) -> None:
    run = trace_run(hand_made)
    written = write_trace(tmp_path / "out.json", run)
    monkeypatch.setattr("layerweaver.backend_sim.timeline.perfetto._SAMPLE_ROWS", 32)
    assert abs(estimate_trace_bytes([run]) - written) < 0.35 * written


@pytest.mark.parametrize(
    ("text", "cycles"),
    [
        ("10ms:20ms", (7_000_000, 14_000_000)),
        (":1us", (0, 700)),
        ("0:1s", (0, 700_000_000)),
        ("1ns:2ns", (0, 2)),
        ("100cycles:101cycles", (100, 101)),
        ("1.5us:2.5us", (1050, 1750)),
    ],
)
def test_windows_are_read(text: str, cycles: tuple[int, int]) -> None:
    assert parse_window(text, 700 * 10**6) == cycles


@pytest.mark.parametrize(
    "text",
    ["", ":", "10ms", "20ms:10ms", "1ms:1ms", "1:2", "a:b", "-1ms:2ms", "1h:2h", "9e9s:", "1s:999999999999s"],
)
def test_wrong_windows_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(ScenarioError) as refusal:
        parse_window(text, 700 * 10**6)
    assert "\n" not in str(refusal.value)
    assert "window" in str(refusal.value)
