"""Simulating a scenario: one run, several seeds, several policies."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerweaver.backend_sim.arrivals.stream import TimeStream
from layerweaver.backend_sim.confidence import confidence
from layerweaver.backend_sim.metrics import run_document
from layerweaver.backend_sim.prepare import PreparedScenario, prepare
from layerweaver.backend_sim.run import Run, run_once
from layerweaver.backend_sim.scenario import Scenario, builtin_scenario, load_scenario
from layerweaver.backend_sim.share_done import as_part
from layerweaver.backend_sim.sources import TrafficRequest, make_source
from layerweaver.ir import ScenarioError
from layerweaver.scheduler.policies import load_policy

if TYPE_CHECKING:
    from layerweaver.backend_sim.engine import ProgressCallback
    from layerweaver.scheduler.policies import Policy

__all__ = [
    "PolicyRef",
    "ScenarioRef",
    "Simulation",
    "as_prepared",
    "compare",
    "policy_of",
    "simulate",
    "simulation",
    "traffic",
]

ScenarioRef = str | Path | Mapping[str, Any] | Scenario | PreparedScenario | None
PolicyRef = str | Path | Mapping[str, Any]
LOGGER = logging.getLogger("layerweaver")
DEFAULT_POLICIES: tuple[PolicyRef, ...] = ("fcfs", "layerweaver", "layerweaver+")


def as_prepared(
    source: ScenarioRef, *, skip_bad_rows: bool = False, progress: Callable[[float, str], None] | None = None
) -> PreparedScenario:
    """A scenario ready to run, from its path, keys or any later stage; None is the built-in one."""
    if isinstance(source, PreparedScenario):
        return source
    if source is None:
        scenario = builtin_scenario()
    elif isinstance(source, Scenario):
        scenario = source
    else:
        scenario = load_scenario(source)
    if skip_bad_rows:
        scenario = scenario.with_skipping(True)
    return prepare(scenario, progress=progress)


def policy_of(prepared: PreparedScenario, reference: PolicyRef | Policy | None) -> Policy:
    """The policy asked for, or the scenario's own (whose path is relative to the scenario file)."""
    if reference is not None:
        return load_policy(reference)
    scenario = prepared.scenario
    own = scenario.spec.policy
    name = own if isinstance(own, str) else own.get("name")
    with scenario.place("policy"):
        if isinstance(name, str) and name.endswith(".py"):
            file = scenario.path_of(name)
            return load_policy(file if isinstance(own, str) else {**own, "name": str(file)})
        return load_policy(own)


@dataclass(frozen=True, slots=True, eq=False)
class Simulation:
    """A result with what it was made of, for traces and reports.

    Attributes:
        document: The result document.
        run: The (first) run.
        policy: The policy.
    """

    document: dict[str, Any]
    run: Run
    policy: Policy


def simulation(
    source: ScenarioRef = None,
    policy: PolicyRef | Policy | None = None,
    seed: int | None = None,
    *,
    seeds: int = 1,
    skip_bad_rows: bool = False,
    record_cycles: tuple[int, int] | None = None,
    compiled: bool = True,
    progress: ProgressCallback | None = None,
    compiling: Callable[[float, str], None] | None = None,
) -> Simulation:
    """Simulate and keep the run itself; arguments as :func:`simulate`."""
    if seeds < 1:
        raise ScenarioError(f"{seeds} seeds", accepted="give 1 or more")
    began = time.perf_counter()
    prepared = as_prepared(source, skip_bad_rows=skip_bad_rows, progress=compiling)
    chosen = policy_of(prepared, policy)
    ready = time.perf_counter()
    runs = [
        run_once(
            prepared,
            chosen,
            TrafficRequest(seed=seed),
            record_cycles=record_cycles,
            compiled=compiled,
            progress=as_part(progress, 0, seeds),
        )
    ]
    document = run_document(runs[0])
    documents = [document]
    for replica in range(1, seeds):
        if runs[-1].interrupted:
            break
        runs.append(
            run_once(
                prepared,
                chosen,
                TrafficRequest(seed=seed, replica=replica),
                progress=as_part(progress, replica, seeds),
            )
        )
        documents.append(run_document(runs[-1]))
    ended = time.perf_counter()
    if seeds > 1:
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
    return Simulation(document, runs[0], chosen)


def simulate(
    source: ScenarioRef = None,
    policy: PolicyRef | Policy | None = None,
    seed: int | None = None,
    *,
    seeds: int = 1,
    skip_bad_rows: bool = False,
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
        compiled: Whether numba compiles the engine.
        progress: Called about once per million rows; returns True to stop.
        compiling: Told the share of models compiled and which is being compiled.

    Returns:
        The document of ``layerweaver simulate``. Everything outside its key ``run`` is identical for
        identical input. Ctrl-C during the run gives what was reached, with ``interrupted``.

    Raises:
        LayerweaverError: If anything in the scenario is wrong.
    """
    return simulation(
        source,
        policy,
        seed,
        seeds=seeds,
        skip_bad_rows=skip_bad_rows,
        compiled=compiled,
        progress=progress,
        compiling=compiling,
    ).document


def compare(
    source: ScenarioRef = None,
    policies: Sequence[PolicyRef] | None = None,
    seed: int | None = None,
    *,
    seeds: int = 1,
    skip_bad_rows: bool = False,
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
        progress: As :func:`simulate`.
        compiling: As :func:`simulate`.

    Returns:
        ``{"runs": [simulate documents]}``.
    """
    prepared = as_prepared(source, skip_bad_rows=skip_bad_rows, progress=compiling)
    chosen = policies or tuple(prepared.scenario.spec.policies) or DEFAULT_POLICIES
    runs = []
    for index, policy in enumerate([policy_of(prepared, reference) for reference in chosen]):
        part = as_part(progress, index, len(chosen))
        runs.append(simulate(prepared, policy, seed, seeds=seeds, progress=part))
        if runs[-1].get("interrupted"):
            break
    return {"runs": runs}


def traffic(
    source: ScenarioRef = None, seed: int | None = None, *, skip_bad_rows: bool = False
) -> Iterator[tuple[str, int, int]]:
    """Rows ``(tenant, query, arrival_ns)`` of every open-loop tenant, tenant after tenant.

    Raises:
        LayerweaverError: If the scenario or a trace is wrong. Tenants that wait for the NPU have no rows.
    """
    if isinstance(source, PreparedScenario):
        scenario = source.scenario
    elif isinstance(source, Scenario):
        scenario = source
    else:
        scenario = builtin_scenario() if source is None else load_scenario(source)
    if skip_bad_rows:
        scenario = scenario.with_skipping(True)

    request = TrafficRequest(seed=seed)
    sources = [make_source(scenario, index, request) for index in range(len(scenario.spec.tenants))]
    names = [tenant.name for tenant in scenario.spec.tenants]
    return _arrivals(
        (name, source) for name, source in zip(names, sources, strict=True) if isinstance(source, TimeStream)
    )


def _arrivals(streams: Iterable[tuple[str, TimeStream]]) -> Iterator[tuple[str, int, int]]:
    for name, stream in streams:
        number = 0
        while len(times := stream.take(1 << 16)):
            for arrival_ns in times.tolist():
                yield name, number, arrival_ns
                number += 1
        if skipped := getattr(stream, "skipped", 0):
            LOGGER.warning("%s: %d bad rows of its trace were skipped", name, skipped)
