"""The result document of one run: per tenant, per NPU of a pool, and for the whole system."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from layerweaver.backend_sim.results.of_policy import policy_notes
from layerweaver.backend_sim.results.own_metrics import (
    MeasuredTenant,
    has_own_metrics,
    measure_system,
    measure_tenant,
)
from layerweaver.backend_sim.results.schema import run as schema
from layerweaver.backend_sim.results.schema.system import System
from layerweaver.backend_sim.results.schema.tenant import Tenant
from layerweaver.backend_sim.results.spans import span_notes
from layerweaver.backend_sim.results.system import npu_documents, system_document
from layerweaver.backend_sim.results.tenant import TenantResult, tenant_result
from layerweaver.backend_sim.run.hopeless_deadlines import deadline_warnings
from layerweaver.backend_sim.run.run import Run
from layerweaver.backend_sim.traffic.offline import OfflineSpec
from layerweaver.backend_sim.traffic.source import skipped_text
from layerweaver.ir.text import figure, first_of
from layerweaver.scheduler.iterations.timings import Timings

__all__ = ["STARVING", "run_document"]

STARVING = 50
"""A head that waits for so many times what all tenants' requests take alone is called starving (*ours*)."""


_EARLY = 0.95
"""Of the duration, up to which requests that end are said to end early."""
_LATE = 1.1
"""Times the duration up to which a last row of a trace changes no rate much."""
_NAMED = 5
_BUSIER = 1.5
"""From so many times the share of the bound on, the busier engine calls for an explanation."""
_BUSIER_BY_BATCHES = 1.2
"""The same where batches are known to be less full than the bound takes them."""
_FULL = 0.9
"""Batches that have a smaller share of their largest size on average are not called full."""


def run_document(run: Run, *, histograms: bool = True) -> schema.Run:
    """The document of ``layerweaver simulate``, without the key ``run``.

    Rates are per second of the measured time (:attr:`~layerweaver.backend_sim.run.run.Run.window_ns`).

    Args:
        run: The run.
        histograms: Whether to count latencies for drawing; done anyway where metrics of packages may look.
    """
    first_ns, last_ns = run.window_ns
    span_s, window_s = run.span_ns / 1e9, max(0, last_ns - first_ns) / 1e9
    histograms = histograms or has_own_metrics()
    tenants = [
        tenant_result(run, index, window_s, histogram=histograms)
        for index in range(len(run.prepared.scenario.spec.tenants))
    ]
    system = system_document(run, tenants, window_s)
    _add_own(run, tenants, system, window_s)
    of_tenants = [tenant.document for tenant in tenants]
    document: schema.Run = {
        "policy": run.policy.name,
        "policy_options": run.policy.as_options(),
        "seed": run.request.seed,
        "npu": run.prepared.npu_name,
        "simulated_s": span_s,
        "layers_executed": sum(outcome.layers_executed for outcome in run.outcomes),
        "tenants": of_tenants,
        "system": system,
        "scenario": run.prepared.record(run.policy),
    }
    if run.request.factor != 1 and not run.fixed_queries:
        document["rate_factor"] = run.request.factor
    if len(run.prepared.machines) > 1:
        document["npus"] = npu_documents(run)
    if run.prepared.scenario.spec.groups:
        document["groups"] = run.prepared.groups
    notes = [
        *span_notes([run.policy.name], [document]),
        *run.prepared.notes,
        *run.said,
        *_energy_unknown(run, of_tenants),
        *_busy_below_the_bound(run, system),
        *_batches_below_full(run, of_tenants, system),
        *_late_last_rows(run, of_tenants),
        *_apart_from_the_duration(run, system),
        *policy_notes(run.prepared, run.policy),
    ]
    if notes:
        document["notes"] = notes
    warnings = [
        *run.prepared.warnings,
        *_before_warmup(run, of_tenants),
        *deadline_warnings(run.prepared, run.policy),
        *_starving(run, of_tenants),
    ]
    warnings.extend(
        skipped_text(tenant["name"], tenant["skipped_rows"])
        for tenant in of_tenants
        if "skipped_rows" in tenant
    )
    if warnings:
        document["warnings"] = warnings
    if run.interrupted:
        document["interrupted"] = True
    return document


def _add_own(run: Run, tenants: Sequence[TenantResult], system: System, window_s: float) -> None:
    """The metrics that packages add."""
    scenario = run.prepared.scenario
    measured = [
        MeasuredTenant(
            name=tenant.document["name"],
            latency_ns=run.latencies(index),
            deadline_ns=scenario.deadline_ns(index),
            priority=scenario.spec.tenants[index].priority,
            standalone_s=tenant.standalone_s,
            window_s=window_s,
            document=tenant.document,
        )
        for index, tenant in enumerate(tenants)
    ]
    for tenant, seen in zip(tenants, measured, strict=True):
        if own := measure_tenant(seen):
            tenant.document["own"] = own
    if own := measure_system(measured):
        system["own"] = own


def _energy_unknown(run: Run, tenants: Sequence[Tenant]) -> Iterator[str]:
    """Why energy is told of some tenants or NPUs only, in words; nothing where it is told of all or none."""
    npus, unknown = run.prepared.npus, [tenant["name"] for tenant in tenants if "energy_j" not in tenant]
    without = [npu.machine.name for npu in npus if all(menu[0].table.energy_pj is None for menu in npu.menus)]
    if not unknown or len(without) == len(npus):
        return
    if without:
        yield f"no energy is told: {', '.join(without)} states no energy constants, others of the pool do"
    else:
        others = " and others" if len(unknown) > _NAMED else ""
        yield f"no energy of {', '.join(unknown[:_NAMED])}{others} is known, so the system has none"


def _is_busier(system: System, times: float) -> bool:
    """Whether an engine is busy for more than so many times the share of the bound that is offered."""
    busiest = max(system["compute_utilization"] or 0.0, system["dram_utilization"] or 0.0)
    offered_share = system.get("offered_share")
    return bool(offered_share) and busiest > times * (offered_share or 0.0)


def _busy_below_the_bound(run: Run, system: System) -> Iterator[str]:
    """Why language models keep the NPU busier than their share of the bound on rates says, in words."""
    models = [
        tenant.name
        for tenant, model in zip(run.prepared.scenario.spec.tenants, run.prepared.decoders, strict=False)
        if model is not None and not isinstance(model.costs, Timings)
    ]
    if models and _is_busier(system, _BUSIER):
        yield (
            f"the bound takes iterations of {', '.join(models[:_NAMED])} as full, which move the weights "
            "once for all members; at this load fewer share one, so that an engine is busier than the share "
            "of the bound says"
        )


def _batches_below_full(run: Run, tenants: Sequence[Tenant], system: System) -> Iterator[str]:
    """Whose batches are less full than the bound takes them, where that keeps the NPU busier, in words."""
    short = []
    for index, tenant in enumerate(tenants):
        largest = max(npu.menus[index][-1].table.batch for npu in run.prepared.npus)
        mean = tenant.get("batch_size", {}).get("mean")
        if mean is not None and mean < _FULL * largest:
            short.append(f"{tenant['name']} ({figure(mean)} of {largest} requests on average)")
    if short and _is_busier(system, _BUSIER_BY_BATCHES):
        yield (
            f"the bound takes batches as full, which those of {first_of(short, _NAMED)} are not, so that an "
            "engine is busier than the share of the bound says"
        )


def _late_last_rows(run: Run, tenants: Sequence[Tenant]) -> Iterator[str]:
    """Whose first row past the duration comes so late that rates are over another time, in words."""
    duration_s = run.prepared.scenario.spec.duration_s
    for spec, tenant in zip(run.prepared.scenario.spec.tenants, tenants, strict=False):
        offered_s = tenant.get("offered_s") or 0.0
        if duration_s and spec.arrival.kind == "trace" and offered_s > _LATE * duration_s:
            yield (
                f"{tenant['name']}: the first row of its trace past the duration of {figure(duration_s)} s "
                f"counts, and comes at {figure(offered_s)} s; rates are over the time until then"
            )


def _apart_from_the_duration(run: Run, system: System) -> Iterator[str]:
    """That requests end before the duration does, with what a cool-down leaves out, or go on after it."""
    spec, offered_s = run.prepared.scenario.spec, system.get("offered_s", 0.0)
    end_s = offered_s + spec.warmup_s
    if spec.duration_s is None or run.fixed_queries or run.interrupted or not offered_s:
        return
    if end_s < _EARLY * (spec.duration_s - spec.cooldown_s):
        kept = run.span_ns / 1e9 <= spec.duration_s - spec.cooldown_s
        cooled = ": cooldown_s leaves nothing out" if spec.cooldown_s and kept else ""
        yield f"all requests end after {figure(end_s)} of duration_s {spec.duration_s:g}{cooled}"
    loops = [asked for asked in spec.tenants if asked.arrival.waits]
    counted = [asked.name for asked in loops if getattr(asked.arrival, "queries", None)]
    if counted and end_s > _LATE * spec.duration_s:
        yield (
            f"requests go on for {figure(end_s)} s, past duration_s {spec.duration_s:g}: queries ends those "
            f"of {first_of(counted, _NAMED)}"
        )


def _before_warmup(run: Run, tenants: Sequence[Tenant]) -> Iterator[str]:
    """Of whom nothing is measured, as all comes before the warm-up is over, in words."""
    spec = run.prepared.scenario.spec
    for index, (asked, tenant) in enumerate(zip(spec.tenants, tenants, strict=True)):
        scheduled = sum(len(outcome.tenants[index].latency_ns) for outcome in run.outcomes)
        if spec.warmup_s and scheduled and not tenant["arrived"]:
            when = " at 0," if isinstance(asked.arrival, OfflineSpec) else ""
            yield (
                f"tenant {asked.name!r}: no query is measured: all come{when} before warmup_s "
                f"{spec.warmup_s:g} is over"
            )


def _starving(run: Run, tenants: Sequence[Tenant]) -> Iterator[str]:
    """Who was ready to run and passed over for very long, in words."""
    alone_ms = [tenant["standalone_ms"] for tenant in tenants]
    round_ms = sum(max(one_ms, _fullest_ms(run, index)) for index, one_ms in enumerate(alone_ms))
    for tenant in tenants:
        waited_ms = tenant["longest_wait_ms"]
        if len(tenants) > 1 and waited_ms > STARVING * round_ms:
            yield (
                f"{tenant['name']} starves: a request at the head of its queue waited "
                f"{figure(waited_ms, 4)} ms for its next layer, {waited_ms / round_ms:.0f} times what one "
                "request, or full batch, of every tenant takes alone"
            )


def _fullest_ms(run: Run, index: int) -> float:
    """What the largest batch of a tenant's model takes alone, on the slowest NPU."""
    machines = run.prepared.machines
    return 1e3 * max(menus[index][-1].standalone_cycles / machine.clock_hz for machine, menus in machines)
