"""What a report draws of language models: times of tokens; tokens, members and cache over time.

When a request emits the tokens between its first and its last is not recorded; they are spread evenly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.input import SimulationInput
from layerweaver.backend_sim.engine.outcome import ScheduleLog, SimulationOutcome
from layerweaver.backend_sim.llm.load import DecoderRules
from layerweaver.backend_sim.llm.outcome import DecoderRun
from layerweaver.backend_sim.results.latency import latency_histogram, milliseconds
from layerweaver.backend_sim.results.schema.details import Iterations, TokenSeries, TokensOverTime

__all__ = ["token_series"]

IntArray = NDArray[np.int64]

_MOST_ITERATIONS = 1500


def token_series(
    given: SimulationInput, outcome: SimulationOutcome, log: ScheduleLog | None, bins: int
) -> list[TokenSeries]:
    """One entry per language model.

    Args:
        given: The tenants.
        outcome: The run's result.
        log: Rows that were recorded.
        bins: Steps of the time series.
    """
    found: list[TokenSeries] = []
    for index, (tenant, result) in enumerate(zip(given.tenants, outcome.tenants, strict=True)):
        decoder = result.decoder
        if tenant.decoder is None or decoder is None:
            continue
        rules, done = tenant.decoder.rules, decoder.last_ns >= 0
        first, last, tokens = (column[done] for column in (decoder.first_ns, decoder.last_ns, decoder.tokens))
        several = tokens > 1
        per_token = (last - first)[several] // (tokens - 1)[several]
        found.append(
            {
                "tenant": tenant.name,
                "ttft_limit_ms": milliseconds(rules.ttft_ns),
                "tpot_limit_ms": milliseconds(rules.tpot_ns),
                "ttft": latency_histogram(first - decoder.scheduled_ns[done]),
                "tpot": latency_histogram(per_token),
                "over_time": _over_time(rules, decoder, done, bins),
                "iterations": _iterations(log, index, 1e3 / given.machine.clock_hz),
            }
        )
    return found


def _over_time(
    rules: DecoderRules, decoder: DecoderRun, done: NDArray[np.bool_], bins: int
) -> TokensOverTime:
    """Tokens per second in every step; at every edge, the share of the cache that emitting requests hold."""
    first, last, tokens, prompt = (
        column[done] for column in (decoder.first_ns, decoder.last_ns, decoder.tokens, decoder.prompt)
    )
    edges = np.linspace(0, max(1, int(last.max(initial=1))), bins + 1)
    emitted, cached = np.zeros(bins + 1), np.zeros(bins + 1)
    pace = (tokens - 1) / np.maximum(last - first, 1)
    for place, edge in enumerate(edges):
        so_far = np.where(edge >= first, np.minimum(tokens, 1 + pace * (edge - first)), 0.0)
        emitting = (edge >= first) & (edge < last)
        emitted[place] = so_far.sum()
        cached[place] = np.ceil((prompt + so_far)[emitting] / rules.block).sum()
    return {
        "edges_ms": (edges / 1e6).tolist(),
        "tokens_per_s": (np.diff(emitted) / np.diff(edges) * 1e9).tolist(),
        "cache_share": np.minimum(1.0, cached / rules.blocks).tolist(),
    }


def _iterations(log: ScheduleLog | None, index: int, cycle_ms: float) -> Iterations:
    """Members of the iterations that were recorded, by when they ended."""
    if log is None:
        return {"end_ms": [], "members": []}
    own = np.flatnonzero(log.tenant == index)
    ends = own[np.flatnonzero(np.diff(log.request[own], append=-1))]
    kept = ends[:: max(1, -(-len(ends) // _MOST_ITERATIONS))]
    return {"end_ms": (log.compute_end[kept] * cycle_ms).tolist(), "members": log.batch[kept].tolist()}
