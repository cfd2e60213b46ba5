"""The shipped compute model: array and vector unit side by side, depthwise on the cheaper of the two."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.columns import LayerColumns
from layerweaver.costmodel.compute.arrays import ArrayWork, array_model, checked_cycles
from layerweaver.costmodel.compute.host import HostWork
from layerweaver.costmodel.compute.tiles import tile_costs
from layerweaver.costmodel.compute.vector import mac_operations, vector_cycles, vector_operations
from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.costmodel.npu.fields import ConvMapping, Depthwise, Split
from layerweaver.ir import ConfigError

__all__ = ["ComputeCosts", "Passes", "analytical", "product_cycles"]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Passes:
    """How often a compute model loads the operands of each layer; int64 arrays of shape (layers,).

    Attributes:
        inputs: Passes over the streamed operand, a layer's first input, where it comes from DRAM.
        weights: Passes over the weights.
    """

    inputs: IntArray
    weights: IntArray

    @classmethod
    def once(cls, layers: int) -> Self:
        """Everything once."""
        one = np.ones(layers, dtype=np.int64)
        return cls(one, one)


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

    def waiting(
        self,
        transfer_cycles: IntArray,
        overlap: float,
        *,
        head_cycles: int = 0,
        tail_cycles: IntArray | int = 0,
    ) -> Self:
        """The same with each layer on the compute engine until its own transfers are done.

        Args:
            transfer_cycles: Cycles of each layer's transfers beside its computation, shape (layers,).
            overlap: Share of the shorter of compute and transfers that runs beside the longer.
            head_cycles: Transfers that are in before a layer computes.
            tail_cycles: Transfers that follow the computation, shape (layers,).
        """
        busy = self.compute_cycles - self.overhead_cycles
        shorter = np.minimum(busy, transfer_cycles)
        head = np.minimum(shorter, head_cycles)
        alone = head + np.ceil((1 - overlap) * (shorter - head)).astype(np.int64) + tail_cycles
        return replace(self, compute_cycles=np.maximum(busy, transfer_cycles) + alone + self.overhead_cycles)


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


def _core_passes(columns: LayerColumns, config: NpuConfig) -> Passes | None:
    """How often the cores together load operands: the smaller one of a product with weights once each.

    Groups are divided among the cores, operands and all.
    """
    cores, once = config.array.cores, Passes.once(len(columns.graph))
    if cores is None:
        return None
    streamed = columns.inputs.first_of_layer(columns.inputs.tensor_bytes(config.activation_bits))
    held = columns.weights.per_layer(columns.weights.tensor_bytes(config.weight_bits))
    divided = columns.matrix & columns.weighted & (columns.groups == 1)
    return Passes(
        np.where(divided & (streamed < held), cores, once.inputs),
        np.where(divided & (held <= streamed), cores, once.weights),
    )


def product_cycles(work: ArrayWork, config: NpuConfig) -> IntArray:
    """Cycles of one step of every layer's products, without tiles, transposed where that is shorter."""
    model = array_model(config.array.dataflow)
    per_step = _sound(model(work, config.array), work, config)
    if config.array.swap_operands:
        per_step = np.minimum(per_step, model(replace(work, m=work.n, n=work.m), config.array))
    return per_step


def _at_measured_rates(array: IntArray, columns: LayerColumns, config: NpuConfig) -> IntArray:
    """Array cycles at the rates that a config states beyond its geometry."""
    unit = config.array
    if unit.fold_losses is False:
        array = -(-columns.macs // unit.macs_per_cycle)
    if unit.efficiency is not None:
        array = np.ceil(array / unit.efficiency).astype(np.int64)
    if unit.depthwise_macs_per_cycle is not None:
        own = np.ceil(columns.macs / unit.depthwise_macs_per_cycle).astype(np.int64)
        array = np.where(columns.depthwise, own, array)
    return array


def analytical(columns: LayerColumns, config: NpuConfig) -> ComputeCosts:
    """The shipped cost model: array and vector unit work side by side, fixed overhead after them.

    Work fused behind a matrix layer hides under the array unless it is the longer. A depthwise convolution
    runs on the array or the vector unit, whichever is cheaper, if the config leaves the choice.
    """
    work = array_work(columns, config)
    host = HostWork.split(columns, config.host)
    passes = _core_passes(columns, config)
    if config.array.split is Split.TILES:
        tiles = tile_costs(work, config.array)
        per_step = tiles.cycles
        passes = Passes(tiles.input_passes, tiles.weight_passes)
    else:
        per_step = product_cycles(work, config)
    array = np.where(columns.macs > 0, checked_cycles(per_step, columns.steps), 0)
    array = _at_measured_rates(array, columns, config)
    fused = vector_operations(host.rest, config.vector)
    with_products = fused + np.where(columns.depthwise, mac_operations(columns.macs, config.vector), 0)
    on_array = np.maximum(array, vector_cycles(fused, config.vector))
    on_vector = vector_cycles(with_products, config.vector)
    match config.array.depthwise:
        case _ if config.array.depthwise_macs_per_cycle is not None:
            moved = np.zeros_like(columns.depthwise)
        case Depthwise.ARRAY:
            moved = np.zeros_like(columns.depthwise)
        case Depthwise.VECTOR:
            moved = columns.depthwise
        case Depthwise.CHEAPER:
            moved = columns.depthwise & (on_vector < on_array)
    array = np.where(moved, 0, array)
    operations = np.where(moved, with_products, fused)
    vector = vector_cycles(operations, config.vector)
    busy = array + vector if config.vector.beside_array is False else np.maximum(array, vector)
    fixed = np.full_like(busy, config.overhead_cycles)
    if config.shared_overheads:
        fixed = -(-fixed // columns.abreast)
    overhead = np.where(busy > 0, fixed, 0) + host.cycles(config.host, config.clock_hz)
    overhead[-1:] += config.inference_overhead_cycles
    return ComputeCosts(array, vector, overhead, busy + overhead, operations, moved, passes)
