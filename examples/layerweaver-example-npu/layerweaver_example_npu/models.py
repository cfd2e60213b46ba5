"""An array model and a cost model, each a function over whole arrays of layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel import NpuConfig
from layerweaver.costmodel.columns import LayerColumns
from layerweaver.costmodel.compute.analytical import ComputeCosts, analytical
from layerweaver.costmodel.compute.arrays import ArrayWork, ceil_ratio, checked_cycles
from layerweaver.costmodel.npu.sections import ArrayConfig

HOST_CYCLES = 200


def outer_product(work: ArrayWork, array: ArrayConfig) -> NDArray[np.int64]:
    """An array that adds one outer product per cycle: a block of outputs takes K cycles, nothing to fill."""
    blocks = checked_cycles(work.groups, ceil_ratio(work.m, array.rows), ceil_ratio(work.n, array.columns))
    return checked_cycles(ceil_ratio(blocks, array.count), work.k, work.kernel_passes)


def with_host(columns: LayerColumns, config: NpuConfig) -> ComputeCosts:
    """The shipped model, and 200 cycles on the host for every layer that has only vector work."""
    costs = analytical(columns, config)
    on_host = np.where(~columns.matrix & (costs.compute_cycles > 0), HOST_CYCLES, 0)
    return replace(
        costs,
        overhead_cycles=costs.overhead_cycles + on_host,
        compute_cycles=costs.compute_cycles + on_host,
    )
