"""Slackweave+, *ours*: spend slack that nobody needs, weave when slack runs out, triage when time does.

Three regimes, from light load to overload:

1. *Urgent first*. While every other head can wait until the most urgent tenant's whole queue is served, that
   tenant goes first, and rows of others only fill what it leaves idle. What others must keep in reserve is
   ``reserve * standalone / (1 - load)``: the swings of a queue grow like that (heavy traffic).
2. *Weave*. Otherwise the least idle time decides, as in slackweave, under the deadline guard.
3. *Triage*. In overload somebody is late whatever happens. The tenants with the longest requests are given up
   when that saves more requests than it costs; they run in the gaps of the others until they caught up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from layerweaver.scheduler.machine.timelines import NEVER, View, fetch_end_of
from layerweaver.scheduler.policies.contract import Memory, PolicySpec
from layerweaver.scheduler.rules.deadline_guard import GUARDED_MODES, guard
from layerweaver.scheduler.rules.least_idle import BY_RESCUE, SINGLE, urgency, weave
from layerweaver.scheduler.rules.overload import Load, Standing, count_completion, watch

__all__ = ["POLICY", "Options", "choose"]

URGENT, TRIAGE = len(GUARDED_MODES), len(GUARDED_MODES) + 1


@dataclass(frozen=True, slots=True)
class Options:
    """Switches of slackweave+.

    Attributes:
        reserve: Slack that others keep while the most urgent goes first, in standalone times of theirs over
            ``1 - load``.
        filler: A row of another tenant may go before the urgent one's if it delays that request by less than
            this share of the row's own time.
        alone: Load, counted as if requests ran one at a time, above which nobody is put first: the backlog
            would only grow.
        overload: Load of the busier engine above which tenants may be given up; 0.04 below, they are taken
            back.
        worth: How many late requests of the others make up for one lost of those given up.
        window: Completions over which lateness is averaged.
    """

    reserve: float = 2.0
    filler: float = 0.5
    alone: float = 1.0
    overload: float = 0.9
    worth: float = 2.5
    window: float = 500.0


def choose(view: View, options: Any, memory: Memory) -> int:
    """The urgent one if the others can afford it, else the least idle; the given up only in between."""
    machine = view.machine
    watch(view, options, memory)
    chosen = view.ready[0]
    machine.mode = SINGLE
    if machine.ready_count > 1:
        chosen = _pick(view, options, memory)
    head = view.heads[chosen]
    if head.rows_left == 1:
        done = max(machine.compute_end, fetch_end_of(view, head)) + head.compute_cycles
        count_completion(view, chosen, done > head.deadline, options.window, memory)
    return chosen


def _pick(view: View, options: Any, memory: Memory) -> int:
    machine, heads, ready = view.machine, view.heads, view.ready
    chosen = weave(view, BY_RESCUE, False)
    now = max(machine.compute_end, machine.start)
    urgent, least = -1, 0
    for k in range(machine.ready_count):
        tenant = ready[k]
        if memory.tenants[tenant].given_up == 0:
            rank = urgency(heads[tenant], now)
            if urgent < 0 or rank < least:
                urgent, least = tenant, rank
    if urgent < 0 or urgent == chosen:
        return chosen
    if memory.tenants[chosen].given_up != 0:
        if _fills(view, urgent, chosen, options.filler):
            return chosen
        machine.mode = TRIAGE
        return urgent
    if _affordable(view, urgent, options, memory):
        if _fills(view, urgent, chosen, options.filler):
            return chosen
        machine.mode = URGENT
        return urgent
    return guard(view, chosen, 0, 0.0, True)


def _affordable(view: View, urgent: int, options: Any, memory: Memory) -> bool:
    """Whether all others keep their reserve of slack if the urgent tenant's whole queue goes first.

    The slack of a tenant is that of its tightest request, taking arrivals as evenly spread since the head's.
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    if memory.common.alone >= options.alone or heads[urgent].latest_start == NEVER:
        return False
    now = max(machine.compute_end, machine.start)
    head = heads[urgent]
    ahead = head.remaining_cycles + (head.queued - 1) * head.standalone_cycles
    reserve = options.reserve / max(0.001, 1.0 - memory.common.load)
    for k in range(machine.ready_count):
        tenant = ready[k]
        head = heads[tenant]
        if tenant == urgent or memory.tenants[tenant].given_up != 0 or head.latest_start == NEVER:
            continue
        slack = head.latest_start - now
        if head.queued > 1:
            gap = max(0, machine.now - head.arrival) // head.queued
            slack += min(0, (head.queued - 1) * (gap - head.standalone_cycles))
        if slack - ahead < reserve * head.standalone_cycles:
            return False
    return True


def _fills(view: View, urgent: int, other: int, share: float) -> bool:
    """Whether the other's row delays the urgent request by less than a share of the row's own time.

    The urgent request ends no earlier than what is left of it after the fetches so far, and than its computes
    after the computes so far.
    """
    machine, head, row = view.machine, view.heads[urgent], view.heads[other]
    left = head.remaining_cycles
    compute = int(left * (head.model_compute_cycles / max(1, head.standalone_cycles)))
    fetch_end = fetch_end_of(view, row)
    compute_end = max(machine.compute_end, fetch_end) + row.compute_cycles
    before = max(machine.start + left, machine.compute_end + compute)
    after = max(fetch_end + left, compute_end + compute)
    return after - before < share * max(row.compute_cycles, row.fetch_cycles)


POLICY = PolicySpec(
    "slackweave+",
    choose,
    "urgent first while others can wait, weaving when they cannot, triage in overload",
    source="ours",
    options=Options,
    modes=(*GUARDED_MODES, "urgent first", "triage"),
    memory=Standing,
    common=Load,
)
