"""Whether tenants can wait for each other, told once for as long as what they ask for stays the same."""

from __future__ import annotations

from layerweaver.scheduler.machine.view import NEVER, View

__all__ = ["NOBODY", "note_patience"]

PATIENCE = 4
"""Everybody can wait if every deadline is at least one part in so many of the longest request."""

NOBODY = -1
"""No time from arrival to deadline is that short: every head may be held."""


def note_patience(view: View) -> None:
    """Set ``machine.all_can_wait`` and ``machine.exempt_cycles``, whenever a tenant's limit or work changes.

    All can wait if no tenant's deadline is short beside another's request, so that nobody is worth giving up:
    otherwise a request of one tenant costs many of the other's, and the order of least slack loses these.

    What is fetched while a head is held computes before it. That delays it where a memory-intensive tenant
    computes for half of its fetch time or more, and is for nobody's sake where every other tenant has four
    times as long as it: whoever comes can wait for it. Else no head is exempt, :data:`NOBODY`.
    """
    machine = view.machine
    least, second, longest, delays = NEVER, NEVER, 0, False
    for tenant in range(machine.tenant_count):
        head = view.heads[tenant]
        limit, compute, fetch = head.limit_cycles, head.full_compute_cycles, head.full_fetch_cycles
        least, second = min(limit, least), min(second, max(limit, least))
        longest = max(longest, head.full_standalone_cycles)
        delays = delays or (compute < fetch and 2 * compute >= fetch)
    machine.all_can_wait = 1 if least >= longest // PATIENCE else 0
    machine.exempt_cycles = second // 4 if delays else NOBODY
