"""Cost models as somebody else might write them, each a function over whole arrays of layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel import NpuConfig
from layerweaver.costmodel.columns import LayerColumns
from layerweaver.costmodel.compute.analytical import ComputeCosts, Passes

FIXED_CYCLES = 5


def _costs(array: NDArray[np.int64], vector: NDArray[np.int64], passes: Passes | None = None) -> ComputeCosts:
    fixed = np.full(len(array), FIXED_CYCLES)
    return ComputeCosts(array, vector, fixed, array + vector + fixed, vector, array < 0, passes)


def linear(columns: LayerColumns, _: NpuConfig) -> ComputeCosts:
    """A cycle per multiply-accumulate, two per operand of the vector unit, five per layer."""
    vector = np.zeros(len(columns.graph), np.int64)
    np.add.at(vector, columns.vector.layer, 2 * columns.vector.operands)
    return _costs(columns.macs, vector)


def curious(columns: LayerColumns, _: NpuConfig) -> ComputeCosts:
    """All that there is to know of a layer counts; inputs are loaded twice, weights thrice."""
    layers = columns.graph.layers
    said = [
        (place, layer.name, layer.kind, layer.role, layer.operators, [work.operator for work in layer.vector])
        for place, layer in enumerate(layers)
    ]
    words = np.array([sum(map(ord, repr(one))) for one in said], np.int64)
    extents = columns.m + 3 * columns.n + 5 * columns.k + 7 * columns.groups + columns.steps
    tensors = sum(
        factor * columns_of.per_layer(columns_of.elements * columns_of.bits)
        for factor, columns_of in enumerate(
            (columns.inputs, columns.outputs, columns.weights, columns.gathers, columns.state), 1
        )
    )
    flags = columns.matrix + 2 * columns.weighted + 4 * columns.scores + 8 * columns.context
    two = np.full(len(layers), 2, np.int64)
    return _costs(
        words + extents + flags + columns.joined, np.asarray(tensors, np.int64), Passes(two, two + 1)
    )


def fails(columns: LayerColumns, config: NpuConfig) -> ComputeCosts:
    """Divides by zero where many tokens come at once."""
    if int(columns.m.max()) > 60:
        raise ZeroDivisionError("more than it can take")
    return linear(columns, config)


def halves(columns: LayerColumns, config: NpuConfig) -> ComputeCosts:
    """No whole numbers."""
    costs = linear(columns, config)
    half: Any = costs.compute_cycles / 2
    return replace(costs, compute_cycles=half)
