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
    taken = [min(2**18, time // grain) * rivals // 1024 for time in alone]
    behind, fetched = (max(0, end - now) for end in tenant.ends)
    lasts = [max(fetched + time, behind + c) for time, (c, _) in zip(alone, sums, strict=True)]
    left = [(slack - time) // grain for time in lasts]
    padded = next((k for k, size in enumerate(sizes) if size >= len(queue)), len(sizes) - 1)
    step = (now - end + limit) // len(queue) // grain if timed else 0  # type: ignore[operator]

    def worth_of(k: int) -> Fraction:
        """Chance of a request that waits over its work, where the queue goes on in batches of this size."""
        judged = min(len(queue), sizes[-1])
        full, rest = divmod(judged, sizes[k])
        rounds = [(sizes[k], k)] * full
        if rest:
            rounds.append((rest, next(j for j, size in enumerate(sizes) if size >= rest)))
        sure, before, ahead = 0, 0, 0
        more = min(2**18, (alone[k] + alone[0] // 4) // grain) * rivals // 1024
        for n, (count, j) in enumerate(rounds):
            if n > 0:
                longer = max(sums[j]) // grain
                ahead += longer
                more += min(2**18, longer) * rivals // 1024
            sure += count * (_chance(left[k] + before * step - ahead, more) if timed else 2**14)
            before += count
        return Fraction(sure // judged, max(1, sum(work[j] for _, j in rounds) // judged))

    worth = [worth_of(k) for k in range(padded + 1)]
    best = worth.index(max(worth))
    size = min(len(queue), sizes[best])
    changes = now + max(1, slack // 16) if timed else None
    if size == len(queue) and changes is not None and tenant.expects(changes):
        own = alone[0] // 4 // grain
        gap = min(4 * limit, (now + tenant.others + alone[0]) // len(tenant.arrived))
        fills = [_fills(rival) for rival in tenant.rivals if rival.batch]
        idle = [max(0, 1024 - sum(engine)) for engine in zip((0, 0), *fills, strict=True)]
        rows = [rival.load.profiles[rival.profile] for rival in tenant.rivals if rival.batch]
        row = max((each.offline.longest_fetch_cycles for each in rows), default=0) // 2
        nearest = min((part for each, part in parts if each is not tenant), default=1024)
        oldest = max(0, left[best])
        dear = min(4 * 1024, nearest * 1024 // _part(tenant, oldest * grain - row))
        lost = (2**14 - _chance(oldest, own + taken[best])) * dear // 1024
        come = min(sizes[-1], lasts[best] // max(1, gap))
        for k, larger in enumerate(sizes):
            spare = (slack - row - lasts[k]) // grain
            more = larger - size
            wait = more * (gap // grain)
            if more <= 0 or spare <= 0 or wait > 2 * (limit // grain):
                continue
            unused = sums[k][0] // unit * idle[0] // 1024 * price
            unused += sums[k][1] // unit * idle[1] // 1024 * (1024 - price)
            unused = min(2**29, unused // 8 * wait // max(1, alone[k] // grain))
            together = Fraction(larger * _chance(spare, own + taken[k]), work[k] + unused)
            after = next(j for j, holds in enumerate(sizes) if holds >= max(more, come))
            ready = (limit - max(0, lasts[best] - gap) - alone[after]) // grain
            apart = size * _chance(oldest, own + taken[best])
            apart += size * min(2**19, wait * lost // (oldest + own + taken[best] + 1))
            apart += more * _chance(ready, own + taken[best] + taken[after])
            then = min(more * work[0], work[after] * more // max(more, come))
            if together > Fraction(apart, work[best] + then):
                tenant.batch, tenant.profile = [], 0
                return changes
    tenant.batch, tenant.profile = queue[:size], best
    return changes


def _chance(left: int, between: int) -> int:
    """To be in time, in 2^-14, with so much slack left and so much that may come in between."""
    return max(0, left) * 2**14 // (max(0, left) + between + 1)


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
