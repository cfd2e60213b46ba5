"""The deadline guard around a throughput choice: our reconstruction of Layerweaver+ (LW+)."""

from __future__ import annotations

from layerweaver.scheduler.machine.jit import inlined
from layerweaver.scheduler.machine.timelines import View, fetch_end_of
from layerweaver.scheduler.rules.least_idle import WEAVING_MODES

__all__ = ["DEADLINE", "GUARDED_MODES", "guard"]

GUARDED_MODES = (*WEAVING_MODES, "deadline")
DEADLINE = len(WEAVING_MODES)


@inlined
def guard(
    view: View,
    chosen: int,
    margin_cycles: int,
    margin_share: float,
    at_completion: bool,
) -> int:
    """Keep ``chosen`` unless it would cost another head its deadline.

    With ``slack = deadline - max(tc, s) - remaining`` and a margin of ``margin_cycles + margin_share *
    remaining``: a head other than the chosen one with slack of at least its margin is in danger if
    committing the chosen row would leave it less, that is, if ``deadline - tc' - remaining < margin``. Then
    the head with the least slack beyond its margin goes instead (ties: lowest tenant index), the chosen
    one included. Heads already below their margin never force anything. With ``at_completion`` false, a
    head is in danger when its slack now is below its margin but not negative.
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    if machine.ready_count == 1:
        return chosen
    now = max(machine.compute_end, machine.start)
    head = heads[chosen]
    after = now
    if at_completion:
        after = max(machine.compute_end, fetch_end_of(view, head)) + head.compute_cycles
    danger = False
    most_urgent, least = chosen, 0
    found = False
    for k in range(machine.ready_count):
        tenant = ready[k]
        head = heads[tenant]
        latest = head.latest_start
        margin = margin_cycles
        if margin_share != 0.0:
            margin += int(margin_share * head.remaining_cycles)
        if at_completion:
            eligible = latest - margin >= now
            threatened = latest - margin < after
        else:
            eligible = latest >= now
            threatened = latest - now < margin
        if eligible:
            if threatened and tenant != chosen:
                danger = True
            if not found or latest < least:
                most_urgent, least, found = tenant, latest, True
    if not danger:
        return chosen
    machine.mode = DEADLINE
    return most_urgent
