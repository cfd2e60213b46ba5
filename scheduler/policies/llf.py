"""Least laxity first (Mok, 1983): the least slack goes next."""

from __future__ import annotations

from typing import Any

from layerweaver.scheduler.machine.view import View
from layerweaver.scheduler.policies.contract import Memory, PolicySpec

__all__ = ["POLICY", "choose"]


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """The head with the least ``deadline - now - remaining`` (``now`` is common); ties: lowest index."""
    heads, ready = view.heads, view.ready
    best = ready[0]
    least = heads[best].latest_start
    for k in range(1, view.machine.ready_count):
        latest_start = heads[ready[k]].latest_start
        if latest_start < least:
            best, least = ready[k], latest_start
    return best


POLICY = PolicySpec(
    "llf",
    choose,
    "least slack first, pre-emptive between layers",
    source="Mok, MIT/LCS/TR-297, 1983",
    modes=("deadline",),
    lone_mode=0,
)
