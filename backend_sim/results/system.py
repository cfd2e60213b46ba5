"""Metrics of a whole run: throughput, fairness, utilisation and idle time, of the system and by NPU."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from typing_extensions import TypedDict

from layerweaver.backend_sim.engine.outcome import TIMED_OUT, is_done
from layerweaver.backend_sim.results.schema.system import PoolNpu, System
from layerweaver.backend_sim.results.tenant import TenantResult, three_digits
from layerweaver.backend_sim.run.run import Run
from layerweaver.ir.clock import ns_to_cycles_down, ns_to_cycles_up
from layerweaver.ir.units import ENERGY_COUNTS
from layerweaver.scheduler.bounds import closed_loop_bound, mix_bound, pool_bound

__all__ = ["npu_documents", "system_document"]


def _offered_s(run: Run, tenants: Sequence[TenantResult]) -> float:
    """The longest time in which a tenant offers requests, without the gap before a last one after the end.

    LoadGen's schedules end with the first request after the duration, which of a slow tenant may come late.
    """
    spec = run.prepared.scenario.spec
    longest_s = 0.0
    for index, (tenant, asked) in enumerate(zip(tenants, spec.tenants, strict=True)):
        offered_s = tenant.document["offered_s"] or 0.0
        if spec.duration_s is not None and not run.fixed_queries and asked.arrival.lasts():
            scheduled = sum(len(outcome.tenants[index].latency_ns) for outcome in run.outcomes)
            enough = scheduled > spec.min_queries
            offered_s = min(offered_s, max(0.0, spec.duration_s - spec.warmup_s)) if enough else offered_s
        longest_s = max(longest_s, offered_s)
    return longest_s


def _offered_qps(tenants: Sequence[TenantResult], offered_s: float) -> float | None:
    """What all sources offer per second of the longest time that one of them does."""
    offered = [(tenant.document["offered_qps"], tenant.document["offered_s"]) for tenant in tenants]
    if not offered_s or any(
        rate is None and tenant.arrived for (rate, _), tenant in zip(offered, tenants, strict=True)
    ):
        return None  # all at once, which is no rate
    return sum(rate * min(1.0, (seconds or 0.0) / offered_s) for rate, seconds in offered if rate is not None)


def _add_bounds(document: System, run: Run, tenants: Sequence[TenantResult]) -> None:
    """The two-resource bound on the completed rate at this mix, and for closed loops on STP."""
    shares = [float(tenant.arrived) for tenant in tenants]
    npus, menus = run.prepared.npus, run.prepared.bound_menus
    bound_qps = math.inf
    if sum(shares) > 0:
        if len(run.prepared.machines) == 1:
            bound_qps = mix_bound(menus[0], shares)
        else:
            bound_qps = pool_bound(menus, shares, [npu.count for npu in npus])
    offered_s = _offered_s(run, tenants)
    offered_qps = _offered_qps(tenants, offered_s)
    document["bound_qps"] = None if bound_qps == math.inf else bound_qps
    document["offered_qps"] = offered_qps
    document["offered_s"] = offered_s
    document["offered_share"] = None
    if offered_qps is not None and 0 < bound_qps < math.inf:
        document["offered_share"] = offered_qps / bound_qps
    spec = run.prepared.scenario.spec
    if len(run.prepared.machines) == 1 and all(
        item.arrival.waits and item.arrival.bounded for item in spec.tenants
    ):
        document["bound_stp"] = closed_loop_bound(
            menus[0],
            concurrency=[getattr(tenant.arrival, "concurrency", None) for tenant in spec.tenants],
            weights=[
                run.prepared.standalone_s(index) * run.prepared.request_share(index)
                for index in range(len(spec.tenants))
            ],
            think_s=[getattr(tenant.arrival, "think_ms", 0.0) / 1e3 for tenant in spec.tenants],
        ).value


def _throughput(run: Run, tenants: Sequence[TenantResult], window_s: float) -> float:
    """STP: sum over tenants of the completed rate times the standalone time of a request."""
    if window_s <= 0:
        return 0.0
    return sum(
        tenant.finished / window_s * tenant.standalone_s * run.prepared.request_share(index)
        for index, tenant in enumerate(tenants)
    )


def system_document(run: Run, tenants: Sequence[TenantResult], window_s: float) -> System:
    """The key ``system`` of a result: STP, ANTT, fairness, shares of time and bounds.

    Args:
        run: The run.
        tenants: Its tenants' results.
        window_s: The measured window in seconds.
    """
    turnaround = [tenant.turnaround for tenant in tenants]
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
    energy_j = [tenant.document["energy_j"] for tenant in tenants if "energy_j" in tenant.document]
    shares = _machine_shares(run)
    document: System = {
        "stp": _throughput(run, tenants, window_s),
        "antt": sum(known) / len(known) if complete and known else None,
        "fairness": min(progress) / max(progress) if complete and max(progress) > 0 else None,
        "compute_utilization": shares["compute_utilization"],
        "dram_utilization": shares["dram_utilization"],
        "idle": shares["idle"],
        "deadline_mode_share": modes["deadline"] / decisions if decisions and "deadline" in modes else None,
        "decision_modes": {mode: count / decisions for mode, count in modes.items()} if decisions else {},
    }
    document["measured_s"] = window_s
    _add_bounds(document, run, tenants)
    if len(energy_j) == len(tenants):
        document["energy_j"] = three_digits(sum(energy_j))
        energies = [(config.name, config.energy) for config in run.prepared.configs]
        free = [f"{name}: {energy.free}" for name, energy in energies if energy is not None and energy.free]
        document["energy_counts"] = "; ".join([ENERGY_COUNTS, *free])
    return document


class _Shares(TypedDict):
    compute_utilization: float
    dram_utilization: float
    idle: Mapping[str, float]


_IDLE_CAUSES = ("no_work", "waiting_for_memory", "buffer_full", "inherent", "held_by_policy")


def _npu_shares(run: Run) -> list[_Shares]:
    """Utilisation and idle shares per NPU, of the measured time: it ends with the last completion on any.

    Idle shares are of the time of both engines together, so that with the mean of the two utilisations they
    sum up to 1.
    """
    warmup_ns, last_ns = run.window_ns
    cooldown_ns = run.prepared.cooldown_ns(run.request)
    documents: list[_Shares] = []
    for outcome, (machine, _) in zip(run.outcomes, run.prepared.machines, strict=False):
        first = ns_to_cycles_up(warmup_ns, machine.clock_hz)
        last = outcome.end_cycles
        if len(run.outcomes) > 1:
            last = max(last, ns_to_cycles_down(last_ns, machine.clock_hz))
        if cooldown_ns is not None:
            last = min(last, ns_to_cycles_up(cooldown_ns, machine.clock_hz))
        span = max(last - first, 1)
        idle = {cause: outcome.idle_cycles.get(cause, 0) / span / 2 for cause in _IDLE_CAUSES}
        idle["no_work"] += (span - max(min(outcome.end_cycles, last) - first, 0)) / span
        documents.append(
            {
                "compute_utilization": outcome.compute_busy_cycles / span,
                "dram_utilization": outcome.dram_busy_cycles / span,
                "idle": idle,
            }
        )
    return documents


def npu_documents(run: Run) -> list[PoolNpu]:
    """One document per NPU of a pool: requests routed to it after the warm-up, and how busy it was."""
    latencies = [
        [tenant.latency_ns[kept] for tenant, kept in zip(outcome.tenants, measured, strict=True)]
        for outcome, measured in zip(run.outcomes, run.measured, strict=True)
    ]
    routed = [[len(latency_ns) for latency_ns in npu] for npu in latencies]
    total = sum(map(sum, routed))
    documents: list[PoolNpu] = []
    for place, (outcome, (machine, _), shares) in enumerate(
        zip(run.outcomes, run.prepared.machines, _npu_shares(run), strict=False)
    ):
        arrived = sum(routed[place])
        dropped = arrived - sum(int(is_done(latency_ns).sum()) for latency_ns in latencies[place])
        documents.append(
            {
                "name": f"{machine.name}#{place}",
                "npu": machine.name,
                "arrived": arrived,
                "completed": arrived - dropped,
                "dropped": dropped,
                "timed_out": sum(int((latency_ns == TIMED_OUT).sum()) for latency_ns in latencies[place]),
                "share_of_requests": arrived / total if total else None,
                "requests": {
                    tenant.name: count for tenant, count in zip(outcome.tenants, routed[place], strict=True)
                },
                "layers_executed": outcome.layers_executed,
                **shares,
            }
        )
    return documents


def _machine_shares(run: Run) -> _Shares:
    """Utilisation and idle shares over the span, the mean over the NPUs of a pool."""
    shares = _npu_shares(run)
    count = len(shares)
    return {
        "compute_utilization": sum(share["compute_utilization"] for share in shares) / count,
        "dram_utilization": sum(share["dram_utilization"] for share in shares) / count,
        "idle": {cause: sum(share["idle"][cause] for share in shares) / count for cause in _IDLE_CAUSES},
    }
