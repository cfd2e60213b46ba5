"""Operators that an NPU leaves to its host: what they cost there; the vector unit is free of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.columns import LayerColumns
from layerweaver.costmodel.joins import JOIN
from layerweaver.costmodel.npu.sections import HostConfig

__all__ = ["HostWork"]

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class HostWork:
    """Work of the host; int64 arrays of shape (layers,).

    Attributes:
        elements: Operands of the operators that fall back.
        calls: How often the host is called.
        rest: The columns without that work.
    """

    elements: IntArray
    calls: IntArray
    rest: LayerColumns

    @classmethod
    def split(cls, columns: LayerColumns, host: HostConfig | None) -> Self:
        """Divide a graph's vector work between host and vector unit."""
        zero = np.zeros(len(columns.graph), dtype=np.int64)
        if host is None:
            return cls(zero, zero, columns)
        works = columns.vector
        names = [work.operator for layer in columns.graph.layers for work in layer.vector]
        falls = np.isin(np.array(names, dtype=np.str_), host.operators)
        elements, calls = zero.copy(), zero.copy()
        np.add.at(elements, works.layer[falls], works.operands[falls])
        np.add.at(calls, works.layer[falls], 1)
        if JOIN in host.operators:
            elements += columns.joined
            calls += columns.joined > 0
        return cls(elements, calls, replace(columns, vector=works.where(~falls)))

    def cycles(self, host: HostConfig | None, clock_hz: int) -> IntArray:
        """Cycles of the NPU's clock that each layer waits for the host."""
        if host is None:
            return self.elements
        seconds = self.elements * host.ns_per_element * 1e-9 + self.calls * host.overhead_us * 1e-6
        whole: IntArray = np.ceil(seconds * clock_hz).astype(np.int64)
        return whole
