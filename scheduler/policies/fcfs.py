"""First come, first served, one request at a time: the baseline of both papers' headline."""

from __future__ import annotations

from typing import Any

from layerweaver.scheduler.machine.view import View
from layerweaver.scheduler.policies.contract import Memory, PolicySpec
from layerweaver.scheduler.rules.least_idle import earliest_arrival

__all__ = ["POLICY", "PREFETCH_POLICY", "choose"]


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """The head that arrived first, to its end."""
    return earliest_arrival(view)


POLICY = PolicySpec(
    "fcfs",
    choose,
    "one request at a time in order of arrival, no overlap across requests",
    source="baseline of LW and LW+",
    modes=("arrival order",),
    lone_mode=0,
    overlap=False,
)


PREFETCH_POLICY = PolicySpec(
    "fcfs-prefetch",
    choose,
    "in order of arrival; the next request's weights are fetched under the computes of the last",
    source="LW III-A, double buffering across requests",
    modes=("arrival order",),
    lone_mode=0,
)
