"""Other open-loop sources: gamma, modulated, ramped and bursty Poisson, periodic, and all at once.

The modulated kinds are one Poisson process of rate 1, LoadGen's own draws, run through the inverse of the
expected count; so they too are the same on every machine. Their first request is at time 0, or where the rate
first rises above 0.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.arrivals.poisson import ExponentialGaps
from layerweaver.backend_sim.arrivals.stream import CHUNK, NS_PER_S, Stopping, TimeStream, derive_seed

__all__ = [
    "AllAtOnce",
    "GammaArrivals",
    "ModulatedPoisson",
    "PeriodicArrivals",
    "RampedPoisson",
    "burst_phases",
    "two_state_phases",
]

Phases = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Consecutive phases of a process: durations in ns and rates per second."""


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
        times = np.empty(CHUNK + 1, np.int64)
        times[0] = self._next_ns
        times[1:] = np.minimum(gaps, 2.0**53).astype(np.int64)
        np.cumsum(times, out=times)
        self._next_ns = int(times[-1])
        return times[:-1]


class _UnitPoisson:
    """Cumulative event times of a Poisson process with 10^9 units between events on average, first at 0."""

    def __init__(self, seed: int) -> None:
        self._gaps = ExponentialGaps(1.0, seed)
        self._next = 0

    def take(self, count: int) -> NDArray[np.int64]:
        times = np.empty(count + 1, np.int64)
        times[0] = self._next
        times[1:] = self._gaps.take(count)
        np.cumsum(times, out=times)
        self._next = int(times[-1])
        return times[:-1]


class ModulatedPoisson(TimeStream):
    """A Poisson process whose rate is constant within phases.

    Args:
        phases: Yields batches of phases, endlessly; some rates must be positive.
        seed: Seed of the underlying process.
        stopping: When to end.
    """

    def __init__(self, phases: Iterator[Phases], seed: int, stopping: Stopping) -> None:
        super().__init__(stopping)
        self._phases = phases
        self._unit = _UnitPoisson(seed)
        self._pending = self._unit.take(CHUNK)
        self._units_before = 0.0
        self._start_ns = 0

    def _more(self) -> NDArray[np.int64]:
        while True:
            durations, rates = next(self._phases)
            starts = self._start_ns + np.concatenate(([0], np.cumsum(durations)))
            mass = self._units_before + np.concatenate(([0.0], np.cumsum(rates * durations)))
            self._start_ns, self._units_before = int(starts[-1]), float(mass[-1])
            pieces = []
            while True:
                covered = int(np.searchsorted(self._pending, mass[-1]))
                pieces.append(self._pending[:covered])
                self._pending = self._pending[covered:]
                if len(self._pending):
                    break
                self._pending = self._unit.take(CHUNK)
            units = np.concatenate(pieces)
            if not len(units):
                continue
            phase = np.searchsorted(mass[1:], units, side="right")
            inside = (units - mass[phase]) / rates[phase]
            times = starts[phase] + np.clip(inside, 0, durations[phase] - 1).astype(np.int64)
            return np.maximum.accumulate(times)


def two_state_phases(qps: tuple[float, float], mean_s: tuple[float, float], seed: int) -> Iterator[Phases]:
    """Phases of a two-state Markov-modulated process (MMPP), beginning in the first state.

    Dwell times are exponential with the given means, drawn from a stream of their own.
    """
    dwell = [ExponentialGaps(1.0 / mean_s[state], derive_seed(seed, state)) for state in (0, 1)]
    rates = np.tile(np.asarray(qps, np.float64), 128)
    while True:
        durations = np.empty(256, np.int64)
        durations[0::2], durations[1::2] = dwell[0].take(128), dwell[1].take(128)
        yield np.maximum(durations, 1), rates


def burst_phases(qps: tuple[float, float], period_ns: int, burst_ns: int) -> Iterator[Phases]:
    """Phases of a process that bursts at ``qps[1]`` for ``burst_ns`` at the start of every period."""
    durations = np.tile(np.array([burst_ns, period_ns - burst_ns], np.int64), 32)
    rates = np.tile(np.asarray(qps[::-1], np.float64), 32)
    while True:
        yield durations, rates


class RampedPoisson(TimeStream):
    """A Poisson process whose rate goes linearly from ``qps[0]`` to ``qps[1]`` and stays there.

    A ramp down to 0 ends there. The expected count is ``a t + (b - a) t^2 / 2T``; its inverse gives the
    times.
    """

    def __init__(self, qps: tuple[float, float], ramp_ns: int, seed: int, stopping: Stopping) -> None:
        super().__init__(stopping)
        self._from, self._to = qps
        self._ramp_ns = float(ramp_ns)
        self._unit = _UnitPoisson(seed)

    def _more(self) -> NDArray[np.int64]:
        units = self._unit.take(CHUNK).astype(np.float64)
        start, slope = self._from, (self._to - self._from) / self._ramp_ns
        total = (self._from + self._to) / 2 * self._ramp_ns
        if self._to == 0:
            units = units[units < total]
        within = np.minimum(units, total)
        root = np.sqrt(np.maximum(start * start + 2 * slope * within, 0.0)) + start
        ramp = np.divide(2 * within, root, out=np.zeros_like(within), where=root > 0)
        after = (units - within) / (self._to or 1.0)
        return np.maximum.accumulate((np.minimum(ramp, self._ramp_ns) + after).astype(np.int64))


class PeriodicArrivals(TimeStream):
    """One request every ``period_ns``, each late by a whole number of ns up to ``jitter_ns``.

    Requests are handed on in order of time even where the jitter exceeds the period.
    """

    def __init__(self, period_ns: int, jitter_ns: int, seed: int, stopping: Stopping) -> None:
        super().__init__(stopping)
        self._period_ns, self._jitter_ns = period_ns, jitter_ns
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._held = np.empty(0, np.int64)
        self._number = 0

    def _more(self) -> NDArray[np.int64]:
        while True:
            base = (self._number + np.arange(CHUNK, dtype=np.int64)) * self._period_ns
            self._number += CHUNK
            if self._jitter_ns:
                base = base + self._generator.integers(0, self._jitter_ns, CHUNK, endpoint=True)
            times = np.sort(np.concatenate((self._held, base)))
            settled = int(np.searchsorted(times, self._number * self._period_ns, side="right"))
            self._held = times[settled:]
            if settled:
                return times[:settled]


class AllAtOnce(TimeStream):
    """``count`` requests at time 0: MLPerf Offline."""

    def __init__(self, count: int) -> None:
        super().__init__(Stopping())
        self._missing = count

    def _more(self) -> NDArray[np.int64]:
        piece = min(self._missing, CHUNK)
        self._missing -= piece
        return np.zeros(piece, np.int64)
