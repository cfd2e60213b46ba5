"""Policies by their definitions, over the naive machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from oracles.naive_machine import NaiveMachine, RowCost

__all__ = ["Candidate", "Hold", "latest_start", "naive_choice"]


@dataclass(frozen=True)
class Hold:
    """Schedule nothing until a cycle, or until something happens."""

    until: int


@dataclass(frozen=True)
class Candidate:
    tenant: int
    arrival: int
    deadline: int | None
    row: RowCost
    compute_intensive: bool
    longest_fetch: int
    rest: int  # waiting behind the head, hopeless ones left out
    drift: int  # by how much each of these has more slack than the one before it
    lead: int  # what the rest of the request takes alone, less what it computes
    begun: bool
    limit: int  # from arrival to deadline
    in_the_way: int | None  # if it is hopeless: when it must go on for the newest to be in time


def latest_start(candidate: Candidate) -> float | int:
    """Last cycle at which the rest of a request, alone, could begin and still be in time."""
    return float("inf") if candidate.deadline is None else candidate.deadline - candidate.row.remaining


def _arrival_order(candidates: list[Candidate], running: int | None) -> int:
    if running is not None:
        return running  # even if it may not be committed yet
    return min(candidates, key=lambda c: (c.arrival, c.tenant)).tenant


def _weave(
    candidates: list[Candidate],
    machine: NaiveMachine,
    start: int,
    *,
    longest: int,
    one_kind: bool,
    running: int | None,
    by_slack: bool,
    hopeless_last: bool,
) -> int:
    now = max(machine.tc, start)
    if one_kind and by_slack:
        due = {c.tenant: float("inf") if c.deadline is None else c.deadline for c in candidates}
        late = {c.tenant: latest_start(c) < now for c in candidates}
        return min(candidates, key=lambda c: (late[c.tenant], due[c.tenant], c.arrival, c.tenant)).tenant
    if one_kind:
        return _arrival_order(candidates, running)
    ranked: list[tuple[Any, ...]] = []
    for c in candidates:
        placed = machine.append(c.row, start)
        compute_idle = max(0, machine.fetch_cycles(c.row) - max(0, machine.tc - start))
        memory_idle = machine.memory_idle(c.row, start)
        distance = placed.compute_end - placed.fetch_end
        total = compute_idle + memory_idle + max(0, longest - distance)
        hopeless = hopeless_last and latest_start(c) < now
        tie = latest_start(c) if by_slack else -distance
        key = (total, machine.inherent(c.row) > 0, hopeless, tie, c.tenant)
        ranked.append((key, compute_idle > 0, memory_idle > 0, c))
    pool = ranked
    if all(entry[1] for entry in ranked):
        pool = [entry for entry in ranked if entry[3].compute_intensive] or ranked
    elif all(entry[2] for entry in ranked):
        pool = [entry for entry in ranked if not entry[3].compute_intensive] or ranked
    return int(min(pool, key=lambda entry: entry[0])[3].tenant)


def _guarded(
    chosen: int,
    shown: list[Candidate],
    hidden: list[Candidate],
    machine: NaiveMachine,
    start: int,
    *,
    clock_hz: int,
    options: dict[str, Any],
) -> int:
    margin = -(-int(options["margin_us"]) * 1000 * clock_hz // 10**9)
    at_completion = options["evaluate"] == "completion"
    candidates = [*shown, *hidden]
    row = next(c.row for c in candidates if c.tenant == chosen)
    placed = machine.append(row, start)

    def alone(c: Candidate, at: int, tc: int) -> int:
        """Where the rest of a request ends if it goes first: no earlier than either engine allows."""
        return max(at + c.row.remaining, tc + c.row.remaining - c.lead)

    slack: dict[int, int] = {}
    after: dict[int, int] = {}
    for c in candidates:
        if c.deadline is None:
            continue
        own = c.deadline - alone(c, start, machine.tc)
        last = own - max(0, -c.rest * c.drift)
        if c.in_the_way is not None:
            last = c.in_the_way + c.row.remaining - alone(c, start, machine.tc)
        if options["sees"] == "queues" and last >= margin:
            own = last
        slack[c.tenant] = own - margin
        delayed = alone(c, placed.fetch_end, placed.compute_end) - alone(c, start, machine.tc)
        after[c.tenant] = slack[c.tenant] - (delayed if at_completion else 0)
    remaining = {c.tenant: c.row.remaining for c in candidates}
    limit = next(c.limit for c in candidates if c.tenant == chosen)
    able = sorted((s, k) for k, s in slack.items() if s >= (0 if at_completion else -margin))
    able = [(s, k) for s, k in able if after[k] < 0]
    while any(k != chosen for _, k in able):
        least, urgent = able[0]
        shorter = [
            k
            for k, s in slack.items()
            if least < remaining[k] < remaining[urgent] and 0 <= s < remaining[urgent]
        ]
        costs_many = options["sees"] == "queues" and urgent != chosen and limit < remaining[urgent]
        if not shorter and not costs_many:
            return urgent
        able = able[1:]
    nearly_done = [
        (c.row.remaining, c.tenant)
        for c in shown
        if options["sees"] == "queues" and c.begun and c.row.remaining < row.compute
    ]
    return min(nearly_done)[1] if nearly_done else chosen


def naive_choice(
    name: str,
    options: dict[str, Any],
    candidates: list[Candidate],
    machine: NaiveMachine,
    start: int,
    *,
    longest: int,
    one_kind: bool,
    clock_hz: int,
    now: int,
    running: int | None,
    hidden: list[Candidate],
) -> int | Hold:
    """The tenant that goes on, or for how long none does; candidates ascend by tenant.

    ``longest`` is the longest fetch of all models with a request, and ``hidden`` are those that may not be
    committed yet.
    """
    if name == "pulse":
        pulse = options["pulse"]
        return candidates[0].tenant if now % pulse == 0 else Hold(now - now % pulse + pulse)
    if name in ("fcfs", "fcfs-prefetch"):
        return _arrival_order(candidates, running)
    if name == "edf":
        deadline = {c.tenant: float("inf") if c.deadline is None else c.deadline for c in candidates}
        return min(candidates, key=lambda c: (deadline[c.tenant], c.arrival, c.tenant)).tenant
    if name == "llf":
        return min(candidates, key=lambda c: (latest_start(c), c.tenant)).tenant
    hopeless_last = options.get("hopeless") in ("last", "defer")
    chosen = _weave(
        candidates,
        machine,
        start,
        longest=longest,
        one_kind=one_kind,
        running=running,
        by_slack=options.get("sees") == "queues",
        hopeless_last=hopeless_last,
    )
    if name == "layerweaver":
        return chosen
    return _guarded(chosen, candidates, hidden, machine, start, clock_hz=clock_hz, options=options)
