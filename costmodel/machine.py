"""The machine as scheduler and engine see it: a clock, a DRAM channel and a weight buffer."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from layerweaver.ir import ConfigError

__all__ = ["MAX_BANDWIDTH_DENOMINATOR", "MachineSpec"]

MAX_BANDWIDTH_DENOMINATOR = 100_000
"""Bytes per cycle are an exact rational; its denominator is bounded so that all products fit 64 bits."""


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """The machine as the engine sees it: a clock, a DRAM channel and a weight buffer.

    Attributes:
        name: Name of the NPU config.
        clock_hz: Cycles per second.
        bandwidth_numerator: Bytes per ``bandwidth_denominator`` cycles (lowest terms).
        bandwidth_denominator: See there; at most :data:`MAX_BANDWIDTH_DENOMINATOR`.
        weight_buffer_bytes: Capacity for prefetched weights.
        activation_buffer_bytes: Capacity for live activations; None when the config states that they fit.
    """

    name: str
    clock_hz: int
    bandwidth_numerator: int
    bandwidth_denominator: int
    weight_buffer_bytes: int
    activation_buffer_bytes: int | None = None

    @classmethod
    def from_rates(
        cls,
        name: str,
        clock_hz: int,
        bandwidth_bytes_per_s: int,
        weight_buffer_bytes: int,
        activation_buffer_bytes: int | None = None,
    ) -> MachineSpec:
        """Build from physical rates.

        Raises:
            ConfigError: If a rate or size is not positive.
        """
        for field, value in (
            ("clock_hz", clock_hz),
            ("bandwidth_bytes_per_s", bandwidth_bytes_per_s),
            ("weight_buffer_bytes", weight_buffer_bytes),
        ):
            if value <= 0:
                raise ConfigError(f"{field} is {value}", where=name, accepted="give a positive number")
        per_cycle = Fraction(bandwidth_bytes_per_s, clock_hz).limit_denominator(MAX_BANDWIDTH_DENOMINATOR)
        if per_cycle == 0:
            raise ConfigError("bandwidth is below 1 byte in 100,000 cycles", where=name)
        return cls(
            name,
            clock_hz,
            per_cycle.numerator,
            per_cycle.denominator,
            weight_buffer_bytes,
            activation_buffer_bytes,
        )

    @property
    def bytes_per_cycle(self) -> Fraction:
        """DRAM bandwidth in bytes per cycle, exact."""
        return Fraction(self.bandwidth_numerator, self.bandwidth_denominator)

    def fetch_cycles(self, dram_bytes: NDArray[np.int64]) -> NDArray[np.int64]:
        """``ceil(dram_bytes / bytes_per_cycle)`` element by element."""
        return -((-dram_bytes * self.bandwidth_denominator) // self.bandwidth_numerator)
