"""The cost model: a layer graph on an NPU, as a cost table for the scheduler and an account per layer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.columns import LayerColumns
from layerweaver.costmodel.compute.analytical import ComputeCosts
from layerweaver.costmodel.cutting import cut_layers, cut_rows
from layerweaver.costmodel.dram import Traffic, check_pinned, pinned_bytes, traffic
from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.costmodel.npu.reading import NpuRef, load_npu
from layerweaver.costmodel.plugins import COST_MODELS
from layerweaver.costmodel.table import CostTable, overlapped_cycles, row_pieces, split_into_rows
from layerweaver.ir import ConfigError, LayerGraph, ModelError
from layerweaver.ir.given import check_given, given_count, given_number
from layerweaver.ir.limits import MAX_QUANTITY, MAX_ROWS
from layerweaver.ir.units import ceil_div

__all__ = ["CostedModel", "compute_costs", "cost_columns", "cost_graph", "cost_model", "in_rows"]


def cost_model(name: str) -> Callable[[LayerColumns, NpuConfig], ComputeCosts]:
    """The cost model of a name.

    Raises:
        ConfigError: As :func:`array_model`.
    """
    model: Callable[[LayerColumns, NpuConfig], ComputeCosts] = COST_MODELS.load(name)
    return model


_FAULTS = (ArithmeticError, AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError)


def compute_costs(columns: LayerColumns, config: NpuConfig) -> ComputeCosts:
    """What the config's cost model says of some layers, if it is whole numbers of cycles.

    Raises:
        ConfigError: If there is no such model, or it fails or returns anything else.
    """
    model, layers = cost_model(config.cost_model), len(columns.graph)
    try:
        costs = model(columns, config)
        given = np.asarray([costs.compute_cycles, costs.overhead_cycles])
    except _FAULTS as error:
        raise ConfigError(
            f"cost model {config.cost_model!r} fails ({type(error).__name__}: {error})",
            where=f"{config.name}: {columns.graph.name}",
            accepted="mend the package that provides it, or name another cost_model",
        ) from error
    if given.shape != (2, layers) or given.dtype.kind not in "iu" or given.min(initial=0) < 0:
        raise ConfigError(
            f"cost model {config.cost_model!r} returned {given.dtype} of shape {given.shape[1:]}",
            where=config.name,
            accepted=f"whole numbers from 0 of shape ({layers},)",
        )
    return costs


IntArray = NDArray[np.int64]
_LONGEST_US = 1e12
_TIME_US = "give microseconds, above 0"
PIECES_PER_BUFFER = 4
"""Rows that a weight buffer holds of a layer which waits for its own transfers (*ours*)."""


@dataclass(frozen=True, slots=True, eq=False)
class CostedModel:
    """A model with its costs on one NPU.

    Attributes:
        table: What the scheduler sees.
        config: The NPU.
        columns: The layers.
        compute: Compute costs per layer.
        traffic: DRAM traffic per layer, without spills.
        dram_bytes: DRAM traffic per layer with spills, shape (layers,).
        energy_pj: Energy per layer in picojoules, shape (layers,), or None without an energy table.
    """

    table: CostTable
    config: NpuConfig
    columns: LayerColumns
    compute: ComputeCosts
    traffic: Traffic
    dram_bytes: IntArray
    energy_pj: IntArray | None

    @property
    def moved_bytes(self) -> IntArray:
        """Bytes per layer that DRAM moves, in whole bursts: the traffic without the latency of requests."""
        return self.dram_bytes - self.table.waited_bytes

    @property
    def layer_latency_cycles(self) -> IntArray:
        """Cold makespan of each layer alone, its pieces overlapping each other, shape (layers,)."""
        table = self.table
        pieces = np.bincount(table.layer_index, minlength=len(table.layer_names)).astype(np.int64)
        if self.config.overlap is not None:
            return self.compute.compute_cycles
        memory = self.table.machine.fetch_cycles(self.dram_bytes)
        after = self.compute.overhead_cycles
        if self.config.vector.beside_array is False:
            after = after + np.where(self.compute.array_cycles > 0, self.compute.vector_cycles, 0)
        return after + overlapped_cycles(self.compute.compute_cycles - after, memory, pieces)


def layer_energy_pj(
    columns: LayerColumns, config: NpuConfig, compute: ComputeCosts, moved: Traffic, dram_bytes: IntArray
) -> IntArray | None:
    """Energy per layer from the config's table of picojoules, or None without one.

    ``dram_bytes`` are those of data, without what stands for the DRAM's latency.
    """
    if config.energy is None:
        return None
    table = config.energy
    on_chip = moved.weight_bytes + moved.input_bytes + moved.output_bytes
    energy: NDArray[np.float64] = (
        columns.macs * table.mac_pj
        + compute.vector_operations * table.vector_op_pj
        + dram_bytes * table.dram_byte_pj
        + on_chip * table.sram_byte_pj
    )
    if energy.size and float(energy.max()) > 2**53:
        raise ModelError("a layer takes more than 2^53 picojoules", where=columns.graph.name)
    rounded: IntArray = np.rint(energy).astype(np.int64)
    return rounded


def _waiting(
    compute: ComputeCosts, dram_bytes: IntArray, last_bytes: IntArray | None, config: NpuConfig
) -> ComputeCosts:
    """Compute costs with the transfers that a layer waits for; some of them may follow its computation."""
    assert config.overlap is not None
    fetch_cycles = config.machine().fetch_cycles
    last = np.zeros_like(dram_bytes) if last_bytes is None else last_bytes
    beside = fetch_cycles(dram_bytes - last)
    least = ceil_div(round((config.shortest_load_us or 0.0) * config.clock_hz), 10**6)
    beside = np.where(dram_bytes > last, np.maximum(beside, least), 0)
    head = fetch_cycles(np.array([round((config.overlap_from_mb or 0.0) * 10**6)], np.int64))
    return compute.waiting(beside, config.overlap, head_cycles=int(head[0]), tail_cycles=fetch_cycles(last))


def in_rows(
    compute: ComputeCosts,
    weight_bytes: IntArray,
    dram_bytes: IntArray,
    stored_bytes: IntArray,
    config: NpuConfig,
) -> tuple[ComputeCosts, IntArray]:
    """Compute costs with what a layer waits for its own transfers, and the rows that each layer takes.

    Args:
        compute: Compute costs per layer.
        weight_bytes: Weights per layer as they lie in the weight buffer.
        dram_bytes: Traffic per layer.
        stored_bytes: Activations of it that are written.
        config: The NPU.
    """
    machine = config.machine()
    pieces = row_pieces(weight_bytes, machine.weight_buffer_bytes)
    if config.overlap is not None:
        compute = _waiting(compute, dram_bytes, stored_bytes if config.stores_last else None, config)
        # A layer waits for its transfers itself: rows small enough to follow each other without a wait more.
        pieces = np.maximum(1, -(-PIECES_PER_BUFFER * weight_bytes // machine.weight_buffer_bytes))
    return compute, np.maximum(pieces, config.overlapping_pieces(dram_bytes))


def cost_columns(
    columns: LayerColumns,
    config: NpuConfig,
    *,
    activation_budget_bytes: int | None = None,
    longest_us: float | None = None,
) -> CostedModel:
    """Cost a graph whose columns are at hand; see :func:`cost_graph`."""
    graph = columns.graph
    pinned = config.pin_of(graph.name) is not None
    check_pinned({graph.name: pinned_bytes(graph, config)}, config)
    machine = config.machine()
    compute = compute_costs(columns, config)
    moved = traffic(columns, config, compute.passes, pinned=pinned)
    budget = machine.activation_buffer_bytes
    if activation_budget_bytes is not None and budget is not None:
        budget = activation_budget_bytes
    dram = moved.fixed_bytes + moved.spills.spilled_bytes(budget)
    if dram.size and int(dram.max()) > MAX_QUANTITY:
        raise ModelError(f"a layer moves more than {MAX_QUANTITY} bytes", where=graph.name)
    waited = moved.waited_bytes(budget)
    energy = layer_energy_pj(columns, config, compute, moved, dram - waited)
    compute, pieces = in_rows(compute, moved.weight_bytes, dram, moved.stored_bytes(budget), config)
    if int(pieces.sum()) > MAX_ROWS:
        raise ModelError(
            f"{graph.name} needs {int(pieces.sum())} rows, more than {MAX_ROWS}",
            accepted="give a larger weight buffer or pipeline_mb",
        )
    weights = split_into_rows(moved.weight_bytes, pieces)
    dram_rows, cycles = split_into_rows(dram, pieces), split_into_rows(compute.compute_cycles, pieces)
    if longest_us is not None:
        longest_cycles = int(longest_us * machine.clock_hz // 10**6)
        cuts = cut_layers(
            columns,
            lambda part: compute_costs(part, config),
            compute,
            weight_bytes=moved.weight_bytes,
            dram_bytes=dram,
            machine=machine,
            longest_cycles=longest_cycles,
        )
        pieces, cycles, weights, dram_rows = cut_rows(cuts, pieces, cycles, moved.weight_bytes, dram)
        compute = replace(
            compute,
            compute_cycles=np.bincount(np.repeat(np.arange(len(graph)), pieces), cycles).astype(np.int64),
            overhead_cycles=np.where(cuts.pieces > 1, cuts.pieces, 1) * compute.overhead_cycles,
        )
    table = CostTable(
        model=graph.name,
        batch=graph.batch,
        machine=machine,
        compute_cycles=cycles,
        dram_bytes=dram_rows,
        weight_bytes=weights,
        live_bytes=np.repeat(moved.activation_bytes, pieces),
        layer_index=np.repeat(np.arange(len(graph), dtype=np.int64), pieces),
        layer_names=tuple(layer.name for layer in graph.layers),
        activation_budget_bytes=budget,
        spills=moved.spills,
        latency=moved.latency,
        energy_pj=None if energy is None else int(energy.sum()),
        dram_byte_pj=0.0 if config.energy is None else config.energy.dram_byte_pj,
    )
    return CostedModel(table, config, columns, compute, moved, dram, energy)


def cost_graph(
    graph: LayerGraph,
    npu: NpuRef,
    *,
    activation_budget_bytes: int | None = None,
    longest_us: float | None = None,
) -> CostedModel:
    """Cost every layer of a graph on an NPU.

    Args:
        graph: The layers, at their batch size.
        npu: The NPU: a config, a shipped name, the path of a YAML file, or a mapping.
        activation_budget_bytes: Activation buffer to assume instead of the whole one (tenants share it);
            ignored when the config states that activations fit.
        longest_us: Layers whose rows take longer are cut (:mod:`layerweaver.costmodel.cutting`); None: none.

    Raises:
        ModelError: If it is no graph, or a layer is too large for 64-bit arithmetic.
        ConfigError: If the config is wrong, names an array or cost model that does not exist, or pins more
            weights than the weight buffer holds.
    """
    check_given(graph, LayerGraph, ModelError, "give a layer graph, as import_model makes")
    if activation_budget_bytes is not None:
        activation_budget_bytes = given_count(
            "activation_budget_bytes", activation_budget_bytes, ModelError, least=0, most=MAX_QUANTITY
        )
    if longest_us is not None:
        longest_us = given_number("longest_us", longest_us, ModelError, _TIME_US)
        if not 0 < longest_us < _LONGEST_US:
            raise ModelError(f"longest_us {longest_us:g} is not accepted", accepted=_TIME_US)
    return cost_columns(
        _columns(graph), load_npu(npu), activation_budget_bytes=activation_budget_bytes, longest_us=longest_us
    )


@functools.lru_cache(maxsize=16)
def _columns(graph: LayerGraph) -> LayerColumns:
    """A graph that is costed on many NPUs is read once."""
    return LayerColumns.from_graph(graph)
