"""Batches of which the scheduler decides how many requests they take and when they start (*ours*).

A larger batch fetches its weights once for more requests, and fills the array better; it also ends later for
all of them, and what is waited for costs slack.

1. A size is judged by all who wait, as if they went on in batches of that size until the last takes the rest:
   their chances to be in time, over the work that they take. So whoever would be left behind counts, and
   batches grow with the queue. A batch is as good as its oldest; arrivals are taken as evenly spaced. The
   *chance* is ``left / (left + between)``: ``left`` is the slack once the batch is done, alone but behind
   what is committed and the batches before it, and ``between`` what may come in between: of the time of these
   batches and a quarter of one request alone, the share that the other tenants took so far of the engine that
   they took most of. *Work* counts the cycles of each engine by how much that engine had to do so far: what
   the other one does is nearly free. What was done for a tenant whose head is near its limit counts more, by
   the part of its deadline that is left of its slack: four times if a quarter is left.
2. The queue takes the size that is best.
3. If that is all who wait, it waits while one larger batch is worth more than two: this one, and those for
   whom it would wait behind it, or as large a part of that batch as they are of those who come, at the mean
   rate so far, until this one is done. To the first chance of the two counts what the oldest would lose by
   waiting; the larger batch also ends later by half of the longest row that a rival may begin. Nobody is
   waited for who is not expected within two deadlines. In both, a quarter of one request alone comes in
   between anyway. Waiting is work too: a quarter of what the batch would do meanwhile, on either engine as
   far as no other tenant's batch is there to keep it busy: where rivals are, waiting is free. What the chance
   loses counts less if a rival's head is nearer its limit, and more if none is: by the part left to the
   nearest over the part that the tenant's own oldest would have left, behind half of that row.
4. Without a deadline, or if nobody can be in time, the chance is 1 and nobody is waited for.

Who can no longer be in time even alone steps aside for those who can, as for other tenants behind what is
committed if the policy heeds it. Until it begins, a batch is formed anew whenever somebody comes and whenever
a sixteenth of the slack has passed. All in integers.
"""

from __future__ import annotations

from typing import NamedTuple

from layerweaver.backend_sim.engine.state import OPEN, Profile, State, Tenant
from layerweaver.scheduler.machine.view import NEVER, Machine

__all__ = ["Formed", "auto_batch"]

_STEPS = 16
_PART = 4
"""The part of the own next request that comes in between, and of what waiting leaves idle that is missed."""
_SURE = 1 << 14
"""The chance of a request that is surely in time."""
_TIME_BITS = 18
"""Times are shifted until the deadline, counted from arrival, has so many bits: products stay below 2^62."""
_PRICES = 1024
_NEAREST = 16
"""Nobody's work counts for more than so many times another's, however near the limit is."""
_DEAREST = 4
"""What the chance loses by waiting counts at most for so many times as much."""
_MOST_LOST = 1 << 19
_MOST_IDLE = 1 << 29
"""As much as the work of the largest batch can be."""


class _Queue(NamedTuple):
    """Who waits, and how they are judged.

    Attributes:
        judged: Requests, the oldest first.
        timed: Whether they have a deadline that can be kept.
        step: What each has more slack than the one before it.
        rivals: Share of the other tenants, in 1/1024.
        compute_price: That of a compute cycle, in 1/1024.
        shift: Times are in units of so many bits.
    """

    judged: int
    timed: bool
    step: int
    rivals: int
    compute_price: int
    shift: int


class _Plan(NamedTuple):
    """Chance to be in time and work, of a request, where a queue goes on in batches of one size."""

    chance: int
    work: int


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
    slack, alone = deadline - now, state.profiles[first].standalone_cycles
    timed = deadline < NEVER and slack >= alone
    compute_price = _compute_price(state, index, _part(slack - alone, limit) if timed else _PRICES, now)
    shift = 0
    while timed and limit >> shift >= 1 << _TIME_BITS:
        shift += 1
    rivals = _rivals(state, index, now)
    judged, step = min(queued, state.profiles[last - 1].batch), (limit - slack) // queued >> shift
    queue = _Queue(judged, timed, step, rivals, compute_price, shift)
    chosen, size, chance, work, left = first, 0, 0, 1, 0
    for k in range(first, last):
        profile = state.profiles[k]
        spare = (slack - _lasts(state.visible.machine, profile, now)) >> shift
        meanwhile = _taken((profile.standalone_cycles + alone // _PART) >> shift, rivals)
        plan = _plan(state, first, k, queue, (spare, meanwhile))
        if size == 0 or plan.chance * work > chance * plan.work:
            chosen, size, chance, work = k, min(queued, profile.batch), plan.chance, plan.work
            left = max(0, spare)
        if profile.batch >= queued:
            break
    if not timed:
        return Formed(size, NEVER)
    changes = now + max(1, slack // _STEPS)
    if size < queued or not _may_come(tenant, changes):
        return Formed(size, changes)
    lasts = _lasts(state.visible.machine, state.profiles[chosen], now)
    gap = min(4 * limit, (now + tenant.others_cycles + alone) // (tenant.number + tenant.arrived))
    row, own = _rival_row(state, index) // 2, alone // _PART >> shift
    between = own + _taken(state.profiles[chosen].standalone_cycles >> shift, rivals)
    dear = _dearness(state, index, (left << shift) - row, now)
    lost = (_SURE - _chance(left, between)) * dear // _PRICES
    come = min(state.profiles[last - 1].batch, lasts // max(1, gap))
    compute_idle, fetch_idle = _idle(state, index)
    for k in range(first, last):
        profile = state.profiles[k]
        more, takes = profile.batch - queued, profile.standalone_cycles
        spare = (slack - row - _lasts(state.visible.machine, profile, now)) >> shift
        wait = more * (gap >> shift)
        if more > 0 and wait <= 2 * (limit >> shift) and spare > 0:
            idle = profile.compute_work * compute_idle // _PRICES * compute_price
            idle += profile.fetch_work * fetch_idle // _PRICES * (_PRICES - compute_price)
            idle = min(_MOST_IDLE, idle // (2 * _PART) * wait // max(1, takes >> shift))
            together = profile.batch * _chance(spare, own + _taken(takes >> shift, rivals))
            after = state.profiles[_holding(state, first, max(more, come))]
            ready = limit - max(0, lasts - gap) - after.standalone_cycles
            meanwhile = between + _taken(after.standalone_cycles >> shift, rivals)
            apart = queued * (_chance(left, between) + min(_MOST_LOST, wait * lost // (left + between + 1)))
            apart += more * _chance(ready >> shift, meanwhile)
            then = _work(after, compute_price) * more // max(more, come)
            both = _work(state.profiles[chosen], compute_price)
            both += min(then, more * _work(state.profiles[first], compute_price))
            if together * both > apart * (_work(profile, compute_price) + idle):
                return Formed(0, changes)
    return Formed(size, changes)


def _holding(state: State, first: int, requests: int) -> int:
    """The smallest profile, from the first on, that holds so many requests; one does."""
    at = first
    while state.profiles[at].batch < requests:
        at += 1
    return at


def _plan(state: State, first: int, last: int, queue: _Queue, head: tuple[int, int]) -> _Plan:
    """What becomes of all who wait if they go on in batches of one size, those of the last profile.

    A batch is as good as its oldest; ``head`` is the slack of the first one's, and what may come in between.
    """
    (left, between), chance, work, done = head, 0, 0, 0
    while done < queue.judged:
        at = last
        if queue.judged - done < state.profiles[last].batch:
            at = _holding(state, first, queue.judged - done)
        profile = state.profiles[at]
        if done > 0:
            takes = max(profile.model_compute_cycles, profile.model_fetch_cycles) >> queue.shift
            left -= takes
            between += _taken(takes, queue.rivals)
        going = min(queue.judged - done, profile.batch)
        chance += going * (_chance(left + done * queue.step, between) if queue.timed else _SURE)
        work += _work(profile, queue.compute_price)
        done += going
    return _Plan(chance // done, max(1, work // done))


def _lasts(machine: Machine, profile: Profile, now: int) -> int:
    """Time in which a batch is done that begins now, alone but for the rows that are committed."""
    fetched = max(0, machine.fetch_end - now) + profile.standalone_cycles
    return max(fetched, max(0, machine.compute_end - now) + profile.model_compute_cycles)


def _rivals(state: State, index: int, now: int) -> int:
    """Share of the time so far, in 1/1024, that other tenants took of the engine that they took most of."""
    compute, fetch = _served(state, index)
    time = max(1, now)
    return _share(min(time, max(compute, fetch)), time)


def _taken(time: int, share: int) -> int:
    """So many 1/1024 of a time; beyond the deadline its length makes no difference."""
    return min(1 << _TIME_BITS, time) * share // _PRICES


def _chance(left: int, between: int) -> int:
    """Chance to be in time with so much slack left, where others may ask for so much meanwhile."""
    return max(0, left) * _SURE // (max(0, left) + between + 1)


def _work(profile: Profile, compute_price: int) -> int:
    """What a batch takes, at the price of a compute cycle; that of a fetch cycle is the rest."""
    prices = profile.compute_work * compute_price + profile.fetch_work * (_PRICES - compute_price)
    return max(1, prices // 2)


def _compute_price(state: State, index: int, left: int, now: int) -> int:
    """The compute engine's share of what both engines had to do so far, in 1/1024.

    What was done for those who are near their limits counts by how near they are; ``left`` is the part of its
    deadline that is left to the tenant itself.
    """
    compute, fetch = 0, 0
    for k in range(state.visible.machine.tenant_count):
        head = state.visible.heads[k]
        counts = min(_NEAREST, _PRICES // (left if k == index else _left_to(state, k, now)))
        compute += head.served_compute_cycles // _NEAREST * counts
        fetch += head.served_fetch_cycles // _NEAREST * counts
    return _share(compute + 1, compute + fetch + 2)


def _dearness(state: State, index: int, left: int, now: int) -> int:
    """What a loss of chance counts for who would have so much slack left, in 1/1024."""
    nearest = _PRICES
    for k in range(state.visible.machine.tenant_count):
        if k != index:
            nearest = min(nearest, _left_to(state, k, now))
    return min(_DEAREST * _PRICES, nearest * _PRICES // _part(left, state.visible.heads[index].limit_cycles))


def _rival_row(state: State, index: int) -> int:
    """The longest fetch of a row that a rival's head may begin."""
    longest = 0
    for k in range(state.visible.machine.tenant_count):
        if k != index and state.visible.heads[k].rows_left > 0:
            longest = max(longest, state.visible.heads[k].longest_fetch_cycles)
    return longest


def _left_to(state: State, index: int, now: int) -> int:
    """The part of its deadline that is left to a tenant's head; all where it cannot be late, or be saved."""
    head = state.visible.heads[index]
    if head.rows_left == 0 or head.deadline == NEVER or head.latest_start <= now:
        return _PRICES
    return _part(head.latest_start - now, head.limit_cycles)


def _part(slack: int, limit: int) -> int:
    """The part of a deadline that so much slack is, in 1/1024: one of them at least."""
    return min(_PRICES, max(1, _share(max(0, slack), max(1, limit))))


def _served(state: State, but: int) -> tuple[int, int]:
    """Cycles of the compute engine and of the DMA that all tenants but one had so far."""
    compute, fetch = 0, 0
    for k in range(state.visible.machine.tenant_count):
        if k != but:
            compute += state.visible.heads[k].served_compute_cycles
            fetch += state.visible.heads[k].served_fetch_cycles
    return compute, fetch


def _idle(state: State, index: int) -> tuple[int, int]:
    """Shares of the compute engine's and of the DMA's time, in 1/1024, that the others' heads would leave."""
    compute, fetch = _PRICES, _PRICES
    for k in range(state.visible.machine.tenant_count):
        head = state.visible.heads[k]
        if k != index and head.rows_left > 0:
            longer = max(1, head.left_compute_cycles, head.left_fetch_cycles)
            compute -= _share(head.left_compute_cycles, longer)
            fetch -= _share(head.left_fetch_cycles, longer)
    return max(0, compute), max(0, fetch)


def _share(part: int, whole: int) -> int:
    """In 1/1024."""
    while whole >= 1 << 50:
        part, whole = part >> 1, whole >> 1
    return part * _PRICES // whole


def _may_come(tenant: Tenant, by: int) -> bool:
    """Whether waiting until then can bring a request: not to a full queue, nor of clients who all wait."""
    asks = tenant.source == OPEN or tenant.next_cycle < NEVER
    return asks and tenant.queued < tenant.queue_limit and by < tenant.times_out
