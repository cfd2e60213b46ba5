"""Costing one graph on many NPUs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from layerweaver.costmodel.columns import LayerColumns
from layerweaver.costmodel.model import CostedModel, cost_columns
from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.ir import LayerGraph

__all__ = ["SweepRow", "cost_sweep"]


@dataclass(frozen=True, slots=True)
class SweepRow:
    """Totals of a graph on one NPU.

    Attributes:
        npu: Name of the NPU.
        compute_cycles: Total compute cycles.
        memory_cycles: Total cycles of the DRAM channel.
        dram_bytes: Total traffic.
        costed: The whole account.
    """

    npu: str
    compute_cycles: int
    memory_cycles: int
    dram_bytes: int
    costed: CostedModel


def cost_sweep(graph: LayerGraph, configs: Iterable[NpuConfig]) -> list[SweepRow]:
    """Cost a graph on every config; the graph is read once and each config is costed as whole arrays.

    Raises:
        ModelError: As :func:`~layerweaver.costmodel.model.cost_graph`.
    """
    columns = LayerColumns.from_graph(graph)
    rows = []
    for config in configs:
        costed = cost_columns(columns, config)
        table = costed.table
        rows.append(
            SweepRow(
                config.name,
                int(table.compute_cycles.sum()),
                int(table.memory_cycles.sum()),
                int(table.dram_bytes.sum()),
                costed,
            )
        )
    return rows
