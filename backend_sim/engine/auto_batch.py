"""Batches of which the scheduler decides how many requests they take and when they start (*ours*).

A larger batch fetches its weights once for more requests, and fills the array better; it also ends later for
all of them, and what is waited for costs slack. Work is counted on both engines together, ``compute + fetch``
cycles: the one that is short decides what that is worth.

1. The *guide* is the first waiting request that can still be in time alone; what waits before it can no
   longer, and goes along. Sizes count if their standalone time is at most half of the guide's slack, or all
   of it if they take hardly longer than the least one.
2. Of those, the queue takes the least work per request; of sizes within a twentieth of that, the smallest.
3. It waits for more while less than ``0.5 x gain x spare`` has passed since the oldest arrived: ``gain`` is
   the share of the work per request that the best size would save, ``spare`` what the deadline leaves beside
   the request's own standalone time and that of one request of every other tenant. Nothing is waited for that
   is not expected by then, or if the oldest can no longer be in time.
"""

from __future__ import annotations

from typing import NamedTuple

from layerweaver.backend_sim.engine.queues import WAITING_MARK
from layerweaver.backend_sim.engine.state import State
from layerweaver.ir.clock import ns_to_cycles_down, ns_to_cycles_up
from layerweaver.scheduler.machine.view import NEVER

__all__ = ["Formed", "auto_batch"]

_NEAR_PERCENT = 105
_WAIT_PERCENT = 50
_SHORT_PERCENT = 125
_LONGEST_SPARE = 1 << 40


class Formed(NamedTuple):
    """What a queue that batches by itself does now.

    Attributes:
        size: Requests of the head batch; 0 to wait.
        deadline: The guide's if it is in the batch, else the oldest one's.
        changes: Cycle at which this changes if nobody arrives.
    """

    size: int
    deadline: int
    changes: int


def auto_batch(state: State, index: int, now: int) -> Formed:
    """Decide for a tenant that has requests waiting, the oldest of them at its front."""
    tenant = state.tenants[index]
    clock_hz = state.visible.machine.clock_hz
    first, last = tenant.first_profile, tenant.first_profile + tenant.profiles
    alone = state.profiles[first].standalone_cycles
    oldest_ns = state.sched[tenant.offset + tenant.front]
    oldest, deadline, ahead = NEVER, NEVER, 0
    if tenant.deadline_ns >= 0:
        oldest = ns_to_cycles_down(oldest_ns + tenant.deadline_ns, clock_hz)
        deadline, ahead = _guide(state, index, now + alone)
    allowed, changes = last, NEVER
    if deadline < NEVER:
        slack = deadline - now
        changes = deadline - alone + 1
        allowed = first + 1
        while allowed < last and state.profiles[allowed].standalone_cycles <= _limit(alone, slack):
            takes = state.profiles[allowed].standalone_cycles
            spent = takes if takes * 100 <= alone * _SHORT_PERCENT else 2 * takes
            changes = min(changes, deadline - spent + 1)
            allowed += 1
    best_size, best_work = _least_work(state, first, allowed, NEVER)
    size, work = _least_work(state, first, allowed, tenant.queued)
    if deadline == oldest and deadline < NEVER and work * best_size > best_work * size:
        arrival = ns_to_cycles_up(oldest_ns, clock_hz)
        spare = ns_to_cycles_down(tenant.deadline_ns, clock_hz) - alone - tenant.others_cycles
        gain = 1024 - best_work * size * 1024 // (work * best_size)
        wait = min(_LONGEST_SPARE, max(0, spare)) * _WAIT_PERCENT * gain // (100 * 1024)
        if now < arrival + wait and arrival // (tenant.number + tenant.arrived) <= wait:
            return Formed(0, deadline, min(changes, arrival + wait))
    if deadline == NEVER or ahead >= size:
        deadline = oldest
    return Formed(size, deadline, changes)


def _guide(state: State, index: int, ready: int) -> tuple[int, int]:
    """Deadline of the first request that is in time if done at ``ready``, and how many wait before it.

    Of those that the largest batch could take; NEVER if there is none.
    """
    tenant = state.tenants[index]
    position, ahead = tenant.offset + tenant.front, 0
    while ahead < min(tenant.queued, tenant.max_batch):
        if state.latency[position] == WAITING_MARK:
            due_ns = state.sched[position] + tenant.deadline_ns
            deadline = ns_to_cycles_down(due_ns, state.visible.machine.clock_hz)
            if ready <= deadline:
                return deadline, ahead
            ahead += 1
        position += 1
    return NEVER, 0


def _limit(alone: int, slack: int) -> int:
    """Longest standalone time of a batch, given that of the smallest one and the guide's slack."""
    return max(slack // 2, min(slack, alone * _SHORT_PERCENT // 100))


def _least_work(state: State, first: int, allowed: int, queued: int) -> tuple[int, int]:
    """Requests that the best batch takes from a queue, and its work, over the profiles that are allowed."""
    size, work, end = 0, 0, first
    while end < allowed and (end == first or state.profiles[end - 1].batch < queued):
        profile = state.profiles[end]
        taken = min(queued, profile.batch)
        if size == 0 or profile.work * size < work * taken:
            size, work = taken, profile.work
        end += 1
    for k in range(first, end):
        profile = state.profiles[k]
        taken = min(queued, profile.batch)
        if queued < NEVER and profile.work * size * 100 <= work * taken * _NEAR_PERCENT:
            return taken, profile.work
    return size, work
