"""The requests of a language model in one run: when they come, and how long they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.scenario.arrivals import TrafficRequest, make_source, tenant_seed
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.traffic.lengths import Pairs, read_pairs
from layerweaver.backend_sim.traffic.stream import take_all
from layerweaver.backend_sim.traffic.trace_arrivals import TraceArrivals
from layerweaver.ir.clock import seconds_to_ns_nearest
from layerweaver.ir.limits import MAX_TOKEN_REQUESTS

__all__ = ["TokenRequests", "token_requests"]


@dataclass(frozen=True, slots=True, eq=False)
class TokenRequests:
    """The requests of a language model in one run.

    Attributes:
        scheduled_ns: Scheduled times, ascending, shape (requests,).
        lengths: Tokens.
        skipped: Bad rows of the trace that were left out.
        rows: File and lines of the trace that has their lengths; None where they come from elsewhere.
        ignored: Whether the trace that they arrive by has other lengths than they.
        said: What of the trace a result does not explain.
    """

    scheduled_ns: NDArray[np.int64]
    lengths: Pairs
    skipped: int = 0
    rows: tuple[str, NDArray[np.int64]] | None = None
    ignored: bool = False
    said: tuple[str, ...] = ()

    def named(self, request: int) -> str:
        """A request's number and, of a trace, its file and line."""
        return f"request {request}" + (f" ({self.rows[0]}:{self.rows[1][request]})" if self.rows else "")


def token_requests(scenario: Scenario, index: int, request: TrafficRequest) -> TokenRequests:
    """The requests of one language model: when they come and how long they are.

    Raises:
        TrafficError: If a trace or a file of pairs cannot be read.
    """
    tenant = scenario.spec.tenants[index]
    lengths = tenant.lengths
    if lengths is not None and lengths.file is not None:
        return _from_pairs(scenario, index, request, read_pairs(scenario.path_of(lengths.file)))
    source = make_source(scenario, index, request)
    times = take_all(source, MAX_TOKEN_REQUESTS)  # type: ignore[arg-type]
    if isinstance(source, TraceArrivals) and tenant.lengths_from_trace:
        rows = source.rows(len(times))
        return TokenRequests(times, source.lengths(len(times)), source.skipped, rows, said=source.said)
    assert lengths is not None
    seed = tenant_seed(scenario, index, request)
    return _by_clock(source, times, lengths.draw(len(times), seed))


def _by_clock(source: object, times: NDArray[np.int64], lengths: Pairs) -> TokenRequests:
    """Requests that only arrive as a source says."""
    if isinstance(source, TraceArrivals):
        return TokenRequests(times, lengths, source.skipped, ignored=source.counts_tokens, said=source.said)
    return TokenRequests(times, lengths)


def _from_pairs(scenario: Scenario, index: int, request: TrafficRequest, pairs: Pairs) -> TokenRequests:
    lengths = scenario.spec.tenants[index].lengths
    assert lengths is not None
    if lengths.order == "file" or lengths.qsl_seed is None or lengths.sample_seed is None:
        source = make_source(scenario, index, request)
        times = take_all(source, MAX_TOKEN_REQUESTS)  # type: ignore[arg-type]
        return _by_clock(source, times, pairs.in_file_order(len(times)))
    samples, least = len(pairs.prompt), scenario.spec.min_queries
    padded = -(-max(least, 1) // samples) * samples
    duration_ns = seconds_to_ns_nearest(scenario.spec.duration_s or 0)
    if request.queries is not None:
        padded, duration_ns = request.queries[index], 0
    source = make_source(scenario, index, request, exactly=_MANY)
    take = source.take  # type: ignore[union-attr]
    times = take(padded)
    while len(times) and request.queries is None and int(times[-1]) < duration_ns:
        more = take(samples)
        times = np.concatenate((times, more))
        if len(more) < samples:
            break
    drawn = pairs.in_loadgen_order(len(times), least, lengths.qsl_seed, lengths.sample_seed)
    return _by_clock(source, times, drawn)


_MANY = 10**9
