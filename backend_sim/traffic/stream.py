"""What all open-loop sources share: pieces of ascending times, cut off by one rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.traffic.source import Arrivals
from layerweaver.ir import TrafficError
from layerweaver.ir.limits import MAX_ARRIVAL_NS, MAX_SECONDS

__all__ = ["CHUNK", "NS_PER_S", "Stopping", "Tap", "TimeStream", "derive_seed", "running_sums", "take_all"]

NS_PER_S = 1_000_000_000
CHUNK = 16_384
"""Times generated at once: small enough for the cache, large enough to hide Python."""

_MASK = (1 << 64) - 1


def derive_seed(seed: int, index: int) -> int:
    """A 32-bit seed for stream ``index`` of a family, far from its neighbours (SplitMix64's finaliser)."""
    state = (seed + (index + 1) * 0x9E3779B97F4A7C15) & _MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return (state ^ (state >> 31)) & 0xFFFFFFFF


def running_sums(start: int, steps: NDArray[np.int64], most: int = MAX_ARRIVAL_NS) -> NDArray[np.int64]:
    """``start`` and the sums up to every step, stopping at ``most``; shape (len(steps) + 1,).

    Sums of large steps leave 64 bits; nothing beyond ``most`` is needed, so all that is becomes ``most``.

    Args:
        start: First value, 0 to ``most``.
        steps: Each from 0 to ``most``.
        most: At most 2^62.
    """
    sums = np.empty(len(steps) + 1, np.int64)
    sums[0], sums[1:] = start, steps
    if start + len(steps) * int(steps.max(initial=0)) > most:
        beyond = int(np.searchsorted(np.cumsum(sums, dtype=np.float64), most))
        sums[beyond:] = 0
        np.cumsum(sums, out=sums)
        np.minimum(sums, most, out=sums)
        sums[beyond:] = most
        return sums
    return np.cumsum(sums, out=sums)


@dataclass(frozen=True, slots=True)
class Stopping:
    """When a source ends.

    A time is emitted while it is below ``duration_ns`` or fewer than ``min_queries`` were emitted, and never
    more than ``max_queries``.

    Attributes:
        duration_ns: None for as long as the source lasts.
        min_queries: Emitted even if the duration is over.
        max_queries: None for no limit.
        past_the_end: LoadGen's reading: compare the time *before* this one with the duration, so that one
            query at or past the end is emitted.
        place: Where the arrivals stand in the scenario, for messages.
    """

    duration_ns: int | None = None
    min_queries: int = 0
    max_queries: int | None = None
    past_the_end: bool = False
    place: str = ""


class TimeStream(ABC):
    """A stream of arrivals made of an endless or finite series of times."""

    def __init__(self, stopping: Stopping) -> None:
        self._stopping = stopping
        self._left = np.empty(0, np.int64)
        self._emitted = 0
        self._before = 0
        self._ended = False

    @abstractmethod
    def _more(self) -> NDArray[np.int64]:
        """The next piece of scheduled times in ns, ascending; empty when the source has no more.

        What is later than :data:`~layerweaver.ir.limits.MAX_ARRIVAL_NS` is given as that.
        """

    def take(self, count: int) -> NDArray[np.int64]:
        """The next at most ``count`` scheduled times in ns; empty at the end."""
        pieces: list[NDArray[np.int64]] = []
        missing = count
        while missing > 0:
            if not len(self._left):
                self._refill()
                if not len(self._left):
                    break
            piece = self._left[:missing]
            self._left = self._left[missing:]
            missing -= len(piece)
            pieces.append(piece)
        return np.concatenate(pieces) if pieces else np.empty(0, np.int64)

    def _refill(self) -> None:
        if self._ended:
            return
        times = self._more()
        keep = len(times)
        rule = self._stopping
        if keep and (times[0] < self._before or bool(np.any(times[1:] < times[:-1]))):
            raise TrafficError(
                "scheduled times go back", where=rule.place, accepted="they must ascend from 0"
            )
        if rule.duration_ns is not None and keep:
            if rule.past_the_end:
                within = 1 + int(np.searchsorted(times, rule.duration_ns))
                within *= self._before < rule.duration_ns
            else:
                within = int(np.searchsorted(times, rule.duration_ns))
            keep = min(keep, max(within, rule.min_queries - self._emitted, 0))
        if rule.max_queries is not None:
            keep = min(keep, rule.max_queries - self._emitted)
        if keep and times[keep - 1] >= MAX_ARRIVAL_NS:
            raise TrafficError(
                f"request {self._emitted + int(np.searchsorted(times, MAX_ARRIVAL_NS)) + 1} would come later "
                f"than {MAX_ARRIVAL_NS / NS_PER_S:g} s",
                where=rule.place,
                accepted=f"a duration of up to {MAX_SECONDS:g} s, or fewer queries",
            )
        self._ended = keep < len(times) or not len(times)
        if len(times):
            self._before = int(times[-1])
        self._emitted += keep
        self._left = times[:keep]


class Tap:
    """Passes a source on and notes what went by.

    Attributes:
        count: Times taken so far.
        warm: How many of them were below ``warmup_ns``.
        kept: How many of them were below ``cooldown_ns``.
        last_ns: The latest of them.
    """

    def __init__(self, source: Arrivals, warmup_ns: int = 0, cooldown_ns: int | None = None) -> None:
        self._source, self._warmup_ns = source, warmup_ns
        self._cooldown_ns = MAX_ARRIVAL_NS + 1 if cooldown_ns is None else cooldown_ns
        self._pieces: list[NDArray[np.int64]] | None = None if cooldown_ns is None else []
        self.count, self.warm, self.kept, self.last_ns = 0, 0, 0, 0

    def take(self, count: int) -> NDArray[np.int64]:
        """As the source."""
        times = self._source.take(count)
        if len(times):
            self.count += len(times)
            self.warm += int(np.searchsorted(times, self._warmup_ns))
            self.kept += int(np.searchsorted(times, self._cooldown_ns))
            self.last_ns = int(times[-1])
            if self._pieces is not None:
                self._pieces.append(times)
        return times

    def times(self) -> NDArray[np.int64]:
        """The times that went by; kept where measuring ends before the run does, which needs them."""
        return np.concatenate(self._pieces) if self._pieces else np.empty(0, np.int64)


def take_all(source: Arrivals, most: int | None = None) -> NDArray[np.int64]:
    """All times of a finite source, in ns.

    Raises:
        TrafficError: If there are more than ``most``.
    """
    pieces, count = [], 0
    while len(piece := source.take(1 << 16)):
        pieces.append(piece)
        count += len(piece)
        if most is not None and count > most:
            raise TrafficError(
                f"more than {most:,} requests, which are all known before the run",
                accepted="ask for fewer, or a shorter time",
            )
    return np.concatenate(pieces) if pieces else np.empty(0, np.int64)
