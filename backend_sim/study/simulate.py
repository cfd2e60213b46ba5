"""Simulating a scenario: one policy or several, once or with several seeds, with or without recordings."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from layerweaver.backend_sim.results import schema
from layerweaver.backend_sim.results.confidence import confidence, differences
from layerweaver.backend_sim.results.document import run_document
from layerweaver.backend_sim.run.prepare import PreparedScenario
from layerweaver.backend_sim.run.progress import as_part
from layerweaver.backend_sim.run.run import Run, run_once
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest
from layerweaver.backend_sim.study.inputs import (
    PolicyRef,
    ScenarioRef,
    as_prepared,
    policies_of,
    policy_of,
)
from layerweaver.backend_sim.timeline.window import DEFAULT_TRACE_WINDOW, parse_window
from layerweaver.ir import ScenarioError

if TYPE_CHECKING:
    from layerweaver.backend_sim.engine.loop import ProgressCallback
    from layerweaver.backend_sim.results.details_schema import Details
    from layerweaver.scheduler.policies import Policy

__all__ = ["RunOptions", "compare", "compare_with", "simulate", "simulate_with"]

LOGGER = logging.getLogger("layerweaver")
_LOGGED_LAYERS = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a scenario is run, and what is recorded of it.

    Attributes:
        seed: Replaces all seeds by ones derived from it.
        seeds: Repetitions with derived seeds; above 1 a document has 95% confidence intervals. What is
            recorded is the first.
        skip_bad_rows: Leave bad rows of traces out and count them.
        allow_code: Run a policy that the scenario gives as a Python file.
        compiled: Whether numba compiles the engine.
        details: Whether documents get the key ``details`` that reports draw.
        trace: Where to write a Perfetto trace; None writes none.
        trace_window: Part to trace and log, such as ``10ms:20ms``; None: all, or the beginning of a long run.
        log: Where to write the decision log (CSV); None writes none.
        requests: Where to write what became of every request (CSV); of several policies one file each, with
            the policy's name before the ending.
        announce: Told the size of the trace in bytes before it is written.
        progress: Called about once per million rows; returns True to stop.
        compiling: Told the share of models compiled and which is being compiled, and what is recorded.
    """

    seed: int | None = None
    seeds: int = 1
    skip_bad_rows: bool = False
    allow_code: bool = False
    compiled: bool = True
    details: bool = False
    trace: Path | None = None
    trace_window: str | None = None
    log: Path | None = None
    requests: Path | None = None
    announce: Callable[[int], None] | None = None
    progress: ProgressCallback | None = None
    compiling: Callable[[float, str], None] | None = None

    def tell(self, text: str) -> None:
        """Say what is being done."""
        if self.compiling is not None:
            self.compiling(-1.0, text)


def simulate_with(
    source: ScenarioRef = None, policy: PolicyRef | Policy | None = None, options: RunOptions | None = None
) -> schema.Run:
    """The document of one policy; :func:`simulate` with everything that can be asked for.

    Raises:
        LayerweaverError: If anything in the scenario or the window is wrong, or the trace cannot be written.
    """
    asked = options or RunOptions()
    if asked.seeds < 1:
        raise ScenarioError(f"{asked.seeds} seeds", accepted="give 1 or more")
    began = time.perf_counter()
    prepared = as_prepared(
        source,
        skip_bad_rows=asked.skip_bad_rows,
        allow_code=asked.allow_code,
        progress=asked.compiling,
    )
    if asked.trace_window is not None:
        parse_window(asked.trace_window, prepared.machines[0][0].clock_hz)
    chosen = policy_of(prepared, policy)
    ready = time.perf_counter()
    first, documents = _repetitions(prepared, chosen, asked)
    ended = time.perf_counter()
    document = documents[0]
    drawn = any(hasattr(tenant.arrival, "seed") for tenant in prepared.scenario.spec.tenants)
    if asked.seed is not None and not drawn:
        note = f"seed {asked.seed} changes nothing: no tenant's arrivals are drawn"
        document["warnings"] = [*document.get("warnings", []), note]
    if asked.seeds > 1:
        document["seeds"] = len(documents)
        document["confidence"] = confidence(documents)
    layers = sum(item["layers_executed"] for item in documents)
    document["run"] = {
        "wall_s": ended - began,
        "simulation_s": ended - ready,
        "layers_per_s": layers / max(ended - ready, 1e-9),
        "version": metadata.version("layerweaver"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if not first.interrupted:
        _record(document, first, chosen, asked)
    return document


def compare_with(
    source: ScenarioRef = None,
    policies: Sequence[PolicyRef] | None = None,
    options: RunOptions | None = None,
) -> schema.Comparison:
    """The documents of several policies with the same traffic; see :func:`compare`."""
    asked = options or RunOptions()
    prepared = as_prepared(
        source,
        skip_bad_rows=asked.skip_bad_rows,
        allow_code=asked.allow_code,
        progress=asked.compiling,
    )
    chosen = policies_of(prepared, policies)
    runs: list[schema.Run] = []
    for index, policy in enumerate([policy_of(prepared, reference) for reference in chosen]):
        part = replace(asked, progress=as_part(asked.progress, index, len(chosen)))
        if asked.requests is not None and len(chosen) > 1:
            file = asked.requests
            part = replace(part, requests=file.with_name(f"{file.stem}.{policy.name}{file.suffix}"))
        runs.append(simulate_with(prepared, policy, part))
        if runs[-1].get("interrupted"):
            break
    if asked.seeds > 1 and len(runs) > 1:
        return {"runs": runs, "differences": differences(runs)}
    return {"runs": runs}


def _repetitions(
    prepared: PreparedScenario, policy: Policy, asked: RunOptions
) -> tuple[Run, list[schema.Run]]:
    """The first run, and the documents of all until one is interrupted."""
    first: Run | None = None
    documents: list[schema.Run] = []
    for replica in range(asked.seeds):
        run = run_once(
            prepared,
            policy,
            TrafficRequest(seed=asked.seed, replica=replica),
            compiled=asked.compiled,
            progress=as_part(asked.progress, replica, asked.seeds),
        )
        first = first or run
        documents.append(run_document(run))
        if run.interrupted:
            break
    assert first is not None
    return first, documents


def _record(document: schema.Run, run: Run, policy: Policy, asked: RunOptions) -> None:
    """Add details, and write trace and decision log, of a second run that records the schedule."""
    request = TrafficRequest(seed=asked.seed)
    if asked.details:
        asked.tell(f"{run.policy.name}: recording the schedule")
        from layerweaver.backend_sim.timeline.details import collect_details  # noqa: PLC0415 - loads numba

        document["details"] = cast("Details", collect_details(run, policy, request))
    if asked.requests is not None:
        from layerweaver.backend_sim.timeline.requests import write_requests  # noqa: PLC0415 - loads numba

        write_requests(asked.requests, run, request)
    if asked.trace is None and asked.log is None:
        return
    from layerweaver.backend_sim.timeline.decision_log import write_decisions  # noqa: PLC0415 - loads numba
    from layerweaver.backend_sim.timeline.perfetto import write_trace  # noqa: PLC0415
    from layerweaver.backend_sim.timeline.record import RECORDED_LAYERS, record_traces  # noqa: PLC0415
    from layerweaver.backend_sim.timeline.window import clip_log  # noqa: PLC0415

    if asked.trace is not None:
        asked.tell("recording the schedule")
        cycles = _window(run, asked.trace_window, "tracing", RECORDED_LAYERS)
        write_trace(
            asked.trace,
            record_traces(run, policy, cycles, request),
            window_cycles=cycles,
            announce=asked.announce,
            progress=asked.compiling,
        )
    if asked.log is not None:
        asked.tell("recording the schedule")
        cycles = _window(run, asked.trace_window, "logging", _LOGGED_LAYERS)
        traces = record_traces(run, policy, cycles, request)
        write_decisions(asked.log, [replace(item, log=clip_log(item.log, cycles)) for item in traces])


def _window(run: Run, window: str | None, doing: str, most_layers: int) -> tuple[int, int]:
    """The cycles to record: those asked for, or all, or the beginning of a run that is too long."""
    layers = sum(outcome.layers_executed for outcome in run.outcomes)
    if window is None and layers <= most_layers:
        return 0, max(outcome.end_cycles for outcome in run.outcomes) + 1
    if window is None:
        window = DEFAULT_TRACE_WINDOW
        LOGGER.warning("the run has %d layers: %s %s only; choose --trace-window", layers, doing, window)
    return parse_window(window, run.prepared.machines[0][0].clock_hz)


def simulate(
    source: ScenarioRef = None,
    policy: PolicyRef | Policy | None = None,
    seed: int | None = None,
    *,
    seeds: int = 1,
    skip_bad_rows: bool = False,
    allow_code: bool = False,
    compiled: bool = True,
    progress: ProgressCallback | None = None,
    compiling: Callable[[float, str], None] | None = None,
) -> dict[str, Any]:
    """Simulate a scenario under a policy.

    Args:
        source: Path or keys of a scenario; None is the built-in one.
        policy: Name, path or mapping of a policy; None is the scenario's.
        seed: Replaces all seeds by ones derived from it.
        seeds: Number of repetitions with derived seeds; above 1 the document has 95% confidence intervals.
        skip_bad_rows: Leave bad rows of traces out and count them.
        allow_code: Run a policy that the scenario gives as a Python file.
        compiled: Whether numba compiles the engine.
        progress: Called about once per million rows; returns True to stop.
        compiling: Told the share of models compiled and which is being compiled.

    Returns:
        The document of ``layerweaver simulate``. Everything outside its key ``run`` is identical for
        identical input. Ctrl-C during the run gives what was reached, with ``interrupted``.

    Raises:
        LayerweaverError: If anything in the scenario is wrong.
    """
    options = RunOptions(
        seed=seed,
        seeds=seeds,
        skip_bad_rows=skip_bad_rows,
        allow_code=allow_code,
        compiled=compiled,
        progress=progress,
        compiling=compiling,
    )
    return cast("dict[str, Any]", simulate_with(source, policy, options))


def compare(
    source: ScenarioRef = None,
    policies: Sequence[PolicyRef] | None = None,
    seed: int | None = None,
    *,
    seeds: int = 1,
    skip_bad_rows: bool = False,
    allow_code: bool = False,
    progress: ProgressCallback | None = None,
    compiling: Callable[[float, str], None] | None = None,
) -> dict[str, Any]:
    """Simulate a scenario under several policies, with the same traffic.

    Args:
        source: As :func:`simulate`.
        policies: Policies; None takes the scenario's ``policies``, or fcfs, layerweaver and layerweaver+.
        seed: As :func:`simulate`.
        seeds: As :func:`simulate`.
        skip_bad_rows: As :func:`simulate`.
        allow_code: As :func:`simulate`.
        progress: As :func:`simulate`.
        compiling: As :func:`simulate`.

    Returns:
        ``{"runs": [simulate documents]}``; with several seeds also ``differences``, every further policy's
        metrics less the first one's, seed by seed, with their intervals.
    """
    options = RunOptions(
        seed=seed,
        seeds=seeds,
        skip_bad_rows=skip_bad_rows,
        allow_code=allow_code,
        progress=progress,
        compiling=compiling,
    )
    return cast("dict[str, Any]", compare_with(source, policies, options))
