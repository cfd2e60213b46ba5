"""Whether tenants can wait for each other, told once for as long as what they ask for stays the same."""

from __future__ import annotations

from collections.abc import Iterable

from layerweaver.scheduler.machine.view import NEVER, View

__all__ = ["hurries", "note_patience"]

PATIENCE = 4
"""Everybody can wait if every deadline is at least one part in so many of the longest request."""

MANY_LIMITS = 32
"""A request as long as so many times from arrival to deadline of another tenant makes many of its late."""


def hurries(alone: int, limits: Iterable[int]) -> bool:
    """Whether a tenant that defers the hopeless starts a batch before its delay is over to keep its deadline.

    That makes more batches of fewer requests, each of which delays whoever comes meanwhile: not worth it
    where that is dozens of another tenant's, which it makes late.

    Args:
        alone: What its smallest batch takes alone.
        limits: The others' times from arrival to deadline, in the same unit.
    """
    return min(limits, default=NEVER) >= alone // MANY_LIMITS


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
