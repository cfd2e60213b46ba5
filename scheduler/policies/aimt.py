"""AI-MT (ISCA 2020): fetch memory blocks early while there is room, drain the buffer when there is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from layerweaver.scheduler.policies.contract import Memory, PolicySpec, View

__all__ = ["POLICY", "Options", "choose"]

PREFETCH, REFILL, EVICT = range(3)


@dataclass(frozen=True, slots=True)
class Options:
    """Switches of AI-MT.

    Attributes:
        low_space: Share of the weight buffer below which free space counts as low.
    """

    low_space: float = 0.1


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """Greedy load balance between the two engines.

    - While the weight buffer has room, memory blocks are fetched early: as long as fetched work keeps the
      arrays busy for longer than the fetch takes, the head with the longest such fetch goes; when no fetch
      can hide, the one with the most compute per fetch refills the arrays.
    - When space is low, the head with the least compute goes, whose weights are freed soonest (early
      eviction of memory blocks).

    Ties: lowest tenant index. The paper reorders sub-layers between fetch and compute; here, as ever on
    this machine, computes follow the order of fetches and rows are whole layers.
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    best = ready[0]
    if machine.free_scaled < options.low_space * machine.buffer_scaled:
        machine.mode = EVICT
        for k in range(1, machine.ready_count):
            if heads[ready[k]].compute_cycles < heads[best].compute_cycles:
                best = ready[k]
        return best
    available = max(0, machine.compute_end - machine.start)
    longest = -1
    for k in range(machine.ready_count):
        fetch_cycles = heads[ready[k]].fetch_cycles
        if longest < fetch_cycles <= available:
            best, longest = ready[k], fetch_cycles
    if longest >= 0:
        machine.mode = PREFETCH
        return best
    machine.mode = REFILL
    for k in range(1, machine.ready_count):
        head, other = heads[ready[k]], heads[best]
        if float(head.compute_cycles) * other.fetch_cycles > float(other.compute_cycles) * head.fetch_cycles:
            best = ready[k]
    return best


POLICY = PolicySpec(
    "aimt",
    choose,
    "longest fetch that hides under fetched work, least compute first when space is low",
    source="Baek, Kwon and Kim, AI-MT, ISCA 2020, doi 10.1109/ISCA45697.2020.00081",
    options=Options,
    modes=("prefetch", "refill", "evict"),
)
