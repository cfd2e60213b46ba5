"""Simulations with what is drawn of them: the details of a report and the trace of a window."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerweaver.backend_sim.share_done import as_part
from layerweaver.backend_sim.simulate import (
    DEFAULT_POLICIES,
    PolicyRef,
    ScenarioRef,
    Simulation,
    as_prepared,
    policy_of,
    simulation,
)
from layerweaver.backend_sim.sources import TrafficRequest
from layerweaver.backend_sim.trace_window import DEFAULT_TRACE_WINDOW, parse_window

if TYPE_CHECKING:
    from layerweaver.backend_sim.engine import ProgressCallback
    from layerweaver.scheduler.policies import Policy

__all__ = ["compare_in_detail", "simulate_in_detail"]

LOGGER = logging.getLogger("layerweaver")
_LOGGED_LAYERS = 2_000_000


def simulate_in_detail(
    source: ScenarioRef = None,
    policy: PolicyRef | Policy | None = None,
    seed: int | None = None,
    *,
    seeds: int = 1,
    skip_bad_rows: bool = False,
    details: bool = True,
    trace: Path | None = None,
    trace_window: str | None = None,
    log: Path | None = None,
    announce: Callable[[int], None] | None = None,
    progress: ProgressCallback | None = None,
    compiling: Callable[[float, str], None] | None = None,
) -> dict[str, Any]:
    """Simulate as :func:`~layerweaver.backend_sim.simulate.simulate` does, and say more about the run.

    Args:
        source: As ``simulate``.
        policy: As ``simulate``.
        seed: As ``simulate``.
        seeds: As ``simulate``; details and trace are those of the first.
        skip_bad_rows: As ``simulate``.
        details: Whether the document gets the key ``details`` that reports draw.
        trace: Where to write a Perfetto trace; None writes none.
        trace_window: Part to trace and log, such as ``10ms:20ms``; None: all, or the beginning of a long run.
        log: Where to write the decision log (CSV); None writes none.
        announce: Told the size of the trace in bytes before it is written.
        progress: As ``simulate``.
        compiling: As ``simulate``; also told when the schedule is recorded and the trace written.

    Raises:
        LayerweaverError: If anything in the scenario or the window is wrong, or the trace cannot be written.
    """
    prepared = as_prepared(source, skip_bad_rows=skip_bad_rows, progress=compiling)
    if trace_window is not None:
        parse_window(trace_window, prepared.machines[0][0].clock_hz)
    result = simulation(prepared, policy, seed, seeds=seeds, progress=progress)
    document = result.document
    if result.run.interrupted:
        return document
    request = TrafficRequest(seed=seed)
    if details:
        _tell(compiling, f"{result.run.policy}: recording the schedule")
        from layerweaver.backend_sim.report.collect import collect_details  # noqa: PLC0415 - loads numba

        document["details"] = collect_details(result.run, result.policy, request)
    if trace is None and log is None:
        return document
    from layerweaver.backend_sim.decision_log import write_decisions  # noqa: PLC0415 - loads numba
    from layerweaver.backend_sim.report.collect import RECORDED_LAYERS, record_traces  # noqa: PLC0415
    from layerweaver.backend_sim.timeline_trace import write_trace  # noqa: PLC0415
    from layerweaver.backend_sim.trace_events import clip_log  # noqa: PLC0415

    if trace is not None:
        _tell(compiling, "recording the schedule")
        cycles = _window(result, trace_window, "tracing", RECORDED_LAYERS)
        write_trace(
            trace,
            record_traces(result.run, result.policy, cycles, request),
            window_cycles=cycles,
            announce=announce,
            progress=compiling,
        )
    if log is not None:
        _tell(compiling, "recording the schedule")
        cycles = _window(result, trace_window, "logging", _LOGGED_LAYERS)
        traces = record_traces(result.run, result.policy, cycles, request)
        write_decisions(log, [replace(item, log=clip_log(item.log, cycles)) for item in traces])
    return document


def _tell(compiling: Callable[[float, str], None] | None, text: str) -> None:
    if compiling is not None:
        compiling(-1.0, text)


def compare_in_detail(
    source: ScenarioRef = None,
    policies: Sequence[PolicyRef] | None = None,
    seed: int | None = None,
    *,
    seeds: int = 1,
    skip_bad_rows: bool = False,
    details: bool = True,
    progress: ProgressCallback | None = None,
    compiling: Callable[[float, str], None] | None = None,
) -> dict[str, Any]:
    """Compare as :func:`~layerweaver.backend_sim.simulate.compare` does, every run with its details."""
    prepared = as_prepared(source, skip_bad_rows=skip_bad_rows, progress=compiling)
    chosen = policies or tuple(prepared.scenario.spec.policies) or DEFAULT_POLICIES
    runs = []
    for index, policy in enumerate([policy_of(prepared, reference) for reference in chosen]):
        part = as_part(progress, index, len(chosen))
        runs.append(
            simulate_in_detail(
                prepared, policy, seed, seeds=seeds, details=details, progress=part, compiling=compiling
            )
        )
        if runs[-1].get("interrupted"):
            break
    return {"runs": runs}


def _window(result: Simulation, window: str | None, doing: str, most_layers: int) -> tuple[int, int]:
    """The cycles to record: those asked for, or all, or the beginning of a run that is too long."""
    run = result.run
    layers = sum(outcome.layers_executed for outcome in run.outcomes)
    if window is None and layers <= most_layers:
        return 0, max(outcome.end_cycles for outcome in run.outcomes) + 1
    if window is None:
        window = DEFAULT_TRACE_WINDOW
        LOGGER.warning("the run has %d layers: %s %s only; choose --trace-window", layers, doing, window)
    return parse_window(window, run.prepared.machines[0][0].clock_hz)
