"""Replay a static woven schedule: the order was found offline, nothing is decided while it runs (*ours*)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from layerweaver.scheduler.machine.records import record_type, records
from layerweaver.scheduler.machine.view import View
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.policies.contract import Memory, PolicySpec
from layerweaver.scheduler.rules.least_idle import BY_DISTANCE, WEAVING_MODES, weave
from layerweaver.scheduler.static.weave import find_weave

__all__ = ["POLICY", "choose", "prepare_order"]

REPLAYED = len(WEAVING_MODES)


class Place:
    """Where in which order the policy is.

    Attributes:
        group: The group whose order it follows, plus one; 0 for none.
        position: Place in that order.
    """

    group: int
    position: int


class Group:
    """One group's part of the flat arrays.

    Attributes:
        first_member: Where its members begin.
        members: How many it has.
        first: Where its order begins.
        prefix: Rows before the order repeats.
        period: Rows of one period.
    """

    first_member: int
    members: int
    first: int
    prefix: int
    period: int


class Orders(NamedTuple):
    """What was woven beforehand.

    Attributes:
        groups: Shape (groups,), records of :class:`Group`.
        members: Tenants, ascending within a group.
        order: Tenants in the order of their rows, group after group: the prefix, then one period.
    """

    groups: Any
    members: NDArray[np.int64]
    order: NDArray[np.int64]


def prepare_order(tenants: Sequence[Sequence[ModelProfile]], groups: Sequence[Sequence[int]] = ()) -> Orders:
    """The periodic order of every group at its tenants' largest batch sizes.

    Args:
        tenants: Per tenant, one profile per batch size.
        groups: Tenant indices; empty for one group of all tenants.

    Raises:
        ProfileError: If a schedule does not repeat.
    """
    declared = [sorted(group) for group in groups] or [list(range(len(tenants)))]
    parts = records(record_type(Group), len(declared))
    members: list[int] = []
    order: list[int] = []
    for part, group in zip(parts, declared, strict=True):
        found, _ = find_weave([tenants[index][-1] for index in group])
        part.first_member, part.members, part.first = len(members), len(group), len(order)
        part.prefix, part.period = len(found.prefix), len(found.period)
        members.extend(group)
        order.extend(group[place] for place in (*found.prefix.tolist(), *found.period.tolist()))
    return Orders(parts, np.array(members, np.int64), np.array(order, np.int64))


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """The next tenant of a group's order while its members keep step with it, else Layerweaver's choice.

    An order starts (again) whenever the group's members, and nobody else, have requests of which nothing ran
    yet. It is left when the tenant whose turn it is has none, or another tenant has one.
    """
    place, orders = memory.common, memory.tables
    if place.group == 0:
        for index in range(len(orders.groups)):
            if _may_start(view, orders.groups[index], orders.members):
                place.group, place.position = index + 1, 0
                break
    if place.group != 0:
        group = orders.groups[place.group - 1]
        tenant = orders.order[group.first + place.position]
        if _has_turn(view, group, orders.members, tenant):
            place.position += 1
            if place.position == group.prefix + group.period:
                place.position = group.prefix
            view.machine.mode = REPLAYED
            return int(tenant)
        place.group = 0
    return weave(view, BY_DISTANCE, False)


def _may_start(view: View, group: Group, members: NDArray[np.int64]) -> bool:
    """Whether just the members of a group have requests, and nothing of these ran yet."""
    if view.machine.ready_count != group.members:
        return False
    for k in range(group.members):
        tenant = view.ready[k]
        if tenant != members[group.first_member + k] or view.heads[tenant].row > 0:
            return False
    return True


def _has_turn(view: View, group: Group, members: NDArray[np.int64], tenant: int) -> bool:
    """Whether a tenant has a request and nobody outside of the group has one."""
    found = False
    k = 0
    for place in range(view.machine.ready_count):
        other = view.ready[place]
        while k < group.members and members[group.first_member + k] < other:
            k += 1
        if k == group.members or members[group.first_member + k] != other:
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
    common=Place,
    prepare=prepare_order,
    by_group=True,
)
