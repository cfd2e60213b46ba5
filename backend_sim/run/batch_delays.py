"""Batches that wait for company for so long that whoever waits is late."""

from __future__ import annotations

from collections.abc import Iterator

from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.backend_sim.scenario.schema import BatchSpec
from layerweaver.backend_sim.traffic.loops import MultiStreamSpec
from layerweaver.ir.text import figure
from layerweaver.scheduler.policies.contract import Policy
from layerweaver.scheduler.rules.patience import hurries

__all__ = ["delay_warnings"]


def delay_warnings(prepared: PreparedScenario, policy: Policy) -> Iterator[str]:
    """Tenants whose ``delay_ms`` and one request alone exceed the deadline, in words.

    A policy that defers the hopeless ends the wait while the batch can be in time, unless they are dropped or
    another tenant is far tighter.
    """
    scenario, spec = prepared.scenario, policy.spec
    for index, tenant in enumerate(scenario.spec.tenants):
        batch, due_ns = tenant.batch, scenario.deadline_ns(index)
        if (
            not isinstance(batch, BatchSpec)
            or tenant.auto_batch
            or isinstance(tenant.arrival, MultiStreamSpec)
        ):
            continue
        alone_ms = 1e3 * prepared.standalone_s(index)
        if batch.max == 1 or due_ns is None or batch.delay_ms + alone_ms <= due_ns / 1e6:
            continue
        drops = tenant.queue.drop_hopeless or spec.drops_hopeless(policy.options)
        if not drops and spec.defers_hopeless(policy.options):
            limits = (scenario.deadline_ns(k) for k in range(len(scenario.spec.tenants)) if k != index)
            if hurries(int(1e6 * alone_ms), [limit for limit in limits if limit is not None]):
                continue
        yield (
            f"tenant {tenant.name!r}: batch.delay_ms {batch.delay_ms:g} and the {figure(alone_ms)} ms of a "
            f"request alone exceed its deadline of {due_ns / 1e6:g} ms: whoever waits so long "
            f"is {'dropped as hopeless' if drops else 'late'}"
        )
