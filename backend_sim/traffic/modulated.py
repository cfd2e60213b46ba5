"""Poisson processes whose rate changes: two states, ramps and bursts.

One Poisson process of rate 1, LoadGen's own draws, run through the inverse of the expected count; so they too
are the same on every machine. Their first request is at time 0, or where the rate first rises above 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from layerweaver.backend_sim.traffic.arrival import Arrival, Asked, Length, some_rate
from layerweaver.backend_sim.traffic.poisson import ExponentialGaps
from layerweaver.backend_sim.traffic.stream import CHUNK, Stopping, TimeStream, derive_seed, running_sums
from layerweaver.ir import ScenarioError
from layerweaver.ir.clock import seconds_to_ns_nearest
from layerweaver.ir.documents import PositiveSeconds, Rate, Seed
from layerweaver.ir.limits import MAX_ARRIVAL_NS, MAX_PHASES
from layerweaver.ir.sections import refusal

__all__ = [
    "BurstsSpec",
    "MmppSpec",
    "ModulatedPoisson",
    "RampSpec",
    "RampedPoisson",
    "burst_phases",
    "two_state_phases",
]

_DRAWN_CYCLES = 10
"""So many changes there and back make their drawn times about as long as they are on average (*ours*)."""


class MmppSpec(Arrival):
    """Two-state Markov-modulated Poisson arrivals."""

    kind: Literal["mmpp"]
    qps: tuple[Rate, Rate]
    mean_s: tuple[PositiveSeconds, PositiveSeconds]
    seed: Seed | None = None

    @model_validator(mode="after")
    def _some_rate(self) -> Self:
        some_rate(*self.qps)
        if min(self.mean_s) < 1e-6:
            raise refusal("a mean below one microsecond is not accepted", "mean_s")
        return self

    def mean_rate_qps(self, duration_s: float | None) -> float:  # noqa: ARG002
        """Both states' rates, weighted by their mean times."""
        low_s, high_s = self.mean_s
        return (self.qps[0] * low_s + self.qps[1] * high_s) / (low_s + high_s)

    def shape_s(self, duration_s: float | None) -> float:  # noqa: ARG002
        """Several times both states: how long each lasts is drawn."""
        return _DRAWN_CYCLES * sum(self.mean_s)

    def check(self, length: Length, place: str) -> None:
        """The states' times must also be in proportion to the whole."""
        super().check(length, place)
        _check_phases(self.mean_rate_qps(None), sum(self.mean_s), length, place)

    def source(self, asked: Asked) -> ModulatedPoisson:
        """Two states in turn."""
        phases = two_state_phases(_scaled(self.qps, asked), self.mean_s, asked.seed)
        return ModulatedPoisson(phases, asked.seed, asked.stopping)


class RampSpec(Arrival):
    """A rate that goes from one value to another over the duration (or ``over_s``)."""

    kind: Literal["ramp"]
    qps: tuple[Rate, Rate]
    over_s: PositiveSeconds | None = None
    seed: Seed | None = None

    @model_validator(mode="after")
    def _some_rate(self) -> Self:
        some_rate(*self.qps)
        return self

    def mean_rate_qps(self, duration_s: float | None) -> float:
        """The mean over the duration."""
        mean = (self.qps[0] + self.qps[1]) / 2
        ramp_s = self.over_s
        if ramp_s is None or duration_s is None:
            return mean
        if duration_s >= ramp_s:
            return mean * ramp_s / duration_s + self.qps[1] * (1 - ramp_s / duration_s)
        return self.qps[0] + (self.qps[1] - self.qps[0]) * duration_s / ramp_s / 2

    def shape_s(self, duration_s: float | None) -> float | None:
        """What the mean rate is taken over: a faster ramp is above what can be served for less time."""
        return duration_s or self.over_s

    def check(self, length: Length, place: str) -> None:
        """A ramp also needs a length."""
        if self.over_s is None and length.duration_s is None and not self.endless(length):
            raise ScenarioError(
                "the length of the ramp is not known", where=place, accepted="give over_s or duration_s"
            )
        super().check(length, place)

    def source(self, asked: Asked) -> RampedPoisson:
        """One rate growing into the other, over a number of queries where these are the length of a run."""
        ramp_ns = asked.duration_ns or 10**9
        if self.over_s is not None:
            ramp_ns = seconds_to_ns_nearest(self.over_s)
        elif asked.duration_ns is None and asked.max_queries is not None:
            mean_qps = asked.factor * (self.qps[0] + self.qps[1]) / 2
            ramp_ns = max(1, min(MAX_ARRIVAL_NS, round(1e9 * asked.max_queries / mean_qps)))
        return RampedPoisson(_scaled(self.qps, asked), ramp_ns, asked.seed, asked.stopping)


class BurstsSpec(Arrival):
    """Poisson arrivals that begin every period with a burst."""

    kind: Literal["bursts"]
    qps: tuple[Rate, Rate]
    period_s: PositiveSeconds
    burst_s: PositiveSeconds
    seed: Seed | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        some_rate(*self.qps)
        if self.burst_s >= self.period_s:
            raise refusal("the burst fills the whole period; give burst_s below period_s", "burst_s")
        if self.period_s < 1e-6:
            raise refusal("a period below one microsecond is not accepted", "period_s")
        return self

    def mean_rate_qps(self, duration_s: float | None) -> float:  # noqa: ARG002
        """Both rates, weighted by their shares of the period."""
        share = self.burst_s / self.period_s
        return self.qps[0] * (1 - share) + self.qps[1] * share

    def shape_s(self, duration_s: float | None) -> float:  # noqa: ARG002
        """One period."""
        return self.period_s

    def check(self, length: Length, place: str) -> None:
        """The period must also be in proportion to the whole."""
        super().check(length, place)
        _check_phases(self.mean_rate_qps(None), self.period_s, length, place)

    def source(self, asked: Asked) -> ModulatedPoisson:
        """A burst at the start of every period."""
        phases = burst_phases(
            _scaled(self.qps, asked),
            seconds_to_ns_nearest(self.period_s),
            seconds_to_ns_nearest(self.burst_s),
        )
        return ModulatedPoisson(phases, asked.seed, asked.stopping)


def _check_phases(rate_qps: float, two_phases_s: float, length: Length, place: str) -> None:
    """Refuse changes of the rate so fast that counting them would never end."""
    longest_s = max(length.duration_s or 0.0, length.min_queries / rate_qps)
    phases = 2 * longest_s / two_phases_s
    if phases > MAX_PHASES:
        raise ScenarioError(
            f"the rate would change {phases:.3g} times in {longest_s:g} s",
            where=place,
            accepted=f"at most {MAX_PHASES:g} changes are simulated",
        )


def _scaled(qps: tuple[float, float], asked: Asked) -> tuple[float, float]:
    return qps[0] * asked.factor, qps[1] * asked.factor


Phases = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Consecutive phases of a process: durations in ns and rates per second."""

_MAX_UNITS = 2**62


class _UnitPoisson:
    """Cumulative event times of a Poisson process with 10^9 units between events on average, first at 0."""

    def __init__(self, seed: int) -> None:
        self._gaps = ExponentialGaps(1.0, seed)
        self._next = 0

    def take(self, count: int) -> NDArray[np.int64]:
        sums = running_sums(self._next, self._gaps.take(count), _MAX_UNITS)
        self._next = int(sums[-1])
        return sums[:-1]


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
        self._durations, self._rates = np.empty(0, np.int64), np.empty(0)
        self._starts, self._mass = np.zeros(1, np.int64), np.zeros(1)

    def _more(self) -> NDArray[np.int64]:
        while not (covered := int(np.searchsorted(self._pending, self._mass[-1]))):
            if self._starts[-1] >= MAX_ARRIVAL_NS:
                return np.full(CHUNK, MAX_ARRIVAL_NS, np.int64)
            self._durations, self._rates = next(self._phases)
            self._starts = running_sums(int(self._starts[-1]), self._durations)
            mass = np.cumsum(self._rates * self._durations)
            self._mass = self._mass[-1] + np.concatenate(([0.0], mass))
        units, self._pending = self._pending[:covered], self._pending[covered:]
        if not len(self._pending):
            self._pending = self._unit.take(CHUNK)
        phase = np.searchsorted(self._mass[1:], units, side="right")
        inside = (units - self._mass[phase]) / self._rates[phase]
        last_ns = self._durations[phase] - 1
        times = self._starts[phase] + np.minimum(np.maximum(inside, 0), last_ns).astype(np.int64)
        return np.maximum.accumulate(np.minimum(times, MAX_ARRIVAL_NS))


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
        times = np.minimum(np.minimum(ramp, self._ramp_ns) + after, MAX_ARRIVAL_NS)
        return np.maximum.accumulate(times.astype(np.int64))
