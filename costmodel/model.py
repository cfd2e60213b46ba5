"""The cost model: a layer graph on an NPU, as a cost table for the scheduler and an account per layer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.array_models import ArrayWork, checked_cycles
from layerweaver.costmodel.columns import LayerColumns
from layerweaver.costmodel.config import ConvMapping, Depthwise, NpuConfig, Split
from layerweaver.costmodel.explain import CostedLayer, explain
from layerweaver.costmodel.memory import Passes, Traffic, traffic
from layerweaver.costmodel.plugins import array_model, cost_model
from layerweaver.costmodel.spills import MAX_TRAFFIC_BYTES
from layerweaver.costmodel.table import CostTable, overlapped_cycles, row_pieces, split_into_rows
from layerweaver.costmodel.tiles import tile_costs
from layerweaver.costmodel.vector_unit import mac_operations, vector_cycles, vector_operations
from layerweaver.ir import ConfigError, LayerGraph, ModelError

__all__ = ["ComputeCosts", "CostedModel", "analytical", "cost_columns", "cost_graph"]

IntArray = NDArray[np.int64]
MAX_ROWS = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class ComputeCosts:
    """What the compute engine spends on each layer; int64 arrays of shape (layers,).

    Attributes:
        array_cycles: Cycles of the matrix unit (0 where it does not take part).
        vector_cycles: Cycles of the vector unit.
        overhead_cycles: Fixed cycles.
        compute_cycles: The sum that the schedule sees: the longer of the units, plus overhead.
        vector_operations: Lane cycles of the vector unit, for energy and utilisation.
        products_on_vector: Whether the vector unit runs the layer's products (bool).
        passes: How often inputs and weights are loaded; None: once each.
    """

    array_cycles: IntArray
    vector_cycles: IntArray
    overhead_cycles: IntArray
    compute_cycles: IntArray
    vector_operations: IntArray
    products_on_vector: NDArray[np.bool_]
    passes: Passes | None = None


def array_work(columns: LayerColumns, config: NpuConfig) -> ArrayWork:
    """The products of all layers as the array sees them under the config's convolution mapping."""
    area = columns.kernel_area
    if config.array.conv_mapping is ConvMapping.IM2COL:
        area = np.ones_like(area)
    elif config.array.split is Split.TILES:
        # ONNXim folds the kernel of a grouped convolution into rows.
        area = np.where(columns.groups > 1, 1, area)
    return ArrayWork(
        m=columns.m,
        n=columns.n,
        k=columns.k // area,
        groups=columns.groups,
        kernel_passes=area,
        kernel_rows=columns.kernel_rows,
        out_rows=columns.out_rows,
        out_columns=columns.out_columns,
        weighted=columns.weighted,
        operand_bytes=max(1, (config.activation_bits or 16) // 8),
        scores=columns.scores,
        context=columns.context,
        reads=columns.conv_reads,
    )


def _sound(cycles: IntArray, work: ArrayWork, config: NpuConfig) -> IntArray:
    """What an array model returned, if it is one whole number of cycles per layer."""
    given = np.asarray(cycles)
    if given.shape != work.m.shape or given.dtype.kind not in "iu" or (given.size and int(given.min()) < 0):
        raise ConfigError(
            f"array model {config.array.dataflow!r} returned {given.dtype} of shape {given.shape}",
            where=config.name,
            accepted=f"whole numbers from 0 of shape {work.m.shape}",
        )
    return given.astype(np.int64)


def analytical(columns: LayerColumns, config: NpuConfig) -> ComputeCosts:
    """The shipped cost model: array and vector unit work side by side, fixed overhead after them.

    Work fused behind a matrix layer hides under the array unless it is the longer. A depthwise convolution
    runs on the array or the vector unit, whichever is cheaper, if the config leaves the choice.
    """
    work = array_work(columns, config)
    passes: Passes | None = None
    model = array_model(config.array.dataflow)
    if config.array.split is Split.TILES:
        tiles = tile_costs(work, config.array)
        per_step = tiles.cycles
        passes = Passes(tiles.input_passes, tiles.weight_passes)
    else:
        per_step = _sound(model(work, config.array), work, config)
    if config.array.swap_operands and passes is None:
        per_step = np.minimum(per_step, model(replace(work, m=work.n, n=work.m), config.array))
    array = np.where(columns.macs > 0, checked_cycles(per_step, columns.steps), 0)
    fused = vector_operations(columns, config.vector)
    with_products = fused + np.where(columns.depthwise, mac_operations(columns.macs, config.vector), 0)
    on_array = np.maximum(array, vector_cycles(fused, config.vector))
    on_vector = vector_cycles(with_products, config.vector)
    match config.array.depthwise:
        case Depthwise.ARRAY:
            moved = np.zeros_like(columns.depthwise)
        case Depthwise.VECTOR:
            moved = columns.depthwise
        case Depthwise.CHEAPER:
            moved = columns.depthwise & (on_vector < on_array)
    array = np.where(moved, 0, array)
    operations = np.where(moved, with_products, fused)
    vector = vector_cycles(operations, config.vector)
    busy = np.maximum(array, vector)
    overhead = np.where(busy > 0, config.overhead_cycles, 0)
    return ComputeCosts(array, vector, overhead, busy + overhead, operations, moved, passes)


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
    def layer_latency_cycles(self) -> IntArray:
        """Cold makespan of each layer alone, its pieces overlapping each other, shape (layers,)."""
        table = self.table
        pieces = np.bincount(table.layer_index, minlength=len(table.layer_names)).astype(np.int64)
        memory = self.table.machine.fetch_cycles(self.dram_bytes)
        overhead = self.compute.overhead_cycles
        return overhead + overlapped_cycles(self.compute.compute_cycles - overhead, memory, pieces)

    @property
    def layers(self) -> tuple[CostedLayer, ...]:
        """An account of every layer: its costs, what bounds it and how well it uses the machine."""
        return explain(self)


def layer_energy_pj(
    columns: LayerColumns, config: NpuConfig, compute: ComputeCosts, moved: Traffic, dram_bytes: IntArray
) -> IntArray | None:
    """Energy per layer from the config's table of picojoules, or None without one."""
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


def cost_columns(
    columns: LayerColumns, config: NpuConfig, *, activation_budget_bytes: int | None = None
) -> CostedModel:
    """Cost a graph whose columns are at hand; see :func:`cost_graph`."""
    graph = columns.graph
    pinned = graph.name in config.pinned_models
    machine = config.machine()
    compute = cost_model(config.cost_model)(columns, config)
    moved = traffic(columns, config, compute.passes, pinned=pinned)
    budget = machine.activation_buffer_bytes
    if activation_budget_bytes is not None and budget is not None:
        budget = activation_budget_bytes
    dram = moved.fixed_bytes + moved.spills.spilled_bytes(budget)
    if dram.size and int(dram.max()) > MAX_TRAFFIC_BYTES:
        raise ModelError(f"a layer moves more than {MAX_TRAFFIC_BYTES} bytes", where=graph.name)
    energy = layer_energy_pj(columns, config, compute, moved, dram)
    pieces = row_pieces(moved.weight_bytes, machine.weight_buffer_bytes)
    pieces = np.maximum(pieces, config.overlapping_pieces(dram))
    if int(pieces.sum()) > MAX_ROWS:
        raise ModelError(
            f"{graph.name} needs {int(pieces.sum())} rows, more than {MAX_ROWS}",
            accepted="give a larger weight buffer or pipeline_mb",
        )
    table = CostTable(
        model=graph.name,
        batch=graph.batch,
        machine=machine,
        compute_cycles=split_into_rows(compute.compute_cycles, pieces),
        dram_bytes=split_into_rows(dram, pieces),
        weight_bytes=split_into_rows(moved.weight_bytes, pieces),
        live_bytes=np.repeat(moved.activation_bytes, pieces),
        layer_index=np.repeat(np.arange(len(graph), dtype=np.int64), pieces),
        layer_names=tuple(layer.name for layer in graph.layers),
        activation_budget_bytes=budget,
        spills=moved.spills,
        energy_pj=None if energy is None else int(energy.sum()),
        dram_byte_pj=0.0 if config.energy is None else config.energy.dram_byte_pj,
    )
    return CostedModel(table, config, columns, compute, moved, dram, energy)


def cost_graph(
    graph: LayerGraph, npu: NpuConfig, *, activation_budget_bytes: int | None = None
) -> CostedModel:
    """Cost every layer of a graph on an NPU.

    Args:
        graph: The layers, at their batch size.
        npu: The NPU.
        activation_budget_bytes: Activation buffer to assume instead of the whole one (tenants share it);
            ignored when the config states that activations fit.

    Raises:
        ModelError: If a layer is too large for 64-bit arithmetic.
        ConfigError: If the config names an array or cost model that does not exist.
    """
    return cost_columns(LayerColumns.from_graph(graph), npu, activation_budget_bytes=activation_budget_bytes)
