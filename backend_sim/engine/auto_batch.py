"""Batches of which the scheduler decides how many requests they take and when they start (*ours*).

A larger batch fetches its weights once for more requests, and fills the array better; it also ends later for
all of them, and what is waited for costs slack.

1. A batch is worth its requests, times their chance to be in time, per work that it takes. The *chance* is
   ``left / (left + all)``: ``left`` is the slack of the oldest once the batch has taken its standalone time,
   ``all`` the standalone times of one request of every tenant, which may come in between. *Work* counts the
   cycles of each engine by how much that engine had to do so far: what the other one does is nearly free.
2. The queue takes the batch that is worth the most.
3. It waits while a larger batch is worth more by at least what the oldest one's chance loses until so many
   have come, at the mean rate so far; nobody is waited for who is not expected by the deadline.
4. Without a deadline, or if nobody can be in time, the chance is 1 and nobody is waited for.

Who can no longer be in time even alone steps aside for those who can. Until it begins, a batch is formed anew
whenever somebody comes and whenever a sixteenth of the slack has passed. All in integers.
"""

from __future__ import annotations

from typing import NamedTuple

from layerweaver.backend_sim.engine.state import OPEN, Profile, State, Tenant
from layerweaver.scheduler.machine.view import NEVER

__all__ = ["Formed", "auto_batch"]

_STEPS = 16
_SURE = 1 << 14
"""The chance of a request that is surely in time."""
_TIME_BITS = 18
"""Times are shifted until the deadline, counted from arrival, has so many bits: products stay below 2^62."""
_PRICES = 1024
_MOST_LOST = 1 << 20


class Formed(NamedTuple):
    """What a queue that batches by itself does now.

    Attributes:
        size: Requests of the head batch; 0 to wait.
        changes: Cycle at which this may change if nobody arrives.
    """

    size: int
    changes: int


def auto_batch(state: State, index: int, deadline: int, queued: int, now: int) -> Formed:
    """Decide for a tenant with so many requests that wait in order, the first of them due by ``deadline``."""
    tenant, limit = state.tenants[index], state.visible.heads[index].limit_cycles
    first, last = tenant.first_profile, tenant.first_profile + tenant.profiles
    compute_price = _compute_price(state)
    slack, alone = deadline - now, state.profiles[first].standalone_cycles
    timed = deadline < NEVER and slack >= alone
    shift = 0
    while timed and limit >> shift >= 1 << _TIME_BITS:
        shift += 1
    others = min(limit, tenant.others_cycles + alone) >> shift
    size, worth, work, left = 0, 0, 1, 0
    for k in range(first, last):
        profile = state.profiles[k]
        taken, takes = min(queued, profile.batch), _work(profile, compute_price)
        spare = (slack - profile.standalone_cycles) >> shift
        gain = taken * (_chance(spare, others) if timed else _SURE)
        if size == 0 or gain * work > worth * takes:
            size, worth, work, left = taken, gain, takes, spare
        if profile.batch >= queued:
            break
    if not timed:
        return Formed(size, NEVER)
    changes = now + max(1, slack // _STEPS)
    if size < queued or not _may_come(tenant, changes):
        return Formed(size, changes)
    gap = (now + tenant.others_cycles + alone) // (tenant.number + tenant.arrived)
    for k in range(first, last):
        profile = state.profiles[k]
        spare = (slack - profile.standalone_cycles) >> shift
        wait = (profile.batch - queued) * (min(2 * limit, gap) >> shift)
        if profile.batch > queued and wait <= limit >> shift and spare > 0:
            lost = min(_MOST_LOST, wait * (_SURE - _chance(left, others)) // (left + others + 1))
            takes = _work(profile, compute_price)
            if profile.batch * _chance(spare, others) * work > (worth + queued * lost) * takes:
                return Formed(0, changes)
    return Formed(size, changes)


def _chance(left: int, others: int) -> int:
    """Chance to be in time with so much slack left, beside so much that others may ask for meanwhile."""
    return max(0, left) * _SURE // (max(0, left) + others + 1)


def _work(profile: Profile, compute_price: int) -> int:
    """What a batch takes, at the price of a compute cycle; that of a fetch cycle is the rest."""
    prices = profile.compute_work * compute_price + profile.fetch_work * (_PRICES - compute_price)
    return max(1, prices // 2)


def _compute_price(state: State) -> int:
    """The compute engine's share of what both engines had to do so far, in 1/1024."""
    compute, fetch = 1, 1
    for k in range(state.visible.machine.tenant_count):
        head = state.visible.heads[k]
        compute += head.served_compute_cycles
        fetch += head.served_fetch_cycles
    while compute + fetch >= 1 << 50:
        compute, fetch = compute >> 1, fetch >> 1
    return compute * _PRICES // (compute + fetch)


def _may_come(tenant: Tenant, by: int) -> bool:
    """Whether waiting until then can bring a request: not to a full queue, nor of clients who all wait."""
    asks = tenant.source == OPEN or tenant.next_cycle < NEVER
    return asks and tenant.queued < tenant.queue_limit and by < tenant.times_out
