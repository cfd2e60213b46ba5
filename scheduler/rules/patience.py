"""Whether tenants can wait for each other, told once for as long as what they ask for stays the same."""

from __future__ import annotations

from collections.abc import Sequence

from layerweaver.scheduler.machine.view import NEVER, View

__all__ = ["hurries", "note_patience", "shortest_others"]

PATIENCE = 4
"""Everybody can wait if every deadline is at least one part in so many of the longest request."""

MANY_LIMITS = 32
"""A request as long as so many times from arrival to deadline of another tenant makes many of its late."""


def hurries(alone: int, shortest_other: int) -> bool:
    """Whether a tenant that defers the hopeless starts a batch before its delay is over to keep its deadline.

    That makes more batches of fewer requests, each of which delays whoever comes meanwhile: not worth it
    where that is dozens of another tenant's, which it makes late.

    Args:
        alone: What its smallest batch takes alone.
        shortest_other: The least of the others' times from arrival to deadline, in the same unit.
    """
    return shortest_other >= alone // MANY_LIMITS


def shortest_others(limits: Sequence[int]) -> list[int]:
    """For every tenant the least of all others' limits; :data:`NEVER` for a lone one."""
    least, next_least = (*sorted(limits)[:2], NEVER, NEVER)[:2]
    first = limits.index(least) if limits else -1
    return [next_least if index == first else least for index in range(len(limits))]


def note_patience(view: View) -> None:
    """Set two fields, ``all_can_wait`` and ``exempt_cycles``, of all tenants' limits and work.

    All can wait if no tenant's deadline is short beside another's request, so that nobody is worth giving up:
    otherwise a request of one tenant costs many of the other's, and the order of least slack loses these.
    Exempt from being held, where that costs it more than others gain, is a tenant that has at most three
    eighths of every other's time from arrival to deadline.
    """
    machine = view.machine
    least, second, longest = NEVER, NEVER, 0
    for tenant in range(machine.tenant_count):
        head = view.heads[tenant]
        limit = head.limit_cycles
        least, second = min(limit, least), min(second, max(limit, least))
        longest = max(longest, head.full_standalone_cycles)
    machine.all_can_wait = 1 if least >= longest // PATIENCE else 0
    machine.exempt_cycles = 3 * second // 8
