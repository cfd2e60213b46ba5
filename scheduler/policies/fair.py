"""Equal time to each: the tenant that was given the least so far goes next, layer by layer."""

from __future__ import annotations

from typing import Any

from layerweaver.scheduler.machine.view import View
from layerweaver.scheduler.policies.contract import Memory, PolicySpec

__all__ = ["POLICY", "choose"]


class Account:
    """Of a tenant.

    Attributes:
        credit: What it skipped, to be added to what it was served, cycles.
        seen: Number of the last decision at which it had work.
    """

    credit: int
    seen: int


class Common:
    """Of all decisions.

    Attributes:
        decisions: How many were taken.
        floor: Least time of any tenant that had work at the last one, cycles.
    """

    decisions: int
    floor: int


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """The head whose tenant was given the least time, compute and fetch cycles together.

    Time that a tenant leaves unused is not saved up: one that comes back starts at the least time among
    those that stayed (start-time fair queueing, Goyal et al., SIGCOMM 1996), so an idle tenant cannot
    monopolise the NPU later. Ties: lowest tenant index.
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    common = memory.common
    decision, floor = common.decisions + 1, common.floor
    best, least = -1, 0
    for k in range(machine.ready_count):
        tenant = ready[k]
        head = heads[tenant]
        account = memory.tenants[tenant]
        served = head.served_compute_cycles + head.served_fetch_cycles
        if account.seen + 1 != decision:
            account.credit = max(account.credit, floor - served)
        account.seen = decision
        given = served + account.credit
        if best < 0 or given < least:
            best, least = tenant, given
    common.decisions, common.floor = decision, least
    return best


POLICY = PolicySpec(
    "fair",
    choose,
    "equal compute and fetch time to every tenant that has work",
    source="start-time fair queueing, Goyal, Vin and Cheng, SIGCOMM 1996, over layers",
    modes=("least served",),
    lone_mode=0,
    memory=Account,
    common=Common,
)
