"""Why a layer takes its time: what bounds it, how well it uses the machine, where it meets the roofline."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from layerweaver.costmodel.model import CostedModel

__all__ = [
    "Bound",
    "CostedLayer",
    "Roofline",
    "Unit",
    "costed_document",
    "explain",
    "roofline",
]


class Bound(StrEnum):
    """What a layer waits for longest when it runs alone."""

    ARRAY = "array"
    VECTOR = "vector"
    DRAM = "dram"
    OVERHEAD = "overhead"
    NOTHING = "nothing"


class Unit(StrEnum):
    """Which unit runs a layer's main work."""

    ARRAY = "array"
    VECTOR = "vector"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class CostedLayer:
    """The account of one layer.

    Attributes:
        name: Layer name.
        compute_cycles: Cycles on the compute engine, overhead included.
        memory_cycles: Cycles of the DRAM channel: the sum over the layer's table rows.
        array_cycles: Cycles of the matrix unit.
        vector_cycles: Cycles of the vector unit.
        overhead_cycles: Fixed cycles.
        dram_bytes: DRAM traffic in whole bursts.
        weight_bytes: Weights in the weight buffer.
        bound_by: The longest of array, vector, DRAM and overhead.
        unit: The unit that runs the layer's products, or its vector work if it has none.
        utilization: Share of that unit's peak over ``compute_cycles``, 0 to 1.
        arithmetic_intensity: Operations (2 per multiply-accumulate) per DRAM byte; None without traffic.
        energy_pj: Energy in picojoules; None without an energy table.
    """

    name: str
    compute_cycles: int
    memory_cycles: int
    array_cycles: int
    vector_cycles: int
    overhead_cycles: int
    dram_bytes: int
    weight_bytes: int
    bound_by: Bound
    unit: Unit
    utilization: float
    arithmetic_intensity: float | None
    energy_pj: int | None


@dataclass(frozen=True, slots=True)
class Roofline:
    """Where a model lies under the roofline of an NPU.

    Attributes:
        arithmetic_intensity: Operations per DRAM byte; None without traffic.
        ridge_ops_per_byte: Intensity at which the machine is balanced.
        bound: ``compute`` or ``memory``: which roof is above the model's intensity. What it waits for on this
            NPU, whose arrays lose some of their peak, its cycles tell.
        attainable_tops: Roof at the model's intensity, 10^12 operations per second.
        achieved_tops: Operations over the longer of total compute and total memory time.
        peak_tops: The flat roof.
        dram_gb_s: Slope of the other roof, 10^9 bytes per second.
        clock_hz: Cycles per second, to place single layers.
    """

    arithmetic_intensity: float | None
    ridge_ops_per_byte: float
    bound: str
    attainable_tops: float
    achieved_tops: float
    peak_tops: float
    dram_gb_s: float
    clock_hz: int


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def explain(costed: CostedModel) -> tuple[CostedLayer, ...]:
    """The account of every layer, in execution order."""
    columns, compute, config = costed.columns, costed.compute, costed.config
    memory = np.zeros(len(columns.graph), dtype=np.int64)
    np.add.at(memory, costed.table.layer_index, costed.table.memory_cycles)
    operations, moved = 2 * columns.macs, costed.moved_bytes
    accounts = []
    for index, layer in enumerate(columns.graph.layers):
        array, vector = int(compute.array_cycles[index]), int(compute.vector_cycles[index])
        overhead, cycles = int(compute.overhead_cycles[index]), int(compute.compute_cycles[index])
        waits = {
            Bound.ARRAY: array,
            Bound.VECTOR: vector,
            Bound.DRAM: int(memory[index]),
            Bound.OVERHEAD: overhead,
        }
        bound = max(waits, key=lambda cause: waits[cause])
        if array:
            unit = Unit.ARRAY
            used = _ratio(float(columns.macs[index]), float(cycles) * config.array.macs_per_cycle)
        else:
            unit = Unit.VECTOR if vector else Unit.NONE
            used = _ratio(float(compute.vector_operations[index]), float(cycles) * config.vector.lanes)
        dram = int(moved[index])
        accounts.append(
            CostedLayer(
                name=layer.name,
                compute_cycles=cycles,
                memory_cycles=int(memory[index]),
                array_cycles=array,
                vector_cycles=vector,
                overhead_cycles=overhead,
                dram_bytes=dram,
                weight_bytes=int(costed.traffic.weight_bytes[index]),
                bound_by=bound if waits[bound] else Bound.NOTHING,
                unit=unit,
                utilization=min(1.0, used),
                arithmetic_intensity=float(operations[index]) / dram if dram else None,
                energy_pj=None if costed.energy_pj is None else int(costed.energy_pj[index]),
            )
        )
    return tuple(accounts)


def roofline(costed: CostedModel) -> Roofline:
    """The roofline position of the whole model."""
    config = costed.config
    operations = 2.0 * float(costed.columns.macs.sum())
    dram = float(costed.moved_bytes.sum())
    bandwidth = config.effective_bandwidth_bytes_per_s
    intensity = operations / dram if dram else None
    peak = config.computed_peak_tops
    ridge = config.ridge_ops_per_byte
    attainable = peak if intensity is None else min(peak, intensity * bandwidth / 1e12)
    compute, memory = int(costed.table.compute_cycles.sum()), int(costed.table.memory_cycles.sum())
    seconds = max(compute, memory) / config.clock_hz
    return Roofline(
        arithmetic_intensity=intensity,
        ridge_ops_per_byte=ridge,
        bound="memory" if intensity is not None and intensity < ridge else "compute",
        attainable_tops=attainable,
        achieved_tops=_ratio(operations, seconds) / 1e12,
        peak_tops=peak,
        dram_gb_s=bandwidth / 1e9,
        clock_hz=config.clock_hz,
    )


def _pieces(costed: CostedModel) -> list[dict[str, Any]]:
    """Compute and memory cycles of the rows of every layer, which run one after the other."""
    table = costed.table
    ends = np.cumsum(np.bincount(table.layer_index, minlength=len(table.layer_names)))[:-1]
    compute, memory = np.split(table.compute_cycles, ends), np.split(table.memory_cycles, ends)
    return [
        {"piece_compute_cycles": one.tolist(), "piece_memory_cycles": other.tolist()}
        for one, other in zip(compute, memory, strict=True)
    ]


def costed_document(costed: CostedModel, *, pieces: bool = False) -> dict[str, Any]:
    """Costs as plain data: ``layers`` (in execution order), ``totals`` and ``roofline``.

    With ``pieces`` every layer has the cycles of its rows, too. Totals leave ``standalone_cycles`` to the
    caller, who has the offline tables.
    """
    table, energy = costed.table, costed.config.energy
    totals: dict[str, Any] = {
        "compute_cycles": int(table.compute_cycles.sum()),
        "memory_cycles": int(table.memory_cycles.sum()),
        "dram_bytes": int(costed.moved_bytes.sum()),
        "energy_j": None if table.energy_pj is None else table.energy_pj * 1e-12,
        **({} if table.energy_pj is None or energy is None else {"energy_counts": energy.counts}),
    }
    layers = [
        {key: value for key, value in asdict(layer).items() if key not in ("name", "weight_bytes")}
        for layer in explain(costed)
    ]
    if pieces:
        layers = [layer | rows for layer, rows in zip(layers, _pieces(costed), strict=True)]
    return {
        "npu": costed.config.name,
        "layers": layers,
        "totals": totals,
        "roofline": asdict(roofline(costed)),
    }
