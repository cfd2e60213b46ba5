"""MLPerf's verdict on a run, as LoadGen reaches it, early stopping included."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.outcome import is_late
from layerweaver.backend_sim.results.latency import percentile_index

__all__ = [
    "Judgement",
    "RunFacts",
    "early_stopping_estimates",
    "early_stopping_queries",
    "judge",
    "judge_tokens",
    "may_stop_early",
]

_UNSURE = 0.01
"""LoadGen asks for 99% confidence."""

_ROUNDING = 1e-13
"""Of a probability, relative, for each query; what is closer to the limit is worked out with more care."""


def may_stop_early(queries: int, over: int, share: float) -> bool:
    """Whether so many queries, ``over`` of them late, prove the percentile (``n >= h(t) + t``).

    That is, whether no more are late with a probability below 1% if each of them is with ``1 - share``.
    """
    within = queries - over
    if within <= 0 or over > math.ceil(queries * (1 - share)):  # above the mean it is a half and more
        return False
    chance = _chance(within, over, share)
    if abs(chance - _UNSURE) < (queries + 10_000) * _ROUNDING * _UNSURE:
        from scipy.special import betainc  # noqa: PLC0415 - loads for a quarter of a second

        chance = float(betainc(within, over + 1, share))
    return chance < _UNSURE


def _chance(within: int, over: int, share: float) -> float:
    """Probability of at most ``over`` late queries, summed from there down."""
    queries, allowed = within + over, 1 - share
    if allowed == 0:
        return 1.0
    orders = math.lgamma(queries + 1) - math.lgamma(over + 1) - math.lgamma(within + 1)
    term, total = math.exp(orders + over * math.log(allowed) + within * math.log(share)), 0.0
    while term > total * 1e-12:
        total += term
        term *= over * share / ((within + 1) * allowed)
        within, over = within + 1, over - 1
    return total


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


def early_stopping_estimates(latency_ns: NDArray[np.int64], kind: str, share: float) -> dict[str, int | None]:
    """What LoadGen reports of a stream: latencies in ns that its percentiles keep, with 99% confidence.

    Of ``n`` queries that is the ``t``-th highest latency, ``t`` the most late queries that so many allow
    (``h(t) + t <= n``); None of fewer than allow one. A single stream has the 99th percentile beside its own,
    from which MLPerf infers a multi-stream result.

    Args:
        latency_ns: Latencies of the queries, shape (n,).
        kind: Arrival kind of the tenant; others than streams have no estimate.
        share: Percentile as a share.
    """
    shares = {"single_stream": (share, 0.99), "multi_stream": (share,)}.get(kind, ())
    return {f"p{100 * each:g}": _estimate_ns(latency_ns, each) for each in shares}


def _estimate_ns(latency_ns: NDArray[np.int64], share: float) -> int | None:
    queries = len(latency_ns)
    if not may_stop_early(queries, 1, share):
        return None
    low, high = 1, queries
    while high - low > 1:
        middle = (low + high) // 2
        if may_stop_early(queries, middle, share):
            low = middle
        else:
            high = middle
    return int(np.partition(latency_ns, queries - low)[queries - low])


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a verdict is reached on.

    Attributes:
        kind: Arrival kind of the tenant.
        share: Percentile as a share.
        target_ns: Latency limit; None for scenarios without one.
        lasted_ns: How long its queries went on, as LoadGen counts it.
        min_duration_ns: Least duration asked for.
        min_queries: Least number of queries asked for.
        dropped: Requests dropped; each is over the limit.
    """

    kind: str
    share: float
    target_ns: int | None
    lasted_ns: int
    min_duration_ns: int
    min_queries: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a run proves about a tenant.

    Attributes:
        verdict: LoadGen's: VALID or INVALID; None where nothing is asked of the tenant (no deadline).
        status: ``met``, ``late`` (the percentile does not keep the limit) or ``too_short`` (it does, as far
            as so few queries or seconds tell); None where there is no verdict.
        reasons: Why it is not VALID.
        missing_queries: More queries that it takes to be sure, with the same number late; None for none.
        missing_s: More seconds of arrivals; None for none.
    """

    verdict: str | None
    status: str | None = None
    reasons: list[str] = field(default_factory=list)
    missing_queries: int | None = None
    missing_s: float | None = None


@dataclass(slots=True)
class _Findings:
    """What a judgement collects."""

    reasons: list[str] = field(default_factory=list)
    late: bool = False
    missing_queries: int = 0
    missing_ns: int = 0

    def judgement(self) -> Judgement:
        """Late weighs more than too short, since more queries do not help."""
        return Judgement(
            "INVALID" if self.reasons else "VALID",
            "late" if self.late else "too_short" if self.reasons else "met",
            self.reasons,
            None if self.late else self.missing_queries or None,
            self.missing_ns / 1e9 or None,
        )


def _length(queries: int, facts: RunFacts, *, interrupted: bool) -> _Findings:
    """Too short or too few."""
    found = _Findings(["the run was interrupted"] if interrupted else [])
    lasted_ns = facts.lasted_ns
    if lasted_ns < facts.min_duration_ns:
        found.missing_ns = facts.min_duration_ns - lasted_ns
        found.reasons.append(
            f"too short: {lasted_ns / 1e9:.6g} s of {facts.min_duration_ns / 1e9:.6g} s; give more queries"
        )
    asked = max(1, 1 if facts.kind == "offline" else facts.min_queries)
    if queries < asked:
        found.missing_queries = asked - queries
        found.reasons.append(f"too few queries: {queries} of {asked}, {asked - queries:,} missing")
    return found


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def judge(latency_ns: NDArray[np.int64], facts: RunFacts, *, interrupted: bool = False) -> Judgement:
    """Judge as LoadGen does, and tell a late tenant from a short run.

    Args:
        latency_ns: Latencies of completed requests in ns, shape (n,).
        facts: The rest.
        interrupted: Whether the run was stopped before its end.
    """
    stream = facts.kind in ("offline", "single_stream", "multi_stream")
    target_ns = None if stream else facts.target_ns
    if target_ns is None and not stream:
        return Judgement(None)
    queries = len(latency_ns) + facts.dropped
    found = _length(queries, facts, interrupted=interrupted)
    if not queries or facts.kind == "offline":
        return found.judgement()
    name, over = f"p{100 * facts.share:g}", 1
    if target_ns is not None:
        over = int(np.count_nonzero(is_late(latency_ns, target_ns))) + facts.dropped
        found.late = queries - over <= percentile_index(queries, facts.share)
        if found.late:
            they = "it was" if facts.dropped == 1 else "they were"
            never = f", {facts.dropped} of them as {they} never served" if facts.dropped else ""
            found.reasons.append(
                f"{name} latency is above {target_ns / 1e6:g} ms: {over} of {queries} {_were(over)} late"
                + never
            )
    if not found.late and (target_ns is None or not may_stop_early(queries, over, facts.share)):
        needed = early_stopping_queries(over, facts.share) + over
        if needed > queries:
            found.missing_queries = max(found.missing_queries, needed - queries)
            known = f" with {over} late" if target_ns is not None else ""
            asked = "query" if queries == 1 else "queries"
            found.reasons.append(
                f"early stopping: {queries} {asked}{known}, needs {needed} at {name}, "
                f"{needed - queries:,} missing"
            )
    return found.judgement()


def judge_tokens(
    ttft_ns: NDArray[np.int64],
    tpot_ns: NDArray[np.int64],
    limits_ns: tuple[int | None, int | None],
    facts: RunFacts,
    *,
    interrupted: bool = False,
) -> Judgement:
    """Judge a language model, where it has limits.

    Both times are judged at the same percentile, each with early stopping. As LoadGen does, early stopping is
    looked at for the time per token first, and where it fails says nothing of the time to the first.

    Args:
        ttft_ns: Times to the first token, shape (n,).
        tpot_ns: Times per further token of the requests that have any.
        limits_ns: Limits of the two; None for none.
        facts: The rest; no request was dropped.
        interrupted: Whether the run was stopped before its end.
    """
    if facts.kind != "offline" and limits_ns == (None, None):
        return Judgement(None)
    found = _length(len(ttft_ns), facts, interrupted=interrupted)
    if facts.kind == "offline":
        return found.judgement()
    stopped = False
    short: list[str] = []
    for name, times, limit_ns in (
        ("time per output token", tpot_ns, limits_ns[1]),
        ("time to first token", ttft_ns, limits_ns[0]),
    ):
        if limit_ns is None or not len(times):
            continue
        over = int(np.count_nonzero(is_late(times, limit_ns)))
        share = f"p{100 * facts.share:g}"
        late = len(times) - over <= percentile_index(len(times), facts.share)
        if late:
            found.late = True
            found.reasons.append(
                f"{share} {name} is above {limit_ns / 1e6:g} ms: {over} of {len(times)} {_were(over)} late"
            )
        if stopped or may_stop_early(len(times), over, facts.share):
            continue
        stopped = True
        if not late:
            needed = early_stopping_queries(over, facts.share) + over
            found.missing_queries = max(found.missing_queries, needed - len(times))
            short.append(
                f"early stopping: {name}: {len(times)} with {over} late, needs {needed} at {share}, "
                f"{needed - len(times):,} missing"
            )
    found.reasons.extend(short)
    return found.judgement()
