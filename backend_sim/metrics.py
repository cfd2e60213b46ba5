"""Metrics of one run: per tenant and for the whole system."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.outcome import DROPPED, SimulationOutcome
from layerweaver.backend_sim.percentiles import LatencySummary, summarise
from layerweaver.backend_sim.prepare import PreparedScenario
from layerweaver.backend_sim.scenario_values import ns
from layerweaver.backend_sim.verdict import RunFacts, judge
from layerweaver.scheduler.bounds import closed_loop_bound, mix_bound, pool_bound

__all__ = ["Run", "cycles_to_ns", "run_document"]

LOADGEN_KINDS = ("poisson", "offline", "single_stream", "multi_stream")
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


def cycles_to_ns(cycles: int, clock_hz: int) -> int:
    """``ceil(cycles * 10^9 / clock_hz)``, exact."""
    return -(-cycles * 10**9 // clock_hz)


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What one simulation gave.

    Attributes:
        prepared: The scenario.
        policy: Name of the policy.
        outcomes: One per NPU.
        warm: Per NPU and tenant, how many of its requests were scheduled during the warm-up.
        last_scheduled_ns: Per tenant, the last scheduled time.
        skipped_rows: Per tenant, bad rows of its trace that were left out.
        fixed_queries: Whether the number of queries was set for the run (then no duration is asked for).
        stopped: Whether ``progress`` asked to stop (and not Ctrl-C).
    """

    prepared: PreparedScenario
    policy: str
    outcomes: tuple[SimulationOutcome, ...]
    warm: tuple[tuple[int, ...], ...]
    last_scheduled_ns: tuple[int, ...]
    skipped_rows: tuple[int, ...]
    fixed_queries: bool = False
    stopped: bool = False

    @property
    def span_ns(self) -> int:
        """From the first scheduled arrival (0) to the last completion."""
        return max(
            cycles_to_ns(outcome.end_cycles, machine.clock_hz)
            for outcome, (machine, _) in zip(self.outcomes, self.prepared.machines, strict=False)
        )

    @property
    def interrupted(self) -> bool:
        """Whether the run was stopped before its sources ended."""
        return any(outcome.interrupted for outcome in self.outcomes)

    def all_latencies(self, index: int) -> NDArray[np.int64]:
        """One tenant's latencies in ns, warm-up and dropped ones included, NPU after NPU."""
        return np.concatenate([outcome.tenants[index].latency_ns for outcome in self.outcomes])

    def latencies(self, index: int) -> NDArray[np.int64]:
        """One tenant's latencies in ns after the warm-up, dropped ones included, NPU after NPU."""
        parts = [
            outcome.tenants[index].latency_ns[warm[index] :]
            for outcome, warm in zip(self.outcomes, self.warm, strict=True)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _ms(value_ns: float | None) -> float | None:
    return None if value_ns is None else value_ns / 1e6


@dataclass(frozen=True, slots=True, eq=False)
class _Tenant:
    """Intermediate results of one tenant."""

    document: dict[str, Any]
    arrived: int
    completed: int
    mean_ns: float | None
    standalone_s: float


def _asked_duration_ns(run: Run, kind: str) -> int:
    """Least duration that the verdict asks for; other sources than LoadGen's end at it by themselves."""
    duration_s = run.prepared.scenario.spec.duration_s
    if run.fixed_queries or duration_s is None or kind not in LOADGEN_KINDS:
        return 0
    return ns(duration_s)


def _tenant(run: Run, index: int, window_s: float) -> _Tenant:
    scenario = run.prepared.scenario
    spec = scenario.spec.tenants[index]
    everything = run.latencies(index)
    arrived = len(everything)
    completed_ns = everything if not (everything == DROPPED).any() else everything[everything != DROPPED]
    completed = len(completed_ns)
    share = scenario.percentile(index)
    summary = summarise(completed_ns, sorted({*SHARES.values(), share}))
    deadline_ns = scenario.deadline_ns(index)
    dropped = arrived - completed
    late = 0 if deadline_ns is None else int(np.count_nonzero(completed_ns > deadline_ns))
    facts = RunFacts(
        kind=spec.arrival.kind,
        share=share,
        target_ns=deadline_ns,
        last_scheduled_ns=run.last_scheduled_ns[index],
        last_completion_ns=run.span_ns,
        min_duration_ns=_asked_duration_ns(run, spec.arrival.kind),
        min_queries=0 if run.fixed_queries else scenario.spec.min_queries,
        dropped=dropped,
    )
    verdict, reasons = judge(completed_ns, facts)
    if run.interrupted and verdict is not None:
        verdict, reasons = "INVALID", ["the run was interrupted", *reasons]
    standalone_s = run.prepared.standalone_s(index)
    document: dict[str, Any] = {
        "name": spec.name,
        "arrived": arrived,
        "completed": completed,
        "dropped": dropped,
        "qps": completed / window_s if window_s > 0 else 0.0,
        "standalone_ms": standalone_s * 1e3,
        "latency_ms": _latency_document(summary),
        "deadline_ms": _ms(deadline_ns),
        "violation_rate": None if deadline_ns is None and not dropped else (late + dropped) / max(arrived, 1),
        "verdict": verdict,
        "reasons": reasons,
        "percentile": 100 * share,
        "percentile_ms": _ms(summary.percentiles_ns[share]),
    }
    document.update(_service(run, index, summary))
    if not summary.exact:
        document["percentiles_within"] = 2.0**-11
    if run.skipped_rows[index]:
        document["skipped_rows"] = run.skipped_rows[index]
    return _Tenant(document, arrived, completed, summary.mean_ns, standalone_s)


def _latency_document(summary: LatencySummary) -> dict[str, float | None]:
    values = {name: _ms(summary.percentiles_ns[share]) for name, share in SHARES.items()}
    return {"mean": _ms(summary.mean_ns), **values, "max": _ms(summary.max_ns)}


def _service(run: Run, index: int, summary: LatencySummary) -> dict[str, Any]:
    """Queueing and service parts, batches and energy."""
    batches, service_ns, energy_pj = 0, 0.0, 0.0
    energy_known, requests = True, 0
    counted: dict[int, int] = {}
    waited_ns = 0
    for outcome, (machine, menus) in zip(run.outcomes, run.prepared.machines, strict=False):
        tenant = outcome.tenants[index]
        waited_ns = max(waited_ns, cycles_to_ns(tenant.longest_wait_cycles, machine.clock_hz))
        service_ns += tenant.service_cycles * 1e9 / machine.clock_hz
        sizes = np.arange(tenant.batch_counts.shape[1])
        for place, profile in enumerate(menus[index]):
            number = int(tenant.batch_counts[place].sum())
            batches += number
            requests += int((tenant.batch_counts[place] * sizes).sum())
            energy = profile.table.energy_pj
            energy_known &= energy is not None
            energy_pj += number * float(energy or 0)
        for size in np.flatnonzero(tenant.batch_counts.sum(axis=0)):
            counted[int(size)] = counted.get(int(size), 0) + int(tenant.batch_counts[:, size].sum())
    mean_service_ns = service_ns / batches if batches else None
    result: dict[str, Any] = {
        "service_ms": _ms(mean_service_ns),
        "queueing_ms": None
        if mean_service_ns is None or summary.mean_ns is None
        else max(0.0, summary.mean_ns - mean_service_ns) / 1e6,
        "longest_wait_ms": waited_ns / 1e6,
    }
    if any(len(menus[index]) > 1 for _, menus in run.prepared.machines):
        result["batches"] = {str(size): counted[size] for size in sorted(counted)}
    if energy_known and requests:
        result["energy_per_inference_mj"] = energy_pj / requests / 1e9
    return result


def _bounds(run: Run, tenants: Sequence[_Tenant]) -> dict[str, Any]:
    """The two-resource bound on the completed rate at this mix, and for closed loops on STP."""
    shares = [float(tenant.arrived) for tenant in tenants]
    npus = run.prepared.npus
    result: dict[str, Any] = {"bound_qps": None}
    if sum(shares) > 0:
        if len(run.prepared.machines) == 1:
            result["bound_qps"] = mix_bound(npus[0].menus, shares)
        else:
            result["bound_qps"] = pool_bound([npu.menus for npu in npus], shares, [npu.count for npu in npus])
    if result["bound_qps"] == math.inf:
        result["bound_qps"] = None
    spec = run.prepared.scenario.spec
    loops = {"closed_loop": True, "saturated": True}
    if len(run.prepared.machines) == 1 and all(loops.get(tenant.arrival.kind) for tenant in spec.tenants):
        result["bound_stp"] = closed_loop_bound(
            npus[0].menus,
            concurrency=[getattr(tenant.arrival, "concurrency", None) for tenant in spec.tenants],
            weights=[
                run.prepared.standalone_s(index) * run.prepared.request_share(index)
                for index in range(len(spec.tenants))
            ],
            think_s=[getattr(tenant.arrival, "think_ms", 0.0) / 1e3 for tenant in spec.tenants],
        ).value
    return result


def _throughput(run: Run, tenants: Sequence[_Tenant], window_s: float) -> float:
    """STP: sum over tenants of the completed rate times the standalone time of a request."""
    if window_s <= 0:
        return 0.0
    return sum(
        tenant.completed / window_s * tenant.standalone_s * run.prepared.request_share(index)
        for index, tenant in enumerate(tenants)
    )


def _system(run: Run, tenants: Sequence[_Tenant], window_s: float) -> dict[str, Any]:
    span_ns = run.span_ns
    turnaround = [
        tenant.mean_ns / 1e9 / tenant.standalone_s if tenant.mean_ns and tenant.standalone_s else None
        for tenant in tenants
    ]
    known = [ratio for ratio in turnaround if ratio]
    complete = len(known) == len(tenants)
    priorities = [tenant.priority for tenant in run.prepared.scenario.spec.tenants]
    progress = [
        1 / ratio / (priority / sum(priorities)) if ratio else 0.0
        for ratio, priority in zip(turnaround, priorities, strict=True)
    ]
    modes: dict[str, int] = {}
    for outcome in run.outcomes:
        for mode, count in outcome.mode_counts.items():
            modes[mode] = modes.get(mode, 0) + count
    decisions = sum(modes.values())
    return {
        "stp": _throughput(run, tenants, window_s),
        "antt": sum(known) / len(known) if complete and known else None,
        "fairness": min(progress) / max(progress) if complete and max(progress) > 0 else None,
        **_machine_shares(run, span_ns),
        **_bounds(run, tenants),
        "deadline_mode_share": modes["deadline"] / decisions if decisions and "deadline" in modes else None,
    }


def _machine_shares(run: Run, span_ns: int) -> dict[str, Any]:
    """Utilisation and idle shares over the span, the mean over the NPUs of a pool.

    Idle shares are of the time of both engines together, so that with the mean of the two utilisations they
    sum up to 1.
    """
    compute = dram = 0.0
    causes = ("no_work", "waiting_for_memory", "buffer_full", "inherent", "held_by_policy")
    idle = dict.fromkeys(causes, 0.0)
    for outcome, (machine, _) in zip(run.outcomes, run.prepared.machines, strict=False):
        span_cycles = max(outcome.end_cycles, 1)
        if len(run.outcomes) > 1:
            span_cycles = max(span_cycles, span_ns * machine.clock_hz // 10**9)
        share = 1 / span_cycles / len(run.outcomes)
        compute += outcome.compute_busy_cycles * share
        dram += outcome.dram_busy_cycles * share
        for cause in idle:
            idle[cause] += outcome.idle_cycles.get(cause, 0) * share / 2
        idle["no_work"] += (span_cycles - max(outcome.end_cycles, 1)) * share
    return {"compute_utilization": compute, "dram_utilization": dram, "idle": idle}


def run_document(run: Run) -> dict[str, Any]:
    """The document of ``layerweaver simulate``, without the key ``run``.

    Rates are per second of the measured window: from the end of the warm-up to the last completion.
    """
    span_s = run.span_ns / 1e9
    window_s = max(0.0, span_s - run.prepared.scenario.spec.warmup_s)
    tenants = [_tenant(run, index, window_s) for index in range(len(run.prepared.scenario.spec.tenants))]
    document: dict[str, Any] = {
        "policy": run.policy,
        "npu": run.prepared.npu_name,
        "simulated_s": span_s,
        "layers_executed": sum(outcome.layers_executed for outcome in run.outcomes),
        "tenants": [tenant.document for tenant in tenants],
        "system": _system(run, tenants, window_s),
    }
    if run.prepared.warnings:
        document["warnings"] = list(run.prepared.warnings)
    if run.interrupted:
        document["interrupted"] = True
    return document
