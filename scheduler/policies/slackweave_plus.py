"""Slackweave+, *ours*: whoever has the most to lose goes first.

1. Each tenant asks: if the others' heads go before me, how many of my requests, waiting and to come, will be
   late that would not be otherwise? It divides by the work that saving them takes.
2. The tenant with the highest answer goes first; ties go to the least slack.
3. Who cannot be in time goes last: a tenant, and of each tenant the requests that cannot, behind its others.
4. A row that leaves less idle time goes before if it delays the first one by less than its own time, or, when
   only weaving keeps up, if the first one is still in time after it.
5. The DMA fetches no earlier than compute needs it (late commitment).
"""

from __future__ import annotations

from typing import Any

from layerweaver.scheduler.machine.timelines import HOLD, Memory, View, fetch_end_of
from layerweaver.scheduler.policies.contract import PolicySpec
from layerweaver.scheduler.rules.commitment import LATE, MARK
from layerweaver.scheduler.rules.least_idle import BY_SLACK, WEAVING_MODES, weave
from layerweaver.scheduler.rules.most_to_lose import most_to_lose

__all__ = ["POLICY", "choose"]

FULL = 922
"""Load in 1/1024 from which only weaving keeps up: then rows need not fit, but not cost a deadline either."""

FIRST, FILLED = len(WEAVING_MODES), len(WEAVING_MODES) + 1


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """The tenant with the most to lose, or a row of another that fits in before it, or nobody yet."""
    machine, heads = view.machine, view.heads
    first, memory_bound, load = most_to_lose(view)
    mark = MARK * machine.longest_fetch_cycles
    if (
        options.commit == LATE
        and heads[first].compute_intensive != 0
        and machine.compute_end - machine.start > mark
    ):
        # The compute engine is busy until the mark: what goes meanwhile must not cost the first its deadline.
        if memory_bound < 0:
            machine.hold_until = machine.compute_end - mark - machine.decision_cycles
            return HOLD
        machine.mode = FILLED
        before, after = _ends(view, first, memory_bound)
        deadline = heads[first].deadline
        if before <= deadline < after:
            machine.mode = FIRST
            return first
        return memory_bound
    machine.mode = FIRST
    if machine.one_kind == 0 and machine.ready_count > 1:
        woven = weave(view, BY_SLACK, False)
        if woven == first:
            return first
        before, after = _ends(view, first, woven)
        row = heads[woven]
        if after - before < max(row.compute_cycles, row.fetch_cycles):
            return woven
        if load >= FULL and not before <= heads[first].deadline < after:
            return woven
        machine.mode = FIRST
    return first


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
    modes=(*WEAVING_MODES, "most to lose", "while compute is busy"),
    holds_itself=True,
    defers_hopeless=lambda _options: True,
)
