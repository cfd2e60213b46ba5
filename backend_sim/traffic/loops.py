"""Sources that wait for the machine: closed loops, saturated and LoadGen's streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from layerweaver.backend_sim.traffic.arrival import Arrival, Asked, Length
from layerweaver.backend_sim.traffic.source import ClosedLoop, Saturated
from layerweaver.ir.clock import seconds_to_ns_nearest
from layerweaver.ir.documents import Milliseconds, PositiveCount, whole
from layerweaver.ir.limits import MAX_BATCH

__all__ = ["ClosedLoopSpec", "MultiStreamSpec", "SaturatedSpec", "SingleStreamSpec"]


class _Loop(Arrival):
    """Requests that wait for the machine; ``queries`` ends the loop whatever the scenario says."""

    waits = True
    scalable = False

    if TYPE_CHECKING:  # every kind states it behind its own keys, which is their order in documents
        queries: int | None

    def endless(self, length: Length) -> bool:
        """Unless a number of queries is stated."""
        return self.queries is None and super().endless(length)

    def expected_queries(self, length: Length) -> float:
        """The least number, or what is stated."""
        return length.min_queries if self.queries is None else self.queries

    def ends(self, asked: Asked) -> tuple[int, int, int | None]:
        """Duration in ns, least and largest number of queries."""
        if self.queries is not None and asked.max_queries is None:
            return 0, self.queries, self.queries
        return asked.duration_ns or 0, asked.min_queries, asked.max_queries


class ClosedLoopSpec(_Loop):
    """Clients that wait for their answer, think, and ask again."""

    kind: Literal["closed_loop"]
    concurrency: PositiveCount = 1
    think_ms: Milliseconds = 0.0
    queries: PositiveCount | None = None

    def source(self, asked: Asked) -> ClosedLoop:
        """So many clients."""
        return ClosedLoop(self.concurrency, seconds_to_ns_nearest(self.think_ms / 1e3), *self.ends(asked))


class SaturatedSpec(_Loop):
    """A request is always waiting."""

    kind: Literal["saturated"]
    queries: PositiveCount | None = None

    def source(self, asked: Asked) -> Saturated:
        """A full queue."""
        return Saturated(*self.ends(asked))


class _Stream(_Loop):
    """LoadGen's streams: the last query is issued at or past the end."""

    bounded = False
    loadgen = True

    def source(self, asked: Asked) -> ClosedLoop:
        """One client that does not think."""
        return ClosedLoop(1, 0, *self.ends(asked), past_the_end=True)


class SingleStreamSpec(_Stream):
    """One query after the other."""

    usual_percentile = 90.0

    kind: Literal["single_stream"]
    queries: PositiveCount | None = None


class MultiStreamSpec(_Stream):
    """One query of several samples after the other."""

    kind: Literal["multi_stream"]
    queries: PositiveCount | None = None
    samples: Annotated[int, whole(1, MAX_BATCH)] = 8
