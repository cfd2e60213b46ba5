"""Planaria (MICRO 2020) in its temporal form: priority over slack, the whole NPU to the highest."""

from __future__ import annotations

from typing import Any

from layerweaver.scheduler.machine.view import View
from layerweaver.scheduler.policies.contract import Memory, PolicySpec

__all__ = ["POLICY", "choose"]


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """The highest ``priority / slack`` with ``slack = time to deadline - remaining``, at least one cycle.

    The paper also splits the array in space; this is its scheduler on an NPU that is shared in time. A
    request that can no longer meet its deadline has the least slack there is and thus goes first. Ties:
    earliest arrival, then lowest tenant index.
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    best, highest = ready[0], -1.0
    for k in range(machine.ready_count):
        head = heads[ready[k]]
        slack = max(1, head.deadline - machine.now - head.remaining_cycles)
        score = head.priority / slack
        if (-score, head.arrival) < (-highest, heads[best].arrival):
            best, highest = ready[k], score
    return best


POLICY = PolicySpec(
    "planaria",
    choose,
    "priority over slack, shared in time only",
    source="Ghodrati et al., Planaria, MICRO 2020, doi 10.1109/MICRO50266.2020.00062",
    modes=("priority over slack",),
    lone_mode=0,
)
