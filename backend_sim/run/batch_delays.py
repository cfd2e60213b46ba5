"""Batches that wait for company for so long that whoever waits is late."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from layerweaver.backend_sim.run.variants import Npu
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.scenario.schema import BatchSpec
from layerweaver.backend_sim.traffic.loops import MultiStreamSpec
from layerweaver.ir.text import figure
from layerweaver.scheduler.policies.registry import load_spec, policy_names

__all__ = ["delay_warnings"]


def delay_warnings(scenario: Scenario, npus: Sequence[Npu]) -> Iterator[str]:
    """Tenants whose ``delay_ms`` and one request alone exceed the deadline, in words."""
    for index, tenant in enumerate(scenario.spec.tenants):
        batch, due_ns = tenant.batch, scenario.deadline_ns(index)
        if (
            not isinstance(batch, BatchSpec)
            or tenant.auto_batch
            or isinstance(tenant.arrival, MultiStreamSpec)
        ):
            continue
        alone_ms = min(1e3 * npu.menus[index][0].standalone_cycles / npu.machine.clock_hz for npu in npus)
        if batch.max == 1 or due_ns is None or batch.delay_ms + alone_ms <= due_ns / 1e6:
            continue
        lost = "is dropped as hopeless"
        if not tenant.queue.drop_hopeless:
            early = ", ".join(_starting_early())
            lost = f"is late, except under policies that start a batch while it can be in time ({early})"
        yield (
            f"tenant {tenant.name!r}: batch.delay_ms {batch.delay_ms:g} and the {figure(alone_ms)} ms of a "
            f"request alone exceed its deadline of {due_ns / 1e6:g} ms: whoever waits so long {lost}"
        )


def _starting_early() -> list[str]:
    """Policies that, as they are by default, end the wait where going on with it would make a batch late."""
    specs = [load_spec(name) for name in policy_names()]
    return [spec.name for spec in specs if spec.defers_hopeless(spec.options())]
