"""The two-timeline machine as one would write it down: lists, fractions, everything rescanned."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

__all__ = ["Append", "NaiveMachine", "RowCost"]


@dataclass(frozen=True)
class RowCost:
    compute: int
    dram: int
    weight: int
    live: int
    remaining: int


@dataclass(frozen=True)
class Append:
    """Where a row would end up."""

    start: int
    fetch_end: int
    compute_start: int
    compute_end: int


@dataclass
class NaiveMachine:
    buffer: int
    bandwidth: Fraction
    tm: int = 0
    tc: int = 0
    fetched: list[tuple[int, int]] = field(default_factory=list)  # (resident bytes, completion)

    def fetch_cycles(self, row: RowCost) -> int:
        return math.ceil(row.dram / self.bandwidth)

    def inherent(self, row: RowCost) -> Fraction:
        return max(Fraction(0), row.compute - (self.buffer - row.weight) / self.bandwidth)

    def append(self, row: RowCost, start: int) -> Append:
        """Walk of LW Fig. 9: fill what is free, then what every completion frees."""
        live = [entry for entry in self.fetched if entry[1] > start]
        free = self.buffer - sum(weight for weight, _ in live)
        time, left = Fraction(start), row.weight
        while left > 0:
            part = min(free, left)
            time += part / self.bandwidth
            left -= part
            free -= part
            if left > 0:
                weight, completion = live.pop(0)
                time = max(time, Fraction(completion))
                free += weight
        fetch_end = math.ceil(max(time, start + row.dram / self.bandwidth))
        compute_start = max(self.tc, fetch_end)
        return Append(start, fetch_end, compute_start, compute_start + row.compute)

    def memory_idle(self, row: RowCost, start: int) -> Fraction:
        """Memory idle that the decision causes, by the definition, over the list after the append."""
        fetch_end = self.append(row, start).fetch_end
        fits = Fraction(0)
        if self.tc > fetch_end:
            fits = (self.tc - fetch_end) * self.bandwidth
            live = [entry for entry in self.fetched if entry[1] > fetch_end]
            free = self.buffer - row.weight - sum(weight for weight, _ in live)
            for weight, completion in live:
                fits = min(fits, free + (self.tc - completion) * self.bandwidth)
                free += weight
        beside = self.buffer - row.weight
        after = max(Fraction(0), row.compute - max(Fraction(0), beside - fits) / self.bandwidth)
        return after - self.inherent(row)

    def commit(self, row: RowCost, start: int) -> Append:
        placed = self.append(row, start)
        self.fetched = [entry for entry in self.fetched if entry[1] > placed.fetch_end]
        self.fetched.append((row.weight, placed.compute_end))
        self.tm, self.tc = placed.fetch_end, placed.compute_end
        return placed
