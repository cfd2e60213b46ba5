"""Replay a static woven schedule: the order was found offline, nothing is decided while it runs (*ours*)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.scheduler.machine.timelines import View
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.policies.contract import Memory, PolicySpec
from layerweaver.scheduler.rules.least_idle import BY_DISTANCE, WEAVING_MODES, weave
from layerweaver.scheduler.static.weave import find_weave

__all__ = ["POLICY", "choose", "prepare_order"]

POSITION, IN_STEP = 0, 1
"""Columns of the last row of memory, which belongs to no tenant: place in the order, and which group's."""
REPLAYED = len(WEAVING_MODES)

MEMBERS, PREFIX, PERIOD, LISTS = 0, 1, 2, 3
"""Entries of a group's part of the tables: how many members, rows before the order repeats and rows of one
period; then the members, ascending, and the order of tenants."""


def prepare_order(
    tenants: Sequence[Sequence[ModelProfile]], groups: Sequence[Sequence[int]] = ()
) -> NDArray[np.int64]:
    """The periodic order of every group at its tenants' largest batch sizes.

    Args:
        tenants: Per tenant, one profile per batch size.
        groups: Tenant indices; empty for one group of all tenants.

    Returns:
        The number of groups, where each group's part begins, and the parts.

    Raises:
        ProfileError: If a schedule does not repeat.
    """
    parts = []
    for group in groups or [range(len(tenants))]:
        members = sorted(group)
        found, _ = find_weave([tenants[index][-1] for index in members])
        order = np.array(members, np.int64)[np.concatenate([found.prefix, found.period])]
        sizes = np.array([len(members), len(found.prefix), len(found.period)], np.int64)
        parts.append(np.concatenate([sizes, np.array(members, np.int64), order]))
    starts = 1 + len(parts) + np.cumsum([0] + [len(part) for part in parts[:-1]])
    return np.concatenate([np.array([len(parts)], np.int64), starts.astype(np.int64), *parts])


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """The next tenant of a group's order while its members keep step with it, else Layerweaver's choice.

    An order starts (again) whenever the group's members, and nobody else, have requests of which nothing ran
    yet. It is left when the tenant whose turn it is has none, or another tenant has one.
    """
    machine, tables = view.machine, view.tables
    common = machine.tenant_count
    if memory[common, IN_STEP] == 0.0:
        for group in range(tables[0]):
            if _may_start(view, tables[1 + group]):
                memory[common, IN_STEP] = group + 1.0
                memory[common, POSITION] = 0.0
                break
    if memory[common, IN_STEP] != 0.0:
        start = tables[int(memory[common, IN_STEP])]
        count, prefix = tables[start + MEMBERS], tables[start + PREFIX]
        position = int(memory[common, POSITION])
        tenant = tables[start + LISTS + count + position]
        if _has_turn(view, start, tenant):
            position += 1
            if position == prefix + tables[start + PERIOD]:
                position = prefix
            memory[common, POSITION] = position
            machine.mode = REPLAYED
            return int(tenant)
        memory[common, IN_STEP] = 0.0
    return weave(view, BY_DISTANCE, False)


def _may_start(view: View, start: int) -> bool:
    """Whether just the members of the group at ``start`` have requests, and nothing of these ran yet."""
    count = view.tables[start + MEMBERS]
    if view.machine.ready_count != count:
        return False
    for k in range(count):
        tenant = view.ready[k]
        if tenant != view.tables[start + LISTS + k] or view.heads[tenant].row > 0:
            return False
    return True


def _has_turn(view: View, start: int, tenant: int) -> bool:
    """Whether a tenant has a request and nobody outside of the group at ``start`` has one."""
    count = view.tables[start + MEMBERS]
    found = False
    k = 0
    for place in range(view.machine.ready_count):
        other = view.ready[place]
        while k < count and view.tables[start + LISTS + k] < other:
            k += 1
        if k == count or view.tables[start + LISTS + k] != other:
            return False
        found = found or other == tenant
    return found


POLICY = PolicySpec(
    "static-weave",
    choose,
    "layerweaver's schedule of streams that always have work, replayed without deciding",
    source="layerweaver, with offline schedules of our own",
    modes=(*WEAVING_MODES, "replayed"),
    commit="early",
    memory_width=2,
    prepare=prepare_order,
    by_group=True,
)
