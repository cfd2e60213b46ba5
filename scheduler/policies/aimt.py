"""AI-MT (ISCA 2020): fetch memory blocks early while there is room, drain the buffer when there is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from layerweaver.scheduler.machine.view import View
from layerweaver.scheduler.policies.contract import Memory, PolicySpec, within

__all__ = ["POLICY", "Options", "choose"]

PREFETCH, REFILL, EVICT = range(3)


@dataclass(frozen=True, slots=True)
class Options:
    """Switches of AI-MT.

    Attributes:
        prefetch_share: Share of the weight buffer that early fetched blocks may fill (AI-MT works with about
            a megabyte; the share is ours).
        block_bytes: Weights of one sub-layer, what one array holds (128 x 128 at 16 bit).
    """

    prefetch_share: float = within(0, 0.1, 1)
    block_bytes: int = within(1, 32768)


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """Greedy load balance between the two engines.

    - Memory blocks are fetched early: while fetched work keeps the arrays busy for longer than one block
      takes to fetch, the head with the least compute per fetch goes (prefetch); otherwise the one with the
      most refills the arrays.
    - When early fetched blocks fill their share of the buffer, the head with the least compute goes, whose
      weights are freed soonest (early eviction).

    Ties: lowest tenant index. The paper reorders sub-layers between fetch and compute; here, as ever on
    this machine, computes follow the order of fetches and rows are whole layers.
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    best = ready[0]
    if machine.buffer_scaled - machine.free_scaled > options.prefetch_share * machine.buffer_scaled:
        machine.mode = EVICT
        for k in range(1, machine.ready_count):
            if heads[ready[k]].compute_cycles < heads[best].compute_cycles:
                best = ready[k]
        return best
    busy = (machine.compute_end - machine.start) * machine.rate > options.block_bytes * machine.scale
    machine.mode = PREFETCH if busy else REFILL
    for k in range(1, machine.ready_count):
        head, other = heads[ready[k]], heads[best]
        intensity = float(head.compute_cycles) * other.fetch_cycles
        least = float(other.compute_cycles) * head.fetch_cycles
        if intensity < least if busy else intensity > least:
            best = ready[k]
    return best


POLICY = PolicySpec(
    "aimt",
    choose,
    "memory blocks fetched early while the arrays are busy, least compute first when space is low",
    source="Baek, Kwon and Kim, AI-MT, ISCA 2020, doi 10.1109/ISCA45697.2020.00081",
    options=Options,
    modes=("prefetch", "refill", "evict"),
)
