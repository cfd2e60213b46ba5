"""A small run made by hand: two tenants taking turns on a two-timeline machine."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.outcome import ScheduleLog, SimulationOutcome, TenantOutcome
from layerweaver.backend_sim.timeline.details import simulation_details
from layerweaver.backend_sim.timeline.record import scheduled_times
from layerweaver.backend_sim.traffic.source import OpenLoop
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.table import CostTable
from layerweaver.scheduler.offline import ModelProfile, build_offline

SHARES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999))


def load_headless() -> Any:
    path = Path(__file__).parents[2] / "scripts" / "headless.py"
    spec = importlib.util.spec_from_file_location("layerweaver_headless", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    headless = load_headless()
    executable = headless.find_chromium()
    if executable is None:
        pytest.skip("no chromium on PATH; scripts/install-chromium installs Debian's")
    with headless.Browser(executable) as running:
        yield running


class FixedArrivals:
    """Scheduled times from an array."""

    def __init__(self, times_ns: NDArray[np.int64]) -> None:
        self.rest = times_ns

    def take(self, count: int) -> NDArray[np.int64]:
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken


def _profile(name: str, machine: MachineSpec, compute: list[int], fetched: list[int]) -> ModelProfile:
    rows = len(compute)
    index = np.array([0, 0, *range(1, rows - 1)], dtype=np.int64)
    table = CostTable(
        model=name,
        batch=1,
        machine=machine,
        compute_cycles=np.array(compute, dtype=np.int64),
        dram_bytes=np.array(fetched, dtype=np.int64),
        weight_bytes=np.array(fetched, dtype=np.int64),
        live_bytes=np.zeros(rows, dtype=np.int64),
        layer_index=index,
        layer_names=tuple(f"{name}/conv{layer}" for layer in range(rows - 1)),
    )
    return ModelProfile(entry=name, table=table, offline=build_offline(table))


def _run(given: SimulationInput, times_ns: list[NDArray[np.int64]]) -> SimulationOutcome:
    """Requests in order of arrival, rows of waiting requests of the two tenants in turn."""
    machine = given.machine
    hz = machine.clock_hz
    arrive = [-(-times * hz // 10**9) for times in times_ns]
    nxt, row, turn = [0, 0], [0, 0], 0
    tm = tc = 0
    resident: list[tuple[int, int]] = []
    entries: list[list[int]] = []
    latency = [np.zeros(len(times), dtype=np.int64) for times in times_ns]
    while any(nxt[t] < len(arrive[t]) for t in (0, 1)):
        waiting = [t for t in (0, 1) if nxt[t] < len(arrive[t]) and (row[t] or arrive[t][nxt[t]] <= tm)]
        if not waiting:
            tm = max(tm, min(int(arrive[t][nxt[t]]) for t in (0, 1) if nxt[t] < len(arrive[t])))
            continue
        t = waiting[turn % len(waiting)]
        turn += 1
        table = given.tenants[t].profiles[0].table
        r, start = row[t], max(tm, int(arrive[t][nxt[t]]))
        weights = int(table.weight_bytes[r])
        resident = [(size, done) for size, done in resident if done > start]
        free, end = machine.weight_buffer_bytes - sum(size for size, _ in resident), start
        fetched = -(-weights * machine.bandwidth_denominator // machine.bandwidth_numerator)
        end = start + fetched
        for size, done in resident:
            if weights > free:
                late = -(-(weights - free) * machine.bandwidth_denominator // machine.bandwidth_numerator)
                end = max(end, done + late)
            free += size
        compute_start = max(tc, end)
        compute_end = compute_start + int(table.compute_cycles[r])
        resident = [(size, done) for size, done in resident if done > end] + [(weights, compute_end)]
        queued = sum(int((arrive[i][nxt[i] :] <= tm).sum()) for i in (0, 1))
        row_of_log = [t, nxt[t], 1, 0, r, start, end, compute_start, compute_end, tm, int(queued > 3)]
        entries.append(
            [
                *row_of_log,
                len(waiting),
                sum(size for size, _ in resident),
                queued,
                0,
                weights,
                weights,
                fetched,
            ]
        )
        tm, tc = end, compute_end
        row[t] += 1
        if row[t] == table.rows:
            done_ns = -(-compute_end * 10**9 // hz)
            latency[t][nxt[t]] = done_ns - times_ns[t][nxt[t]]
            row[t], nxt[t] = 0, nxt[t] + 1
    columns = np.array(entries, dtype=np.int64).T
    names = [field.name for field in fields(ScheduleLog)][:-1]
    named: dict[str, Any] = dict(zip(names, columns, strict=True))
    log = ScheduleLog(mode_names=("throughput", "deadline"), **named)
    tenants = tuple(
        TenantOutcome(
            name=given.tenants[t].name,
            latency_ns=latency[t],
            service_cycles=0,
            batch_counts=np.array([[0, len(times_ns[t])]]),
            depth_counts=np.zeros(64, np.int64),
            scheduled_ns=None,
            longest_wait_cycles=0,
        )
        for t in (0, 1)
    )
    busy = int((log.compute_end - log.compute_start).sum())
    return SimulationOutcome(
        tenants=tenants,
        layers_executed=len(entries),
        end_cycles=int(log.compute_end.max()),
        compute_busy_cycles=busy,
        dram_busy_cycles=0,
        idle_cycles={"no_work": 0, "waiting_for_memory": 0, "buffer_full": 0, "inherent": 0},
        mode_counts={"throughput": 1, "deadline": 1},
        interrupted=False,
        log=log,
    )


@pytest.fixture(scope="session")
def hand_made() -> Callable[[], tuple[SimulationInput, SimulationOutcome]]:
    """A fresh input and the outcome of its run; 700 MHz, so cycles are not whole nanoseconds."""

    def make() -> tuple[SimulationInput, SimulationOutcome]:
        machine = MachineSpec.from_rates("toy", 700 * 10**6, 225 * 10**9, 9_000_000)
        vision = _profile("vision", machine, [9000, 9000, 7000, 12000], [400_000, 0, 900_000, 100_000])
        language = _profile("language", machine, [2000, 1500, 2500], [4_000_000, 5_000_000, 3_500_001])
        rng = np.random.default_rng(5)
        times = [np.cumsum(rng.integers(10_000, 120_000, 40)) - 10_000 for _ in range(2)]
        tenants = tuple(
            TenantLoad(name, (profile,), OpenLoop(FixedArrivals(due)), deadline_ns=deadline)
            for name, profile, due, deadline in (
                ("vision", vision, times[0], 400_000),
                ("language", language, times[1], None),
            )
        )
        given = SimulationInput(machine, tenants)
        return given, _run(given, times)

    return make


@pytest.fixture(scope="session")
def make_document(
    hand_made: Callable[[], tuple[SimulationInput, SimulationOutcome]],
) -> Callable[..., dict[str, Any]]:
    """A simulate document of the hand-made run, under any policy's name."""

    def make(
        policy: str = "layerweaver+", *, details: bool = True, names: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        given, outcome = hand_made()
        tenants = []
        for index, (tenant, result) in enumerate(zip(given.tenants, outcome.tenants, strict=True)):
            ms = np.sort(result.latency_ns) / 1e6
            deadline_ms = None if tenant.deadline_ns is None else tenant.deadline_ns / 1e6
            tenants.append(
                {
                    "name": names[index] if names else tenant.name,
                    "arrived": len(ms),
                    "completed": len(ms),
                    "dropped": 0,
                    "qps": 13333.3,
                    "standalone_ms": 0.05,
                    "latency_ms": {
                        "mean": float(ms.mean()),
                        **{key: float(ms[int(len(ms) * share)]) for key, share in SHARES},
                        "max": float(ms[-1]),
                    },
                    "deadline_ms": deadline_ms,
                    "violation_rate": None if deadline_ms is None else float((ms > deadline_ms).mean()),
                    "status": "late" if deadline_ms else "met",
                    "verdict": "INVALID" if deadline_ms else "VALID",
                    "reasons": ["p99 above the target"] if deadline_ms else [],
                }
            )
        drawn = simulation_details(given, outcome, scheduled_times(given, outcome))
        if names:
            for key in ("latency", "in_system", "batches"):
                for entry, name in zip(drawn[key], names, strict=True):
                    entry["tenant"] = name
        document = {
            "policy": policy,
            "npu": given.machine.name,
            "simulated_s": 0.003,
            "layers_executed": outcome.layers_executed,
            "tenants": tenants,
            "system": {
                "stp": 1.2,
                "antt": 3.1,
                "fairness": 0.8,
                "compute_utilization": 0.8123,
                "dram_utilization": 0.7345,
                "idle": {
                    "no_work": 0.05,
                    "waiting_for_memory": 0.1,
                    "buffer_full": 0.05,
                    "inherent": 0.0266,
                },
                "bound_qps": 40000.0,
                "deadline_mode_share": 0.2,
            },
            "run": {"wall_s": 0.1, "version": "0.1.0"},
        }
        return document | ({"details": drawn} if details else {})

    return make


@pytest.fixture(scope="session")
def peak_document() -> dict[str, Any]:
    """A peak document."""
    return {
        "bound_qps": 40000.0,
        "results": [
            {
                "policy": policy,
                "peak_qps": rate,
                "peak_qps_sd": 300.0,
                "peak_qps_low": rate - 400.0,
                "peak_qps_high": rate + 400.0,
                "share_of_bound": rate / 40000.0,
                "bracket_qps": [rate, rate * 1.02],
                "trials": 12,
            }
            for policy, rate in (("fcfs", 12000.0), ("layerweaver+", 33000.0))
        ],
    }
