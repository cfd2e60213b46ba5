"""What of a scenario a policy does not look at, whatever a run measures, without the policy's name."""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType
from typing import cast

from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.ir.text import first_of
from layerweaver.scheduler.machine.jit import mentions
from layerweaver.scheduler.policies.contract import Policy

__all__ = ["policy_notes"]

_NAMED = 5


def policy_notes(prepared: PreparedScenario, policy: Policy) -> Iterator[str]:
    """The priorities that tenants state, of a policy that has none."""
    stated = [tenant.name for tenant in prepared.scenario.spec.tenants if tenant.priority != 1]
    if stated and not mentions(cast(FunctionType, policy.spec.choose), "priority"):
        yield f"the policy does not heed priority (of {first_of(stated, _NAMED)}), which counts in fairness"
