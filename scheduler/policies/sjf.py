"""Shortest job first: the baseline of PREMA and of Dysta, pre-emptive between layers by default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from layerweaver.scheduler.machine.view import View
from layerweaver.scheduler.policies.contract import Memory, PolicySpec

__all__ = ["POLICY", "Options", "choose"]


@dataclass(frozen=True, slots=True)
class Options:
    """Switches of shortest job first.

    Attributes:
        preemptive: Whether a shorter request may overtake one that has begun (shortest remaining time).
    """

    preemptive: bool = True


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """The head with the least remaining standalone time (ties: lowest tenant index)."""
    machine, heads, ready = view.machine, view.heads, view.ready
    if machine.running >= 0 and options.preemptive == 0:
        return machine.running
    best = ready[0]
    for k in range(1, machine.ready_count):
        if heads[ready[k]].remaining_cycles < heads[best].remaining_cycles:
            best = ready[k]
    return best


POLICY = PolicySpec(
    "sjf",
    choose,
    "least remaining standalone time first",
    source="Schrage and Miller, Operations Research 14(4), 1966; baseline of PREMA, HPCA 2020",
    options=Options,
    modes=("shortest",),
    lone_mode=0,
)
