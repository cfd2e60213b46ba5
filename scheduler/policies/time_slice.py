"""Time slices: tenants take turns, each for a quantum, as drivers of accelerators do it today.

Linux drivers let contexts alternate after a slice of 1 ms: i915's ``DRM_I915_TIMESLICE_DURATION``, amdgpu's
``gang_quantum`` for user queues. HailoRT's model scheduler goes round robin over whole inferences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from layerweaver.scheduler.machine.view import View
from layerweaver.scheduler.policies.contract import Memory, PolicySpec

__all__ = ["POLICY", "Options", "choose"]


class Turn:
    """Who has the machine.

    Attributes:
        owner: Index of the tenant plus one.
        since: First cycle of its turn.
    """

    owner: int
    since: int


@dataclass(frozen=True, slots=True)
class Options:
    """Switches of time slicing.

    Attributes:
        quantum_us: Length of a turn; the row that is under way when it ends still belongs to it. 0 switches
            after every row.
    """

    quantum_us: float = 1000.0


def choose(view: View, options: Any, memory: Memory) -> int:
    """Whose turn it is, until the quantum is over or nothing is left to do; then the next tenant by index.

    One tenant has the machine at a time: its own fetches run under its own computes, never under those of
    another one.
    """
    machine, ready = view.machine, view.ready
    turn = memory.common
    owner = turn.owner - 1
    now = max(machine.start, machine.compute_end)
    following = ready[0]
    for k in range(machine.ready_count - 1, -1, -1):
        if ready[k] == owner and now - turn.since < options.quantum_cycles:
            return owner  # type: ignore[no-any-return]
        if ready[k] > owner:
            following = ready[k]
    turn.owner, turn.since = following + 1, now
    return following


POLICY = PolicySpec(
    "time-slice",
    choose,
    "turns of a fixed time, by tenant index, one tenant on the machine at a time",
    source="slices of 1 ms in Linux drivers: i915 DRM_I915_TIMESLICE_DURATION, amdgpu gang_quantum",
    options=Options,
    modes=("turn",),
    lone_mode=0,
    overlap=False,
    common=Turn,
)
