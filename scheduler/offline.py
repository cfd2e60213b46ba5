"""Offline tables: what a scheduling decision needs to know of a model beyond its next row (section 7)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.table import CostTable

__all__ = ["ModelKind", "ModelProfile", "OfflineTables"]


class ModelKind(StrEnum):
    """Which resource a model needs longer; equal totals count as memory-intensive."""

    COMPUTE_INTENSIVE = "compute-intensive"
    MEMORY_INTENSIVE = "memory-intensive"


@dataclass(frozen=True, slots=True, eq=False)
class OfflineTables:
    """Tables precomputed from a cost table.

    Attributes:
        kind: Compute-intensive when total compute cycles exceed total memory cycles (LW III-D).
        remaining_cycles: Shape (rows + 1,), int64: cold two-timeline makespan of the rows from this one on;
            the first entry is the standalone time, the last is 0.
        longest_fetch_cycles: The longest fetch of any row, in cycles.
        inherent_idle_cycles: Shape (rows,), float64: memory idle that a row causes by itself, in cycles:
            ``max(0, compute - max(0, buffer - W) / b)``.
    """

    kind: ModelKind
    remaining_cycles: NDArray[np.int64]
    longest_fetch_cycles: int
    inherent_idle_cycles: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ModelProfile:
    """One entry of a schedule profile: a model at one batch size with its offline tables."""

    entry: str
    table: CostTable
    offline: OfflineTables

    @property
    def standalone_cycles(self) -> int:
        """Cold two-timeline makespan of one request alone."""
        return int(self.offline.remaining_cycles[0])
