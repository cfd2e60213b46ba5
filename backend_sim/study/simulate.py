"""Simulating a scenario: one policy or several, once or with several seeds, with or without recordings."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from layerweaver.backend_sim.results.confidence import differences
from layerweaver.backend_sim.results.schema import run as schema
from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.backend_sim.study.inputs import (
    PolicyRef,
    ScenarioRef,
    as_prepared,
    names_of,
    policies_of,
    policy_of,
)
from layerweaver.backend_sim.study.repeat import RunOptions, run_repeated
from layerweaver.backend_sim.timeline.window import parse_window
from layerweaver.ir import ScenarioError
from layerweaver.ir.documents import given_seed
from layerweaver.ir.given import check_flags, given_count
from layerweaver.ir.limits import MAX_SEEDS, MAX_WORKERS

if TYPE_CHECKING:
    from pathlib import Path

    from layerweaver.backend_sim.engine.loop import ProgressCallback
    from layerweaver.scheduler.policies import Policy

__all__ = ["compare", "compare_with", "comparison_of", "simulate", "simulate_with"]


def simulate_with(
    source: ScenarioRef = None, policy: PolicyRef | Policy | None = None, options: RunOptions | None = None
) -> schema.Run:
    """The document of one policy; :func:`simulate` with everything that can be asked for.

    Raises:
        LayerweaverError: If anything in the scenario or the window is wrong, or the trace cannot be written.
    """
    began = time.perf_counter()
    asked = _checked(options or RunOptions())
    prepared = _prepared(source, asked)
    if asked.trace_window is not None:
        parse_window(asked.trace_window, prepared.machines[0][0].clock_hz)
    return run_repeated(prepared, [policy], [asked], time.perf_counter() - began)[0]


def compare_with(
    source: ScenarioRef = None,
    policies: Sequence[PolicyRef] | None = None,
    options: RunOptions | None = None,
) -> schema.Comparison:
    """The documents of several policies with the same traffic; see :func:`compare`."""
    asked = _checked(options or RunOptions())
    prepared = _prepared(source, asked)
    chosen = policies_of(prepared, policies)
    parts = [asked] * len(chosen)
    if asked.requests is not None and len(chosen) > 1:
        names = names_of([policy_of(prepared, reference) for reference in chosen])
        parts = [replace(asked, requests=file) for file in _request_files(asked.requests, names)]
    return comparison_of(run_repeated(prepared, chosen, parts))


def _request_files(file: Path, names: Sequence[str]) -> list[Path]:
    """Where a comparison writes what became of every request: a file per policy, by its name."""
    if len(names) == 1:
        return [file]
    return [file.with_name(f"{file.stem}.{name.replace('/', '-')}{file.suffix}") for name in names]


def comparison_of(runs: list[schema.Run]) -> schema.Comparison:
    """The document of several runs under the same traffic."""
    apart = differences(runs)
    return {"runs": runs, "differences": apart} if apart else {"runs": runs}


def _checked(asked: RunOptions) -> RunOptions:
    """What is asked for, with counts of NumPy as ints."""
    check_flags(
        ScenarioError,
        skip_bad_rows=asked.skip_bad_rows,
        allow_code=asked.allow_code,
        compiled=asked.compiled,
        details=asked.details,
    )
    return replace(
        asked,
        seed=given_seed(asked.seed, ScenarioError),
        seeds=given_count("seeds", asked.seeds, ScenarioError, most=MAX_SEEDS),
        workers=given_count("workers", asked.workers, ScenarioError, most=MAX_WORKERS),
    )


def _prepared(source: ScenarioRef, asked: RunOptions) -> PreparedScenario:
    return as_prepared(
        source,
        skip_bad_rows=asked.skip_bad_rows,
        allow_code=asked.allow_code,
        progress=asked.compiling,
    )


def simulate(
    source: ScenarioRef = None,
    policy: PolicyRef | Policy | None = None,
    seed: int | None = None,
    *,
    seeds: int = 1,
    workers: int = 1,
    skip_bad_rows: bool = False,
    allow_code: bool = False,
    compiled: bool = True,
    progress: ProgressCallback | None = None,
    compiling: Callable[[float, str], None] | None = None,
) -> schema.Run:
    """Simulate a scenario under a policy.

    Args:
        source: Path or keys of a scenario, whose values may be objects, such as NPU configs; None is the
            built-in one.
        policy: Name, path or mapping of a policy; None is the scenario's.
        seed: Replaces all seeds by ones derived from it.
        seeds: Number of repetitions with derived seeds; above 1 the document has 95% confidence intervals.
        workers: Processes that the repetitions are divided among; the document is the same.
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
        workers=workers,
        skip_bad_rows=skip_bad_rows,
        allow_code=allow_code,
        compiled=compiled,
        progress=progress,
        compiling=compiling,
    )
    return simulate_with(source, policy, options)


def compare(
    source: ScenarioRef = None,
    policies: Sequence[PolicyRef] | None = None,
    seed: int | None = None,
    *,
    seeds: int = 1,
    workers: int = 1,
    skip_bad_rows: bool = False,
    allow_code: bool = False,
    progress: ProgressCallback | None = None,
    compiling: Callable[[float, str], None] | None = None,
) -> schema.Comparison:
    """Simulate a scenario under several policies, with the same traffic.

    Args:
        source: As :func:`simulate`.
        policies: Policies; None takes the scenario's ``policies``, or fcfs, layerweaver, layerweaver+ and its
            ``policy``.
        seed: As :func:`simulate`.
        seeds: As :func:`simulate`.
        workers: Processes that policies and repetitions are divided among; the document is the same.
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
        workers=workers,
        skip_bad_rows=skip_bad_rows,
        allow_code=allow_code,
        progress=progress,
        compiling=compiling,
    )
    return compare_with(source, policies, options)
