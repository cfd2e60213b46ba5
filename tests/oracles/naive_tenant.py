"""A tenant as one would write it down: what has come, what waits, in what batches it goes and by when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from layerweaver.backend_sim.engine.input import TenantLoad
from layerweaver.backend_sim.traffic.source import ClosedLoop, OpenLoop
from oracles.naive_auto import form_auto
from oracles.naive_machine import RowCost

__all__ = ["Request", "Tenant"]


@dataclass
class Request:
    scheduled_ns: int
    cycle: int
    latency_ns: int | None = None  # -1: dropped, -3: waited for too long


class Tenant:
    def __init__(self, load: TenantLoad, clock: int) -> None:
        self.load, self.clock = load, clock
        self.future: list[int] = []  # scheduled times not yet arrived, ascending
        self.arrived: list[Request] = []
        self.depths: list[int] = []
        self.waiting: list[int] = []  # numbers of requests not yet finished or dropped
        self.row = 0
        self.batch: list[int] = []
        self.passed: set[int] = set()  # waiting, hopeless, behind the others
        self.pressed = False  # one of these had waited long enough for company
        self.profile = 0
        self.changes: int | None = None  # cycle at which the scheduler would choose the batch anew
        self.chosen: tuple[int, ...] = ()  # of how many that came, and which of them waited, it chose
        self.others = 0  # standalone times of the other tenants
        self.heeds_backlog = False  # whether who is late behind what is committed is hopeless
        self.late_from = 2**62  # behind more than this is committed, the oldest of an automatic batch is late
        self.served = [0, 0]  # what either engine was given to do so far by this tenant
        self.ends = (0, 0)  # when compute and DMA are done with what is committed
        self.rivals: list[Tenant] = []
        self.since = 0  # cycle since which the head batch could have been formed
        self.began = 0
        self.service: dict[int, int] = {}
        self.issued = self.issued_ns = 0
        self.rows = [self._costs(profile) for profile in load.profiles]
        source = load.source
        if isinstance(source, OpenLoop):
            while len(times := source.arrivals.take(1000)) > 0:
                self.future.extend(int(time) for time in times)
        else:
            first = source.concurrency if isinstance(source, ClosedLoop) else load.batching.sizes[-1]
            for _ in range(first):
                self.issue(0)

    @staticmethod
    def _costs(profile: Any) -> list[RowCost]:
        table = profile.table
        columns = (table.compute_cycles, table.dram_bytes, table.weight_bytes, table.live_bytes)
        remaining = profile.offline.remaining_cycles
        rows = zip(*columns, remaining[:-1], strict=True)
        return [RowCost(*(int(cost) for cost in row)) for row in rows]

    def to_cycle(self, ns: int) -> int:
        return math.ceil(Fraction(ns * self.clock, 10**9))

    def to_ns(self, cycle: int) -> int:
        return math.ceil(Fraction(cycle * 10**9, self.clock))

    def issue(self, ns: int) -> None:
        source = self.load.source
        assert source is not None
        assert not isinstance(source, OpenLoop)
        if source.max_queries is not None and self.issued >= source.max_queries:
            return
        compared_ns = self.issued_ns if getattr(source, "past_the_end", False) else ns
        if compared_ns < source.duration_ns or self.issued < source.min_queries:
            self.issued += 1
            self.issued_ns = ns
            self.future.append(ns)
            self.future.sort()

    def drop(self, number: int, ns: int, mark: int = -1) -> None:
        self.arrived[number].latency_ns = mark
        source = self.load.source
        if not isinstance(source, OpenLoop):
            alone = max(1, self.to_ns(self.load.profiles[0].standalone_cycles))
            self.issue(ns + max(alone, getattr(source, "think_ns", 0)))

    def admit(self, now: int) -> None:
        while True:
            coming = self.to_cycle(self.future[0]) if self.future else None
            gives_up = self.gives_up_at()
            if gives_up is not None and gives_up <= now and (coming is None or gives_up <= coming):
                number = next(number for number in self.waiting if not self.runs(number))
                self.waiting.remove(number)
                self.passed.discard(number)
                self.drop(number, self.to_ns(gives_up), -3)
                continue
            if coming is None or coming > now:
                return
            ns = self.future.pop(0)
            self.arrived.append(Request(ns, self.to_cycle(ns)))
            self.depths.append(len(self.waiting))
            if self.load.queue_limit is not None and len(self.waiting) >= self.load.queue_limit:
                self.drop(len(self.arrived) - 1, ns)
            else:
                self.waiting.append(len(self.arrived) - 1)

    def runs(self, number: int) -> bool:
        return self.row > 0 and number in self.batch

    def gives_up_at(self) -> int | None:
        """First cycle at which the oldest request in no batch that runs has waited for too long."""
        waits = [number for number in self.waiting if not self.runs(number)]
        if self.load.timeout_ns is None or not waits:
            return None
        return self.arrived[waits[0]].cycle + self.load.timeout_ns * self.clock // 10**9 + 1

    def deadline(self) -> int | None:
        if self.load.deadline_ns is None:
            return None
        return self.deadline_of(self.batch[0])

    def size_of(self, queue: list[int], now: int) -> tuple[int, int]:
        """Size and profile of the batch that a queue gives now."""
        rule = self.load.batching
        size = max([0, *(size for size in rule.preferred if size <= len(queue))])
        if len(queue) >= rule.sizes[-1]:
            size = rule.sizes[-1]
        elif self.pressed or self.goes_at(queue, queue is not self.waiting) <= now:
            size = len(queue)
        return size, next(k for k, most in enumerate(rule.sizes) if most >= size)

    def goes_at(self, queue: list[int], fresh: bool) -> int:
        """When the batch goes even if it is not full: sooner where its oldest would become hopeless."""
        oldest, rule = self.arrived[queue[0]], self.load.batching
        cycle = oldest.cycle + self.to_cycle(rule.delay_ns)
        alone = self.load.profiles[0].standalone_cycles
        hurries = all(alone // 32 <= rival.limit() for rival in self.rivals)
        if fresh and hurries and self.load.deadline_ns is not None:
            size = min(len(queue), rule.sizes[-1])
            profile = next(k for k, most in enumerate(rule.sizes) if most >= size)
            taken = self.load.profiles[profile].standalone_cycles
            end = (oldest.scheduled_ns + self.load.deadline_ns) * self.clock // 10**9
            cycle = min(cycle, end - taken - taken // 2)
        return cycle

    def queue(self, now: int, defers: bool) -> list[int]:
        """Who may be in the next batch: those that can be in time if some can, else all."""
        if not defers or self.load.deadline_ns is None:
            return self.waiting
        fresh = [number for number in self.waiting if number not in self.passed]
        auto = self.load.batching.auto
        while fresh:
            profile = self.load.profiles[0 if auto else self.size_of(fresh, now)[1]]
            oldest, ends = self.arrived[fresh[0]].scheduled_ns, now + profile.standalone_cycles
            if self.heeds_backlog:
                ends = max(ends, self.ends[0] + int(profile.table.compute_cycles.sum()))
            if ends <= (oldest + self.load.deadline_ns) * self.clock // 10**9:
                return fresh
            self.pressed |= not auto and self.goes_at(fresh, True) <= now
            self.passed.add(fresh.pop(0))
        return self.waiting

    def form(self, now: int, drops: bool, defers: bool) -> None:
        """The head batch as of ``now``, unless it has begun."""
        if self.row > 0:
            return
        rule = self.load.batching
        known = (len(self.arrived), *self.waiting)
        early = self.changes is None or now < self.changes
        if rule.auto and known == self.chosen and early and self.ends[0] <= self.late_from:
            return
        self.batch, self.changes, self.chosen, self.late_from = [], None, (), 2**62
        alone = self.load.profiles[0].standalone_cycles
        while drops and self.waiting and self.load.deadline_ns is not None:
            if now + alone <= self.deadline_of(self.waiting[0]):  # type: ignore[operator]
                break
            self.drop(self.waiting.pop(0), self.to_ns(now))
        if not self.waiting:
            return
        queue = self.queue(now, defers)
        if rule.auto:
            changes = form_auto(self, now, queue)
            self.since = self.arrived[queue[0]].cycle
            self.chosen = (len(self.arrived), *self.waiting)
            ends = [] if changes is None else [changes]
            end = self.deadline_of(queue[0])
            if end is not None and queue[0] not in self.passed:
                ends.append(end - alone + 1)
                if self.heeds_backlog:
                    self.late_from = end - int(self.load.profiles[0].table.compute_cycles.sum())
            self.changes = min(ends, default=None)
            return
        size, self.profile = self.size_of(queue, now)
        self.batch = queue[:size]
        enough = min([*rule.preferred, rule.sizes[-1]])
        self.since = self.arrived[queue[0]].cycle + self.to_cycle(rule.delay_ns)
        if len(queue) >= enough:
            self.since = min(self.since, self.arrived[queue[enough - 1]].cycle)

    def is_full(self) -> bool:
        limit = self.load.queue_limit
        return limit is not None and len(self.waiting) >= limit

    def full(self) -> tuple[int, Any, int]:
        """Cycles from arrival to deadline, and the largest batch that fits them: its profile and size."""
        limit = self.limit()
        sized = list(zip(self.load.profiles, self.load.batching.sizes, strict=True))
        fitting = [item for item in sized if item[0].standalone_cycles <= limit] or sized[:1]
        if not self.load.batching.auto or self.load.deadline_ns is None:
            return limit, *fitting[-1]
        others, worth = self.others + sized[0][0].standalone_cycles, []
        for profile, size in fitting:
            left = max(0, limit - profile.standalone_cycles)
            work = int(profile.table.compute_cycles.sum() + profile.table.memory_cycles.sum())
            worth.append(Fraction(size * left, (left + others + 1) * max(1, work)))
        return limit, *fitting[worth.index(max(worth))]

    def rest(self) -> tuple[int, int]:
        """Who waits behind the head, and what slack each gains on the one before it."""
        behind = [n for n in self.waiting if n not in self.passed and n not in self.batch]
        if self.batch[0] in self.passed or not behind:
            return 0, 0
        _, profile, size = self.full()
        table = profile.table
        each = max(int(table.compute_cycles.sum()), int(table.memory_cycles.sum())) // size
        gap = (self.arrived[-1].cycle - self.arrived[self.batch[0]].cycle) // (len(behind) + len(self.batch))
        return len(behind), gap - each

    def in_the_way(self) -> int | None:
        """When a hopeless request that has begun must go on for the newest, that can be in time, to be so."""
        if self.row == 0 or self.batch[0] not in self.passed or set(self.waiting) <= self.passed:
            return None
        limit, profile, _ = self.full()
        own = self.rows[self.profile][self.row].remaining
        return int(self.arrived[-1].cycle + limit - profile.standalone_cycles - own)

    def fetched_per_computed(self) -> int:
        """How many times as long as it computes a request is fetched."""
        table = self.full()[1].table
        return int(table.memory_cycles.sum()) // max(1, int(table.compute_cycles.sum()))

    def lead(self) -> int:
        """What the rest of the head takes alone, less what it computes."""
        rows = self.rows[self.profile][self.row :]
        return rows[0].remaining - sum(row.compute for row in rows)

    def expects(self, by: int) -> bool:
        """Whether somebody may come by then who would be let in."""
        gives_up = self.gives_up_at()
        asks = isinstance(self.load.source, OpenLoop) or bool(self.future)
        return asks and not self.is_full() and (gives_up is None or by < gives_up)

    def limit(self) -> int:
        """Cycles from arrival to deadline."""
        if self.load.deadline_ns is None:
            return 2**62
        return self.load.deadline_ns * self.clock // 10**9

    def deadline_of(self, number: int) -> int | None:
        if self.load.deadline_ns is None:
            return None
        return (self.arrived[number].scheduled_ns + self.load.deadline_ns) * self.clock // 10**9

    def next_event(self, now: int, drops: bool) -> int | None:
        times = [self.to_cycle(self.future[0])] if self.future else []
        gives_up = self.gives_up_at()
        times.extend([] if gives_up is None else [gives_up])
        if self.waiting and self.row == 0:
            times.extend([] if self.changes is None else [self.changes])
            delay = self.to_cycle(self.load.batching.delay_ns)
            times.extend(self.arrived[number].cycle + delay for number in self.waiting)
            if self.load.deadline_ns is not None:  # when a request becomes hopeless in some batch
                ends = [
                    (self.arrived[number].scheduled_ns + self.load.deadline_ns) * self.clock // 10**9
                    for number in self.waiting
                ]
                spans = [item.standalone_cycles for item in self.load.profiles]
                times.extend(end - each + 1 for end in ends for each in spans)
                times.extend(end - each - each // 2 for end in ends for each in spans)
            if drops and self.load.deadline_ns is not None:
                last_ns = self.arrived[self.waiting[0]].scheduled_ns + self.load.deadline_ns
                alone = self.load.profiles[0].standalone_cycles
                times.append(last_ns * self.clock // 10**9 - alone + 1)
        return min((time for time in times if time > now), default=None)
