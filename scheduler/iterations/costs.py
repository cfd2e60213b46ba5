"""What the rows of an iteration cost on one NPU, as tables and integers that compiled code reads.

NPUs whose rules compiled code does not know have their rows priced one iteration at a time
(:mod:`layerweaver.scheduler.iterations.pricer`). Of all others, products with weights are tabulated by the
NPU's array model for every number of tokens; everything else is counted from the polynomials when an
iteration is planned, by the same rules as of any other model (:mod:`layerweaver.costmodel`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.compute.analytical import product_cycles
from layerweaver.costmodel.compute.arrays import ArrayWork
from layerweaver.costmodel.compute.vector import category_costs
from layerweaver.costmodel.dram import check_pinned, compressed_bytes
from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.costmodel.npu.fields import ActivationsInDram, Split
from layerweaver.ir import ceil_div
from layerweaver.scheduler.iterations.costed import IterationCosts, PricedCosts
from layerweaver.scheduler.iterations.energy import energy_rates
from layerweaver.scheduler.iterations.pricer import RowPricer
from layerweaver.scheduler.iterations.rows import BY, FEATURES, IterationRow, IterationRows, Term

__all__ = ["RANGES", "iteration_costs"]

IntArray = NDArray[np.int64]

RANGES = ("vector", "gathers", "reads", "writes", "inputs", "outputs", "entering", "leaving", "live")
"""Terms of a row, in the order in which they lie; of those alive the first is of what no window bounds."""

_FLOWS = ("ws", "is", "os", "mac_grid")
_SPLITS = (Split.FOLDS, Split.CHANNELS, Split.ROWS)
_RESTING = {ActivationsInDram.SPILLED: 0, ActivationsInDram.GRAPH_IO: 1, ActivationsInDram.ALL: 2}


def iteration_costs(
    rows: IterationRows, config: NpuConfig, *, tokens: int, sequences: int, cache_bits: int
) -> IterationCosts | PricedCosts:
    """Cost a decoder's rows on an NPU: in advance where compiled code knows its rules, else as they come.

    Args:
        rows: The decoder.
        config: The NPU.
        tokens: Most tokens of an iteration.
        sequences: Most sequences of an iteration.
        cache_bits: Bits of an element of keys and values.

    Raises:
        ConfigError: If the NPU's cost model does not exist, or pins more than the weight buffer holds.
    """
    pinned = config.pin_of(rows.name) is not None
    parameter_bits = sum(elements * (config.weight_bits or width) for elements, width in rows.parameter_bits)
    parameter_bytes = ceil_div(parameter_bits, 8)
    check_pinned({rows.name: parameter_bytes if pinned else 0}, config)
    every = [row for kind in rows.kinds for row in kind]
    resting, traffic, requests = zip(*(_weights(row, config, pinned=pinned) for row in every), strict=True)
    weight_bytes = np.array(resting, np.int64)
    energy = None
    if config.cost_model == "analytical":
        energy = energy_rates(rows, weight_bytes, config)
    untold = config.energy is not None and energy is None
    notes, windows = [*rows.notes], rows.windows
    if untold:
        notes.append("its energy is not counted")
    cached = rows.cache_elements * cache_bits
    if not _is_tabulated(config):
        return PricedCosts(
            layer_names=rows.layer_names,
            row_index=np.arange(len(rows.row_index), dtype=np.int64),
            distinct=len(rows.row_index),
            settings={},
            parameter_bytes=parameter_bytes,
            cache_bits=cached,
            notes=tuple(notes),
            windows=windows,
            longest=rows.longest,
            ends=rows.ends,
            energy=energy,
            pricer=RowPricer(rows, config, cache_bits),
        )
    tables, pieces, length = [], list[IntArray](), 0
    known: dict[tuple[object, ...], int] = {}
    most = {"tokens": tokens, "sequences": max(tokens, sequences), "nothing": 1}
    for row in every:
        key = (row.by, row.m, row.n, row.k, row.groups, row.steps)
        if row.by not in most:
            tables.append(0)
            continue
        if key not in known:
            known[key] = length
            pieces.append(_tabulated(row, config, most[row.by]))
            length += len(pieces[-1])
        tables.append(known[key])
    buffer = config.sram.weight_bytes
    chunks = np.where(weight_bytes > buffer, -((-2 * weight_bytes) // buffer), 1)
    terms, ranges = _terms(every, config, cache_bits)
    return IterationCosts(
        layer_names=rows.layer_names,
        row_index=rows.row_index,
        distinct=len(rows.distinct),
        by=np.array([BY.index(row.by) for row in every], np.int64),
        window=np.array([windows.index(row.window) for row in every], np.int64),
        table=np.array(tables, np.int64),
        cycles=np.concatenate(pieces) if pieces else np.zeros(1, np.int64),
        attention=np.array([_attention(row) for row in every], np.int64),
        weight_bytes=weight_bytes,
        weight_traffic=np.array(traffic, np.int64),
        weight_requests=np.array(requests, np.int64),
        weight_chunks=chunks,
        held=np.where([row.by in most for row in every], weight_bytes, 0),
        ranges=ranges,
        terms=terms,
        settings=_settings(config),
        parameter_bytes=parameter_bytes,
        cache_bits=cached,
        notes=tuple(notes),
        windows=windows,
        longest=rows.longest,
        ends=rows.ends,
        energy=energy,
    )


def _is_tabulated(config: NpuConfig) -> bool:
    """Whether compiled code knows the rules of this NPU; all others' rows the cost model prices itself."""
    array, vector = config.array, config.vector
    stated = (
        array.efficiency,
        array.fold_losses,
        array.cores,
        vector.speed,
        vector.beside_array,
        vector.free_clips,
        config.overlap,
        config.activations_in_dram_share,
        config.inference_overhead_us,
        config.host,
    )
    return (
        config.cost_model == "analytical"
        and array.dataflow in _FLOWS
        and array.split in (*_SPLITS, Split.BEST)
        and config.activations_in_dram in _RESTING
        and all(value is None for value in stated)
    )


def _tabulated(row: IterationRow, config: NpuConfig, most: int) -> IntArray:
    """Cycles of a product with weights for 0 to ``most`` of what it grows with."""
    count = np.arange(1, most + 1, dtype=np.int64)
    full = np.full(most, 1, np.int64)
    work = ArrayWork.products(count * row.m, full * row.n, full * row.k)
    cycles = product_cycles(_grouped(work, full * row.groups), config) * row.steps
    return np.concatenate((np.zeros(1, np.int64), cycles))


def _grouped(work: ArrayWork, groups: IntArray) -> ArrayWork:
    one = np.ones_like(groups)
    return ArrayWork(work.m, work.n, work.k, groups, one, one, one, one, np.ones(groups.shape, np.bool_))


def _weights(row: IterationRow, config: NpuConfig, *, pinned: bool) -> tuple[int, int, int]:
    """Bytes of a row's weights in the buffer, and of channel time to fetch them; transfers."""
    resting, traffic, requests = 0, 0, 0
    for elements, width in row.weights:
        size = np.array([ceil_div(elements * (config.weight_bits or width), 8)])
        compressed = int(compressed_bytes(size, config.weight_compression)[0])
        resting += compressed
        traffic += _on_channel(compressed, config)
        requests += 1 if compressed else 0
    return (0, 0, 0) if pinned else (resting, traffic, requests)


def _on_channel(size: int, config: NpuConfig) -> int:
    burst = config.dram.burst_bytes
    return -(-size // burst) * burst + config.request_bytes if size else 0


def _attention(row: IterationRow) -> list[int]:
    if row.attention is None:
        return [0] * 11
    shape = row.attention
    return [shape.groups, *shape.m, *shape.n, *shape.k, row.steps]


def _terms(every: list[IterationRow], config: NpuConfig, cache_bits: int) -> tuple[IntArray, IntArray]:
    """All terms, and where every row's begin."""
    lane_cycles, _ = category_costs(config.vector)
    activation = config.activation_bits
    terms: list[list[int]] = []
    ranges: list[list[int]] = []

    def add(found: tuple[Term, ...], scales: list[int]) -> None:
        terms.extend([scale, *term.coefficients] for term, scale in zip(found, scales, strict=True))

    for row in every:
        starts = [len(terms)]
        add(row.vector, [int(lane_cycles[term.unit]) for term in row.vector])
        starts.append(len(terms))
        add(row.gathers, [config.weight_bits or term.unit for term in row.gathers])
        for found in (row.reads, row.writes):
            starts.append(len(terms))
            add(found, [cache_bits] * len(found))
        for found in (row.inputs, row.outputs, row.entering, row.leaving):
            starts.append(len(terms))
            add(found, [activation or term.unit for term in found])
        starts.append(len(terms))
        alive = (row.live,) if row.seen is None else (row.live, row.seen)
        add(tuple(one[activation is not None] for one in alive), [activation or 1] * len(alive))
        starts.append(len(terms))
        ranges.append(starts)
    return np.array(terms, np.int64).reshape(-1, 1 + FEATURES), np.array(ranges, np.int64)


def _settings(config: NpuConfig) -> dict[str, int]:
    array = config.array
    splits = _SPLITS if array.split is Split.BEST else (array.split,)
    _, denominator = category_costs(config.vector)
    return {
        "rows_of_array": array.rows,
        "columns_of_array": array.columns,
        "arrays": array.count,
        "pixels": array.pixels,
        "swap_cycles": ceil_div(array.rows, array.load_rows_per_cycle),
        "flow": _FLOWS.index(array.dataflow),
        "double_buffered": int(array.double_buffered),
        "pack": int(array.pack_groups),
        "by_folds": int(array.count == 1 or Split.FOLDS in splits),
        "by_channels": int(array.count > 1 and Split.CHANNELS in splits),
        "by_rows": int(array.count > 1 and Split.ROWS in splits),
        "swap_operands": int(array.swap_operands),
        "lanes": config.vector.lanes,
        "lane_denominator": denominator,
        "fixed_cycles": config.overhead_cycles,
        "burst_bytes": config.dram.burst_bytes,
        "request_bytes": config.request_bytes,
        "operand_bits": config.activation_bits or 32,
        "resting": _RESTING[config.activations_in_dram],
        "piece_bytes": 0 if config.pipeline_mb is None else round(config.pipeline_mb * 10**6),
        "whole_bytes": round((config.pipeline_from_mb or 0.0) * 10**6),
        "buffer_bytes": config.sram.weight_bytes,
    }
