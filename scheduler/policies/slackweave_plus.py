"""Slackweave+, *ours*: weave while everybody can wait, else whoever has the most to lose goes first.

1. Where every deadline is at least a quarter of the longest request, no tenant is worth giving up for
   another: layerweaver+ decides, which weaves while all are safe and serves the urgent one when not.
2. Elsewhere each tenant asks: if the others' heads go before me, how many of my requests, waiting and to
   come, will be late that would not be otherwise? It divides by the work that saving them takes.
3. The tenant with the highest answer goes first, unless it loses nothing by letting the one with the least
   slack go before; ties go to the least slack. Who cannot be in time, alone or behind what is committed, goes
   last: a tenant, and of each tenant the requests that cannot, behind its others; but before a longer row of
   the first one's if that loses nothing by it.
4. A row that leaves less idle time goes before if it delays the first one by less than its own time. What
   cannot be in time and has not begun is not woven, here or in 1, while anything else can be served.
5. The DMA fetches no earlier than compute needs it: late commitment, by the lead of each row; for a full
   queue, as early as the others can wait. A tenant far tighter than all others is not held where others
   would compute meanwhile for longer than it.
"""

from __future__ import annotations

from typing import Any

from layerweaver.scheduler.machine.timelines import fetch_end_of
from layerweaver.scheduler.machine.view import HOLD, NEVER, Memory, View
from layerweaver.scheduler.policies.contract import PolicySpec
from layerweaver.scheduler.rules.commitment import (
    LATE,
    MARK,
    has_full_queue,
    hide,
    lead_of,
    show_all,
    some_are_late,
)
from layerweaver.scheduler.rules.deadline_guard import GUARDED_MODES, guard
from layerweaver.scheduler.rules.least_idle import BY_SLACK, weave
from layerweaver.scheduler.rules.most_to_lose import most_to_lose

__all__ = ["POLICY", "choose"]

FIRST = len(GUARDED_MODES)


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """The tenant with the most to lose, or a row of another that fits in before it, or nobody yet."""
    machine = view.machine
    if machine.ready_count > 1 and machine.one_kind == 0 and machine.all_can_wait != 0:
        return _woven(view, options)
    machine.mode = FIRST
    chosen = view.ready[0]
    if machine.ready_count > 1:
        chosen = _first(view)
    if options.commit != LATE:
        return chosen
    ahead = machine.compute_end - machine.start
    if ahead <= lead_of(view.heads[chosen]):
        return chosen
    lead = _lead(view, chosen)
    if ahead <= lead:
        return chosen
    machine.hold_until = machine.compute_end - lead - machine.decision_cycles
    return HOLD


def _woven(view: View, options: Any) -> int:
    """Layerweaver+'s choice among the heads that may be committed now, or nobody yet."""
    machine, shown = view.machine, view
    ahead = machine.compute_end - machine.start
    if options.commit != LATE or ahead <= MARK * machine.longest_fetch_cycles:
        ahead = 0
    late = some_are_late(view)
    if late or ahead > 0:
        if hide(view, ahead, late, True) == 0:
            return show_all(view, HOLD, ahead, True)
        shown = View(machine, view.heads, view.spare, view.fetches, view.ready)
    chosen = guard(shown, weave(shown, BY_SLACK, True), 0, True, True)
    return show_all(view, chosen, ahead, True)


def _first(view: View) -> int:
    """The tenant with the most to lose, or one whose row fits in before it."""
    machine = view.machine
    first = most_to_lose(view)
    if machine.one_kind != 0:
        return first
    chosen, shown = first, view
    late = some_are_late(view)
    if late:
        hide(view, 0, True, False)
        shown = View(machine, view.heads, view.spare, view.fetches, view.ready)
    woven = weave(shown, BY_SLACK, False)
    if woven != first and _fits_in(view, woven, first):
        chosen = woven
    else:
        machine.mode = FIRST
    return show_all(view, chosen, 0, False)


def _fits_in(view: View, woven: int, first: int) -> bool:
    """Whether a row goes before the first one's: it hardly delays it and does not make it late."""
    row, head = view.heads[woven], view.heads[first]
    before, after = _ends(view, first, woven)
    if before <= head.deadline < after:
        return False
    return after - before < max(row.compute_cycles, row.fetch_cycles)


def _lead(view: View, chosen: int) -> int:
    """How long before the end of the committed computes the next row is fetched.

    The rest of a request, alone, takes as long as its computes and the lead of its next row, by which that
    must be fetched ahead for the rest never to wait. The largest lead counts, of all heads and of what waits
    behind them, so that rows can be woven, up to a quarter of the slack of the tightest tenant that sends a
    tenth of the requests: it waits for whatever is committed when it comes. Whoever comes to a full queue is
    lost, so its head is fetched as early as the other tenants allow.
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    full = has_full_queue(heads[chosen])
    longest, arrived = NEVER // 4 if full else 0, -1
    for k in range(machine.ready_count):
        head = heads[ready[k]]
        longest = max(longest, lead_of(head))
        if head.queued - head.passed > head.batch:
            longest = max(longest, head.full_standalone_cycles - head.full_compute_cycles)
    for tenant in range(machine.tenant_count):
        head = heads[tenant]
        spare = head.limit_cycles - head.full_standalone_cycles
        if 0 <= spare < 4 * longest and not (full and tenant == chosen):
            if arrived < 0:
                arrived = _arrived(view)
            if 10 * head.arrived >= arrived:
                longest = spare // 4
    return max(lead_of(heads[chosen]), longest)


def _arrived(view: View) -> int:
    """Requests of all tenants that came so far."""
    count = 0
    for tenant in range(view.machine.tenant_count):
        count += view.heads[tenant].arrived
    return count


def _ends(view: View, first: int, other: int) -> tuple[int, int]:
    """When the first one's request ends at the earliest: if it goes on now, and after the other's row."""
    machine, head, row = view.machine, view.heads[first], view.heads[other]
    compute, fetch = head.left_compute_cycles, max(head.left_fetch_cycles, head.remaining_cycles)
    fetch_end = fetch_end_of(view, row)
    compute_end = max(machine.compute_end, fetch_end) + row.compute_cycles
    before = max(machine.start + fetch, machine.compute_end + compute)
    return before, max(fetch_end + fetch, compute_end + compute)


POLICY = PolicySpec(
    "slackweave+",
    choose,
    "least idle time while every tenant can wait for every other, most to lose by waiting where one cannot",
    source="ours",
    modes=(*GUARDED_MODES, "most to lose"),
    holds_itself=True,
    defers_hopeless=lambda _options: True,
    heeds_backlog=True,
)
