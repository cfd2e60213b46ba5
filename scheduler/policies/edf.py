"""Earliest deadline first (Liu and Layland, JACM 1973), pre-emptive between layers."""

from __future__ import annotations

from typing import Any

from layerweaver.scheduler.machine.view import View
from layerweaver.scheduler.policies.contract import Memory, PolicySpec

__all__ = ["POLICY", "choose"]


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """The head with the earliest deadline; ties, and heads without one: earliest arrival, lowest index."""
    heads, ready = view.heads, view.ready
    best = ready[0]
    for k in range(1, view.machine.ready_count):
        head, least = heads[ready[k]], heads[best]
        if (head.deadline, head.arrival) < (least.deadline, least.arrival):
            best = ready[k]
    return best


POLICY = PolicySpec(
    "edf",
    choose,
    "earliest deadline first, pre-emptive between layers",
    source="Liu and Layland, JACM 20(1), 1973, doi 10.1145/321738.321743",
    modes=("deadline",),
    lone_mode=0,
)
