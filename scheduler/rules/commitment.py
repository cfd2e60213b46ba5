"""Commit late: what is fetched is committed, so the DMA fetches no earlier than the compute engine needs.

Computes run in the order of fetches, and a model that computes for longer than it fetches would be committed
whole within its fetch time: whoever comes later waits for all of it, under every order of heads. So while the
work that is fetched but not computed reaches beyond a *mark*, only memory-intensive models may be scheduled,
which the DMA cannot start too early; without any, nothing is scheduled until the backlog falls to the mark or
something arrives. The mark is a small multiple of the longest fetch among the models that have requests, so
the compute engine does not run dry while one fetch ends and the next one is under way. A request whose later
rows are fetched for longer than they compute must begin sooner: for its head the mark is that multiple of its
*lead*, if that is more. The lead is what the rest of the request takes alone less what it computes: fetched
so long before its computes begin, it never waits (*ours*). Holding gains nothing where a queue is full.

What is fetched while a head is held computes before it. So a policy that spares the tightest does not hold
the head of a tenant with at most three eighths of every other's time from arrival to deadline where a
memory-intensive one of more slack would be fetched meanwhile that computes for longer than the row that is
held, and for over a hundredth of its slack (*ours*).
"""

from __future__ import annotations

from typing import Any

from layerweaver.scheduler.machine.jit import inlined
from layerweaver.scheduler.machine.view import HOLD, Head, Memory, View

__all__ = [
    "EARLY",
    "LATE",
    "MARK",
    "MINOR",
    "SPARING",
    "begins_at",
    "decide",
    "has_full_queue",
    "hide",
    "lead_of",
    "show_all",
    "some_are_late",
]

LATE, EARLY = 0, 1
"""Values of the option ``commit``."""

MARK = 2
"""Longest fetches of any model with a request, or leads of its own, that a head may be fetched ahead."""

SPARING = 2
"""Value of the field ``hides`` under a policy that also spares the tightest tenant; 1 under others."""

MINOR = 100
"""A delay that is less than one part in so many of a request's slack does not matter to it."""


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """Stands for the policy's choice."""
    return view.ready[0]


def lead_of(head: Head) -> int:
    """How long before its own compute a row must be fetched for the rest of its request never to wait."""
    return head.remaining_cycles - head.left_compute_cycles


def has_full_queue(head: Head) -> bool:
    """Whether whoever comes to the tenant next is lost: the sooner its head is committed, the better."""
    return head.queued >= head.queue_limit


@inlined
def begins_at(head: Head, start: int, compute_end: int) -> int:
    """Cycle at which the rest of a request, going first, begins in effect.

    It ends as if it had the machine alone from then on: its fetches can start at ``start``, its computes at
    ``compute_end``, before which it needs no more than its lead.
    """
    return max(start, compute_end - lead_of(head))


@inlined
def _too_early(view: View, head: Head, ahead: int, spares: bool) -> bool:
    """Whether a head may not be committed while the backlog, beyond the common mark, is so many cycles."""
    if head.compute_intensive != 0 and ahead > MARK * lead_of(head) and not has_full_queue(head):
        return not (spares and _is_overtaken(view, head, ahead))
    return False


def _is_overtaken(view: View, head: Head, ahead: int) -> bool:
    """Whether to hold the head that can bear it least would cost it more than whoever comes could gain.

    It is held until its mark, and for as long as what is fetched meanwhile computes, of which the same holds:
    a model that is fetched for F cycles and computes for C adds C for every F - C. Whoever comes gains the
    compute cycles of the head's row. What is less than a hundredth of its slack does not matter to it.
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    slack = head.latest_start - machine.compute_end
    if head.limit_cycles > machine.exempt_cycles or slack < 0:
        return False
    held_cycles = ahead - MARK * max(machine.longest_fetch_cycles, lead_of(head))
    most = held_cycles // max(1, head.compute_cycles, slack // MINOR)
    for k in range(machine.ready_count):
        other = heads[ready[k]]
        if other.compute_intensive != 0 or other.latest_start <= head.latest_start:
            continue
        if other.full_fetch_cycles // max(1, other.full_compute_cycles) - 1 <= most:
            return True
    return False


@inlined
def _is_late(head: Head) -> bool:
    """Whether a request cannot be in time, need not be finished and takes nobody's room in the queue."""
    return head.hopeless != 0 and head.row == 0 and not has_full_queue(head)


@inlined
def some_are_late(view: View) -> bool:
    """Whether some heads, but not all, cannot be in time and have not begun."""
    count = 0
    for k in range(view.machine.ready_count):
        if _is_late(view.heads[view.ready[k]]):
            count += 1
    return count > 0 and count < view.machine.ready_count


@inlined
def hide(view: View, ahead: int, late: bool, spares: bool) -> int:
    """Write heads that may be committed now into ``view.spare``, the others behind them; return how many may.

    Those may not that are too early for a backlog of ``ahead`` cycles (nobody is if it is 0); and, if
    ``late``, those that cannot be in time and have not begun. ``spares`` says whether the tightest tenant may
    be let through. Sets ``machine.hold_until`` to the cycle at which one that is too early may, and the
    counts of both in ``machine``: :func:`show_all` undoes that.
    """
    machine, heads = view.machine, view.heads
    count = machine.ready_count
    mark = MARK * machine.longest_fetch_cycles
    kept, hidden = 0, count
    for k in range(count):
        head = heads[view.ready[k]]
        early = _too_early(view, head, ahead, spares)
        if early or (late and _is_late(head)):
            hidden -= 1
            view.spare[hidden] = view.ready[k]  # type: ignore[index]
        else:
            view.spare[kept] = view.ready[k]  # type: ignore[index]
            kept += 1
        if early:
            mark = max(mark, MARK * lead_of(head))
    machine.hold_until = machine.compute_end - mark - machine.decision_cycles
    machine.ready_count = kept
    machine.hidden_count = count - kept
    return kept


@inlined
def show_all(view: View, chosen: int, ahead: int, spares: bool) -> int:
    """Show all heads again; the choice, or :data:`HOLD` if it is one that may not be committed yet."""
    machine = view.machine
    machine.ready_count += machine.hidden_count
    machine.hidden_count = 0
    if chosen >= 0 and chosen < machine.tenant_count and _too_early(view, view.heads[chosen], ahead, spares):
        return HOLD
    return chosen


@inlined
def decide(view: View, options: Any, memory: Memory) -> int:
    """The policy's choice among the heads that may be committed now, or :data:`HOLD`.

    A policy may insist on a head that may not be committed yet, as one that finishes what it began does:
    then nothing is scheduled either.
    """
    machine, shown = view.machine, view
    ahead = machine.compute_end - machine.start
    early = options.hides != 0 and ahead > MARK * machine.longest_fetch_cycles
    spares = options.hides == SPARING
    if early:
        if hide(view, ahead, False, spares) == 0:
            return show_all(view, HOLD, ahead, spares)
        shown = View(machine, view.heads, view.spare, view.fetches, view.ready)
    chosen = choose(shown, options, memory)
    return show_all(view, chosen, ahead, spares) if early else chosen
