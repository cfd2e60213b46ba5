"""Arrivals whose rate swings, as over a day: ``{kind: tides, qps: 200, swing: 0.8, period_s: 60}``."""

from __future__ import annotations

import math
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from layerweaver.backend_sim.traffic.arrival import Arrival, Asked
from layerweaver.backend_sim.traffic.stream import NS_PER_S, Stopping, TimeStream
from layerweaver.ir.documents import Number, PositiveSeconds, Rate, Seed
from layerweaver.ir.limits import MAX_ARRIVAL_NS
from layerweaver.ir.sections import refusal

__all__ = ["Tides", "TidesSpec"]

_CANDIDATES = 4096


class TidesSpec(Arrival):
    """A Poisson process whose rate is ``qps (1 + swing sin(2 pi t / period))``."""

    kind: Literal["tides"]
    qps: Rate
    swing: Number = 0.5
    period_s: PositiveSeconds = 60.0
    seed: Seed | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.qps <= 0 or not 0 <= self.swing <= 1:
            raise refusal("is not a tide; give qps above 0 and a swing of 0 to 1")
        return self

    def mean_rate_qps(self, duration_s: float | None) -> float:  # noqa: ARG002
        """The rate about which it swings; bounds and searches for peaks count on it."""
        return self.qps

    def shape_s(self, duration_s: float | None) -> float:  # noqa: ARG002
        """One period: a search for a peak whose trials end before says so."""
        return self.period_s

    def source(self, asked: Asked) -> Tides:
        """A fresh stream; ``asked.factor`` multiplies the rate, ``asked.seed`` is that of the run."""
        return Tides(self.qps * asked.factor, self.swing, self.period_s, asked.seed, asked.stopping)


class Tides(TimeStream):
    """Times by thinning: candidates at the highest rate, each kept with the share that the rate is of it."""

    def __init__(self, qps: float, swing: float, period_s: float, seed: int, stopping: Stopping) -> None:
        super().__init__(stopping)
        self._qps, self._swing, self._period_s = qps, swing, period_s
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._now_s = 0.0

    def _more(self) -> NDArray[np.int64]:
        most = self._qps * (1 + self._swing)
        kept = np.empty(0)
        while not len(kept):  # an empty piece would say that there are no more
            times_s = self._now_s + np.cumsum(self._generator.exponential(1 / most, _CANDIDATES))
            self._now_s = float(times_s[-1])
            rate = self._qps * (1 + self._swing * np.sin(2 * math.pi * times_s / self._period_s))
            kept = times_s[self._generator.random(_CANDIDATES) * most < rate]
        return np.minimum(kept * NS_PER_S, MAX_ARRIVAL_NS).astype(np.int64)
