"""The validator finds what is wrong, one broken invariant at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.engine.outcome import ScheduleLog
from layerweaver.backend_sim.traffic.source import OpenLoop
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.scheduler.policies import load_policy
from layerweaver.scheduler.validator import Violation, find_violations
from oracles.random_inputs import FixedArrivals, profile_of

MACHINE = MachineSpec("unit", 10**9, 1, 1, 100)
PROFILES = (
    profile_of("a", MACHINE, [(50, 60, 60, 0), (10, 30, 30, 0), (40, 80, 80, 0)]),
    profile_of("b", MACHINE, [(5, 40, 40, 0), (90, 20, 20, 0)]),
)
TIMES = ([0, 10], [5, 400])


@pytest.fixture
def log() -> ScheduleLog:
    tenants = tuple(
        TenantLoad(profile.entry, (profile,), OpenLoop(FixedArrivals(times)))
        for profile, times in zip(PROFILES, TIMES, strict=True)
    )
    outcome = run(
        SimulationInput(MACHINE, tenants), load_policy("edf"), record_cycles=(0, 10**9), compiled=False
    )
    assert outcome.log is not None
    return outcome.log


def _check(log: ScheduleLog, *, complete: bool = True) -> tuple[Violation, ...]:
    arrivals = [np.array(times, np.int64) for times in TIMES]
    return find_violations(log, MACHINE, [[p.table] for p in PROFILES], arrivals, complete=complete)


def test_an_executed_schedule_passes(log: ScheduleLog) -> None:
    assert _check(log) == ()


def test_a_window_of_a_schedule_passes_when_it_is_called_one(log: ScheduleLog) -> None:
    columns: dict[str, Any] = {field.name: getattr(log, field.name) for field in dataclasses.fields(log)}
    inner: dict[str, Any] = {
        name: value[2:-2] if isinstance(value, np.ndarray) else value for name, value in columns.items()
    }
    window = ScheduleLog(**inner)
    assert _check(window, complete=False) == ()
    assert "a request begins with row 0" in {violation.invariant for violation in _check(window)}


def _earlier_fetch(log: ScheduleLog) -> dict[str, NDArray[np.int64]]:
    starts, ends = log.fetch_start.copy(), log.fetch_end.copy()
    starts[3] -= 30
    ends[3] -= 30
    return {"fetch_start": starts, "fetch_end": ends}


def _earlier_compute(log: ScheduleLog) -> dict[str, NDArray[np.int64]]:
    starts, ends = log.compute_start.copy(), log.compute_end.copy()
    starts[1:] -= 200
    ends[1:] -= 200
    return {"compute_start": starts, "compute_end": ends}


def _longer_compute(log: ScheduleLog) -> dict[str, NDArray[np.int64]]:
    ends = log.compute_end.copy()
    ends[-1] += 1
    return {"compute_end": ends}


def _shorter_fetch(log: ScheduleLog) -> dict[str, NDArray[np.int64]]:
    starts = log.fetch_start.copy()
    starts[0] += 1
    return {"fetch_start": starts}


def _swapped_rows(log: ScheduleLog) -> dict[str, NDArray[np.int64]]:
    rows = log.row.copy()
    rows[0], rows[1] = rows[1], rows[0]
    return {"row": rows}


def _unknown_row(log: ScheduleLog) -> dict[str, NDArray[np.int64]]:
    return {"row": log.row + 7}


def _before_arrival(log: ScheduleLog) -> dict[str, NDArray[np.int64]]:
    shift = 300
    last = log.tenant == 1
    return {
        name: getattr(log, name) - np.where(last & (log.request == 1), shift, 0)
        for name in ("fetch_start", "fetch_end", "compute_start", "compute_end")
    }


def _full_buffer(log: ScheduleLog) -> dict[str, NDArray[np.int64]]:
    """All fetches back to back from 0, as if the buffer had no end."""
    cycles = np.array(
        [PROFILES[t].table.dram_bytes[r] for t, r in zip(log.tenant.tolist(), log.row.tolist(), strict=True)]
    )
    return {"fetch_start": np.cumsum(cycles) - cycles, "fetch_end": np.cumsum(cycles)}


@pytest.mark.parametrize(
    ("damage", "invariant"),
    [
        (_earlier_fetch, "fetches never overlap"),
        (_earlier_compute, "a compute follows its fetch"),
        (_earlier_compute, "computes never overlap"),
        (_longer_compute, "a compute takes its cycles"),
        (_shorter_fetch, "a fetch takes the time of its bytes"),
        (_swapped_rows, "rows run in order, each once"),
        (_unknown_row, "the row exists"),
        (_before_arrival, "nothing starts before its request arrived"),
        (_full_buffer, "resident bytes never exceed the buffer"),
    ],
)
def test_damage_is_named(
    log: ScheduleLog, damage: Callable[[ScheduleLog], dict[str, NDArray[np.int64]]], invariant: str
) -> None:
    changes: dict[str, Any] = dict(damage(log))
    found = _check(dataclasses.replace(log, **changes))
    assert invariant in {violation.invariant for violation in found}
    assert all(str(violation).startswith("entry ") for violation in found)
