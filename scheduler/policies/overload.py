"""How loaded the machine is and whom to give up when it is too much: the slow half of slackweave+ (*ours*).

All of it is kept in the policy's memory. A row per tenant: whether it is given up, and its shares of recent
completions, all and late. The last row belongs to the machine: load, and what the load was measured from.
"""

from __future__ import annotations

from typing import Any

from layerweaver.scheduler.machine import View
from layerweaver.scheduler.policies.contract import Memory

__all__ = ["ALONE", "GIVEN_UP", "LOAD", "WIDTH", "count_completion", "watch"]

GIVEN_UP, SHARE, LATE = range(3)
"""Columns of a tenant: 1 if given up; its share of recent completions, and that of its late ones."""

LOAD, ALONE, DECISIONS, ANY, TIME, COMPUTE, FETCH, NEXT_TIME, NEXT_COMPUTE, NEXT_FETCH, NEXT_COUNT = range(11)
"""Columns of the machine: load woven (of the busier engine) and one request at a time; decisions since the
last look; 1 if anyone is given up; cycle, compute and fetch cycles offered where the window began and where
the next one did, with the number of arrivals then."""

WIDTH = 11

_DECISIONS_PER_LOOK = 64
_WINDOW_ARRIVALS = 2000
_LEAST_ARRIVALS = 200
_PRIOR_LOAD = 0.6
_PRIOR_REQUESTS = 20


def count_completion(view: View, tenant: int, late: bool, window: float, memory: Memory) -> None:
    """Note that a tenant's head completes; shares are exponential averages over ``window`` completions."""
    for other in range(view.machine.tenant_count):
        mine = 1.0 if other == tenant else 0.0
        memory[other, SHARE] += (mine - memory[other, SHARE]) / window
        memory[other, LATE] += ((mine if late else 0.0) - memory[other, LATE]) / window


def watch(view: View, options: Any, memory: Memory) -> None:
    """Every so many decisions: measure the load, give tenants up, take them back."""
    common = view.machine.tenant_count
    memory[common, DECISIONS] += 1.0
    if memory[common, DECISIONS] < _DECISIONS_PER_LOOK:
        return
    memory[common, DECISIONS] = 0.0
    arrived = _measure(view, memory)
    load = memory[common, LOAD]
    if memory[common, ANY] != 0.0:
        if load < options.overload - 0.04 or _caught_up(view, memory):
            for tenant in range(common):
                memory[tenant, GIVEN_UP] = 0.0
            memory[common, ANY] = 0.0
    elif load > options.overload and arrived > _LEAST_ARRIVALS:
        _give_up(view, options, memory)


def _arrived(view: View, tenant: int) -> float:
    """Requests of a tenant so far, in batches of its last batch size."""
    head = view.heads[tenant]
    if head.batch == 0:
        return 0.0
    waiting = head.queued if head.rows_left > 0 else head.batch
    return float(head.request + waiting) / head.batch


def _measure(view: View, memory: Memory) -> float:
    """Set the loads from all that arrived in the window, whether served or not; return the arrivals.

    The window holds the last 2,000 to 4,000 arrivals. It is weighed against 20 requests of the slowest model
    at a load of 0.6, so that the first requests do not look like a flood.
    """
    machine, heads = view.machine, view.heads
    common = machine.tenant_count
    compute, fetch, alone, count, slowest = 0.0, 0.0, 0.0, 0.0, 0.0
    for tenant in range(common):
        head, arrived = heads[tenant], _arrived(view, tenant)
        compute += arrived * head.model_compute_cycles
        fetch += arrived * head.model_fetch_cycles
        alone += arrived * head.standalone_cycles
        count += arrived * head.batch
        slowest = max(slowest, float(head.standalone_cycles))
    now, prior = float(machine.now), _PRIOR_REQUESTS * slowest
    offered = max(compute - memory[common, COMPUTE], fetch - memory[common, FETCH]) + _PRIOR_LOAD * prior
    memory[common, LOAD] = offered / max(1.0, now - memory[common, TIME] + prior)
    memory[common, ALONE] = memory[common, LOAD] * alone / max(1.0, compute, fetch)
    if count - memory[common, NEXT_COUNT] > _WINDOW_ARRIVALS:
        memory[common, TIME], memory[common, NEXT_TIME] = memory[common, NEXT_TIME], now
        memory[common, COMPUTE], memory[common, NEXT_COMPUTE] = memory[common, NEXT_COMPUTE], compute
        memory[common, FETCH], memory[common, NEXT_FETCH] = memory[common, NEXT_FETCH], fetch
        memory[common, NEXT_COUNT] = count
    return count


def _caught_up(view: View, memory: Memory) -> bool:
    for tenant in range(view.machine.tenant_count):
        head = view.heads[tenant]
        if memory[tenant, GIVEN_UP] != 0.0 and head.rows_left > 0 and head.queued > head.batch:
            return False
    return True


def _give_up(view: View, options: Any, memory: Memory) -> None:
    """Give up the tenants with the longest requests until the rest fits, if that saves more than it costs.

    What it may save are the late requests of the rest; what it costs are those of the given up that are in
    time now, times ``worth``.
    """
    heads, common = view.heads, view.machine.tenant_count
    target = 0.9 / memory[common, LOAD]
    everything, saved, lost = 0.0, 0.0, 0.0
    for tenant in range(common):
        saved += memory[tenant, LATE]
    for _ in range(common):
        longest, rest_compute, rest_fetch = -1, 0.0, 0.0
        for tenant in range(common):
            if memory[tenant, GIVEN_UP] != 0.0 or heads[tenant].batch == 0:
                continue
            rest_compute += _arrived(view, tenant) * heads[tenant].model_compute_cycles
            rest_fetch += _arrived(view, tenant) * heads[tenant].model_fetch_cycles
            if longest < 0 or (
                heads[tenant].standalone_cycles * heads[longest].batch
                > heads[longest].standalone_cycles * heads[tenant].batch
            ):
                longest = tenant
        everything = max(everything, rest_compute, rest_fetch)
        if longest < 0 or max(rest_compute, rest_fetch) < target * everything:
            break
        memory[longest, GIVEN_UP] = 1.0
        saved -= memory[longest, LATE]
        lost += memory[longest, SHARE] - memory[longest, LATE]
    if saved > options.worth * lost:
        memory[common, ANY] = 1.0
        return
    for tenant in range(common):
        memory[tenant, GIVEN_UP] = 0.0
