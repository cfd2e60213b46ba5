"""The decision log: every row with when, among whom and why it was chosen, and every time-out, as CSV."""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from layerweaver.backend_sim.engine.outcome import TIMED_OUT
from layerweaver.ir import atomic_write
from layerweaver.ir.clock import ns_to_cycles_down, ns_to_cycles_up
from layerweaver.ir.csv_text import CsvWriter

if TYPE_CHECKING:
    from layerweaver.backend_sim.timeline.record import TraceRun

__all__ = ["DECISION_COLUMNS", "decision_rows", "write_decisions"]

DECISION_COLUMNS = (
    "npu",
    "decided_at_cycles",
    "tenant",
    "request",
    "batch",
    "layer",
    "row",
    "mode",
    "candidates",
    "queued",
    "fetch_start_cycles",
    "fetch_end_cycles",
    "compute_start_cycles",
    "compute_end_cycles",
    "resident_bytes",
    "held_cycles",
)
"""Columns of the file. ``mode`` is the policy's reason (``layerweaver policies --json`` lists its modes),
``candidates`` the number of tenants that had a request, ``queued`` the requests waiting in all queues,
``held_cycles`` how long the policy had held the DMA for this decision although requests were waiting. A
request that gave up waiting has a row too, with mode ``timed out`` and no layer."""


def decision_rows(traces: Sequence[TraceRun]) -> Iterator[tuple[object, ...]]:
    """Rows of the decision log in the order of :data:`DECISION_COLUMNS`, NPU by NPU in order of decision."""
    for trace in traces:
        yield from heapq.merge(_given_up(trace), _decided(trace), key=itemgetter(1))


def _given_up(trace: TraceRun) -> list[tuple[object, ...]]:
    """Requests that gave up between the first and the last decision recorded, in that order."""
    rows: list[tuple[object, ...]] = []
    clock_hz, decided = trace.simulation_input.machine.clock_hz, trace.log.decided_at
    pairs = zip(trace.simulation_input.tenants, trace.latency_ns, trace.scheduled_ns, strict=True)
    for tenant, latency_ns, scheduled_ns in pairs:
        if tenant.timeout_ns is None or not len(decided):
            continue
        for request in np.flatnonzero(latency_ns[: len(scheduled_ns)] == TIMED_OUT).tolist():
            arrival = ns_to_cycles_up(int(scheduled_ns[request]), clock_hz)
            cycle = arrival + ns_to_cycles_down(tenant.timeout_ns, clock_hz) + 1
            if decided[0] <= cycle <= decided[-1]:
                rows.append((trace.npu, cycle, tenant.name, request, 0, "", "", "timed out", *[""] * 8))
    return sorted(rows, key=itemgetter(1))


def _decided(trace: TraceRun) -> Iterator[tuple[object, ...]]:
    """The rows that were scheduled."""
    log = trace.log
    names = [tenant.name for tenant in trace.simulation_input.tenants]
    tables = [[profile.table for profile in tenant.profiles] for tenant in trace.simulation_input.tenants]
    columns = (
        log.decided_at,
        log.tenant,
        log.request,
        log.batch,
        log.profile,
        log.row,
        log.mode,
        log.candidates,
        log.queued,
        log.fetch_start,
        log.fetch_end,
        log.compute_start,
        log.compute_end,
        log.resident_bytes,
        log.held_cycles,
    )
    for decided, tenant, request, batch, profile, row, mode, *rest in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        table = tables[tenant][profile]
        layer = table.layer_names[int(table.layer_index[row])]
        reason = log.mode_names[mode]
        yield (trace.npu, decided, names[tenant], request, batch, layer, row, reason, *rest)


def write_decisions(path: Path, traces: Sequence[TraceRun]) -> None:
    """Write a decision log.

    Raises:
        OutputError: If the file cannot be written.
    """
    with atomic_write(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        writer = CsvWriter(text)
        writer.writerow(DECISION_COLUMNS)
        writer.writerows(decision_rows(traces))
        text.detach()
