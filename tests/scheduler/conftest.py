"""Small machines and models for the scheduler's tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from layerweaver.costmodel.table import CostTable, MachineSpec
from layerweaver.scheduler.offline import ModelProfile, build_offline

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
