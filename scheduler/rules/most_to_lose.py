"""Who would lose the most by waiting: the order in which slackweave+ serves tenants (*ours*).

All in integers: cycles, and requests in 1/1024. Loops run over tenants only: a tenant's waiting requests are
taken as evenly spread between the head's arrival and the newest one.
"""

from __future__ import annotations

from layerweaver.scheduler.machine.jit import inlined
from layerweaver.scheduler.machine.view import NEVER, Head, View

__all__ = ["HOPELESS", "most_to_lose"]

_ONE = 10
"""A request is ``2**10``: losses count in fractions."""
_MOST_LOST = 1 << 30
_LONG = 1 << 36
_PRIOR = 50
"""Standalone times of the slowest tenant that are added to the time since the start to estimate rates."""

HOPELESS = -1
"""Index of a tenant that cannot be in time whatever goes first."""


@inlined
def _ends(head: Head, now: int, start: int) -> int:
    """End of a head that goes first: no earlier than either engine and the request alone allow."""
    return max(now + head.left_compute_cycles, start + max(head.left_fetch_cycles, head.remaining_cycles))


@inlined
def _in_time(slack: int, slope: int, count: int, reserved: int) -> int:
    """How many of some requests have that slack left, if each has by ``slope`` more than the one before."""
    if slack >= reserved:
        return count if slope >= 0 else min(count, (slack - reserved) // -slope + 1)
    return max(0, count - (reserved - slack + slope - 1) // slope) if slope > 0 else 0


@inlined
def _divided(amount: int, parts: int) -> int:
    """``amount // parts``: most divisions are of nothing or by one, and one takes as long as twenty sums."""
    return amount if amount == 0 or parts == 1 else amount // parts


@inlined
def _work(head: Head) -> int:
    """Cycles of the busier engine that a full batch takes."""
    return max(head.full_compute_cycles, head.full_fetch_cycles)


@inlined
def _spare(head: Head) -> int:
    """For how long whoever comes to a tenant next can wait at least, if its batches wait for company."""
    spare = head.limit_cycles - head.full_standalone_cycles
    return spare if head.full == 1 else spare - head.delay_cycles


@inlined
def _exposed(head: Head) -> int:
    """For how long compute waits for a row that is fetched too late, unless it waits for memory anyway."""
    return head.fetch_cycles if head.compute_intensive != 0 else 0


@inlined
def _before_others(head: Head) -> tuple[int, int]:
    """Compute and fetch cycles that others wait for: what is left of the head, and a tenth of what waits."""
    compute, fetch = head.left_compute_cycles, head.left_fetch_cycles
    rest = head.queued - head.passed - head.batch
    if rest > 0:
        compute += _divided(rest * head.full_compute_cycles // 10, head.full)
        fetch += _divided(rest * head.full_fetch_cycles // 10, head.full)
    return compute, fetch


@inlined
def _has_time(view: View, head: Head, delay: int) -> bool:
    """Whether a tenant surely loses nothing by waiting: quick to tell, without what all tenants ask for.

    Its loss is counted with at most twice the delay in reserve; who has so much to spare loses nothing.
    """
    machine = view.machine
    if head.limit_cycles < head.full_standalone_cycles or head.hopeless != 0 or head.queue_limit < NEVER:
        return False
    if head.limit_cycles == NEVER:
        return True
    slack = head.deadline - _ends(head, max(machine.compute_end, machine.start), machine.start)
    if slack < 2 * delay:
        return False
    spare = _spare(head) - delay - max(head.left_compute_cycles, head.left_fetch_cycles)
    behind = head.queued - head.passed - head.batch
    if behind > 0:
        each = _divided(_work(head), head.full)
        gap = _divided(head.newest - head.arrival, behind + head.batch - 1)
        if gap < each or slack + head.batch * gap - each < 2 * delay:
            return False
        spare -= behind * each
    return spare >= 0


def _loss_index(view: View, head: Head, delay: int, time: int, load: int) -> int:
    """What a tenant loses if it waits for ``delay`` cycles, per cycle of work that saving it takes.

    Args:
        view: The machine.
        head: The tenant's head.
        delay: By how much the others' heads put its own end off.
        time: Cycles over which ``head.arrived`` requests came.
        load: Share of the machine that all tenants ask for, in 1/1024, at most 1024.

    Returns:
        Requests lost per cycle, in units of ``2**-42``; :data:`HOPELESS` if it cannot be in time.
    """
    machine = view.machine
    if head.limit_cycles < head.full_standalone_cycles:
        return HOPELESS
    work, full = _work(head), head.full
    overflow, unit = 0, max(1, time >> _ONE)
    if head.queue_limit < NEVER:
        came = min(delay, _LONG) * head.arrived // unit
        overflow = max(0, came - (max(0, head.queue_limit - head.queued) << _ONE))
    # A hopeless request that has begun loses nothing itself, but those behind it wait for its end.
    stuck = head.hopeless != 0 and head.row > 0
    if (head.hopeless != 0 and not stuck) or head.limit_cycles == NEVER:
        if overflow == 0 or (head.hopeless != 0 and head.queued < head.queue_limit):
            return HOPELESS if head.hopeless != 0 else 0
        effort = max(head.left_compute_cycles, head.left_fetch_cycles)
        return (min(_MOST_LOST, overflow) << 32) // max(1, effort)
    now = max(machine.compute_end, machine.start)
    slack = head.deadline - _ends(head, now, machine.start)
    waiting = head.queued - head.passed
    if stuck:
        waiting += head.batch
    each = _divided(work, full)
    gap = each
    if waiting > 1:
        gap = _divided(head.newest - head.arrival, waiting - 1)
    # A batch ends at once; who waits behind it follows one by one.
    batch = min(waiting, head.batch)
    behind, slope, then = waiting - batch, gap - each, slack + batch * gap - each
    backlog = max(head.left_compute_cycles, head.left_fetch_cycles)
    backlog += max(0, waiting - head.batch) * each
    spare = head.limit_cycles - head.full_standalone_cycles
    reserved = delay + _divided(delay * load, 2048 - load)
    able, kept = _in_time(slack, gap, batch, 0), _in_time(slack, gap, batch, reserved)
    able_then, kept_then = _in_time(then, slope, behind, 0), _in_time(then, slope, behind, reserved)
    if full > 1:
        spare -= min(head.delay_cycles, (full - 1) * time // max(1, head.arrived))
    lost, last = able - kept + able_then - kept_then, 0
    if able_then > kept_then:
        last = able_then if slope < 0 else behind - kept_then
    if stuck:
        lost, last = 0, 0
    blocked = max(0, backlog + delay - spare) - max(0, backlog - spare)
    delayed = _divided(min(blocked, _LONG) * head.arrived, unit)
    coming = overflow + delayed
    if stuck and coming == 0:
        return HOPELESS
    effort = max(head.left_compute_cycles, head.left_fetch_cycles)
    effort += last * each
    if delayed > 0:
        effort = max(effort, backlog + (delayed * each >> _ONE))
    effort = max(effort, overflow * each >> _ONE)
    return _divided(min(_MOST_LOST, (lost << _ONE) + coming) << 32, max(1, effort))


def _demand(view: View) -> tuple[int, int]:
    """What all tenants ask of the machine, by the requests that came so far.

    Returns:
        The time over which they came: since the start, with a prior of some standalone times of the slowest
        tenant. The load if nothing is woven, in 1/1024, at most 1024.
    """
    machine, heads = view.machine, view.heads
    offered, slowest = 0, 0
    for tenant in range(machine.tenant_count):
        head = heads[tenant]
        slowest = max(slowest, head.full_standalone_cycles)
        offered += _divided(head.arrived * _work(head), head.full)
    time = machine.now + _PRIOR * slowest
    return time, min(1024, offered // max(1, time >> _ONE))


def _may_wait(view: View, first: int, other: int) -> bool:
    """Whether a tenant loses nothing if what is left of another's head goes before its own."""
    machine, head, before = view.machine, view.heads[first], view.heads[other]
    now = max(machine.compute_end, machine.start)
    later = max(
        now + before.left_compute_cycles + head.left_compute_cycles,
        machine.start + before.left_fetch_cycles + head.left_fetch_cycles,
    )
    delay = max(0, later - _ends(head, now, machine.start))
    if _has_time(view, head, delay):
        return True
    time, load = _demand(view)
    return _loss_index(view, head, delay, time, load) <= 0


def most_to_lose(view: View) -> int:
    """The tenant that loses the most per work by waiting for the others' heads; ties go to the least slack.

    If it can wait for whoever has the least slack of those that have anything to lose, that one goes first.
    If it can wait for a request that is late anyway, that one goes first where it takes less time than the
    row that would, and no more than whoever comes to its tenant next can wait: those that come have less to
    wait for, and find room in the queue. But compute waits for the row that is fetched after it, and whoever
    comes waits for both: not where that takes over twice the time that whoever comes can wait.
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    compute, fetch = 0, 0
    for k in range(machine.ready_count):
        head = heads[ready[k]]
        own_compute, own_fetch = _before_others(head)
        compute += own_compute
        fetch += own_fetch
    now = max(machine.compute_end, machine.start)
    time, load = -1, 0
    first, most, least = -1, 0, 0
    urgent, soonest = -1, 0
    late, shortest = -1, 0
    for k in range(machine.ready_count):
        tenant = ready[k]
        head = heads[tenant]
        own_compute, own_fetch = _before_others(head)
        later = max(
            now + compute - own_compute + head.left_compute_cycles,
            machine.start + fetch - own_fetch + head.left_fetch_cycles,
        )
        delay = max(0, later - _ends(head, now, machine.start))
        index = 0
        if not _has_time(view, head, delay):
            if time < 0:
                time, load = _demand(view)
            index = _loss_index(view, head, delay, time, load)
        rank = head.latest_start
        if index == HOPELESS:
            rank = head.remaining_cycles
            if _spare(head) >= rank and (late < 0 or rank < shortest):
                late, shortest = tenant, rank
        if first < 0 or index > most or (index == most and rank < least):
            first, most, least = tenant, index, rank
        if index > 0 and (urgent < 0 or head.latest_start < soonest):
            urgent, soonest = tenant, head.latest_start
    if urgent >= 0 and urgent != first and _may_wait(view, first, urgent):
        return urgent
    longer = shortest < max(heads[first].compute_cycles, heads[first].fetch_cycles)
    if late >= 0 and longer and _exposed(heads[first]) <= 2 * _spare(heads[late]):
        return late if _may_wait(view, first, late) else first
    return first
