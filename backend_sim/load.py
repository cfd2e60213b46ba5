"""What the engine is given: tenants with their profiles, queues and sources of requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.table import MachineSpec
from layerweaver.scheduler.offline import ModelProfile

__all__ = [
    "Arrivals",
    "BatchRule",
    "ClosedLoop",
    "OpenLoop",
    "Saturated",
    "SimulationInput",
    "TenantLoad",
]


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
    """

    concurrency: int
    think_ns: int = 0
    duration_ns: int = 0
    min_queries: int = 0
    max_queries: int | None = None


@dataclass(frozen=True, slots=True)
class Saturated:
    """A request is always waiting: the next is scheduled the moment the head leaves the queue.

    The end follows the same rule as :class:`ClosedLoop`.
    """

    duration_ns: int = 0
    min_queries: int = 0
    max_queries: int | None = None


@dataclass(frozen=True, slots=True)
class BatchRule:
    """Dynamic batching of one tenant.

    Attributes:
        sizes: Batch sizes that have a profile, ascending; the first is the least that can run (a smaller
            batch runs at the cost of the next larger size). The last is the maximum.
        delay_ns: Longest time the oldest request waits for company; 0 takes what is there.
        preferred: Sizes at which a batch is dispatched at once; others wait for the delay.
    """

    sizes: tuple[int, ...] = (1,)
    delay_ns: int = 0
    preferred: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TenantLoad:
    """One tenant.

    Attributes:
        name: Unique name.
        profiles: One per size of ``batching.sizes``, in that order.
        source: Where its requests come from.
        batching: How requests are put together.
        deadline_ns: From scheduled time to completion; None for no deadline.
        priority: 1, 3 or 9.
        queue_limit: Requests waiting at most (the head batch included); None for no limit.
        drop_hopeless: Whether a request that cannot meet its deadline even alone is dropped at the head.
    """

    name: str
    profiles: tuple[ModelProfile, ...]
    source: OpenLoop | ClosedLoop | Saturated
    batching: BatchRule = field(default_factory=BatchRule)
    deadline_ns: int | None = None
    priority: int = 1
    queue_limit: int | None = None
    drop_hopeless: bool = False


@dataclass(frozen=True, slots=True)
class SimulationInput:
    """One NPU and the tenants that share it."""

    machine: MachineSpec
    tenants: tuple[TenantLoad, ...]
