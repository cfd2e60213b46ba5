"""What networks ask of a machine, flat over the layers of all of them, so that a fit costs them in one go.

The prediction here is the cost model's, without rounding to whole cycles: a config with ``overlap`` holds a
layer until its own transfers are done, so a network takes the sum over its layers; without it transfers run
ahead (:mod:`layerweaver.costmodel.calibration.ahead`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.calibration.ahead import ahead_cycles
from layerweaver.costmodel.columns import CATEGORIES, LayerColumns
from layerweaver.costmodel.compute.analytical import analytical
from layerweaver.costmodel.compute.host import HostWork
from layerweaver.costmodel.compute.vector import charged_works, cycles_per_operand
from layerweaver.costmodel.dram import traffic
from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.costmodel.npu.sections import VectorConfig
from layerweaver.costmodel.table import row_pieces

__all__ = ["NetworkWork"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class NetworkWork:
    """Work of the layers of several networks on one machine, shape (layers of all,) unless said otherwise.

    Attributes:
        config: The machine.
        first: First layer of each network, shape (networks,).
        whole: Whether each is a whole inference (bool), not one layer of it, shape (networks,).
        array_cycles: Cycles of the matrix unit at its full rate.
        depthwise: Whether the layer is a depthwise convolution (bool).
        on_vector: Whether the vector unit runs it where no rate of its own is given (bool).
        macs: Multiply-accumulates.
        operands: Vector operands per category, shape (layers, categories).
        fixed_bytes: Traffic that moves in any case.
        spilled_bytes: Activation traffic of layers that spill, 0 elsewhere.
        resting_bytes: Activation traffic of layers that do not.
        activation_bytes: Inputs read and outputs written once.
        output_bytes: Outputs written once.
        stored_bytes: Outputs that layers write to DRAM.
        weight_bytes: Weights.
        pieces: Rows of each layer whose transfers run ahead (int).
        host_elements: Operands of operators that fall back to the host.
        host_calls: Calls of the host.
        abreast: Layers that share an overhead where the config says so.
    """

    config: NpuConfig
    first: NDArray[np.int64]
    whole: BoolArray
    array_cycles: FloatArray
    depthwise: BoolArray
    on_vector: BoolArray
    macs: FloatArray
    operands: FloatArray
    fixed_bytes: FloatArray
    spilled_bytes: FloatArray
    resting_bytes: FloatArray
    activation_bytes: FloatArray
    output_bytes: FloatArray
    stored_bytes: FloatArray
    weight_bytes: FloatArray
    pieces: NDArray[np.int64]
    host_elements: FloatArray
    host_calls: FloatArray
    abreast: FloatArray

    @classmethod
    def collect(cls, networks: Sequence[tuple[LayerColumns, int | None]], config: NpuConfig) -> Self:
        """Read the work of networks off their columns.

        Args:
            networks: Columns of each, and the index of the layer where only one is meant.
            config: The machine.
        """
        bare = _bare(config)
        read = functools.cache(lambda columns: _part(columns, bare))
        parts = [_of_layer(read(columns), layer) for columns, layer in networks]
        merged = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return cls(
            config=config,
            first=np.cumsum([0, *(len(part["macs"]) for part in parts)])[:-1],
            whole=np.array([layer is None for _, layer in networks]),
            **merged,
        )

    def per_network(self, values: FloatArray) -> FloatArray:
        """Sum over the layers of each network."""
        total: FloatArray = np.add.reduceat(values, self.first)
        return total

    def latency_ms(self, values: Mapping[str, float]) -> FloatArray:
        """Latency of each network, shape (networks,).

        Args:
            values: Parameters by name; what is not named is as in the config.
        """
        config = self.config
        vector_cycles = self.operands @ _category_cycles(config.vector, values)
        vector_cycles = vector_cycles / (
            config.vector.lanes * _value(values, "vector.speed", config.vector.speed or 1.0)
        )
        array = self.array_cycles / _value(values, "array.efficiency", config.array.efficiency or 1.0)
        rate = values.get("array.depthwise_macs_per_cycle", config.array.depthwise_macs_per_cycle)
        if rate is not None:
            array = np.where(self.depthwise, self.macs / rate, array)
        else:
            on_vector = self.macs * config.vector.mac_cycles / config.vector.lanes
            array = np.where(self.on_vector, on_vector, array)
        if config.vector.beside_array is False:
            busy = array + vector_cycles
        else:
            busy = np.maximum(array, vector_cycles)
        bytes_per_cycle = config.dram.bandwidth_gb_s * 1e9 / config.clock_hz
        bytes_per_cycle = bytes_per_cycle * _value(values, "dram.efficiency", config.dram.efficiency)
        share = _value(values, "activations_in_dram_share", config.activations_in_dram_share or 0.0)
        resting = np.maximum(self.resting_bytes, share * self.activation_bytes)
        moved = self.fixed_bytes + np.where(self.spilled_bytes > 0, self.spilled_bytes, resting)
        fixed = _value(values, "overhead_cycles", config.overhead_cycles)
        fixed_cycles = fixed / self.abreast if config.shared_overheads else fixed
        after = np.where(busy > 0, fixed_cycles, 0.0)
        if config.host is not None:
            per_element = _value(values, "host.ns_per_element", config.host.ns_per_element)
            per_call = _value(values, "host.overhead_us", config.host.overhead_us)
            seconds = self.host_elements * per_element * 1e-9 + self.host_calls * per_call * 1e-6
            after = after + seconds * config.clock_hz
        overlap = values.get("overlap", config.overlap)
        if overlap is None:
            room = self.weight_bytes / bytes_per_cycle
            buffer = config.machine().weight_buffer_bytes / bytes_per_cycle
            cycles = np.stack([moved / bytes_per_cycle, busy + after])
            total = ahead_cycles(self.first, self.pieces, cycles, room, buffer)
        else:
            stored = self._stored_last(share) if config.stores_last else np.zeros_like(moved)
            loads, stores = (moved - stored) / bytes_per_cycle, stored / bytes_per_cycle
            least = (config.shortest_load_us or 0.0) * config.clock_hz / 1e6
            loads = np.where(loads > 0, np.maximum(loads, least), 0.0)
            shorter = np.minimum(busy, loads)
            first = np.minimum(shorter, (config.overlap_from_mb or 0.0) * 1e6 / bytes_per_cycle)
            total = self.per_network(busy + loads - (shorter - first) * overlap + stores + after)
        overhead_ms = _value(values, "inference_overhead_us", config.inference_overhead_us or 0.0) / 1e3
        return total * (1e3 / config.clock_hz) + np.where(self.whole, overhead_ms, 0.0)

    def _stored_last(self, share: float) -> FloatArray:
        """Bytes that layers write to DRAM when they have computed, where that share of activations moves."""
        by_share = (self.spilled_bytes == 0) & (share * self.activation_bytes > self.resting_bytes)
        return np.where(by_share, share * self.output_bytes, self.stored_bytes)


def _value(values: Mapping[str, float], name: str, otherwise: float) -> float:
    found = values.get(name)
    return otherwise if found is None else found


def _category_cycles(vector: VectorConfig, values: Mapping[str, float]) -> FloatArray:
    changed = {
        field: values[f"vector.{field}"] for field in VectorConfig.model_fields if f"vector.{field}" in values
    }
    costs = cycles_per_operand(vector.model_copy(update=changed))
    return np.array([costs[category] for category in CATEGORIES])


def _bare(config: NpuConfig) -> NpuConfig:
    """The config without the rates that a prediction divides by."""
    array = config.array.model_copy(update={"efficiency": None, "depthwise_macs_per_cycle": None})
    vector = config.vector.model_copy(update={"speed": None})
    return config.model_copy(
        update={
            "array": array,
            "vector": vector,
            "activations_in_dram_share": None,
            "inference_overhead_us": None,
            "overhead_cycles": 0,
            "overlap": None,
        }
    )


def _of_layer(part: dict[str, NDArray[Any]], layer: int | None) -> dict[str, NDArray[Any]]:
    if layer is None:
        return part
    return {name: values[layer : layer + 1] for name, values in part.items()}


def _part(columns: LayerColumns, bare: NpuConfig) -> dict[str, NDArray[Any]]:
    compute = analytical(columns, bare)
    on_array = bare.model_copy(update={"array": bare.array.model_copy(update={"depthwise": "array"})})
    moved = traffic(columns, bare, compute.passes, pinned=bare.pin_of(columns.graph.name) is not None)
    spills = moved.spills
    budget = bare.activation_buffer_bytes
    spilled = spills.spilled_bytes(budget)
    if budget is None:
        spilled = np.zeros_like(spilled)
    operands = np.zeros((len(columns.graph), len(CATEGORIES)))
    host = HostWork.split(columns, bare.host)
    vector = charged_works(host.rest, bare.vector)
    np.add.at(operands, (vector.layer, vector.category), vector.operands)
    return {
        "array_cycles": analytical(columns, on_array).array_cycles.astype(np.float64),
        "depthwise": columns.depthwise,
        "on_vector": compute.products_on_vector,
        "macs": columns.macs.astype(np.float64),
        "operands": operands,
        "fixed_bytes": moved.fixed_bytes.astype(np.float64),
        "spilled_bytes": np.where(spills.live_bytes > (budget or 0), spilled, 0).astype(np.float64),
        "resting_bytes": spills.resting_bytes.astype(np.float64),
        "activation_bytes": (spills.input_bytes + spills.output_bytes).astype(np.float64),
        "output_bytes": spills.output_bytes.astype(np.float64),
        "stored_bytes": moved.stored_bytes(budget).astype(np.float64),
        "weight_bytes": moved.weight_bytes.astype(np.float64),
        "pieces": np.maximum(
            row_pieces(moved.weight_bytes, bare.machine().weight_buffer_bytes),
            bare.overlapping_pieces(moved.fixed_bytes + spilled),
        ),
        "host_elements": host.elements.astype(np.float64),
        "host_calls": host.calls.astype(np.float64),
        "abreast": columns.abreast.astype(np.float64),
    }
