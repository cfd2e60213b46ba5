"""An example policy: whoever has waited longest, unless somebody's deadline is near.

layerweaver simulate examples/<scenario>.yaml --policy ./examples/longest_wait.py
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from layerweaver.scheduler.machine.view import NEVER, View
from layerweaver.scheduler.policies.contract import Memory, PolicySpec


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the example.

    Attributes:
        alarm_us: A head with less slack than this goes first; ``choose`` also gets it as ``alarm_cycles``.
    """

    alarm_us: float = 200.0


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """The head with the least slack if that is below the alarm, else the head whose last row is oldest."""
    machine, heads = view.machine, view.heads
    now = max(machine.compute_end, machine.start)
    urgent, least = -1, NEVER
    oldest = view.ready[0]
    for k in range(machine.ready_count):
        tenant = view.ready[k]
        slack = heads[tenant].latest_start - now
        if 0 <= slack < options.alarm_cycles and slack < least:
            urgent, least = tenant, slack
        if heads[tenant].last_start < heads[oldest].last_start:
            oldest = tenant
    if urgent >= 0:
        machine.mode = 1
        return urgent
    return oldest


POLICY = PolicySpec(
    "longest-wait",
    choose,
    "longest wait first, least slack when a deadline is near",
    options=Options,
    modes=("longest wait", "deadline"),
)
