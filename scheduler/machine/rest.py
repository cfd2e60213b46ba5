"""The machine at rest and the rows of a model, as every simulation and static schedule begins with them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.scheduler.machine.records import record_type, records
from layerweaver.scheduler.machine.view import MACHINE, Row

if TYPE_CHECKING:
    from layerweaver.costmodel.machine import MachineSpec
    from layerweaver.scheduler.offline import ModelProfile

__all__ = ["ROW", "machine_at_rest", "row_records"]


ROW = record_type(Row)


def machine_at_rest(
    spec: MachineSpec,
    *,
    tenants: int = 0,
    models: Collection[ModelProfile] = (),
    slots: int = 1,
    compiled: bool = True,
) -> Any:
    """A machine at cycle 0 whose buffer is empty.

    Args:
        spec: The machine.
        tenants: Number of tenants.
        models: All that they run.
        slots: Places of the list of fetched rows, a power of two.
        compiled: Whether compiled code reads it.
    """
    machine = records(MACHINE, 1, compiled=compiled)[0]
    machine.rate, machine.scale = spec.bandwidth_numerator, spec.bandwidth_denominator
    machine.buffer_scaled = spec.weight_buffer_bytes * machine.scale
    machine.clock_hz = spec.clock_hz
    machine.tenant_count = tenants
    machine.one_kind = int(len({model.offline.kind for model in models}) == 1)
    machine.running, machine.mask = -1, slots - 1
    return machine


def row_records(model: ModelProfile) -> NDArray[np.void]:
    """The rows of a model, one :class:`Row` each."""
    table, machine = model.table, model.table.machine
    rate, scale = machine.bandwidth_numerator, machine.bandwidth_denominator
    rows = np.zeros(table.rows, ROW)
    rows["compute_cycles"] = table.compute_cycles
    rows["fetch_cycles"] = table.memory_cycles
    rows["dram_scaled"] = table.dram_bytes * scale
    rows["weight_scaled"] = table.weight_bytes * scale
    rows["compute_scaled"] = table.compute_cycles * rate
    beside = machine.weight_buffer_bytes * scale - rows["weight_scaled"]
    rows["inherent_scaled"] = np.maximum(0, rows["compute_scaled"] - beside)
    rows["remaining_cycles"] = model.offline.remaining_cycles[:-1]
    rows["live_bytes"] = table.live_bytes
    return rows
