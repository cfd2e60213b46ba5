"""The tenants' tracks of a trace: request spans, arrivals, deadlines and the flows to the machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.outcome import is_done, is_late
from layerweaver.backend_sim.timeline.machine_tracks import COMPUTE, DRAM, Event, MachineTracks

__all__ = ["RequestTracks"]


class RequestTracks:
    """Event factory for the requests whose rows are in the log."""

    def __init__(self, machine: MachineTracks) -> None:
        self.machine = machine
        self.run = machine.run
        self.tenants = machine.tenants
        self.labels = machine.labels
        self.colours = machine.colours
        self._tracks: dict[tuple[str, int], list[Event]] = {}
        self._flows = 0

    def events(self) -> Iterator[Event]:
        """Spans, arrival and deadline marks, and the flows that tie them to the machine."""
        log = self.run.log
        self._tracks.clear()
        self._flows = 0
        batches: dict[tuple[int, int], list[int]] = {}
        for entry in np.argsort(log.fetch_start, kind="stable").tolist():
            batches.setdefault((int(log.tenant[entry]), int(log.request[entry])), []).append(entry)
        for (t, first), entries in batches.items():
            if self.tenants[t].decoder is not None:
                self._iteration(t, first, entries)
                continue
            rows = self.tenants[t].profiles[int(log.profile[entries[0]])].table.rows
            latency_ns, scheduled_ns = self.run.latency_ns[t], self.run.scheduled_ns[t]
            for request in _members(latency_ns, first, int(log.batch[entries[0]])):
                if request >= len(scheduled_ns):
                    break
                due = int(scheduled_ns[request])
                done = due + int(latency_ns[request])
                self._span(t, request, due, done)
                if log.row[entries[0]] == 0:
                    self._arrival(t, request, due, entries[0])
                if log.row[entries[-1]] == rows - 1:
                    self._deadline(t, request, (due, done), entries[-1])
        for track in self._tracks.values():
            yield from sorted(track, key=itemgetter("ts"))

    def _iteration(self, t: int, number: int, entries: list[int]) -> None:
        """An iteration of a language model, from its first fetch in the window to its last compute."""
        log, first, last = self.run.log, entries[0], entries[-1]
        common: Event = {
            "name": f"{self.labels[t]} iterations",
            "cat": "request",
            "id": f"{self.run.npu}-{t}-{number}",
            "pid": self.machine.tenants_pid,
            "tid": 2 * t + 1,
            "cname": self.colours[t],
        }
        arguments = {"iteration": number, "members": int(log.batch[first])}
        spans = self._tracks.setdefault(("span", t), [])
        begin = self.machine.ns(log.fetch_start[first])
        end = max(begin, self.machine.ns(log.compute_start[last]))
        spans.append(common | {"ph": "b", "ts": begin / 1000, "args": arguments})
        spans.append(common | {"ph": "e", "ts": end / 1000})

    def _span(self, t: int, request: int, due: int, done: int) -> None:
        common: Event = {
            "name": f"{self.labels[t]} requests",
            "cat": "request",
            "id": f"{self.run.npu}-{t}-{request}",
            "pid": self.machine.tenants_pid,
            "tid": 2 * t + 1,
            "cname": self.colours[t],
        }
        deadline_ns = self.tenants[t].deadline_ns
        arguments = {
            "request": request,
            "latency_ms": (done - due) / 10**6,
            "deadline_ms": None if deadline_ns is None else deadline_ns / 10**6,
            "late": deadline_ns is not None and is_late(done - due, deadline_ns),
        }
        spans = self._tracks.setdefault(("span", t), [])
        spans.append(common | {"ph": "b", "ts": due / 1000, "args": arguments})
        spans.append(common | {"ph": "e", "ts": done / 1000})

    def _mark(self, t: int, tid: int, at_ns: int, arguments: Mapping[str, object]) -> Event:
        return {
            "name": self.labels[t],
            "cat": "mark",
            "ph": "X",
            "ts": at_ns / 1000,
            "dur": 0.001,
            "pid": self.machine.tenants_pid,
            "tid": tid,
            "cname": self.colours[t],
            "args": arguments,
        }

    def _arrival(self, t: int, request: int, due: int, entry: int) -> None:
        tid = 2 * t + 1
        self._tracks.setdefault(("arrival", t), []).append(self._mark(t, tid, due, {"request": request}))
        self._flow("arrival", t, (due, self.machine.tenants_pid, tid), self._first_slice(entry))

    def _deadline(self, t: int, request: int, times: tuple[int, int], entry: int) -> None:
        deadline_ns = self.tenants[t].deadline_ns
        if deadline_ns is None:
            return
        due, done = times
        limit = due + deadline_ns
        verdict = "late" if is_late(done - due, deadline_ns) else "on time"
        tid = 2 * t + 2
        mark = self._mark(t, tid, limit, {"request": request, "verdict": verdict})
        self._tracks.setdefault(("deadline", t), []).append(mark)
        last_slice = (self.machine.ns(self.run.log.compute_start[entry]), self.machine.pid, COMPUTE)
        start, end = sorted([last_slice, (limit, self.machine.tenants_pid, tid)])
        self._flow(f"deadline, {verdict}", t, start, end)

    def _first_slice(self, entry: int) -> tuple[int, int, int]:
        log = self.run.log
        if log.fetch_cycles[entry]:
            return self.machine.ns(log.fetch_start[entry]), self.machine.pid, DRAM
        return self.machine.ns(log.compute_start[entry]), self.machine.pid, COMPUTE

    def _flow(self, name: str, t: int, start: tuple[int, int, int], end: tuple[int, int, int]) -> None:
        self._flows += 1
        common: Event = {"name": name, "cat": "flow", "id": self._flows + 10**9 * self.run.npu}
        flows = self._tracks.setdefault(("flow", t), [])
        flows.append(common | {"ph": "s", "ts": start[0] / 1000, "pid": start[1], "tid": start[2]})
        flows.append(common | {"ph": "f", "bp": "e", "ts": end[0] / 1000, "pid": end[1], "tid": end[2]})


def _members(latency_ns: NDArray[np.int64], first: int, batch: int) -> list[int]:
    """Requests of a batch: the next ``batch`` from ``first`` on that were not dropped."""
    members: list[int] = []
    request = first
    while len(members) < batch and request < len(latency_ns):
        if is_done(latency_ns[request]):
            members.append(request)
        request += 1
    return members
