"""How many requests can be in time at all: a bound that no schedule of the same arrivals exceeds (*ours*).

Both engines are relaxed apart. On each, a request in time needs its work done between its arrival and its
deadline. How much of a set of tenants' work can be done in time at most is a maximum flow, and earliest
deadline first, giving up what has expired, attains it (Glover 1967). With ``f(S)`` that maximum, numbers
``x_i`` of requests in time obey ``sum over S of c_i x_i <= f(S)`` for every set S of tenants, on both
engines: a linear programme with one variable per tenant, rounded down. It is solved window by window over a
binary tree of windows, each without the requests outside of it, and the best way to cut counts.

Whoever knows the future, takes rows apart and shares both engines at will is still below it. Left out are
what a request needs of both engines one after the other, rows that cannot be split, computes that follow the
order of fetches, and the weight buffer.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from layerweaver.ir import ScenarioError
from layerweaver.ir.clock import ns_to_cycles_down, ns_to_cycles_up
from layerweaver.scheduler.bounds import Menu
from layerweaver.scheduler.machine.jit import compile_bound
from layerweaver.scheduler.machine.view import NEVER

__all__ = ["InTimeBound", "Jobs", "Stream", "in_time_bound", "work_in_time"]

_EVERY_SET = 6
"""Up to so many tenants, every set of them is a constraint."""
_LEAST_REQUESTS = 12
"""Windows of fewer are not cut again."""
_TOLERANCE = 1e-6

Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One tenant's requests.

    Attributes:
        menu: Its model at every batch size it may run.
        scheduled_ns: Scheduled times, ascending.
        deadline_ns: From the scheduled time; None for none: then all count as in time.
    """

    menu: Menu
    scheduled_ns: Times
    deadline_ns: int | None


@dataclass(frozen=True, slots=True)
class InTimeBound:
    """The bound.

    Attributes:
        requests: All requests.
        in_time: How many of them can be in time at most.
    """

    requests: int
    in_time: int

    @property
    def late_share(self) -> float:
        """Share of all requests that every schedule loses; 0 without requests."""
        return 1 - self.in_time / self.requests if self.requests else 0.0


def in_time_bound(streams: Sequence[Stream]) -> InTimeBound:
    """Bound the requests in time of tenants that share one NPU.

    Raises:
        ScenarioError: If a tenant has no model, or models are for different machines.
    """
    machines = {profile.table.machine for stream in streams for profile in stream.menu}
    if len(machines) > 1 or any(not stream.menu for stream in streams):
        raise ScenarioError("the bound on requests in time needs models of one machine for every tenant")
    requests = sum(len(stream.scheduled_ns) for stream in streams)
    free = sum(len(stream.scheduled_ns) for stream in streams if stream.deadline_ns is None)
    limited = [stream for stream in map(_feasible, streams) if stream is not None]
    if not limited:
        return InTimeBound(requests, free)
    every = np.sort(np.concatenate([stream.scheduled_ns for stream in limited]))
    engines, starts = _engines(limited), [stream.scheduled_ns for stream in limited]
    return InTimeBound(requests, free + _best_cut(engines, starts, every))


def _feasible(stream: Stream) -> Stream | None:
    """The stream with those batch sizes that can be in time alone; None if there is none or no deadline."""
    if stream.deadline_ns is None:
        return None
    clock_hz = stream.menu[0].table.machine.clock_hz
    limit = ns_to_cycles_down(stream.deadline_ns, clock_hz)
    menu = [profile for profile in stream.menu if profile.standalone_cycles <= limit]
    usable = menu and len(stream.scheduled_ns)
    return Stream(menu, stream.scheduled_ns, stream.deadline_ns) if usable else None


def _best_cut(engines: Sequence[_Engine], starts: Sequence[Times], every: Times) -> int:
    """Most requests in time of one window, which is cut where nobody comes for longest near its middle.

    Args:
        engines: Both engines.
        starts: Scheduled times of every tenant.
        every: Those of all tenants in the window, ascending.
    """
    first, last = int(every[0]), int(every[-1]) + 1
    ranges = [(int(np.searchsorted(times, first)), int(np.searchsorted(times, last))) for times in starts]
    whole = _programme(engines, ranges)
    if whole == len(every):  # all of them fit on both engines, so those of any smaller window do
        return whole
    quarter = len(every) // 4
    gaps = np.diff(every[quarter : len(every) - quarter])
    if len(every) < 2 * _LEAST_REQUESTS or not gaps.any():
        return whole
    cut = quarter + 1 + int(gaps.argmax())
    halves = _best_cut(engines, starts, every[:cut]) + _best_cut(engines, starts, every[cut:])
    return min(whole, halves)


def _programme(engines: Sequence[_Engine], ranges: Sequence[tuple[int, int]]) -> int:
    """Most requests in time in one window: the linear programme over the tenants' numbers."""
    counts = [stop - start for start, stop in ranges]
    members = [index for index, count in enumerate(counts) if count]
    if not members:
        return 0
    rows, room = [], []
    for engine, chosen in itertools.product(engines, _sets(members)):
        most = engine.most_work(chosen, ranges)
        if most < sum(int(engine.cost[index]) * counts[index] for index in chosen):
            rows.append([float(engine.cost[index]) * (index in chosen) for index in members])
            room.append(float(most))
    total = sum(counts)
    if not rows:
        return total
    from scipy.optimize import linprog  # noqa: PLC0415 - loads slowly

    solution = linprog(
        -np.ones(len(members)),
        A_ub=np.array(rows),
        b_ub=np.array(room),
        bounds=[(0, counts[index]) for index in members],
        method="highs",
    )
    return total if solution.fun is None else min(total, int(-solution.fun + _TOLERANCE))


def _sets(members: Sequence[int]) -> Iterator[tuple[int, ...]]:
    if len(members) <= _EVERY_SET:
        for size in range(1, len(members) + 1):
            yield from itertools.combinations(members, size)
        return
    yield from ((member,) for member in members)
    yield tuple(members)


class _Engine:
    """One engine: what a request costs each tenant on it, and when that work can be done."""

    def __init__(self, work: Sequence[int], release: Sequence[Times], due: Sequence[Times]) -> None:
        self.cost = np.array(work, np.int64)
        self._offset = np.cumsum([0, *map(len, release)])[:-1]
        self._jobs = Jobs(np.concatenate(release), np.concatenate(due))

    def most_work(self, tenants: Sequence[int], ranges: Sequence[tuple[int, int]]) -> int:
        """Most cycles of these tenants' work that can be done in time, over a range of their requests."""
        chosen = np.array(tenants)
        at, end = (self._offset[chosen] + np.array([ranges[k][side] for k in tenants]) for side in (0, 1))
        work = self.cost[chosen]
        return int(_compiled()(self._jobs, work, at, end, work.copy()))


def _engines(streams: Sequence[Stream]) -> tuple[_Engine, _Engine]:
    """The compute engine and the DMA, each with the least work per request over the batch sizes.

    The first row is computed after its fetch, and the last fetch ends before the last row's compute.
    """
    clock_hz = streams[0].menu[0].table.machine.clock_hz
    work: tuple[list[int], list[int]] = ([], [])
    release: tuple[list[Times], list[Times]] = ([], [])
    due: tuple[list[Times], list[Times]] = ([], [])
    for stream in streams:
        tables = [profile.table for profile in stream.menu]
        times, limit_ns = stream.scheduled_ns.tolist(), stream.deadline_ns or 0
        arrival = np.array([ns_to_cycles_up(time, clock_hz) for time in times], np.int64)
        deadline = np.array([ns_to_cycles_down(time + limit_ns, clock_hz) for time in times], np.int64)
        work[0].append(min(int(table.compute_cycles.sum()) // table.batch for table in tables))
        work[1].append(min(int(table.memory_cycles.sum()) // table.batch for table in tables))
        release[0].append(arrival + min(int(table.memory_cycles[0]) for table in tables))
        release[1].append(arrival)
        due[0].append(deadline)
        due[1].append(deadline - min(int(table.compute_cycles[-1]) for table in tables))
    return _Engine(work[0], release[0], due[0]), _Engine(work[1], release[1], due[1])


@functools.cache
def _compiled() -> Callable[..., int]:
    return compile_bound(cast(FunctionType, work_in_time), {}, "in time")


class Jobs(NamedTuple):
    """Jobs of several lanes, lane after lane.

    Attributes:
        release: First cycle of every job; ascending within a lane.
        due: Last cycle of every job, likewise.
    """

    release: Times
    due: Times


def work_in_time(jobs: Jobs, work: Times, at: Any, end: Times, left: Any) -> int:
    """Most work that one engine can do in time, jobs taken apart at will: earliest deadline first.

    Plain Python that compiles under numba.

    Args:
        jobs: Their windows.
        work: Per lane, cycles of every job of it.
        at: Per lane, position of its first job; used up.
        end: Per lane, position after its last one.
        left: Per lane, cycles left of its first job; used up.
    """
    lanes, now, done = len(work), 0, 0
    while True:
        best, following, earliest = -1, NEVER, NEVER
        for lane in range(lanes):
            while at[lane] < end[lane] and (left[lane] == 0 or jobs.due[at[lane]] <= now):
                at[lane] += 1
                left[lane] = work[lane]
            if at[lane] == end[lane]:
                continue
            job = at[lane]
            if jobs.release[job] > now:
                following = min(following, jobs.release[job])
            elif jobs.due[job] < earliest:
                best, earliest = lane, jobs.due[job]
        if best >= 0:
            spent = min(left[best], earliest - now, following - now)
            left[best] -= spent
            done += spent
            now += spent
        elif following < NEVER:
            now = following
        else:
            return done
