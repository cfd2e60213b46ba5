"""Metrics of one tenant in one run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.outcome import TIMED_OUT, is_done, is_late
from layerweaver.backend_sim.llm.outcome import DecoderRun
from layerweaver.backend_sim.results.counts import depth_document, size_document
from layerweaver.backend_sim.results.latency import (
    SHARES,
    SMALL_BINS,
    LatencySummary,
    latency_document,
    latency_histogram,
    milliseconds,
    summarise,
)
from layerweaver.backend_sim.results.schema.details import Counted
from layerweaver.backend_sim.results.schema.tenant import Tenant
from layerweaver.backend_sim.results.tokens import (
    cold_ns,
    deadline_document,
    decoder_of,
    iterations_energy_pj,
    token_document,
    token_times,
)
from layerweaver.backend_sim.results.verdict import (
    Judgement,
    RunFacts,
    early_stopping_estimates,
    judge,
    judge_tokens,
)
from layerweaver.backend_sim.run.run import Run
from layerweaver.backend_sim.traffic.arrival import Arrival
from layerweaver.ir.clock import cycles_to_ns_up, seconds_to_ns_nearest

__all__ = ["LOADGEN_KINDS", "TenantResult", "tenant_result", "three_digits"]

LOADGEN_KINDS = ("poisson", "offline", "single_stream", "multi_stream")


@dataclass(frozen=True, slots=True, eq=False)
class TenantResult:
    """Intermediate results of one tenant; ``finished`` counts the completions that rates are of."""

    document: Tenant
    arrived: int
    finished: int
    mean_ns: float | None
    standalone_s: float
    slowdown: float | None = None

    @property
    def turnaround(self) -> float | None:
        """Mean latency over the time alone; where requests differ, the mean of their own ratios."""
        if self.slowdown is not None:
            return self.slowdown
        return self.mean_ns / 1e9 / self.standalone_s if self.mean_ns and self.standalone_s else None


def _asked_duration_ns(run: Run, arrival: Arrival) -> int:
    """Least duration that the verdict asks for; other sources than LoadGen's end at it by themselves."""
    duration_s = run.prepared.scenario.spec.duration_s
    if run.fixed_queries or duration_s is None or not arrival.loadgen:
        return 0
    return seconds_to_ns_nearest(duration_s)


def tenant_result(run: Run, index: int, window_s: float, *, histogram: bool = True) -> TenantResult:
    """One tenant's document and what the system's metrics need of it.

    Args:
        run: The run.
        index: Index of the tenant.
        window_s: The measured window in seconds, for rates.
        histogram: Whether to count latencies for drawing.
    """
    scenario = run.prepared.scenario
    spec = scenario.spec.tenants[index]
    everything = run.latencies(index)
    arrived = len(everything)
    completed_ns = everything if is_done(everything).all() else everything[is_done(everything)]
    completed = len(completed_ns)
    finished = completed if run.finished is None else run.finished[index]
    share = scenario.percentile(index)
    summary = summarise(completed_ns, sorted({*SHARES.values(), share}))
    deadline_ns = scenario.deadline_ns(index)
    dropped = arrived - completed
    late = 0 if deadline_ns is None else int(np.count_nonzero(is_late(completed_ns, deadline_ns)))
    facts = RunFacts(
        kind=spec.arrival.kind,
        share=share,
        target_ns=deadline_ns,
        lasted_ns=run.lasted_ns(index),
        min_duration_ns=_asked_duration_ns(run, spec.arrival),
        min_queries=0 if run.fixed_queries else scenario.spec.min_queries,
        dropped=dropped,
    )
    offered_s = _offering_s(run, index)
    judgement = judge(completed_ns, facts, interrupted=run.interrupted)
    standalone_s = run.prepared.standalone_s(index)
    document: Tenant = {
        "name": spec.name,
        "arrived": arrived,
        "completed": completed,
        "dropped": dropped,
        "timed_out": int(np.count_nonzero(everything == TIMED_OUT)),
        "qps": finished / window_s if window_s > 0 else 0.0,
        "standalone_ms": standalone_s * 1e3,
        "latency_ms": latency_document(summary),
        "deadline_ms": milliseconds(deadline_ns),
        "violation_rate": (late + dropped) / arrived
        if arrived and (deadline_ns is not None or dropped)
        else None,
        "offered_qps": arrived / offered_s if offered_s else None,
        "offered_s": offered_s,
        "percentile": 100 * share,
        "percentile_ms": milliseconds(summary.percentiles_ns[share]),
    }
    if histogram:
        document["latency_histogram"] = _histogram(completed_ns)
    estimates = early_stopping_estimates(completed_ns, spec.arrival.kind, share)
    if estimates:
        document["early_stopping_ms"] = {name: milliseconds(value) for name, value in estimates.items()}
    _add_judgement(document, judgement)
    _add_service(document, run, index, summary)
    if not summary.exact:
        document["percentiles_within"] = 2.0**-11
    if run.skipped_rows[index]:
        document["skipped_rows"] = run.skipped_rows[index]
    result = TenantResult(document, arrived, finished, summary.mean_ns, standalone_s)
    decoder = decoder_of(run, index)
    return (
        result
        if decoder is None
        else _with_tokens(run, index, decoder, facts=facts, result=result, window_s=window_s)
    )


def _add_judgement(document: Tenant, judgement: Judgement) -> None:
    document["status"] = judgement.status
    document["verdict"] = judgement.verdict
    document["reasons"] = judgement.reasons
    document["missing_queries"] = judgement.missing_queries
    document["missing_s"] = judgement.missing_s


def _with_tokens(
    run: Run, index: int, decoder: DecoderRun, *, facts: RunFacts, result: TenantResult, window_s: float
) -> TenantResult:
    """The result of a language model: judged by its tokens, its requests compared with themselves alone."""
    limits, times = run.prepared.scenario.token_limits(index), token_times(run, index, decoder)
    alone_ns = cold_ns(run, index)
    standalone_s = float(alone_ns.mean()) / 1e9 if len(alone_ns) else 0.0
    judgement = judge_tokens(
        times.ttft_ns,
        times.known_tpot_ns,
        (limits.ttft_ns, limits.tpot_ns),
        facts,
        interrupted=run.interrupted,
    )
    document = cast("Tenant", {key: value for key, value in result.document.items() if key != "deadline_ms"})
    document["standalone_ms"] = standalone_s * 1e3
    judged = limits.stated and len(times.ttft_ns) > 0
    document["violation_rate"] = times.late / len(times.ttft_ns) if judged else None
    _add_judgement(document, judgement)
    document["service_ms"] = document["queueing_ms"] = None
    document["deadline"] = deadline_document(limits)
    document["llm"] = token_document(run, index, decoder, times, window_s)
    slowdown = float(np.mean(times.latency_ns / np.maximum(alone_ns, 1))) if len(alone_ns) else None
    return replace(result, document=document, standalone_s=standalone_s, slowdown=slowdown)


def _offering_s(run: Run, index: int) -> float | None:
    """How long a tenant's source offers requests in the measured time, not how long it took to serve them.

    One that waits for the machine offers no more than that completes: until its last request is done.
    """
    spec = run.prepared.scenario.spec
    arrival = spec.tenants[index].arrival
    last_s = (run.last_done_ns(index) if arrival.waits else run.last_scheduled_ns[index]) / 1e9
    if spec.duration_s is not None and not run.fixed_queries and arrival.lasts():
        last_s = max(last_s, spec.duration_s)
    cooldown_ns = run.prepared.cooldown_ns(run.request)
    if cooldown_ns is not None:
        last_s = min(last_s, cooldown_ns / 1e9)
    return None if run.interrupted else max(0.0, last_s - run.window_ns[0] / 1e9)


def three_digits(value: float) -> float:
    """A figure that is not known better."""
    return float(f"{value:.3g}")


def _histogram(completed_ns: NDArray[np.int64]) -> Counted:
    counted = latency_histogram(completed_ns, SMALL_BINS)
    return {"edges_ms": counted["edges_ms"], "counts": counted["counts"]}


def _add_service(document: Tenant, run: Run, index: int, summary: LatencySummary) -> None:
    """Queueing and service parts, batches and energy."""
    service_ns, energy_pj = 0.0, 0.0
    energy_known, requests = True, 0
    counted: dict[int, int] = {}
    waited_ns = 0
    for outcome, (machine, menus) in zip(run.outcomes, run.prepared.machines, strict=False):
        tenant = outcome.tenants[index]
        waited_ns = max(waited_ns, cycles_to_ns_up(tenant.longest_wait_cycles, machine.clock_hz))
        service_ns += tenant.service_cycles * 1e9 / machine.clock_hz
        sizes = np.arange(tenant.batch_counts.shape[1])
        for place, profile in enumerate(menus[index]):
            number = int(tenant.batch_counts[place].sum())
            requests += int((tenant.batch_counts[place] * sizes).sum())
            energy = profile.table.energy_pj
            energy_known &= energy is not None
            energy_pj += number * float(energy or 0)
        for size in np.flatnonzero(tenant.batch_counts.sum(axis=0)):
            counted[int(size)] = counted.get(int(size), 0) + int(tenant.batch_counts[:, size].sum())
    mean_service_ns = service_ns / summary.count if summary.count else None
    document["service_ms"] = milliseconds(mean_service_ns)
    document["queueing_ms"] = None
    if mean_service_ns is not None and summary.mean_ns is not None:
        document["queueing_ms"] = max(0.0, summary.mean_ns - mean_service_ns) / 1e6
    document["longest_wait_ms"] = waited_ns / 1e6
    if any(profile.table.batch > 1 for _, menus in run.prepared.machines for profile in menus[index]):
        document["batches"] = {str(size): counted[size] for size in sorted(counted)}
        document["batch_size"] = size_document(counted)
    waiting = [outcome.tenants[index].depth_counts for outcome in run.outcomes]
    document["queue_depth"] = depth_document(np.sum(waiting, axis=0))
    if (decoder := decoder_of(run, index)) is not None:
        of_iterations = iterations_energy_pj(run, index)
        energy_known, energy_pj = of_iterations is not None, of_iterations or 0.0
        requests = int((decoder.last_ns >= 0).sum())
    if energy_known:
        document["energy_j"] = three_digits(energy_pj * 1e-12)
        document["energy_per_inference_mj"] = three_digits(energy_pj / requests / 1e9) if requests else None
