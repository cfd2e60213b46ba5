"""Where requests come from, as the engine sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrivals", "ClosedLoop", "OpenLoop", "Saturated", "Source", "skipped_text"]


@runtime_checkable
class Arrivals(Protocol):
    """A stream of scheduled times, generated in pieces so that ten million requests need no array."""

    def take(self, count: int) -> NDArray[np.int64]:
        """The next at most ``count`` scheduled times in ns, ascending over all calls; empty at the end."""
        ...


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Requests arrive by the clock, whatever the NPU does. ``arrivals`` is consumed by one run."""

    arrivals: Arrivals


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """``concurrency`` clients, each issuing its next request ``think_ns`` after its last one completed.

    The first ``concurrency`` requests are scheduled at time 0. A new request is issued while its scheduled
    time is below ``duration_ns`` or fewer than ``min_queries`` were issued, and fewer than ``max_queries``.
    A client whose request is dropped issues its next one after ``think_ns``, but at least one standalone time
    of the smallest batch size (*ours*: else a full queue would be hammered without end).
    With ``past_the_end`` the request issued *before* is compared with the duration, as LoadGen's streams do:
    the last one is issued at or past the end.
    """

    concurrency: int
    think_ns: int = 0
    duration_ns: int = 0
    min_queries: int = 0
    max_queries: int | None = None
    past_the_end: bool = False


@dataclass(frozen=True, slots=True)
class Saturated:
    """A request is always waiting: the next is scheduled the moment the head leaves the queue.

    With batching, so many requests always wait as the largest batch holds. The end follows the same rule
    as :class:`ClosedLoop`.
    """

    duration_ns: int = 0
    min_queries: int = 0
    max_queries: int | None = None


Source: TypeAlias = Arrivals | ClosedLoop | Saturated
"""What a kind of arrivals gives: a stream of times, or a loop that waits for the machine."""


def skipped_text(tenant: str, count: int) -> str:
    """That bad rows of a tenant's trace were left out, in words."""
    return f"{tenant}: {count} bad rows of its trace were skipped"
