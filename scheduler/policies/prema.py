"""PREMA (HPCA 2020): tokens grow with priority and waiting; the shortest of those with enough tokens runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from layerweaver.scheduler.machine.view import View
from layerweaver.scheduler.policies.contract import Memory, PolicySpec

__all__ = ["POLICY", "Options", "choose"]


class Tokens:
    """Of a tenant's head.

    Attributes:
        tokens: What it has.
        request: Its number plus one.
        counted: Cycle up to which its waiting was counted.
    """

    tokens: float
    request: int
    counted: int


class Common:
    """Of the scheduler.

    Attributes:
        woken: Cycle at which it last woke.
    """

    woken: int


@dataclass(frozen=True, slots=True)
class Options:
    """Switches of PREMA.

    Attributes:
        period_us: Scheduling period; between two wake-ups a request keeps the NPU (0.25 ms in the paper).
    """

    period_us: float = 250.0


def choose(view: View, options: Any, memory: Memory) -> int:
    """Among the heads with enough tokens, the one with the least estimated time left.

    The scheduler wakes when a request ends, when a head appears, and after every period. A request's
    tokens start at its priority and grow by ``priority * waiting / standalone`` while it does not run. The
    threshold is the largest number of tokens rounded down to a priority (1, 3 or 9). Ties: lowest tenant
    index. Leaving an unfinished request costs the DMA the time to save its live activations.
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    now = machine.now
    arrived = False
    most = 0.0
    for k in range(machine.ready_count):
        tenant = ready[k]
        head = heads[tenant]
        mine = memory.tenants[tenant]
        if mine.request != head.request + 1:
            mine.request = head.request + 1
            mine.tokens = head.priority
            mine.counted = head.arrival
            arrived = True
        if tenant != machine.running:
            waited = float(max(0, now - mine.counted))
            mine.tokens += head.priority * waited / max(1.0, float(head.standalone_cycles))
        mine.counted = now
        most = max(most, mine.tokens)
    if machine.running >= 0 and not arrived and now - memory.common.woken < options.period_cycles:
        return machine.running
    memory.common.woken = now
    threshold = 9.0 if most >= 9.0 else 3.0 if most >= 3.0 else 1.0
    best = -1
    for k in range(machine.ready_count):
        tenant = ready[k]
        enough = memory.tenants[tenant].tokens >= threshold
        if enough and (best < 0 or heads[tenant].remaining_cycles < heads[best].remaining_cycles):
            best = tenant
    return best


POLICY = PolicySpec(
    "prema",
    choose,
    "tokens by priority and waiting, shortest estimated time among the richest",
    source="Choi and Rhu, PREMA, HPCA 2020, doi 10.1109/HPCA47549.2020.00027",
    options=Options,
    modes=("tokens",),
    lone_mode=0,
    checkpoints=True,
    memory=Tokens,
    common=Common,
)
