"""Metrics of a language model: times to and between tokens, its cache, and MLPerf's verdict on tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.outcome import is_late
from layerweaver.backend_sim.llm.cold import cold_request_cycles
from layerweaver.backend_sim.llm.outcome import DecoderRun
from layerweaver.backend_sim.results.latency import (
    SHARES,
    LatencySummary,
    counted_percentiles,
    latency_document,
    milliseconds,
    percentile_index,
    summarise,
)
from layerweaver.backend_sim.results.schema.token import Language, TokenDeadline
from layerweaver.backend_sim.run.run import Run
from layerweaver.backend_sim.scenario.scenario import TokenLimits
from layerweaver.scheduler.iterations.timings import Timings

__all__ = [
    "TokenTimes",
    "cold_ns",
    "deadline_document",
    "decoder_of",
    "iterations_energy_pj",
    "token_document",
    "token_times",
]

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class TokenTimes:
    """Times of a language model's measured requests, all of them completed.

    Attributes:
        latency_ns: From scheduled time to the last token, shape (requests,).
        ttft_ns: From scheduled time to the first token.
        tpot_ns: Mean time per further token, rounded down; -1 for requests of one token.
        first_late: Whether the first token was late (bool).
        rest_late: Whether further tokens were late on the mean (bool).
        tokens: Tokens emitted.
    """

    latency_ns: IntArray
    ttft_ns: IntArray
    tpot_ns: IntArray
    first_late: NDArray[np.bool_]
    rest_late: NDArray[np.bool_]
    tokens: IntArray

    @property
    def known_tpot_ns(self) -> IntArray:
        """Those of the requests that have several tokens."""
        return self.tpot_ns[self.tpot_ns >= 0]

    def meet(self, share: float) -> bool:
        """Whether the percentile of both times keeps its limit."""
        both = (self.first_late, len(self.ttft_ns)), (self.rest_late, len(self.known_tpot_ns))
        return all(
            not count or count - int(late.sum()) > percentile_index(count, share) for late, count in both
        )

    @property
    def late(self) -> int:
        """Requests that missed either limit."""
        return int((self.first_late | self.rest_late).sum())


def decoder_of(run: Run, index: int) -> DecoderRun | None:
    """What a tenant did as a language model; None if it is none."""
    return run.outcomes[0].tenants[index].decoder


def measured_requests(run: Run, index: int) -> slice:
    """The measured requests of a language model that are done."""
    kept, done = run.measured[0][index], len(run.outcomes[0].tenants[index].latency_ns)
    return slice(kept.start, min(kept.stop, done))


def token_times(run: Run, index: int, decoder: DecoderRun) -> TokenTimes:
    """The times of a language model's measured requests."""
    limits = run.prepared.scenario.token_limits(index)
    kept = measured_requests(run, index)
    scheduled, first, last, tokens = (
        column[kept] for column in (decoder.scheduled_ns, decoder.first_ns, decoder.last_ns, decoder.tokens)
    )
    ttft, latency = first - scheduled, last - scheduled
    tpot = np.where(tokens > 1, (last - first) // np.maximum(tokens - 1, 1), -1)
    nobody = np.zeros(len(ttft), np.bool_)
    return TokenTimes(
        latency_ns=latency,
        ttft_ns=ttft,
        tpot_ns=tpot,
        first_late=nobody if limits.ttft_ns is None else is_late(ttft, limits.ttft_ns),
        rest_late=nobody if limits.tpot_ns is None else is_late(tpot, limits.tpot_ns),
        tokens=tokens,
    )


def cold_ns(run: Run, index: int) -> NDArray[np.float64]:
    """Per measured request, the time that its own iterations take alone, in ns."""
    model, decoder = run.prepared.decoders[index], decoder_of(run, index)
    assert model is not None
    assert decoder is not None
    kept = measured_requests(run, index)
    prompt, output = decoder.prompt[kept], decoder.tokens[kept]
    cycles = cold_request_cycles(model.load(model.first_requests), model.machine, prompt, output)
    return cycles.astype(np.float64) * (1e9 / model.machine.clock_hz)


def iterations_energy_pj(run: Run, index: int) -> float | None:
    """Energy of all iterations of a language model, in pJ; None where it cannot be told."""
    model, decoder = run.prepared.decoders[index], decoder_of(run, index)
    if model is None or decoder is None or isinstance(model.costs, Timings) or model.costs.energy is None:
        return None
    return model.costs.energy.energy_pj(decoder.sums, decoder.counts["data_bytes"])


def deadline_document(limits: TokenLimits) -> TokenDeadline:
    """The key ``deadline`` of a language model."""
    return {
        "ttft_ms": milliseconds(limits.ttft_ns),
        "tpot_ms": milliseconds(limits.tpot_ns),
        "itl_ms": milliseconds(limits.itl_ns),
        "mode": limits.mode,
    }


def _gaps(decoder: DecoderRun) -> LatencySummary:
    """Times between two tokens of one request, over all requests of the run."""
    count = int(decoder.itl_counts.sum())
    if not count:
        return summarise(np.zeros(0, np.int64), list(SHARES.values()))
    longest = decoder.counts["itl_max_ns"]
    found = counted_percentiles(decoder.itl_counts, list(SHARES.values()), longest)
    return LatencySummary(count, decoder.counts["itl_sum_ns"] / count, longest, {**found}, False)


def token_document(run: Run, index: int, decoder: DecoderRun, times: TokenTimes, window_s: float) -> Language:
    """The key ``llm`` of a language model.

    Args:
        run: The run.
        index: Index of the tenant.
        decoder: What it did.
        times: Its requests' times.
        window_s: The measured window in seconds.
    """
    counts, requests = decoder.counts, len(times.ttft_ns)
    limits = run.prepared.scenario.token_limits(index)
    offline = run.prepared.scenario.spec.tenants[index].arrival.kind == "offline"
    # MLPerf's rate: up to the completion of the query issued last, or of the last one where all come at once.
    span_ns = 0
    if requests:
        span_ns = (
            int(times.latency_ns.max())
            if offline
            else int(decoder.last_ns[measured_requests(run, index)][-1])
        )
        span_ns -= 0 if offline else run.window_ns[0]
    blocks, end = counts["blocks"], max(1, run.outcomes[0].end_cycles)
    good = requests - times.late
    return {
        "iterations": counts["iterations"],
        "tokens_in": counts["tokens_in"],
        "tokens_out": int(times.tokens.sum()),
        "tokens_out_per_s": int(times.tokens.sum()) / span_ns * 1e9 if span_ns > 0 else 0.0,
        "ttft_ms": latency_document(summarise(times.ttft_ns, list(SHARES.values()))),
        "tpot_ms": latency_document(summarise(times.known_tpot_ns, list(SHARES.values()))),
        "itl_ms": latency_document(_gaps(decoder)),
        "ttft_violation_rate": None
        if limits.ttft_ns is None or not requests
        else int(times.first_late.sum()) / requests,
        "tpot_violation_rate": None
        if limits.tpot_ns is None or not requests
        else int(times.rest_late.sum()) / requests,
        "goodput_qps": good / window_s if window_s > 0 else 0.0,
        "kv_occupancy": {"mean": counts["block_cycles"] / blocks / end, "max": counts["most_used"] / blocks},
        "kv_blocks": blocks,
        "preemptions": counts["preemptions"],
        "recomputed_tokens": counts["recomputed"],
        "prefix_hit_rate": None,
        "tokens_per_iteration": counts["tokens_computed"] / max(1, counts["iterations"]),
        "padding_share": 0.0,
    }
