"""Equal time to each: the tenant that was given the least so far goes next, layer by layer."""

from __future__ import annotations

from typing import Any

from layerweaver.scheduler.machine.timelines import View
from layerweaver.scheduler.policies.contract import Memory, PolicySpec

__all__ = ["POLICY", "choose"]

# Columns of memory. The last row belongs to no tenant: its CREDIT is how many decisions were taken and its
# SEEN is the least time of any tenant that had work at the last one.
CREDIT, SEEN = 0, 1


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """The head whose tenant was given the least time, compute and fetch cycles together.

    Time that a tenant leaves unused is not saved up: one that comes back starts at the least time among
    those that stayed (start-time fair queueing, Goyal et al., SIGCOMM 1996), so an idle tenant cannot
    monopolise the NPU later. Ties: lowest tenant index.

    ``memory[t, CREDIT]`` is what the tenant skipped, to be added to what it was served;
    ``memory[t, SEEN]`` is the number of the last decision at which it had work.
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    common = machine.tenant_count
    decision = memory[common, CREDIT] + 1.0
    floor = memory[common, SEEN]
    best, least = -1, 0.0
    for k in range(machine.ready_count):
        tenant = ready[k]
        head = heads[tenant]
        served = float(head.served_compute_cycles + head.served_fetch_cycles)
        if memory[tenant, SEEN] + 1.0 != decision:
            memory[tenant, CREDIT] = max(memory[tenant, CREDIT], floor - served)
        memory[tenant, SEEN] = decision
        given = served + memory[tenant, CREDIT]
        if best < 0 or given < least:
            best, least = tenant, given
    memory[common, CREDIT] = decision
    memory[common, SEEN] = least
    return best


POLICY = PolicySpec(
    "fair",
    choose,
    "equal compute and fetch time to every tenant that has work",
    source="start-time fair queueing, Goyal, Vin and Cheng, SIGCOMM 1996, over layers",
    modes=("least served",),
    memory_width=2,
)
