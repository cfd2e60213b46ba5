"""Small machines and models for the scheduler's tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.table import CostTable
from layerweaver.scheduler.machine.view import NEVER, View
from layerweaver.scheduler.offline import ModelProfile, build_offline
from layerweaver.scheduler.policies import PolicySpec
from layerweaver.scheduler.rules.patience import note_patience

Make = Callable[..., ModelProfile]


@pytest.fixture(scope="session")
def unit_machine() -> MachineSpec:
    """One byte per cycle at 1 GHz, 1,000 bytes of weights: cycles, bytes and nanoseconds coincide."""
    return MachineSpec.from_rates("unit", 10**9, 10**9, 1000)


@pytest.fixture(scope="session")
def make_model(unit_machine: MachineSpec) -> Make:
    """Build a model from rows of (compute cycles, bytes); all bytes are weights unless told otherwise."""

    def make(
        name: str,
        rows: Sequence[tuple[int, int]],
        *,
        batch: int = 1,
        machine: MachineSpec = unit_machine,
        weights: Sequence[int] | None = None,
        live: Sequence[int] | None = None,
        layer_index: Sequence[int] | None = None,
    ) -> ModelProfile:
        index = np.array(layer_index if layer_index is not None else range(len(rows)), dtype=np.int64)
        dram = np.array([fetched for _, fetched in rows], dtype=np.int64)
        table = CostTable(
            model=name,
            batch=batch,
            machine=machine,
            compute_cycles=np.array([compute for compute, _ in rows], dtype=np.int64),
            dram_bytes=dram,
            weight_bytes=dram if weights is None else np.array(weights, dtype=np.int64),
            live_bytes=np.array(live if live is not None else [0] * len(rows), dtype=np.int64),
            layer_index=index,
            layer_names=tuple(f"{name}.{layer}" for layer in range(int(index.max()) + 1)),
        )
        return ModelProfile(name, table, build_offline(table))

    return make


_HEAD = {
    "compute_cycles": 10,
    "fetch_cycles": 10,
    "dram_scaled": 10,
    "weight_scaled": 10,
    "compute_scaled": 10,
    "inherent_scaled": 0,
    "remaining_cycles": 100,
    "live_bytes": 0,
    "rows_left": 2,
    "row": 0,
    "deadline": NEVER,
    "compute_intensive": 1,
    "longest_fetch_cycles": 10,
    "standalone_cycles": 100,
    "arrival": 0,
    "since": 0,
    "last_start": 0,
    "request": 0,
    "batch": 1,
    "profile": 0,
    "priority": 1,
    "queued": 1,
    "passed": 0,
    "hopeless": 0,
    "newest": 0,
    "arrived": 0,
    "left_compute_cycles": 100,
    "left_fetch_cycles": 100,
    "limit_cycles": NEVER,
    "delay_cycles": 0,
    "queue_limit": NEVER,
    "full": 1,
    "full_standalone_cycles": 100,
    "full_compute_cycles": 100,
    "full_fetch_cycles": 100,
    "served_compute_cycles": 0,
    "served_fetch_cycles": 0,
    "model_compute_cycles": 100,
    "model_fetch_cycles": 100,
}
_MACHINE = {
    "now": 0,
    "start": 0,
    "fetch_end": 0,
    "compute_end": 0,
    "rate": 1,
    "scale": 1,
    "buffer_scaled": 1000,
    "free_scaled": 1000,
    "room_scaled": 1000,
    "longest_fetch_cycles": 10,
    "hidden_count": 0,
    "one_kind": 0,
    "kinds_by_size": 0,
    "all_can_wait": 0,
    "exempt_cycles": NEVER,
    "running": -1,
    "mode": 0,
    "hold_until": NEVER,
    "decision_cycles": 0,
    "clock_hz": 10**9,
    "queued": 0,
    "first": 0,
    "last": 0,
    "mask": 15,
    "window_first": 0,
    "window_last": 0,
    "appended_scaled": 0,
    "origin": 0,
}


class Desk:
    """A policy at its desk: hand it heads and a machine, get its choice; it remembers between decisions."""

    def __init__(self, spec: PolicySpec, tenants: int, **options: object) -> None:
        self._spec = spec
        self._options = spec.configure(**options).record(10**9)[0]
        self._memory = spec.configure().memory([()] * tenants, compiled=False)
        self._tenants = tenants
        self.mode, self.held_until = "", NEVER

    def decide(self, heads: dict[int, dict[str, int]], **machine: int) -> int:
        """Choose among the heads of the given tenants; fields not named have harmless values."""
        fields = _MACHINE | {"ready_count": len(heads), "tenant_count": self._tenants} | machine
        state = SimpleNamespace(**fields)
        records: Any = [SimpleNamespace(**(_HEAD | heads.get(t, {}))) for t in range(self._tenants)]
        for record in records:
            record.latest_start = record.deadline - record.remaining_cycles
            record.limit_cycles = min(record.limit_cycles, record.deadline)
        view = View(cast("Any", state), records, sorted(heads), [], [0] * self._tenants)
        note_patience(view)
        chosen = self._spec.choose(view, self._options, self._memory)
        self.mode, self.held_until = self._spec.modes[state.mode], state.hold_until
        return chosen


@pytest.fixture(scope="session")
def desk() -> Callable[..., Desk]:
    """The class of desks."""
    return Desk
