"""The machine's tracks of a trace: slices per layer, mode switches, counters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Required, TypedDict

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.timeline.record import TraceRun
from layerweaver.ir.clock import cycles_to_ns_down

__all__ = ["COMPUTE", "DRAM", "NPU", "TENANTS", "Event", "MachineTracks"]


class Event(TypedDict, total=False):
    """One event of the Trace Event Format; times in microseconds."""

    name: Required[str]
    cat: str
    ph: str
    s: str
    bp: str
    id: str | int
    ts: float
    dur: float
    pid: int
    tid: int
    cname: str
    args: Mapping[str, object]


NPU, TENANTS = 1, 2
"""Process ids of the first NPU and its tenants; each further NPU's are two higher."""

DRAM, COMPUTE, MODE = 1, 2, 3
"""Thread ids of the NPU process."""

_COLOURS = (
    "rail_response",
    "thread_state_iowait",
    "rail_load",
    "thread_state_running",
    "rail_animation",
    "cq_build_attempt_failed",
    "thread_state_runnable",
    "olive",
)


def _labels(names: Sequence[str]) -> tuple[str, ...]:
    """Slice names that stay distinct when a viewer ignores digits to choose a colour."""
    bare = [re.sub(r" ?\d+", "", name) for name in names]
    if len(set(bare)) == len(bare):
        return tuple(names)
    return tuple(
        f"{chr(ord('A') + index % 26) * (1 + index // 26)} {name}" for index, name in enumerate(names)
    )


class MachineTracks:
    """Event factory of one run: knows the clock, the tenants' labels and colours."""

    def __init__(self, run: TraceRun) -> None:
        self.run = run
        self.pid = NPU + 2 * run.npu
        self.tenants_pid = TENANTS + 2 * run.npu
        self.clock_hz = run.simulation_input.machine.clock_hz
        self.tenants = run.simulation_input.tenants
        self.labels = _labels([tenant.name for tenant in self.tenants])
        self.colours = tuple(_COLOURS[index % len(_COLOURS)] for index in range(len(self.tenants)))
        self.parts = {
            (t, p): _row_parts(profile.table.layer_index)
            for t, tenant in enumerate(self.tenants)
            for p, profile in enumerate(tenant.profiles)
        }

    def events(self) -> Iterator[Event]:
        """All events of the machine, track after track, each in ascending time."""
        yield from self._metadata()
        yield from self._slices("fetch_start", "fetch_end", DRAM)
        yield from self._slices("compute_start", "compute_end", COMPUTE)
        yield from self._modes()
        yield from self._counter("weight buffer bytes", "bytes", self._buffer_points())
        yield from self._counter("queued requests", "requests", self._queue_points())

    def ns(self, cycles: int) -> int:
        """Whole nanoseconds of a cycle, rounded down."""
        return cycles_to_ns_down(int(cycles), self.clock_hz)

    def _slices(self, start: str, end: str, tid: int) -> Iterator[Event]:
        log = self.run.log
        starts, ends = getattr(log, start), getattr(log, end)
        for entry in np.argsort(starts, kind="stable").tolist():
            t, p, row = int(log.tenant[entry]), int(log.profile[entry]), int(log.row[entry])
            table = self.tenants[t].profiles[p].table
            fetch_cycles = int(log.fetch_cycles[entry])
            if tid == DRAM and fetch_cycles == 0:
                yield from self._held(entry)
                continue
            cycles = int(ends[entry] - starts[entry])
            begin = self.ns(starts[entry])
            layer = table.layer_names[int(table.layer_index[row])]
            part, of = self.parts[t, p][row]
            arguments: dict[str, object] = {
                "layer": layer if of == 1 else f"{layer} (part {part} of {of})",
                "tenant": self.tenants[t].name,
                "request": int(log.request[entry]),
                "batch": int(log.batch[entry]),
                "cycles": cycles,
                "bytes": int(log.dram_bytes[entry]),
                "weight_bytes": int(log.weight_bytes[entry]),
            }
            if tid == DRAM:
                yield from self._held(entry)
                arguments["stalled_cycles"] = cycles - fetch_cycles
            yield {
                "name": self.labels[t],
                "cat": "fetch" if tid == DRAM else "compute",
                "ph": "X",
                "ts": begin / 1000,
                "dur": (self.ns(ends[entry]) - begin) / 1000,
                "pid": self.pid,
                "tid": tid,
                "cname": self.colours[t],
                "args": arguments,
            }

    def _held(self, entry: int) -> Iterator[Event]:
        """The time for which the policy held the DMA before a row, if it did."""
        log = self.run.log
        end, cycles = int(log.decided_at[entry]), int(log.held_cycles[entry])
        begin = max(end - cycles, int(log.fetch_end[entry - 1]) if entry else 0)
        if begin < end:
            yield {
                "name": "held by policy",
                "cat": "held",
                "ph": "X",
                "ts": self.ns(begin) / 1000,
                "dur": (self.ns(end) - self.ns(begin)) / 1000,
                "pid": self.pid,
                "tid": DRAM,
                "cname": "grey",
                "args": {"cycles": end - begin},
            }

    def _modes(self) -> Iterator[Event]:
        log = self.run.log
        previous = -1
        for entry in np.argsort(log.decided_at, kind="stable").tolist():
            mode = int(log.mode[entry])
            if mode == previous:
                continue
            previous = mode
            yield {
                "name": f"mode: {log.mode_names[mode]}",
                "cat": "mode",
                "ph": "i",
                "s": "t",
                "ts": self.ns(log.decided_at[entry]) / 1000,
                "pid": self.pid,
                "tid": MODE,
                "args": {"candidates": int(log.candidates[entry])},
            }

    def _counter(self, name: str, key: str, points: Iterable[tuple[int, int]]) -> Iterator[Event]:
        for cycles, value in points:
            yield {
                "name": name,
                "ph": "C",
                "ts": self.ns(cycles) / 1000,
                "pid": self.pid,
                "args": {key: value},
            }

    def _buffer_points(self) -> Iterator[tuple[int, int]]:
        """Resident weight bytes: known after every fetch, less each row's own when its compute ends."""
        log = self.run.log
        count = len(log.row)
        times = np.concatenate([log.fetch_end, log.compute_end])
        order = np.lexsort((np.repeat([1, 0], count), times))
        current = 0
        for position in order.tolist():
            entry = position % count
            if position < count:
                current = int(log.resident_bytes[entry])
            else:
                current = max(0, current - int(log.weight_bytes[entry]))
            yield int(times[position]), current

    def _queue_points(self) -> Iterator[tuple[int, int]]:
        log = self.run.log
        for entry in np.argsort(log.decided_at, kind="stable").tolist():
            yield int(log.decided_at[entry]), int(log.queued[entry])

    def _metadata(self) -> Iterator[Event]:
        machine = self.run.simulation_input.machine
        of_npu = f" {self.run.npu}" if self.run.npu else ""
        yield _meta("process_name", self.pid, 0, f"NPU{of_npu} {machine.name} {self.run.policy}".strip())
        for tid, name in ((DRAM, "DRAM"), (COMPUTE, "compute"), (MODE, "policy mode")):
            yield _meta("thread_name", self.pid, tid, name)
            yield {
                "name": "thread_sort_index",
                "ph": "M",
                "pid": self.pid,
                "tid": tid,
                "args": {"sort_index": tid},
            }
        yield _meta("process_name", self.tenants_pid, 0, f"Tenants{of_npu}")
        for index, tenant in enumerate(self.tenants):
            yield _meta("thread_name", self.tenants_pid, 2 * index + 1, f"{tenant.name} arrivals")
            yield _meta("thread_name", self.tenants_pid, 2 * index + 2, f"{tenant.name} deadlines")


def _meta(name: str, pid: int, tid: int, value: str) -> Event:
    return {"name": name, "ph": "M", "pid": pid, "tid": tid, "args": {"name": value}}


def _row_parts(layer_index: NDArray[np.int64]) -> list[tuple[int, int]]:
    """For every row, which part of how many of its layer it is."""
    counts = np.bincount(layer_index) if len(layer_index) else np.zeros(0, dtype=np.int64)
    seen: dict[int, int] = {}
    parts = []
    for layer in layer_index.tolist():
        seen[layer] = seen.get(layer, 0) + 1
        parts.append((seen[layer], int(counts[layer])))
    return parts
