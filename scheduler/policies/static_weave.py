"""Replay a static woven schedule: the order was found offline, nothing is decided while it runs (*ours*)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.scheduler.machine import View
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.policies.contract import Memory, PolicySpec
from layerweaver.scheduler.policies.weaving import BY_DISTANCE, WEAVING_MODES, weave
from layerweaver.scheduler.weave import find_weave

__all__ = ["POLICY", "choose", "prepare_order"]

PREFIX, PERIOD, ORDER = 0, 1, 2
"""Tables: rows before the order repeats, rows of one period, then the tenants in order."""
POSITION, IN_STEP = 0, 1
"""Columns of the last row of memory, which belongs to no tenant."""
REPLAYED = len(WEAVING_MODES)


def prepare_order(tenants: Sequence[Sequence[ModelProfile]]) -> NDArray[np.int64]:
    """The periodic order of these tenants at their largest batch size.

    Raises:
        ProfileError: If the schedule does not repeat.
    """
    weave_found, _ = find_weave([menu[-1] for menu in tenants])
    head = np.array([len(weave_found.prefix), len(weave_found.period)], np.int64)
    return np.concatenate([head, weave_found.prefix, weave_found.period])


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """The next tenant of the order while all keep step with it, else Layerweaver's choice.

    The order starts (again) whenever every tenant has a request of which nothing ran yet, and is left when
    the tenant whose turn it is has none.
    """
    machine, heads, ready, tables = view.machine, view.heads, view.ready, view.tables
    common = machine.tenant_count
    if memory[common, IN_STEP] == 0.0 and machine.ready_count == machine.tenant_count:
        fresh = True
        for k in range(machine.ready_count):
            if heads[ready[k]].row > 0:
                fresh = False
        if fresh:
            memory[common, IN_STEP] = 1.0
            memory[common, POSITION] = 0.0
    if memory[common, IN_STEP] != 0.0:
        position = int(memory[common, POSITION])
        tenant = tables[ORDER + position]
        for k in range(machine.ready_count):
            if ready[k] == tenant:
                position += 1
                if position == tables[PREFIX] + tables[PERIOD]:
                    position = tables[PREFIX]
                memory[common, POSITION] = position
                machine.mode = REPLAYED
                return int(tenant)
        memory[common, IN_STEP] = 0.0
    return weave(view, BY_DISTANCE, False)


POLICY = PolicySpec(
    "static-weave",
    choose,
    "layerweaver's schedule of streams that always have work, replayed without deciding",
    source="layerweaver, with offline schedules of our own",
    modes=(*WEAVING_MODES, "replayed"),
    memory_width=2,
    prepare=prepare_order,
)
