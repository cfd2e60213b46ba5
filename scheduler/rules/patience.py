"""Whether tenants can wait for each other, told once for as long as what they ask for stays the same."""

from __future__ import annotations

from layerweaver.scheduler.machine.view import NEVER, View

__all__ = ["note_patience"]

PATIENCE = 4
"""Everybody can wait if every deadline is at least one part in so many of the longest request."""


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
