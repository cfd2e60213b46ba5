"""Requests in flight: the windows that Python empties and refills whenever the loop returns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.events import set_event
from layerweaver.backend_sim.engine.input import SimulationInput, request_ns
from layerweaver.backend_sim.engine.queues import next_event, next_request
from layerweaver.backend_sim.engine.state import TENANT, State
from layerweaver.backend_sim.traffic.source import ClosedLoop, OpenLoop, Saturated
from layerweaver.ir import ScenarioError, TrafficError
from layerweaver.ir.clock import ns_to_cycles_up
from layerweaver.ir.limits import MAX_ARRIVAL_NS, MAX_END_SECONDS, MAX_WORK_NS
from layerweaver.ir.text import figure
from layerweaver.scheduler.machine.records import as_objects, as_records

__all__ = ["Windows"]

CHUNK = 8192
"""Length up to which windows of long streams grow: a refill costs as much as some hundred rows."""

_FIRST_WINDOW = 1024


class Windows:
    """Moves scheduled times in and latencies out.

    Args:
        given: The input; sources are consumed.
        state: The engine's state, windows empty. Use :attr:`state` from here on: it is replaced, now and
            when windows grow.
    """

    def __init__(self, given: SimulationInput, state: State) -> None:
        tenants = as_objects(state.tenants)
        self.state = state._replace(tenants=tenants)
        self._given = given
        self._used = 0
        first = [_FIRST_WINDOW + 1 + 4 * int(record.reserve) for record in tenants]
        self._lengthen(sum(first))
        count = len(given.tenants)
        self._latencies: list[list[NDArray[np.int64]]] = [[] for _ in range(count)]
        self._times: list[list[NDArray[np.int64]]] = [[] for _ in range(count)]
        self._last_ns = [0] * count
        self._work_ns = 0
        self._each_ns = [self._request_ns(index) for index in range(count)]
        for index, tenant in enumerate(given.tenants):
            self._allocate(tenants[index], first[index])
            if tenant.source is None:
                next_request(self.state, index)
            elif not isinstance(tenant.source, OpenLoop):
                self._start_source(index)
            self._refill(index)
        if tenants is not state.tenants:
            self.state = self.state._replace(tenants=as_records(TENANT, tenants))

    def refill(self) -> None:
        """Serve the windows that ask for it; the others cost nothing, however many there are.

        Raises:
            ScenarioError: If a language model asks: it has no window, and its iterations last too long.
            TrafficError: If arrivals go back, or are more work than is simulated.
        """
        totals = self.state.totals
        for index in self.state.asking[: int(totals.asking)].tolist():
            if self._given.tenants[index].decoder is not None:
                raise ScenarioError(
                    f"its iterations last beyond {MAX_END_SECONDS:g} s",
                    where=f"tenant {self._given.tenants[index].name}",
                    accepted="ask for fewer or shorter requests, or give a smaller step_overhead_us",
                )
            self._refill(index)
        totals.asking = 0

    def _refill(self, index: int) -> None:
        """Take finished requests out, make room if requests in flight need it, fetch new arrivals."""
        record = self.state.tenants[index]
        self._take_finished(index)
        if self._is_small(record):
            self._allocate(record, 2 * int(record.capacity))
        self._fetch_arrivals(index)
        record.asked = 0
        set_event(self.state.events, index, int(next_event(self.state, index)))

    def _is_small(self, record: Any) -> bool:
        """Whether requests in flight fill half of the window, or a long stream comes in short pieces."""
        capacity = int(record.capacity)
        streaming = record.number > 0 and capacity < CHUNK
        return bool(streaming or 2 * int(record.known + record.reserve) > capacity)

    def finish(self, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """Latencies of a tenant's requests and, for sources that react, their scheduled times."""
        self._take_finished(index)
        open_loop = not isinstance(self._given.tenants[index].source, (ClosedLoop, Saturated))
        latencies, times = self._latencies[index], self._times[index]
        self._latencies[index], self._times[index] = [], []
        return _joined(latencies), None if open_loop else _joined(times)

    def _allocate(self, record: Any, capacity: int) -> None:
        """Move a window behind all others; lengths double, so what is left behind stays less than it."""
        base, known = self._used, int(record.known)
        self._used += capacity
        if self._used > len(self.state.sched):
            self._lengthen(max(2 * len(self.state.sched), self._used))
        for array in (self.state.sched, self.state.latency):
            array[base : base + known] = array[int(record.offset) : int(record.offset) + known]
        record.offset, record.capacity = base, capacity

    def _lengthen(self, length: int) -> None:
        grown = [np.zeros(length, np.int64), np.zeros(length, np.int64)]
        for new, old in zip(grown, (self.state.sched, self.state.latency), strict=True):
            new[: len(old)] = old
        self.state = self.state._replace(sched=grown[0], latency=grown[1])

    def _take_finished(self, index: int) -> None:
        record, state = self.state.tenants[index], self.state
        base, front, known = int(record.offset), int(record.front), int(record.known)
        if front == 0:
            return
        self._latencies[index].append(state.latency[base : base + front].copy())
        if not isinstance(self._given.tenants[index].source, OpenLoop):
            self._times[index].append(state.sched[base : base + front].copy())
        for array in (state.sched, state.latency):
            array[base : base + known - front] = array[base + front : base + known].copy()
        record.front = 0
        record.fresh = max(0, int(record.fresh) - front)
        record.head_at -= front
        record.head_end = max(0, int(record.head_end) - front)
        record.watched = max(0, int(record.watched) - front)
        record.arrived -= front
        record.known = known - front
        record.number += front

    def _fetch_arrivals(self, index: int) -> None:
        record, state = self.state.tenants[index], self.state
        tenant = self._given.tenants[index]
        if not isinstance(tenant.source, OpenLoop) or record.ended:
            return
        # Reading or writing a field of a record takes a microsecond.
        offset, last, known = int(record.offset), int(record.capacity) - 1, int(record.known)
        while known < last:
            times = tenant.source.arrivals.take(last - known)
            if len(times) == 0:
                record.ended = 1
                break
            self._check_times(index, times)
            state.sched[offset + known : offset + known + len(times)] = times
            known += len(times)
        record.known, arrived = known, int(record.arrived)
        if arrived < known:
            ns = int(state.sched[offset + arrived])
            record.next_cycle = ns_to_cycles_up(ns, int(state.visible.machine.clock_hz))

    def _check_times(self, index: int, times: NDArray[np.int64]) -> None:
        where = f"tenant {self._given.tenants[index].name}"
        if times[0] < self._last_ns[index] or bool(np.any(times[1:] < times[:-1])):
            raise TrafficError("scheduled times go back", where=where, accepted="they must ascend from 0")
        if times[-1] > MAX_ARRIVAL_NS:
            raise TrafficError(
                f"a request at {times[-1]} ns", where=where, accepted=f"up to {MAX_ARRIVAL_NS} ns"
            )
        self._last_ns[index] = int(times[-1])
        self._work_ns += len(times) * self._each_ns[index]
        if self._work_ns > MAX_WORK_NS:
            raise TrafficError(
                f"requests of up to {figure(self._each_ns[index] / 1e9)} s each keep the NPU busy "
                "for too long",
                where=where,
                accepted=f"at most {MAX_WORK_NS / 1e9:g} s are simulated",
            )

    def _request_ns(self, index: int) -> int:
        tenant, checkpoints = self._given.tenants[index], bool(self.state.totals.checkpoints)
        if not isinstance(tenant.source, OpenLoop):
            return 0
        return request_ns(
            tenant.profiles, tenant.batching.sizes, self._given.decision_cycles, checkpoints=checkpoints
        )

    def _start_source(self, index: int) -> None:
        record, source = self.state.tenants[index], self._given.tenants[index].source
        first = source.concurrency if isinstance(source, ClosedLoop) else int(record.max_batch)
        if int(record.duration_ns) == 0:
            first = min(first, int(record.min_queries))
        record.known = record.issued = min(first, int(record.max_queries))
        if record.known:
            record.next_cycle = 0


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """One array; the parts are given up one by one, so that memory is not needed twice."""
    whole = np.empty(sum(len(part) for part in parts), np.int64)
    at = 0
    for position, part in enumerate(parts):
        whole[at : at + len(part)] = part
        at += len(part)
        parts[position] = part[:0]
    return whole
