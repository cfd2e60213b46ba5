"""The cost table: one row per schedulable piece of a layer, in execution order, as plain integer arrays.

This is all that the scheduler and the simulator ever see of a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.spills import LatencyColumns, SpillColumns

__all__ = ["CostTable", "overlapped_cycles", "row_pieces", "share_activation_buffer", "split_into_rows"]


@dataclass(frozen=True, slots=True, eq=False)
class CostTable:
    """Costs of one (model, batch) on one machine. All arrays have shape (rows,), int64, values >= 0.

    Attributes:
        model: Entry name.
        batch: Batch size.
        machine: The machine these costs refer to.
        compute_cycles: Cycles on the compute engine.
        dram_bytes: DRAM traffic, including spilled activations at ``activation_budget_bytes``.
        weight_bytes: What becomes resident in the weight buffer; at most its capacity.
        live_bytes: Activations that must be kept while the row runs.
        layer_index: Index into ``layer_names``: a layer larger than the weight buffer is several rows.
        layer_names: Names of the layers that the rows belong to.
        activation_budget_bytes: The activation budget that ``dram_bytes`` refers to; None: everything fits.
        spills: What re-costing for another budget needs, one entry per layer; None: unknown (own costs).
        latency: What of the traffic stands for the DRAM's latency; None: nothing.
        energy_pj: Energy of one inference of the batch in picojoules; None without an energy table.
        dram_byte_pj: Energy per byte of DRAM traffic, contained in ``energy_pj``.
    """

    model: str
    batch: int
    machine: MachineSpec
    compute_cycles: NDArray[np.int64]
    dram_bytes: NDArray[np.int64]
    weight_bytes: NDArray[np.int64]
    live_bytes: NDArray[np.int64]
    layer_index: NDArray[np.int64]
    layer_names: tuple[str, ...]
    activation_budget_bytes: int | None = None
    spills: SpillColumns | None = None
    latency: LatencyColumns | None = None
    energy_pj: int | None = None
    dram_byte_pj: float = 0.0

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.compute_cycles)

    @property
    def waited_bytes(self) -> NDArray[np.int64]:
        """Bytes of every layer's traffic that stand for the DRAM's latency, shape (layers,)."""
        if self.latency is None:
            return np.zeros(len(self.layer_names), dtype=np.int64)
        return self.latency.waited_bytes(self.spills, self.activation_budget_bytes)

    @property
    def waited_bytes_of_rows(self) -> NDArray[np.int64]:
        """The same of every row, shape (rows,)."""
        pieces = np.bincount(self.layer_index, minlength=len(self.layer_names)).astype(np.int64)
        return split_into_rows(self.waited_bytes, pieces)

    @property
    def data_bytes(self) -> int:
        """DRAM traffic of all rows without what stands for the DRAM's latency."""
        return int(self.dram_bytes.sum() - self.waited_bytes.sum())

    @property
    def memory_cycles(self) -> NDArray[np.int64]:
        """Cycles of the DMA engine per row, without stalls."""
        return self.machine.fetch_cycles(self.dram_bytes)

    @property
    def peak_activation_bytes(self) -> int:
        """Largest activation footprint of the model."""
        return int(self.live_bytes.max(initial=0))

    def with_activation_budget(self, budget_bytes: int) -> CostTable:
        """The same model costed for another activation budget; only DRAM traffic and its energy change.

        A table without activation columns (own costs, or a config whose activations fit) stays as it is.
        """
        if self.spills is None or self.activation_budget_bytes is None:
            return self
        before = self.spills.spilled_bytes(self.activation_budget_bytes)
        change = self.spills.spilled_bytes(budget_bytes) - before
        layers = len(self.layer_names)
        traffic = np.zeros(layers, dtype=np.int64)
        np.add.at(traffic, self.layer_index, self.dram_bytes)
        pieces = np.bincount(self.layer_index, minlength=layers).astype(np.int64)
        energy = self.energy_pj
        if energy is not None:
            after = replace(self, activation_budget_bytes=budget_bytes)
            waited = int(after.waited_bytes.sum() - self.waited_bytes.sum())
            energy += round((int(change.sum()) - waited) * self.dram_byte_pj)
        # Of a layer cut along its rows the first piece fetches all weights; what else moves is divided.
        heaviest = np.zeros(layers, dtype=np.int64)
        weights = np.zeros(layers, dtype=np.int64)
        np.maximum.at(heaviest, self.layer_index, self.weight_bytes)
        np.add.at(weights, self.layer_index, self.weight_bytes)
        at_once = np.where((heaviest == weights) & (pieces > 1), weights, 0)
        rows = split_into_rows(traffic + change - at_once, pieces)
        rows[np.cumsum(pieces) - pieces] += at_once
        return replace(
            self,
            dram_bytes=rows,
            activation_budget_bytes=budget_bytes,
            energy_pj=energy,
        )


def row_pieces(weight_bytes: NDArray[np.int64], buffer_bytes: int) -> NDArray[np.int64]:
    """Rows per layer: 1, or ``ceil(2W / buffer)`` for weights larger than the weight buffer."""
    return np.where(weight_bytes > buffer_bytes, -((-2 * weight_bytes) // buffer_bytes), 1)


def overlapped_cycles(
    compute_cycles: NDArray[np.int64], memory_cycles: NDArray[np.int64], pieces: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Cold makespan of a layer in equal pieces, each fetched while the one before computes.

    ``max(C, M) + ceil(min(C, M) / T)`` for T pieces: the two-timeline machine of LW III-C on equal rows.
    """
    longer, shorter = np.maximum(compute_cycles, memory_cycles), np.minimum(compute_cycles, memory_cycles)
    return longer - (-shorter // pieces)


def split_into_rows(values: NDArray[np.int64], pieces: NDArray[np.int64]) -> NDArray[np.int64]:
    """Split each value over consecutive rows of equal size; what does not divide goes to the last rows.

    Args:
        values: Shape (layers,).
        pieces: Rows of each layer, shape (layers,), at least 1.

    Returns:
        Shape (sum of pieces,); the rows of a layer sum to its value and differ by at most one.
    """
    if len(values) == int(pieces.sum()):
        return values
    layer = np.repeat(np.arange(len(values)), pieces)
    first = np.cumsum(pieces) - pieces
    position = np.arange(len(layer)) - first[layer]
    share, remainder = np.divmod(values, pieces)
    return share[layer] + (position >= (pieces - remainder)[layer])


def share_activation_buffer(tables: Sequence[CostTable]) -> tuple[CostTable, ...]:
    """Divide the activation buffer among tenants that keep their live activations on chip (*ours*).

    If the sum of the peaks fits, nothing changes (switching is free, as in the paper). Otherwise the buffer
    is divided in proportion to the peaks and every table is costed again with its part.

    Args:
        tables: One table per tenant, all of one machine; order is kept.
    """
    budgets = [table.machine.activation_buffer_bytes for table in tables]
    known = [budget for budget in budgets if budget is not None]
    if not known:
        return tuple(tables)
    total = min(known)
    peaks = [table.peak_activation_bytes for table in tables]
    if sum(peaks) <= total:
        return tuple(tables)
    return tuple(
        table.with_activation_budget(total * peak // sum(peaks))
        for table, peak in zip(tables, peaks, strict=True)
    )
