"""Independent gaps: gamma and periodic arrivals."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from layerweaver.backend_sim.traffic.arrival import Arrival, Asked, some_rate
from layerweaver.backend_sim.traffic.stream import CHUNK, NS_PER_S, Stopping, TimeStream, running_sums
from layerweaver.ir.clock import seconds_to_ns_nearest
from layerweaver.ir.documents import (
    Milliseconds,
    Number,
    PositiveMilliseconds,
    Rate,
    Seed,
)
from layerweaver.ir.limits import MAX_ARRIVAL_NS
from layerweaver.ir.sections import refusal

__all__ = ["GammaArrivals", "GammaSpec", "PeriodicArrivals", "PeriodicSpec"]


class GammaSpec(Arrival):
    """Gamma inter-arrival times with a coefficient of variation."""

    kind: Literal["gamma"]
    qps: Rate
    cv: Number = 1.0
    seed: Seed | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        some_rate(self.qps)
        if not 0.01 <= self.cv <= 100:
            raise refusal(
                f"a coefficient of variation of {self.cv:g} is not accepted; give 0.01 to 100", "cv"
            )
        return self

    def mean_rate_qps(self, duration_s: float | None) -> float:  # noqa: ARG002
        """The stated rate."""
        return self.qps

    def source(self, asked: Asked) -> GammaArrivals:
        """Gaps of a gamma distribution."""
        return GammaArrivals(self.qps * asked.factor, self.cv, asked.seed, asked.stopping)


class PeriodicSpec(Arrival):
    """One request per period, with jitter."""

    kind: Literal["periodic"]
    period_ms: PositiveMilliseconds
    jitter_ms: Milliseconds = 0.0
    seed: Seed | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.jitter_ms > 1e6 * self.period_ms:
            raise refusal("the jitter exceeds a million periods", "jitter_ms")
        return self

    @property
    def draws(self) -> bool:
        """Where ticks come late by chance."""
        return self.jitter_ms > 0

    def mean_rate_qps(self, duration_s: float | None) -> float:  # noqa: ARG002
        """One request a period."""
        return 1e3 / self.period_ms

    def source(self, asked: Asked) -> PeriodicArrivals:
        """Ticks with jitter."""
        period_ns = max(1, seconds_to_ns_nearest(self.period_ms / 1e3 / asked.factor))
        return PeriodicArrivals(
            period_ns, seconds_to_ns_nearest(self.jitter_ms / 1e3), asked.seed, asked.stopping
        )


class GammaArrivals(TimeStream):
    """Inter-arrival times from a gamma distribution of shape ``1 / cv^2`` and mean ``1 / qps``.

    A coefficient of variation of 1 is a Poisson process (not LoadGen's draws), below 1 is more regular, above
    more bursty. Drawn by NumPy's ``PCG64`` generator.
    """

    def __init__(self, qps: float, cv: float, seed: int, stopping: Stopping) -> None:
        super().__init__(stopping)
        self._shape = cv**-2
        self._scale_ns = cv**2 / qps * NS_PER_S
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._next_ns = 0

    def _more(self) -> NDArray[np.int64]:
        gaps = self._generator.standard_gamma(self._shape, CHUNK) * self._scale_ns
        whole = np.minimum(gaps, MAX_ARRIVAL_NS).astype(np.int64)
        times = running_sums(self._next_ns, whole)
        self._next_ns = int(times[-1])
        return times[:-1]


class PeriodicArrivals(TimeStream):
    """One request every ``period_ns``, each late by a whole number of ns up to ``jitter_ns``.

    Requests are handed on in order of time even where the jitter exceeds the period.
    """

    def __init__(self, period_ns: int, jitter_ns: int, seed: int, stopping: Stopping) -> None:
        super().__init__(stopping)
        self._period_ns, self._jitter_ns = min(period_ns, MAX_ARRIVAL_NS), jitter_ns
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._held = np.empty(0, np.int64)
        self._tick_ns = 0

    def _more(self) -> NDArray[np.int64]:
        while True:
            ticks = running_sums(self._tick_ns, np.full(CHUNK, self._period_ns, np.int64))
            base, self._tick_ns = ticks[:-1], int(ticks[-1])
            if self._jitter_ns:
                base = base + self._generator.integers(0, self._jitter_ns, CHUNK, endpoint=True)
                np.minimum(base, MAX_ARRIVAL_NS, out=base)
            times = np.sort(np.concatenate((self._held, base)))
            settled = int(np.searchsorted(times, self._tick_ns, side="right"))
            self._held = times[settled:]
            if settled:
                return times[:settled]
