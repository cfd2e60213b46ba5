"""How loaded the machine is and whom to give up when it is too much: the slow half of slackweave+ (*ours*).

All of it is kept in the policy's memory, as :class:`Standing` and :class:`Load`.
"""

from __future__ import annotations

from typing import Any

from layerweaver.scheduler.machine.timelines import Memory, View

__all__ = ["Load", "Standing", "count_completion", "watch"]


class Standing:
    """How a tenant stands.

    Attributes:
        given_up: 1 if it is given up.
        share: Its share of recent completions.
        late: Share of its late ones.
    """

    given_up: int
    share: float
    late: float


class Load:
    """How loaded the machine is, and what that was measured from.

    Attributes:
        load: Load woven, of the busier engine.
        alone: Load with one request at a time.
        decisions: Decisions since the last look.
        any_given_up: 1 if anyone is given up.
        time: Cycle at which the window began.
        compute: Compute cycles offered by then.
        fetch: Fetch cycles offered by then.
        next_time: Cycle at which the next window begins.
        next_compute: Compute cycles offered by then.
        next_fetch: Fetch cycles offered by then.
        next_count: Arrivals by then.
    """

    load: float
    alone: float
    decisions: int
    any_given_up: int
    time: float
    compute: float
    fetch: float
    next_time: float
    next_compute: float
    next_fetch: float
    next_count: float


_DECISIONS_PER_LOOK = 64
_WINDOW_ARRIVALS = 2000
_LEAST_ARRIVALS = 200
_TARGET_LOAD = 0.9
_LEAST_SAVED = 0.001
_PRIOR_LOAD = 0.6
_PRIOR_REQUESTS = 20


def count_completion(view: View, tenant: int, late: bool, window: float, memory: Memory) -> None:
    """Note that a tenant's head completes; shares are exponential averages over ``window`` completions."""
    for other in range(view.machine.tenant_count):
        mine = 1.0 if other == tenant else 0.0
        memory.tenants[other].share += (mine - memory.tenants[other].share) / window
        memory.tenants[other].late += ((mine if late else 0.0) - memory.tenants[other].late) / window


def watch(view: View, options: Any, memory: Memory) -> None:
    """Every so many decisions: measure the load, give tenants up, take them back."""
    common = view.machine.tenant_count
    memory.common.decisions += 1
    if memory.common.decisions < _DECISIONS_PER_LOOK:
        return
    memory.common.decisions = 0
    arrived = _measure(view, memory)
    load = memory.common.load
    if memory.common.any_given_up != 0:
        if load < options.overload - 0.04 or _caught_up(view, memory) or _kept_in_vain(view, memory):
            for tenant in range(common):
                memory.tenants[tenant].given_up = 0
            memory.common.any_given_up = 0
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
    offered = max(compute - memory.common.compute, fetch - memory.common.fetch) + _PRIOR_LOAD * prior
    memory.common.load = offered / max(1.0, now - memory.common.time + prior)
    memory.common.alone = memory.common.load * alone / max(1.0, compute, fetch)
    if count - memory.common.next_count > _WINDOW_ARRIVALS:
        memory.common.time, memory.common.next_time = memory.common.next_time, now
        memory.common.compute, memory.common.next_compute = memory.common.next_compute, compute
        memory.common.fetch, memory.common.next_fetch = memory.common.next_fetch, fetch
        memory.common.next_count = count
    return count


def _caught_up(view: View, memory: Memory) -> bool:
    for tenant in range(view.machine.tenant_count):
        head = view.heads[tenant]
        if memory.tenants[tenant].given_up != 0 and head.rows_left > 0 and head.queued > head.batch:
            return False
    return True


def _kept_in_vain(view: View, memory: Memory) -> bool:
    """Whether one of those kept turned out to overload the machine alone."""
    common = view.machine.tenant_count
    capacity = _work(view, memory, False) / memory.common.load
    for tenant in range(common):
        if memory.tenants[tenant].given_up == 0 and _own_work(view, tenant) > capacity:
            return True
    return False


def _give_up(view: View, options: Any, memory: Memory) -> None:
    """Give up tenants until the rest fits, if that saves more than it costs.

    First goes who overloads the machine alone and cannot be in time whatever is done, then those with the
    longest requests. What it may save are the late requests of the rest; what it costs are those of the given
    up that are in time now, times ``worth``.
    """
    common = view.machine.tenant_count
    capacity = _work(view, memory, False) / memory.common.load
    saved, lost, kept = 0.0, 0.0, common
    for tenant in range(common):
        saved += memory.tenants[tenant].late
    while kept > 1 and _work(view, memory, True) > _TARGET_LOAD * capacity:
        tenant = _least_worth_keeping(view, memory, capacity)
        if tenant < 0:
            break
        memory.tenants[tenant].given_up = 1
        saved -= memory.tenants[tenant].late
        lost += memory.tenants[tenant].share - memory.tenants[tenant].late
        kept -= 1
    if saved > options.worth * lost and saved > _LEAST_SAVED:
        memory.common.any_given_up = 1
        return
    for tenant in range(common):
        memory.tenants[tenant].given_up = 0


def _work(view: View, memory: Memory, kept_only: bool) -> float:
    """Work offered so far, on the engine that has more of it; by all or by those not given up."""
    compute, fetch = 0.0, 0.0
    for tenant in range(view.machine.tenant_count):
        if not kept_only or memory.tenants[tenant].given_up == 0:
            arrived = _arrived(view, tenant)
            compute += arrived * view.heads[tenant].model_compute_cycles
            fetch += arrived * view.heads[tenant].model_fetch_cycles
    return max(compute, fetch)


def _own_work(view: View, tenant: int) -> float:
    head = view.heads[tenant]
    return _arrived(view, tenant) * max(head.model_compute_cycles, head.model_fetch_cycles)


def _least_worth_keeping(view: View, memory: Memory, capacity: float) -> int:
    """Who is given up next; -1 for nobody."""
    first, most = -1, 0.0
    for tenant in range(view.machine.tenant_count):
        head = view.heads[tenant]
        if memory.tenants[tenant].given_up != 0 or head.batch == 0:
            continue
        length = head.standalone_cycles / head.batch
        if _own_work(view, tenant) > capacity:
            length += capacity
        if first < 0 or length > most:
            first, most = tenant, length
    return first
