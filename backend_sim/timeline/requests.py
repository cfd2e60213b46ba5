"""What became of every request of a run, as CSV: when it came, when its tokens or its result were there."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from layerweaver.backend_sim.engine.outcome import TIMED_OUT, is_done
from layerweaver.backend_sim.llm.outcome import DecoderRun
from layerweaver.backend_sim.run.run import Run
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest
from layerweaver.backend_sim.timeline.record import fresh_inputs, scheduled_times
from layerweaver.ir import atomic_write
from layerweaver.ir.csv_text import CsvWriter

__all__ = ["REQUEST_COLUMNS", "request_rows", "write_requests"]

REQUEST_COLUMNS = (
    "tenant",
    "request",
    "arrival_ns",
    "first_token_ns",
    "last_token_ns",
    "prompt",
    "tokens",
    "preemptions",
    "status",
)
"""Columns of the file; times are absolute. Tenants without tokens leave ``first_token_ns``, ``prompt`` and
``tokens`` empty and have their completion in ``last_token_ns``."""


def request_rows(run: Run, request: TrafficRequest) -> Iterator[tuple[object, ...]]:
    """Rows in the order of :data:`REQUEST_COLUMNS`, by tenant and then by order of arrival."""
    inputs = fresh_inputs(run.prepared, request)
    due = [scheduled_times(given, outcome) for given, outcome in zip(inputs, run.outcomes, strict=False)]
    for index, tenant in enumerate(run.prepared.scenario.spec.tenants):
        first = run.outcomes[0].tenants[index]
        if first.decoder is not None:
            # An interrupted run reports requests up to the oldest that is not done.
            yield from _token_rows(
                tenant.name, first.decoder, len(first.latency_ns) if run.interrupted else None
            )
            continue
        scheduled = np.concatenate([times[index] for times in due])
        latency = run.all_latencies(index)
        for number, place in enumerate(np.argsort(scheduled, kind="stable").tolist()):
            arrival, took = int(scheduled[place]), int(latency[place])
            last, status = arrival + took if is_done(took) else None, "completed"
            if last is None:
                status = "timed_out" if took == TIMED_OUT else "dropped"
            yield tenant.name, number, arrival, None, last, None, None, 0, status


def _token_rows(name: str, decoder: DecoderRun, most: int | None) -> Iterator[tuple[object, ...]]:
    columns = (
        decoder.scheduled_ns,
        decoder.first_ns,
        decoder.last_ns,
        decoder.prompt,
        decoder.tokens,
        decoder.preemptions,
    )
    for number, row in enumerate(zip(*(column[:most].tolist() for column in columns), strict=True)):
        arrival, first, last, prompt, tokens, preemptions = row
        if last >= 0:
            yield name, number, arrival, first, last, prompt, tokens, preemptions, "completed"


def write_requests(path: Path, run: Run, request: TrafficRequest) -> None:
    """Write what became of every request, atomically.

    Raises:
        OutputError: If the file cannot be written.
    """
    with atomic_write(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        writer = CsvWriter(text)
        writer.writerow(REQUEST_COLUMNS)
        writer.writerows(request_rows(run, request))
        text.flush()
        text.detach()
