"""The engine as one would write it down: one decision after the other, every queue rescanned."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from layerweaver.backend_sim.engine.input import SimulationInput
from layerweaver.backend_sim.traffic.source import ClosedLoop, OpenLoop, Saturated
from layerweaver.scheduler.rules.commitment import MARK, MINOR
from oracles.naive_machine import NaiveMachine, RowCost
from oracles.naive_policies import Candidate, Hold, latest_start, naive_choice
from oracles.naive_tenant import Tenant

__all__ = ["NaiveOutcome", "naive_run"]


@dataclass
class NaiveOutcome:
    entries: list[tuple[int, ...]] = field(default_factory=list)
    latencies: list[list[int]] = field(default_factory=list)
    scheduled: list[list[int]] = field(default_factory=list)
    batches: list[dict[tuple[int, int], int]] = field(default_factory=list)
    service: list[list[int]] = field(default_factory=list)  # by request: its batch's time on the machine
    depths: list[list[int]] = field(default_factory=list)  # how many were waiting when each request came
    idle: dict[str, int] = field(default_factory=lambda: {"dma": 0, "compute": 0, "full": 0, "held": 0})
    compute_busy: int = 0
    end: int = 0


def naive_run(given: SimulationInput, name: str, options: dict[str, Any], spec: Any) -> NaiveOutcome:
    """Run to the end; ``spec`` gives the policy's traits."""
    clock = given.machine.clock_hz
    machine = NaiveMachine(given.machine.weight_buffer_bytes, given.machine.bytes_per_cycle)
    tenants = [Tenant(load, clock) for load in given.tenants]
    for tenant in tenants:
        tenant.others = sum(t.load.profiles[0].standalone_cycles for t in tenants if t is not tenant)
        tenant.heeds_backlog = spec.heeds_backlog
        tenant.rivals = [other for other in tenants if other is not tenant]
    kinds = {profile.offline.kind for load in given.tenants for profile in load.profiles}
    limit = 2**58 // given.machine.bandwidth_numerator
    held = 0
    out = NaiveOutcome(batches=[{} for _ in tenants])
    fetch_ends = [0] * (given.dispatch_ahead + 1)
    running: int | None = None
    work_since: int | None = None  # since when there has been a head without a break
    now = 0
    while True:
        now = max(now, fetch_ends[-1 - given.dispatch_ahead], machine.tc - limit)
        if not spec.overlap and running is None:
            now = max(now, machine.tc)
        chosen = spec.configure(**{key: value for key, value in options.items() if key != "name"}).options
        drops = [load.drop_hopeless or options.get("hopeless") == "drop" for load in given.tenants]
        defers = [
            not drop and (load.batching.auto or bool(spec.defers_hopeless(chosen)))
            for load, drop in zip(given.tenants, drops, strict=True)
        ]
        while True:
            for tenant, drop, defer in zip(tenants, drops, defers, strict=True):
                tenant.admit(now)
                tenant.ends = (machine.tc, machine.tm)
                tenant.form(now, drop, defer)
                tenant.admit(now)  # what a drop issued at once
            ready = [k for k, tenant in enumerate(tenants) if tenant.batch]
            if ready:
                break
            work_since = None
            pairs = zip(tenants, drops, strict=True)
            events = [time for tenant, drop in pairs if (time := tenant.next_event(now, drop)) is not None]
            if not events:
                return _settle(out, tenants, machine)
            now = min(events)
        work_since = min([tenants[k].since for k in ready] + ([] if work_since is None else [work_since]))
        start = max(machine.tm, now + given.decision_cycles)
        candidates = []
        for k in ready:
            tenant = tenants[k]
            profile = tenant.load.profiles[tenant.profile]
            candidates.append(
                Candidate(
                    k,
                    tenant.arrived[tenant.batch[0]].cycle,
                    tenant.deadline(),
                    tenant.rows[tenant.profile][tenant.row],
                    profile.offline.kind == "compute-intensive",
                    max(machine.fetch_cycles(row) for row in tenant.rows[tenant.profile]),
                    *tenant.rest(),
                    tenant.lead(),
                    tenant.row > 0,
                    tenant.limit(),
                    tenant.in_the_way(),
                )
            )

        def overtaking(c: Candidate, held: int, others: list[Candidate] = candidates) -> list[Candidate]:
            """Who would be fetched meanwhile, has more slack, and computes for longer than the row held."""
            return [
                o
                for o in others
                if not o.compute_intensive
                and latest_start(o) > latest_start(c)
                and tenants[o.tenant].fetched_per_computed()
                <= held // max(1, c.row.compute, (latest_start(c) - machine.tc) // MINOR) + 1
            ]

        longest = max(c.longest_fetch for c in candidates)
        late = options.get("commit") == "late"
        second = sorted([*(tenant.limit() for tenant in tenants), 2**62])[1]
        marks = {c.tenant: MARK * max(longest, c.lead) for c in candidates}
        hidden = [
            c.tenant
            for c in candidates
            if late
            and c.compute_intensive
            and machine.tc - start > marks[c.tenant]
            and not tenants[c.tenant].is_full()
            and not (
                spec.spares_tightest
                and tenants[c.tenant].limit() <= 3 * second // 8
                and latest_start(c) >= machine.tc
                and overtaking(c, machine.tc - start - marks[c.tenant])
            )
        ]
        until = machine.tc - max((marks[k] for k in hidden), default=0) - given.decision_cycles
        allowed = [c for c in candidates if c.tenant not in hidden]
        answer: int | Hold = Hold(until)
        if allowed:
            answer = naive_choice(
                name,
                options,
                allowed,
                machine,
                start,
                longest=longest,
                one_kind=len(kinds) == 1
                or (options.get("sees") == "queues" and _are_alike(candidates, tenants)),
                clock_hz=clock,
                now=now,
                running=running,
                hidden=[c for c in candidates if c.tenant in hidden],
            )
            answer = Hold(until) if answer in hidden else answer
        if isinstance(answer, Hold):
            pairs = zip(tenants, drops, strict=True)
            events = [time for tenant, drop in pairs if (time := tenant.next_event(now, drop)) is not None]
            events.append(answer.until)
            wake = min(event for event in [*events, machine.tc] if event > now)
            held += wake - now
            now = wake
            continue
        index = answer
        tenant = tenants[index]
        rows, deadline = tenant.rows[tenant.profile], tenant.deadline()
        alone = tenant.load.profiles[tenant.profile].standalone_cycles
        if tenant.row == 0 and drops[index] and deadline is not None and start + alone > deadline:
            tenant.drop(tenant.waiting.pop(0), tenant.to_ns(now))
            continue
        saved = 0
        if running != index:
            if not spec.overlap:
                start = max(start, machine.tc)
            if spec.checkpoints and running is not None:
                left = tenants[running]
                live = left.rows[left.profile][left.row].live
                saved = math.ceil(live / machine.bandwidth)
                start += saved
        row = rows[tenant.row]
        _count_gaps(out, machine, row, work_since, (start - saved, start))
        if tenant.row == 0:
            tenant.began = start
            tenant.pressed = False
        placed = machine.commit(row, start)
        fetch_ends.append(placed.fetch_end)
        out.compute_busy += row.compute
        tenant.served[0] += row.compute
        tenant.served[1] += machine.fetch_cycles(row)
        place = (placed.start, placed.fetch_end, placed.compute_start, placed.compute_end)
        out.entries.append(
            (index, tenant.batch[0], len(tenant.batch), tenant.profile, tenant.row, *place, now, held)
        )
        held = 0
        tenant.row += 1
        running = index
        if tenant.row == len(rows):
            running = None
            tenant.row = 0
            size = (tenant.profile, len(tenant.batch))
            out.batches[index][size] = out.batches[index].get(size, 0) + 1
            tenant.service |= dict.fromkeys(tenant.batch, placed.compute_end - tenant.began)
            _finish(tenant, placed.compute_end, now)
            if isinstance(tenant.load.source, Saturated):
                tenant.admit(now)
            tenant.ends = (machine.tc, machine.tm)
            tenant.form(now, drops[index], defers[index])
            work_since = work_since if any(tenant.batch for tenant in tenants) else None


def _are_alike(heads: list[Candidate], tenants: list[Tenant]) -> bool:
    """Whether nothing is there to weave, where kinds are a matter of the sizes of automatic batches."""
    settled = set()
    for tenant in tenants:
        kinds = {profile.offline.kind for profile in tenant.load.profiles}
        settled |= kinds if len(kinds) == 1 or not tenant.load.batching.auto else set()
    alike = len(heads) > 1 and len({head.compute_intensive for head in heads}) == 1
    return len(settled) < 2 and alike and not any(tenants[head.tenant].passed for head in heads)


def _count_gaps(
    out: NaiveOutcome, machine: NaiveMachine, row: RowCost, since: int, at: tuple[int, int]
) -> None:
    """Why the DMA and then the compute engine were idle before a row, cycle by cycle in words of the docs."""
    ready, start = at
    full_until = machine.tm
    for _, done in machine.fetched:
        if sum(weight for weight, end in machine.fetched if end > full_until) >= machine.buffer:
            full_until = max(full_until, done)
    worked = min(max(since, machine.tm), ready)
    possible = min(max(full_until, worked), ready) if row.weight else worked
    out.idle["dma"] += worked - machine.tm
    out.idle["full"] += possible - worked
    out.idle["held"] += ready - possible
    fetch_end = machine.append(row, start).fetch_end
    if fetch_end > machine.tc:
        out.idle["compute"] += min(max(since, machine.tc), fetch_end) - machine.tc


def _finish(tenant: Tenant, done: int, now: int) -> None:
    done_ns = tenant.to_ns(done)
    for number in tenant.batch:
        request = tenant.arrived[number]
        request.latency_ns = done_ns - request.scheduled_ns
        tenant.waiting.remove(number)
    for _ in tenant.batch:
        if isinstance(tenant.load.source, ClosedLoop):
            tenant.issue(done_ns + tenant.load.source.think_ns)
        elif not isinstance(tenant.load.source, OpenLoop):
            tenant.issue(now * 10**9 // tenant.clock)
    tenant.batch = []


def _settle(out: NaiveOutcome, tenants: list[Tenant], machine: NaiveMachine) -> NaiveOutcome:
    for tenant in tenants:
        assert not tenant.waiting
        out.latencies.append([request.latency_ns for request in tenant.arrived])  # type: ignore[misc]
        out.depths.append(tenant.depths)
        out.scheduled.append([request.scheduled_ns for request in tenant.arrived])
        out.service.append([tenant.service.get(number, 0) for number in range(len(tenant.arrived))])
    out.idle["dma"] += machine.tc - machine.tm
    out.end = machine.tc
    return out
