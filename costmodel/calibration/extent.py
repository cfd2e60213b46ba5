"""What was measured, in words: whole networks, single layers of them, or both."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from layerweaver.costmodel.calibration.measurements import Measurement
from layerweaver.costmodel.npu.sections import CalibrationConfig
from layerweaver.ir.text import counted

__all__ = ["Extent"]


@dataclass(frozen=True, slots=True)
class Extent:
    """How many networks and layers measurements are of, each counted once.

    Attributes:
        networks: Networks that were timed whole.
        layers: Layers that were timed alone.
    """

    networks: int
    layers: int

    @classmethod
    def of(cls, rows: Iterable[Measurement]) -> Self:
        """The extent of some measurements."""
        timed = {(row.source, row.layer) for row in rows}
        networks = sum(not layer for _, layer in timed)
        return cls(networks, len(timed) - networks)

    @classmethod
    def of_record(cls, record: CalibrationConfig) -> Self:
        """The extent of what a config was fitted to."""
        return cls(record.networks, record.layers or 0)

    @property
    def kinds(self) -> str:
        """What they are of: ``networks``, ``layers`` or ``networks and layers``."""
        return " and ".join(["networks"] * (self.networks > 0) + ["layers"] * (self.layers > 0))

    @property
    def words(self) -> str:
        """The same with the numbers: ``15 networks``, ``2 networks and 12 layers``."""
        parts = ((self.networks, "network"), (self.layers, "layer"))
        return " and ".join(counted(count, kind) for count, kind in parts if count)
