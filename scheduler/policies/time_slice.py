"""Time slices: tenants take turns, each for a quantum, as drivers of accelerators do it today.

Linux drivers let contexts alternate after a slice of 1 ms: i915's ``DRM_I915_TIMESLICE_DURATION``, amdgpu's
``gang_quantum`` for user queues. HailoRT's model scheduler goes round robin over whole inferences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from layerweaver.scheduler.machine.timelines import View
from layerweaver.scheduler.policies.contract import Memory, PolicySpec

__all__ = ["POLICY", "Options", "choose"]

# The last row of memory belongs to no tenant: whose turn it is, plus one, and since which cycle.
TURN, SINCE = 0, 1


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
    common = machine.tenant_count
    turn = int(memory[common, TURN]) - 1
    now = max(machine.start, machine.compute_end)
    following = ready[0]
    for k in range(machine.ready_count - 1, -1, -1):
        if ready[k] == turn and now - memory[common, SINCE] < options.quantum_cycles:
            return turn
        if ready[k] > turn:
            following = ready[k]
    memory[common, TURN] = following + 1.0
    memory[common, SINCE] = now
    return following


POLICY = PolicySpec(
    "time-slice",
    choose,
    "turns of a fixed time, by tenant index, one tenant on the machine at a time",
    source="slices of 1 ms in Linux drivers: i915 DRM_I915_TIMESLICE_DURATION, amdgpu gang_quantum",
    options=Options,
    modes=("turn",),
    overlap=False,
    memory_width=2,
)
