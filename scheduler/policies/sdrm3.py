"""SDRM3 / DREAM: urgency plus fairness, the highest score goes next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from layerweaver.scheduler.machine.view import View
from layerweaver.scheduler.policies.contract import Memory, PolicySpec, within

__all__ = ["POLICY", "Options", "choose"]


@dataclass(frozen=True, slots=True)
class Options:
    """Switches of SDRM3.

    Attributes:
        alpha: Weight of fairness against urgency.
    """

    alpha: float = within(0, 1.0)


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """The highest ``min(1, remaining / time to deadline) + alpha * waiting / next layer's time``.

    Waiting counts since the request last made progress; the next layer's time is its longer side. A
    request past its deadline has urgency 1. Ties: lowest tenant index.
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    best, highest = ready[0], -1.0
    for k in range(machine.ready_count):
        head = heads[ready[k]]
        left = head.deadline - machine.now
        urgency = 1.0
        if left > head.remaining_cycles:
            urgency = head.remaining_cycles / left
        waiting = float(max(0, machine.now - head.last_start))
        score = urgency + options.alpha * waiting / max(1, head.compute_cycles, head.fetch_cycles)
        if score > highest:
            best, highest = ready[k], score
    return best


POLICY = PolicySpec(
    "sdrm3",
    choose,
    "urgency plus waiting over the next layer's time",
    source="Kim et al., DREAM, ASPLOS 2023 (arXiv 2212.03414, SDRM3)",
    options=Options,
    modes=("score",),
    lone_mode=0,
)
