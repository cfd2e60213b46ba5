"""Batches that the scheduler chooses, as one would write them down."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oracles.naive_tenant import Tenant

__all__ = ["form_auto"]


def form_auto(tenant: Tenant, now: int, queue: list[int]) -> int | None:
    """As many as the scheduler likes, by the definition of automatic batches; when it chooses anew."""
    profiles, sizes = tenant.load.profiles, tenant.load.batching.sizes
    alone = [profile.standalone_cycles for profile in profiles]
    columns = [(profile.table.compute_cycles, profile.table.memory_cycles) for profile in profiles]
    sums = [(int(compute.sum()), int(fetch.sum())) for compute, fetch in columns]
    unit = 2 ** max(0, max(map(max, sums)).bit_length() - 20)
    end = tenant.deadline_of(queue[0])
    timed = end is not None and now + alone[0] <= end
    slack = end - now if timed else 0  # type: ignore[operator]
    limit = tenant.limit()
    parts = [(rival, _part_left(rival, now)) for rival in tenant.rivals]
    parts.append((tenant, _part(tenant, slack - alone[0]) if timed else 1024))
    counted = [(each.served, min(16, 1024 // part)) for each, part in parts]
    busy = [1 + sum(done[engine] // 16 * times for done, times in counted) for engine in (0, 1)]
    price = 1024 * busy[0] // sum(busy)
    work = [max(1, (c // unit * price + f // unit * (1024 - price)) // 2) for c, f in sums]
    grain = 2 ** max(0, limit.bit_length() - 18) if timed else 1
    served = [sum(rival.served[engine] for rival in tenant.rivals) for engine in (0, 1)]
    rivals = 1024 * min(max(1, now), max(served)) // max(1, now)
    between = [alone[0] // 4 // grain + min(2**18, time // grain) * rivals // 1024 for time in alone]
    behind, fetched = (max(0, end - now) for end in tenant.ends)
    lasts = [max(fetched + time, behind + c) for time, (c, _) in zip(alone, sums, strict=True)]
    left = [(slack - time) // grain for time in lasts]
    chance = [2**14] * len(sizes)
    if timed:
        spares = [max(0, spare) for spare in left]
        chance = [t * 2**14 // (t + more + 1) for t, more in zip(spares, between, strict=True)]
    padded = next((k for k, size in enumerate(sizes) if size >= len(queue)), len(sizes) - 1)
    worth = [Fraction(min(len(queue), sizes[k]) * chance[k], work[k]) for k in range(padded + 1)]
    best = worth.index(max(worth))
    size = min(len(queue), sizes[best])
    changes = now + max(1, slack // 16) if timed else None
    if size == len(queue) and changes is not None and tenant.expects(changes):
        gap = min(4 * limit, (now + tenant.others + alone[0]) // len(tenant.arrived)) // grain
        taken = [_fills(rival) for rival in tenant.rivals if rival.batch]
        idle = [max(0, 1024 - sum(engine)) for engine in zip((0, 0), *taken, strict=True)]
        rows = [rival.load.profiles[rival.profile] for rival in tenant.rivals if rival.batch]
        behind = max((each.offline.longest_fetch_cycles // 2 for each in rows), default=0)
        own = _part(tenant, (max(0, left[best]) * grain) - behind)
        nearest = min((part for each, part in parts if each is not tenant), default=1024)
        dear = min(4 * 1024, nearest * 1024 // own)
        for k, larger in enumerate(sizes):
            if larger <= size or left[k] <= 0:
                continue
            wait = (larger - size) * gap
            if wait > 2 * (limit // grain):
                continue
            lost = wait * (2**14 - chance[best]) // (max(0, left[best]) + between[best] + 1)
            lost = min(2**19, lost * dear // 1024)
            unused = sums[k][0] // unit * idle[0] // 1024 * price
            unused += sums[k][1] // unit * idle[1] // 1024 * (1024 - price)
            unused = min(2**29, unused // 8 * wait // max(1, alone[k] // grain))
            worth_now = Fraction(size * (chance[best] + lost), work[best])
            if Fraction(larger * chance[k], work[k] + unused) > worth_now:
                tenant.batch, tenant.profile = [], 0
                return changes
    tenant.batch, tenant.profile = queue[:size], best
    return changes


def _part(tenant: Tenant, slack: int) -> int:
    """Of the time from arrival to deadline, in 1/1024."""
    return min(1024, max(1, max(0, slack) * 1024 // max(1, tenant.limit())))


def _part_left(tenant: Tenant, now: int) -> int:
    """What is left of its deadline to a head that can be in time."""
    end = tenant.deadline() if tenant.batch else None
    slack = end - tenant.rows[tenant.profile][tenant.row].remaining - now if end is not None else 0
    return _part(tenant, slack) if slack > 0 else 1024


def _fills(tenant: Tenant) -> tuple[int, int]:
    """Of the time that the rest of the head takes, what it keeps compute and DMA busy for, in 1/1024."""
    table = tenant.load.profiles[tenant.profile].table
    compute, fetch = (int(c[tenant.row :].sum()) for c in (table.compute_cycles, table.memory_cycles))
    return 1024 * compute // max(1, compute, fetch), 1024 * fetch // max(1, compute, fetch)
