"""Deadlines that nobody can keep, or nobody who waits for company in a batch for as long as is stated."""

from __future__ import annotations

from collections.abc import Iterator

from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.backend_sim.scenario.schema import BatchSpec, TenantSpec
from layerweaver.backend_sim.traffic.loops import MultiStreamSpec
from layerweaver.ir.text import figure
from layerweaver.scheduler.machine.view import NEVER
from layerweaver.scheduler.policies.contract import Policy
from layerweaver.scheduler.rules.patience import hurries, shortest_others

__all__ = ["deadline_warnings"]


def deadline_warnings(prepared: PreparedScenario, policy: Policy) -> Iterator[str]:
    """Tenants of whom one request alone, or one after ``delay_ms``, exceeds the deadline, in words.

    A policy that defers the hopeless ends the wait while the batch can be in time, unless they are dropped or
    that would cost others more (:func:`~layerweaver.scheduler.rules.patience.hurries`).
    """
    scenario, spec = prepared.scenario, policy.spec
    due = [scenario.deadline_ns(index) for index in range(len(scenario.spec.tenants))]
    others_ns = shortest_others([NEVER if limit is None else limit for limit in due])
    for index, tenant in enumerate(scenario.spec.tenants):
        due_ns, alone_ms = due[index], 1e3 * prepared.standalone_s(index)
        if due_ns is None or tenant.is_llm:
            continue
        due_ms = due_ns / 1e6
        if due_ms < alone_ms:
            yield (
                f"tenant {tenant.name!r}: one request alone takes {figure(alone_ms)} ms, its deadline is "
                f"{due_ms:g} ms: none can be in time"
            )
            continue
        drops = tenant.queue.drop_hopeless or spec.drops_hopeless(policy.options)
        hurried = spec.defers_hopeless(policy.options) and hurries(round(1e6 * alone_ms), others_ns[index])
        waits = drops or not hurried
        if waits and (delay_ms := _delay_ms(tenant)) + alone_ms > due_ms:
            yield (
                f"tenant {tenant.name!r}: batch.delay_ms {delay_ms:g} and the {figure(alone_ms)} ms of a "
                f"request alone exceed its deadline of {due_ms:g} ms: whoever waits so long "
                f"is {'dropped as hopeless' if drops else 'late'}"
            )


def _delay_ms(tenant: TenantSpec) -> float:
    """How long a batch of the tenant may wait by rule."""
    batch = tenant.batch
    if not isinstance(batch, BatchSpec) or tenant.auto_batch or isinstance(tenant.arrival, MultiStreamSpec):
        return 0.0
    return batch.delay_ms if batch.max > 1 else 0.0
