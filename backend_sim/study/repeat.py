"""Policies and repetitions of one scenario, one after the other or in processes, as documents."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from layerweaver.backend_sim.engine.loop import is_compiled
from layerweaver.backend_sim.results.confidence import confidence, means
from layerweaver.backend_sim.results.document import run_document
from layerweaver.backend_sim.results.repetitions import judge_by_worst, tell_all, tell_missing
from layerweaver.backend_sim.results.schema import run as schema
from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.backend_sim.run.progress import as_part
from layerweaver.backend_sim.run.run import Run, run_once
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest
from layerweaver.backend_sim.study.inputs import PolicyRef, policy_of
from layerweaver.backend_sim.study.processes import in_processes
from layerweaver.backend_sim.timeline.window import DEFAULT_TRACE_WINDOW, parse_window

if TYPE_CHECKING:
    from layerweaver.backend_sim.engine.loop import ProgressCallback
    from layerweaver.scheduler.policies import Policy

__all__ = ["RunOptions", "run_repeated"]

LOGGER = logging.getLogger("layerweaver")
_LOGGED_LAYERS = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a scenario is run, and what is recorded of it.

    Attributes:
        seed: Replaces all seeds by ones derived from it.
        seeds: Repetitions with derived seeds; above 1 a document has 95% confidence intervals. What is
            recorded is the first.
        rate_factor: Rates of arrivals that have one are multiplied by it.
        workers: Processes that repetitions and policies are divided among; documents are the same.
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
        wrote: Told every file once its run is over; of an interrupted run only ``requests`` is written.
        progress: Called about once per million rows; returns True to stop.
        compiling: Told the share of models compiled and which is being compiled, and what is recorded.
    """

    seed: int | None = None
    seeds: int = 1
    rate_factor: float = 1.0
    workers: int = 1
    skip_bad_rows: bool = False
    allow_code: bool = False
    compiled: bool = True
    details: bool = False
    trace: Path | None = None
    trace_window: str | None = None
    log: Path | None = None
    requests: Path | None = None
    announce: Callable[[int], None] | None = None
    wrote: Callable[[Path], None] | None = None
    progress: ProgressCallback | None = None
    compiling: Callable[[float, str], None] | None = None

    def tell(self, text: str) -> None:
        """Say what is being done."""
        if self.compiling is not None:
            self.compiling(-1.0, text)


class _Repetition(NamedTuple):
    """One run's document, without what depends on the clock, and what does.

    Attributes:
        document: The document.
        seconds: How long it took.
        compiles: Whether that includes compiling the engine.
        written: The files it wrote.
    """

    document: schema.Run
    seconds: float
    compiles: bool
    written: tuple[Path, ...] = ()


def run_repeated(
    prepared: PreparedScenario,
    policies: Sequence[PolicyRef | Policy | None],
    asked: Sequence[RunOptions],
    preparing_s: float = 0.0,
) -> list[schema.Run]:
    """One document per policy, until one is interrupted.

    Args:
        prepared: The scenario.
        policies: The policies; None is the scenario's own.
        asked: What is asked for of each; seeds and workers are those of the first.
        preparing_s: How long it took to prepare the scenario.

    Raises:
        LayerweaverError: If a policy fails, or something cannot be written.
        KeyboardInterrupt: After Ctrl-C, if processes were at work and no policy was finished.
    """
    for policy in policies:
        policy_of(prepared, policy)  # what is wrong with a later one is said before the first runs
    seeds = asked[0].seeds
    todo = [
        partial(_repetition, prepared, policy, part, replica)
        for policy, part in zip(policies, asked, strict=True)
        for replica in range(seeds)
    ]
    if asked[0].workers > 1 and len(todo) > 1:
        found = _divided(prepared, policies, asked)
    else:
        found = []
        for number, call in enumerate(todo):
            found.append(call(place=(number, len(todo))))
            _tell_written(asked[0], found[-1])
            if found[-1].document.get("interrupted"):
                break
    documents = []
    for place, part in enumerate(asked):
        repetitions = found[place * seeds : (place + 1) * seeds]
        if repetitions:
            ended = sum("interrupted" not in item.document for item in repetitions)
            documents.append(_joined(prepared, repetitions, part, preparing_s))
            if documents[-1].get("interrupted"):
                later = [policy_of(prepared, policy).name for policy in policies[place + 1 :]]
                tell_missing(documents[-1], ended, seeds, later)
    return documents


def _repetition(
    prepared: PreparedScenario,
    policy: PolicyRef | Policy | None,
    asked: RunOptions,
    replica: int,
    place: tuple[int, int] = (0, 1),
) -> _Repetition:
    """One run; the first of a policy also records what is asked for."""
    began = time.perf_counter()
    chosen = policy_of(prepared, policy)
    compiles = asked.compiled and not is_compiled(chosen, decoding=any(prepared.decoders))
    run = run_once(
        prepared,
        chosen,
        TrafficRequest(factor=asked.rate_factor, seed=asked.seed, replica=replica),
        compiled=asked.compiled,
        progress=as_part(asked.progress, *place),
    )
    document, seconds = run_document(run), time.perf_counter() - began
    written = _record(document, run, chosen, asked) if replica == 0 else ()
    return _Repetition(document, seconds, compiles, written)


def _tell_written(asked: RunOptions, repetition: _Repetition) -> None:
    if asked.wrote is not None:
        for path in repetition.written:
            asked.wrote(path)


def _divided(
    prepared: PreparedScenario, policies: Sequence[PolicyRef | Policy | None], asked: Sequence[RunOptions]
) -> list[_Repetition]:
    """All repetitions in processes, as far as they were finished in order."""
    seeds = asked[0].seeds
    silent = [replace(part, progress=None, compiling=None, announce=None, wrote=None) for part in asked]
    calls = [
        partial(_repetition, prepared, _named(policy), part, replica)
        for policy, part in zip(policies, silent, strict=True)
        for replica in range(seeds)
    ]

    def ended(number: int) -> None:
        if asked[0].compiling is not None:
            asked[0].compiling(number / len(calls), f"{number} of {len(calls)} runs")

    found = in_processes(calls, asked[0].workers, ended)
    for item in found:
        if item is not None:  # those after one that was not finished have written theirs, too
            _tell_written(asked[0], item)
    whole: list[_Repetition] = []
    for item in found:
        if item is None:
            if not whole:
                raise KeyboardInterrupt
            whole[-1].document["interrupted"] = True
            break
        whole.append(item)
    return whole


def _named(policy: PolicyRef | Policy | None) -> PolicyRef | None:
    """A policy as another process finds it: by its name or file, with its options."""
    from layerweaver.scheduler.policies import Policy  # noqa: PLC0415 - loads numba

    if not isinstance(policy, Policy):
        return policy
    return {"name": policy.name if policy.file is None else str(policy.file), **policy.as_options()}


def _joined(
    prepared: PreparedScenario, repetitions: Sequence[_Repetition], asked: RunOptions, preparing_s: float
) -> schema.Run:
    """The first repetition's document, with the spread over all and the status of the worst."""
    documents = [item.document for item in repetitions]
    document = documents[0]
    if any(item.get("interrupted") for item in documents):
        documents = [item for item in documents if not item.get("interrupted")] or documents[:1]
        document["interrupted"] = True
    details = document.pop("details", None)
    tell_all(documents, document)
    if said := prepared.scenario.of_seeds(asked.seed, asked.seeds):
        document["warnings"] = [*document.get("warnings", []), *said]
    if asked.seeds > 1:
        document["seeds"] = len(documents)
        document["confidence"] = confidence(documents)
        document["means"] = means(documents)
        judge_by_worst(documents, document)
    seconds = sum(item.seconds for item in repetitions)
    layers = sum(item["layers_executed"] for item in documents)
    compiled = {"compiled": True} if any(item.compiles for item in repetitions) else {}
    document["run"] = {
        "wall_s": preparing_s + seconds,
        "simulation_s": seconds,
        "layers_per_s": layers / max(seconds, 1e-9),
        **compiled,
        "version": metadata.version("layerweaver"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if details is not None:
        document["details"] = details
    return document


def _record(document: schema.Run, run: Run, policy: Policy, asked: RunOptions) -> tuple[Path, ...]:
    """Write the requests; add details, and write trace and decision log, of a second run that records.

    After Ctrl-C there is no second run.

    Returns:
        The files that were written.
    """
    request = TrafficRequest(factor=asked.rate_factor, seed=asked.seed)
    if asked.details and not run.interrupted:
        asked.tell(f"{run.policy.name}: recording the schedule")
        from layerweaver.backend_sim.timeline.details import collect_details  # noqa: PLC0415 - loads numba

        document["details"] = collect_details(run, policy, request)
    if asked.requests is not None:
        from layerweaver.backend_sim.timeline.requests import write_requests  # noqa: PLC0415 - loads numba

        write_requests(asked.requests, run, request)
    written: tuple[Path, ...] = (asked.requests,) if asked.requests is not None else ()
    if run.interrupted or (asked.trace is None and asked.log is None):
        return written
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
        written = (*written, asked.trace)
    if asked.log is not None:
        asked.tell("recording the schedule")
        cycles = _window(run, asked.trace_window, "logging", _LOGGED_LAYERS)
        traces = record_traces(run, policy, cycles, request)
        write_decisions(asked.log, [replace(item, log=clip_log(item.log, cycles)) for item in traces])
        written = (*written, asked.log)
    return written


def _window(run: Run, window: str | None, doing: str, most_layers: int) -> tuple[int, int]:
    """The cycles to record: those asked for, or all, or the beginning of a run that is too long."""
    layers = sum(outcome.layers_executed for outcome in run.outcomes)
    if window is None and layers <= most_layers:
        return 0, max(outcome.end_cycles for outcome in run.outcomes) + 1
    if window is None:
        window = DEFAULT_TRACE_WINDOW
        LOGGER.warning("the run has %d layers: %s %s only; choose --trace-window", layers, doing, window)
    clock_hz = run.prepared.machines[0][0].clock_hz
    first, end = parse_window(window, clock_hz)
    if first >= (last := max(outcome.end_cycles for outcome in run.outcomes)):
        LOGGER.warning("%s %s holds nothing: the run ends at %.6g ms", doing, window, 1e3 * last / clock_hz)
    return first, end
