"""The executed schedule as a trace that Perfetto and chrome://tracing open.

One process is the NPU: a thread for the DRAM (DMA) engine, one for the compute engine, one with the
switches of the policy's mode, and counters for the weight buffer and the queues. Another process holds the
tenants: a span per request from arrival to completion, an arrival track and a deadline track, joined to
the machine by flow arrows. Slices carry the tenant's name, so that viewers which colour by name (Perfetto)
and viewers which obey ``cname`` (chrome://tracing) both show one colour per tenant; the layer, its cycles
and its bytes are the slice's arguments.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from layerweaver.backend_sim.timeline.machine_tracks import Event, MachineTracks
from layerweaver.backend_sim.timeline.record import TraceRun
from layerweaver.backend_sim.timeline.request_tracks import RequestTracks
from layerweaver.backend_sim.timeline.window import clip_log, take_rows
from layerweaver.ir import OutputError, atomic_write

__all__ = ["MAX_TRACE_BYTES", "estimate_trace_bytes", "trace_events", "write_trace"]
_EVENTS_PER_REPORT = 10_000

MAX_TRACE_BYTES = 512 * 10**6
"""Larger traces are refused: no viewer opens them."""

_SAMPLE_ROWS = 256


def trace_events(runs: Sequence[TraceRun]) -> Iterator[Event]:
    """All events: metadata, then track after track, each in ascending time."""
    for run in runs:
        machine = MachineTracks(run)
        yield from machine.events()
        yield from RequestTracks(machine).events()


def _encode(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":"), allow_nan=False).encode()


def estimate_trace_bytes(runs: Sequence[TraceRun]) -> int:
    """Size of the trace before compression: exact for short logs, from a sample for long ones."""
    return 200 + sum(_estimate(run) for run in runs)


def _estimate(run: TraceRun) -> int:
    rows = len(run.log.row)
    if rows <= 4 * _SAMPLE_ROWS:
        return sum(len(_encode(event)) + 2 for event in trace_events([run]))
    starts = np.linspace(0, rows - _SAMPLE_ROWS, 4).astype(np.intp)
    index = np.unique(np.concatenate([np.arange(start, start + _SAMPLE_ROWS) for start in starts]))
    return _estimate(replace(run, log=take_rows(run.log, index))) * rows // len(index)


def write_trace(
    path: Path,
    runs: TraceRun | Sequence[TraceRun],
    *,
    window_cycles: tuple[int, int] | None = None,
    announce: Callable[[int], None] | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> int:
    """Write the trace; compressed when the name ends in ``.gz``.

    Args:
        path: Where to write.
        runs: What to show: a run, or one per NPU.
        window_cycles: Keep only rows that overlap ``[start, end)``; None keeps the whole log.
        announce: Called with the estimated bytes before anything is written.
        progress: Told the share written (of the estimate) now and then.

    Returns:
        Bytes of the trace before compression.

    Raises:
        OutputError: If the file cannot be written, or would exceed :data:`MAX_TRACE_BYTES`.
    """
    shown = [runs] if isinstance(runs, TraceRun) else list(runs)
    if window_cycles is not None:
        shown = [replace(run, log=clip_log(run.log, window_cycles)) for run in shown]
    estimate = estimate_trace_bytes(shown)
    if announce is not None:
        announce(estimate)
    if estimate > MAX_TRACE_BYTES:
        raise OutputError(
            f"the trace would take about {estimate // 10**6} MB",
            where=str(path),
            accepted="choose a shorter --trace-window",
        )

    def tell(written: int) -> None:
        if progress is not None:
            progress(min(written / estimate, 1.0), f"writing {path.name}")

    with atomic_write(path) as stream:
        if not str(path).endswith(".gz"):
            return _write_events(stream, shown, tell)
        with gzip.GzipFile(filename="", fileobj=stream, mode="wb", mtime=0) as packed:
            return _write_events(cast(IO[bytes], packed), shown, tell)


def _write_events(stream: IO[bytes], runs: Sequence[TraceRun], tell: Callable[[int], None]) -> int:
    about = [
        {
            "npu": run.simulation_input.machine.name,
            "clock_hz": run.simulation_input.machine.clock_hz,
            "policy": run.policy,
        }
        for run in runs
    ]
    head = b'{"displayTimeUnit":"ns","otherData":' + _encode({"runs": about}) + b',"traceEvents":[\n'
    written = stream.write(head)
    for number, event in enumerate(trace_events(runs)):
        written += stream.write((b",\n" if number else b"") + _encode(event))
        if number % _EVENTS_PER_REPORT == 0:
            tell(written)
    return written + stream.write(b"\n]}\n")
