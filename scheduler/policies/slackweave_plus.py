"""Slackweave+, *ours*: whoever has the most to lose goes first.

1. Each tenant asks: if the others' heads go before me, how many of my requests, waiting and to come, will be
   late that would not be otherwise? It divides by the work that saving them takes.
2. The tenant with the highest answer goes first, unless it loses nothing by letting the one with the least
   slack go before; ties go to the least slack.
3. Who cannot be in time goes last: a tenant, and of each tenant the requests that cannot, behind its others.
4. A row that leaves less idle time goes before if it delays the first one by less than its own time, or,
   where only weaving keeps up, if the first one loses nothing by waiting for that row and a quarter of its
   slack more.
5. The DMA fetches no earlier than compute needs it: late commitment, by the lead of each row. Where only
   weaving keeps up, memory-intensive tenants have it in the meantime.
"""

from __future__ import annotations

from typing import Any

from layerweaver.scheduler.machine.timelines import fetch_end_of
from layerweaver.scheduler.machine.view import HOLD, NEVER, Memory, View
from layerweaver.scheduler.policies.contract import PolicySpec
from layerweaver.scheduler.rules.commitment import LATE, has_full_queue, lead_of
from layerweaver.scheduler.rules.least_idle import BY_SLACK, WEAVING_MODES, weave
from layerweaver.scheduler.rules.most_to_lose import demand, loss_index, most_to_lose

__all__ = ["POLICY", "choose"]

FIRST = len(WEAVING_MODES)

RESERVE = 4
"""One part in so many of its slack stays with the first one where only weaving keeps up."""


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """The tenant with the most to lose, or a row of another that fits in before it, or nobody yet."""
    machine = view.machine
    machine.mode = FIRST
    chosen = view.ready[0]
    if machine.ready_count > 1:
        first = most_to_lose(view)
        chosen = first
        if machine.one_kind == 0:
            woven = weave(view, BY_SLACK, False)
            if woven != first and _fits_in(view, woven, first):
                chosen = woven
            if chosen == first:
                machine.mode = FIRST
    if options.commit != LATE or has_full_queue(view.heads[chosen]):
        return chosen
    ahead = machine.compute_end - machine.start
    if ahead <= lead_of(view.heads[chosen]):
        return chosen
    lead = _lead(view, chosen)
    if ahead <= lead:
        return chosen
    machine.hold_until = machine.compute_end - lead - machine.decision_cycles
    return _meanwhile(view, chosen)


def _fits_in(view: View, woven: int, first: int) -> bool:
    """Whether a row goes before the first one's: it hardly delays it, or only weaving keeps up anyway.

    What is woven now is woven again with the next row, so the first one keeps a part of its slack.
    """
    row, head = view.heads[woven], view.heads[first]
    before, after = _ends(view, first, woven)
    safe = not before <= head.deadline < after
    if safe and after - before < max(row.compute_cycles, row.fetch_cycles):
        return True
    time, load, weaving = demand(view)
    if not weaving:
        return False
    delay = after - before
    if head.limit_cycles < NEVER:
        delay += max(0, head.limit_cycles - head.full_standalone_cycles) // RESERVE
    return loss_index(view, head, delay, time, load) <= 0


def _meanwhile(view: View, chosen: int) -> int:
    """A memory-intensive head whose row is fetched before the chosen one must be, or nobody yet.

    Nobody unless only weaving keeps up. The least slack goes first, of those that can be in time.
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    _, _, weaving = demand(view)
    if not weaving:
        return HOLD
    until = machine.compute_end - lead_of(heads[chosen])
    best, best_late, least = HOLD, False, 0
    for k in range(machine.ready_count):
        head = heads[ready[k]]
        if ready[k] == chosen or head.compute_intensive != 0 or fetch_end_of(view, head) > until:
            continue
        late = head.latest_start < machine.start
        if best == HOLD or (best_late and not late) or (late == best_late and head.latest_start < least):
            best, best_late, least = ready[k], late, head.latest_start
    return best


def _lead(view: View, chosen: int) -> int:
    """How long before the end of the committed computes the next row is fetched.

    The rest of a request, alone, takes as long as its computes and the lead of its next row, by which that
    must be fetched ahead for the rest never to wait. The largest lead counts, of all heads and of what waits
    behind them, so that rows can be woven, up to a quarter of the slack of the tightest tenant that sends a
    tenth of the requests: it waits for whatever is committed when it comes.
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    longest, arrived = 0, -1
    for k in range(machine.ready_count):
        head = heads[ready[k]]
        longest = max(longest, lead_of(head))
        if head.queued - head.passed > head.batch:
            longest = max(longest, head.full_standalone_cycles - head.full_compute_cycles)
    for tenant in range(machine.tenant_count):
        head = heads[tenant]
        spare = head.limit_cycles - head.full_standalone_cycles
        if 0 <= spare < 4 * longest:
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
    "whoever has the most to lose by waiting goes first, rows that leave less idle time in between",
    source="ours",
    modes=(*WEAVING_MODES, "most to lose"),
    holds_itself=True,
    defers_hopeless=lambda _options: True,
)
