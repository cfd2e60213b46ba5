"""MLPerf's verdict on a run, as LoadGen reaches it, early stopping included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.outcome import is_late
from layerweaver.backend_sim.results.latency import percentile_index

__all__ = ["RunFacts", "early_stopping_queries", "judge", "judge_tokens", "may_stop_early"]

_UNSURE = 0.01
"""LoadGen asks for 99% confidence."""


def may_stop_early(queries: int, over: int, share: float) -> bool:
    """Whether so many queries, ``over`` of them late, prove the percentile (``n >= h(t) + t``)."""
    from scipy.special import betainc  # noqa: PLC0415 - loads slowly

    within = queries - over
    return within > 0 and bool(betainc(within, over + 1, share) < _UNSURE)


def early_stopping_queries(over: int, share: float) -> int:
    """``h(t)``: the least number of queries within the limit that make up for ``over`` late ones.

    The least h with ``betainc(h, t + 1, p) < 0.01``; at p = 0.99, ``n = h + t`` is 459, 662, 2010, 12571 for
    t = 0, 1, 10, 100.
    """
    low, high = 0, 1
    while not may_stop_early(high + over, over, share):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if may_stop_early(middle + over, over, share):
            high = middle
        else:
            low = middle
    return high


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a verdict is reached on.

    Attributes:
        kind: Arrival kind of the tenant.
        share: Percentile as a share.
        target_ns: Latency limit; None for scenarios without one.
        last_scheduled_ns: Scheduled time of the last query.
        last_completion_ns: Completion of the last query.
        min_duration_ns: Least duration asked for.
        min_queries: Least number of queries asked for.
        dropped: Requests dropped; each is over the limit.
    """

    kind: str
    share: float
    target_ns: int | None
    last_scheduled_ns: int
    last_completion_ns: int
    min_duration_ns: int
    min_queries: int
    dropped: int


def judge(latency_ns: NDArray[np.int64], facts: RunFacts) -> tuple[str | None, list[str]]:
    """VALID or INVALID with the reasons; None where nothing is asked of the tenant (no deadline).

    Args:
        latency_ns: Latencies of completed requests in ns, shape (n,).
        facts: The rest.
    """
    bounded = facts.target_ns is not None and facts.kind not in ("offline", "single_stream", "multi_stream")
    if not bounded and facts.kind not in ("offline", "single_stream", "multi_stream"):
        return None, []
    queries = len(latency_ns) + facts.dropped
    reasons = _length_reasons(queries, facts)
    if bounded and facts.target_ns is not None and queries:
        reasons.extend(_latency_reasons(latency_ns, facts, facts.target_ns, queries))
    elif queries and facts.kind != "offline":
        needed = early_stopping_queries(1, facts.share) + 1
        if queries < needed:
            reasons.append(f"early stopping: {queries} queries, needs {needed} at p{100 * facts.share:g}")
    return ("INVALID" if reasons else "VALID"), reasons


def _length_reasons(queries: int, facts: RunFacts) -> list[str]:
    """Too short or too few."""
    reasons: list[str] = []
    lasted_ns = facts.last_completion_ns if facts.kind == "offline" else facts.last_scheduled_ns
    if lasted_ns < facts.min_duration_ns:
        reasons.append(
            f"too short: {lasted_ns / 1e9:.6g} s of {facts.min_duration_ns / 1e9:.6g} s; give more queries"
        )
    asked = 1 if facts.kind == "offline" else facts.min_queries
    if queries < max(asked, 1):
        reasons.append(f"too few queries: {queries} of {max(asked, 1)}")
    return reasons


def judge_tokens(
    ttft_ns: NDArray[np.int64],
    tpot_ns: NDArray[np.int64],
    ttft_limit_ns: int | None,
    tpot_limit_ns: int | None,
    facts: RunFacts,
) -> tuple[str | None, list[str]]:
    """VALID or INVALID of a language model, with the reasons; None where it has no limits.

    Both times are judged at the same percentile, each with early stopping. As LoadGen does, early stopping is
    looked at for the time per token first, and where it fails says nothing of the time to the first.

    Args:
        ttft_ns: Times to the first token, shape (n,).
        tpot_ns: Times per further token of the requests that have any.
        ttft_limit_ns: Limit of the former; None for none.
        tpot_limit_ns: Limit of the latter; None for none.
        facts: The rest; no request was dropped.
    """
    if facts.kind == "offline":
        reasons = _length_reasons(len(ttft_ns), facts)
        return ("INVALID" if reasons else "VALID"), reasons
    if ttft_limit_ns is None and tpot_limit_ns is None:
        return None, []
    reasons = _length_reasons(len(ttft_ns), facts)
    early: list[str] = []
    for name, times, limit_ns in (
        ("time per output token", tpot_ns, tpot_limit_ns),
        ("time to first token", ttft_ns, ttft_limit_ns),
    ):
        if limit_ns is None or not len(times):
            continue
        over = int(np.count_nonzero(is_late(times, limit_ns)))
        share = f"p{100 * facts.share:g}"
        if len(times) - over <= percentile_index(len(times), facts.share):
            reasons.append(f"{share} {name} is above {limit_ns / 1e6:g} ms: {over} of {len(times)} were late")
        if not early and not may_stop_early(len(times), over, facts.share):
            needed = early_stopping_queries(over, facts.share) + over
            early.append(f"early stopping: {name}: {len(times)} with {over} late, needs {needed} at {share}")
    reasons.extend(early)
    return ("INVALID" if reasons else "VALID"), reasons


def _latency_reasons(
    latency_ns: NDArray[np.int64], facts: RunFacts, target_ns: int, queries: int
) -> list[str]:
    reasons = []
    over = int(np.count_nonzero(is_late(latency_ns, target_ns))) + facts.dropped
    name = f"p{100 * facts.share:g}"
    if queries - over <= percentile_index(queries, facts.share):
        reasons.append(
            f"{name} latency is above {target_ns / 1e6:g} ms: {over} of {queries} queries were late"
        )
    if not may_stop_early(queries, over, facts.share):
        needed = early_stopping_queries(over, facts.share) + over
        reasons.append(f"early stopping: {queries} queries with {over} late, needs {needed} at {name}")
    return reasons
