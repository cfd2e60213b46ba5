"""The next event of every tenant: its next arrival or the end of its batch timer, whichever is first.

A tournament among the tenants: entry ``k`` of a flat array holds the earlier one of its entries ``2k`` and
``2k + 1``, the last half holds the tenants' own cycles, and entry 1 the earliest of all. A change plays again
only on its way up, so that an arrival costs the logarithm of the number of tenants.
"""

from __future__ import annotations

from typing import Any

from layerweaver.scheduler.machine.view import NEVER

__all__ = ["EARLIEST", "first_due", "no_events", "set_event"]

EARLIEST = 1
"""Where the earliest event of any tenant stands."""


def no_events(tenants: int) -> list[int]:
    """The array for so many tenants, nothing to come."""
    return [NEVER] * (2 << (tenants - 1).bit_length())


def set_event(events: Any, index: int, cycle: int) -> None:
    """Note the cycle of a tenant's next event, :data:`NEVER` for none."""
    at = index + len(events) // 2
    events[at] = cycle
    while at > EARLIEST:
        at //= 2
        earlier = min(events[2 * at], events[2 * at + 1])
        if events[at] == earlier:
            return
        events[at] = earlier


def first_due(events: Any, now: int) -> int:
    """The lowest index of a tenant with an event by ``now``; there must be one."""
    at = EARLIEST
    leaves = len(events) // 2
    while at < leaves:
        at *= 2
        if events[at] > now:
            at += 1
    return at - leaves
