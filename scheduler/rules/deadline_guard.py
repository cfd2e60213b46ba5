"""The deadline guard around a throughput choice: our reconstruction of Layerweaver+ (LW+)."""

from __future__ import annotations

from layerweaver.scheduler.machine.jit import inlined
from layerweaver.scheduler.machine.timelines import fetch_end_of
from layerweaver.scheduler.machine.view import NEVER, Head, View
from layerweaver.scheduler.rules.commitment import begins_at
from layerweaver.scheduler.rules.least_idle import WEAVING_MODES

__all__ = ["DEADLINE", "GUARDED_MODES", "guard"]

GUARDED_MODES = (*WEAVING_MODES, "deadline")
DEADLINE = len(WEAVING_MODES)


def _behind(head: Head) -> int:
    """Requests behind a head for whose sake it might have to start sooner; not positive without any."""
    waiting = head.queued - head.passed
    if head.hopeless == 0:
        return waiting - head.batch
    return waiting if head.row > 0 else 0


def _slack_of_queue(head: Head, behind: int, slack: int) -> int:
    """Slack of a head that keeps its tenant's last waiting request in time, if possible, else ``slack``.

    Requests are taken as evenly spread between the head's arrival and the newest, and as served in full
    batches one after the other on the engine that they need longer. A hopeless request that has begun is in
    the way of the newest, if that can be in time (*ours*).
    """
    last = slack
    if head.hopeless != 0:
        latest = head.newest + head.limit_cycles - head.full_standalone_cycles - head.remaining_cycles
        last += latest - head.latest_start
    elif head.limit_cycles < NEVER:
        each = max(head.full_compute_cycles, head.full_fetch_cycles) // head.full
        gap = max(0, head.newest - head.arrival) // max(1, behind + head.batch)
        last -= behind * (each - min(gap, each))
    return last if last >= 0 else slack


@inlined
def guard(view: View, chosen: int, margin_cycles: int, at_completion: bool, queues: bool) -> int:
    """Keep ``chosen`` unless it would cost another tenant's request its deadline.

    With ``slack = deadline - remaining - max(s, tc - lead)``: a head is in danger if it has slack of at least
    the margin, and would have less once the chosen row is committed, so that fetches go on at ``tm'`` and
    computes at ``tc'``. If one other than the chosen one is, the one in danger with the least slack goes
    first (ties: lowest tenant index), the chosen one included; but one that yields to a shorter one
    (:func:`_yields`) forces nothing. Nor does, with ``queues``, one whose rest takes longer than the chosen
    one's tenant has from arrival to deadline: kept from a single row, all of that tenant's requests that come
    meanwhile would be late for the sake of this one (*ours*). Heads already below their margin never force
    anything, and those that may not be committed yet are heeded like all others. With ``at_completion``
    false, a head is in danger when its slack now is below its margin but not negative. With ``queues``, the
    slack of a tenant is that of its last waiting request, if that is less and can still be kept
    (:func:`_slack_of_queue`). With nobody in danger, the shortest rest of a request that has begun goes first
    if it takes less time than the chosen row computes: Layerweaver likes long rows best, and would let one go
    before another request's last short one.
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    count = machine.ready_count + machine.hidden_count
    if count == 1:
        return chosen
    start, compute_end, least_allowed = machine.start, machine.compute_end, -margin_cycles
    if at_completion:
        start, least_allowed = fetch_end_of(view, heads[chosen]), 0
        compute_end = max(machine.compute_end, start) + heads[chosen].compute_cycles
    surely = max(start, compute_end) + margin_cycles
    passed, passed_slack = -1, least_allowed
    nearly_done, shortest = chosen, heads[chosen].compute_cycles
    while True:
        danger, urgent, least = False, -1, 0
        for k in range(count):
            tenant = ready[k]
            head = heads[tenant]
            if head.remaining_cycles < shortest and head.row > 0 and k < machine.ready_count:
                nearly_done, shortest = tenant, head.remaining_cycles
            behind = _behind(head) if queues else 0
            if behind <= 0 and head.latest_start >= surely:
                continue  # nearly always, and quick to tell
            begin = begins_at(head, machine.start, machine.compute_end)
            slack = head.latest_start - margin_cycles - begin
            if behind > 0 and (slack >= 0 or head.hopeless != 0):
                slack = _slack_of_queue(head, behind, slack)
            if slack < least_allowed or slack >= begins_at(head, start, compute_end) - begin:
                continue
            if slack < passed_slack or (slack == passed_slack and tenant <= passed):
                continue
            danger = danger or tenant != chosen
            if urgent < 0 or slack < least or (slack == least and tenant < urgent):
                urgent, least = tenant, slack
        if not danger:
            return nearly_done if queues else chosen
        costs_many = heads[chosen].limit_cycles < heads[urgent].remaining_cycles and urgent != chosen
        if not (queues and costs_many) and not _yields(view, urgent, least, margin_cycles, queues):
            break
        passed, passed_slack = urgent, least
    machine.mode = DEADLINE
    return urgent


def _yields(view: View, urgent: int, slack: int, margin_cycles: int, queues: bool) -> bool:
    """Whether one of two would be late for the other's sake, the other being shorter.

    Of two requests that cannot both be in time the longer one is given up, which costs the least (Moore and
    Hodgson's rule for one machine).
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    own = heads[urgent].remaining_cycles
    for k in range(machine.ready_count + machine.hidden_count):
        head = heads[ready[k]]
        if head.remaining_cycles > slack and head.remaining_cycles < own:
            begin = begins_at(head, machine.start, machine.compute_end)
            other = head.latest_start - margin_cycles - begin
            behind = _behind(head) if queues else 0
            if behind > 0:
                other = _slack_of_queue(head, behind, other)
            if other >= 0 and other < own:
                return True
    return False
