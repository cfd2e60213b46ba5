"""Dysta (MICRO 2023): least remaining time, corrected by slack and by how long a request stood still."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from layerweaver.scheduler.machine.view import NEVER, View
from layerweaver.scheduler.policies.contract import Memory, PolicySpec, within

__all__ = ["POLICY", "Options", "choose"]


@dataclass(frozen=True, slots=True)
class Options:
    """Switches of Dysta.

    Attributes:
        eta: Weight of slack and waiting against remaining time.
    """

    eta: float = within(0, 0.01)


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """The least ``remaining + eta * (max(0, time to deadline - remaining) + waiting / (isolated * tasks))``.

    Times count in milliseconds, waiting since the request last made progress, tasks are the heads (both
    *ours*: the paper's unit is not stated, and its waiting includes pre-emptions). Without a deadline the
    slack term is 0. Remaining times are exact here, so the sparsity predictor has nothing to correct. Ties:
    lowest tenant index.
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    cycles_per_ms = machine.clock_hz / 1000.0
    best, least = -1, 0.0
    for k in range(machine.ready_count):
        head = heads[ready[k]]
        remaining = head.remaining_cycles / cycles_per_ms
        slack = 0.0
        if head.deadline < NEVER:
            slack = max(0.0, (head.deadline - machine.now) / cycles_per_ms - remaining)
        waiting = float(max(0, machine.now - head.last_start))
        penalty = waiting / (max(1.0, float(head.standalone_cycles)) * machine.ready_count)
        score = remaining + options.eta * (slack + penalty)
        if best < 0 or score < least:
            best, least = ready[k], score
    return best


POLICY = PolicySpec(
    "dysta",
    choose,
    "least remaining time plus a little slack and waiting",
    source="Fan et al., Dysta, MICRO 2023, doi 10.1145/3613424.3614263",
    options=Options,
    modes=("score",),
    lone_mode=0,
)
