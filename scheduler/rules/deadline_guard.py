"""The deadline guard around a throughput choice: our reconstruction of Layerweaver+ (LW+)."""

from __future__ import annotations

from layerweaver.scheduler.machine.jit import inlined
from layerweaver.scheduler.machine.timelines import NEVER, Head, View, fetch_end_of
from layerweaver.scheduler.rules.least_idle import WEAVING_MODES

__all__ = ["DEADLINE", "GUARDED_MODES", "guard"]

GUARDED_MODES = (*WEAVING_MODES, "deadline")
DEADLINE = len(WEAVING_MODES)


def last_start(head: Head, now: int) -> int:
    """Latest start of a head that keeps its tenant's last waiting request in time, if that is possible.

    Requests are taken as evenly spread between the head's arrival and the newest, and as served in full
    batches one after the other on the engine that they need longer (*ours*).
    """
    latest = head.latest_start
    rest = head.queued - head.passed - head.batch
    if rest <= 0 or head.hopeless != 0 or latest == NEVER:
        return latest
    gap = (head.newest - head.arrival) // (rest + head.batch)
    each = max(head.full_compute_cycles, head.full_fetch_cycles) // head.full
    last = latest + min(0, rest * (gap - each))
    return last if last >= now else latest


def _latest(head: Head, now: int, margin_cycles: int, queues: bool) -> int:
    """Latest start of a head, or of its queue."""
    return last_start(head, now + margin_cycles) if queues else head.latest_start


@inlined
def guard(view: View, chosen: int, margin_cycles: int, at_completion: bool, queues: bool) -> int:
    """Keep ``chosen`` unless it would cost another tenant's request its deadline.

    With ``slack = deadline - max(tc, s) - remaining``: a head other than the chosen one with slack of at
    least the margin is in danger if committing the chosen row would leave it less, that is, if ``deadline -
    tc' - remaining < margin``. Then the head with the least slack beyond its margin goes instead (ties:
    lowest tenant index), the chosen one included. Heads already below their margin never force anything. With
    ``at_completion`` false, a head is in danger when its slack now is below its margin but not negative.
    With ``queues``, the slack of a tenant is that of its last waiting request, if that is less and can still
    be kept (:func:`last_start`).
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    if machine.ready_count == 1:
        return chosen
    now = max(machine.compute_end, machine.start)
    head = heads[chosen]
    after = now
    if at_completion:
        after = max(machine.compute_end, fetch_end_of(view, head)) + head.compute_cycles
    begin, end = (now, after) if at_completion else (now - margin_cycles, now)
    danger = False
    for k in range(machine.ready_count):
        if ready[k] != chosen:
            latest = _latest(heads[ready[k]], now, margin_cycles, queues) - margin_cycles
            danger = danger or begin <= latest < end
    if not danger:
        return chosen
    most_urgent, least = -1, 0
    for k in range(machine.ready_count):
        latest = _latest(heads[ready[k]], now, margin_cycles, queues) - margin_cycles
        if latest >= begin and (most_urgent < 0 or latest < least):
            most_urgent, least = ready[k], latest
    machine.mode = DEADLINE
    return most_urgent
