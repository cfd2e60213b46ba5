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
    """One NPU and the tenants that share it.

    Attributes:
        machine: The machine that all cost tables refer to.
        tenants: In order of index; ties of a policy go to the lowest.
        dispatch_ahead: Rows committed before the DMA needs them: a decision is taken when the fetch so many
            rows back ends.
        decision_cycles: Cycles from a decision to the start of the fetch it decided.
        run_ahead_cycles: The DMA decides nothing while the compute engine has more than this before it; None
            for the most that exact arithmetic allows (*ours*: rows without weights would else be committed
            without bound).
        groups: Indices of tenants whose static woven schedule a policy may replay; empty for all together.
    """

    machine: MachineSpec
    tenants: tuple[TenantLoad, ...]
    dispatch_ahead: int = 0
    decision_cycles: int = 0
    run_ahead_cycles: int | None = None
    groups: tuple[tuple[int, ...], ...] = ()
