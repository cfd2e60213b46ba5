"""Measuring one point of a study, in whatever process: the scenario it is, run, as one flat row."""

from __future__ import annotations

import functools
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from layerweaver.backend_sim.results.tenant import three_digits
from layerweaver.backend_sim.run.prepare import prepare
from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest
from layerweaver.backend_sim.scenario.provenance import file_hash
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.study.inputs import own_policy
from layerweaver.backend_sim.study.sweep.axes import (
    NPU_PREFIX,
    POLICY_PREFIX,
    changed_scenario,
    check_value,
    scenario_path,
)
from layerweaver.backend_sim.study.sweep.flat import flat
from layerweaver.backend_sim.study.sweep.load import load_factor, other_load
from layerweaver.backend_sim.study.sweep.npu_changes import changed_npu
from layerweaver.backend_sim.study.sweep.parcel import Parcel
from layerweaver.ir import LayerGraph, LayerweaverError, ScenarioError
from layerweaver.ir.plugin_hashes import changed_plugins, plugin_record
from layerweaver.ir.units import ENERGY_COUNTS
from layerweaver.scheduler.compile.given_graphs import give
from layerweaver.scheduler.policies import Policy, load_policy
from layerweaver.scheduler.policies.words import read_policy_words

__all__ = [
    "Job",
    "Measured",
    "measure_points",
    "npu_key",
    "point_document",
    "scenario_of",
    "with_options",
]

_PREPARED = 64
_LONGEST_REASON = 1000
_OWN_POLICY = "layerweaver+"
_LEFT_OUT = {
    *("run", "details", "scenario", "npus", "groups", "interrupted", "confidence", "means"),
    "rate_factor",
}


@dataclass(frozen=True, eq=False)
class Job:
    """What the points of a study have in common.

    Attributes:
        base: The scenario's keys.
        folder: Folder that its paths are relative to.
        npus: Documents of the NPU configs, by :func:`npu_key`.
        axes: Names of the axes.
        measure: ``simulate``, ``peak`` or ``cost``.
        queries: Queries per trial of a peak search.
        allow_code: Whether policies that the study gives as Python files may run.
        version: Version of the package that asks.
        graphs: Layer graphs that the study was given.
        parcel: The files that the study names, where workers do not share the folder.
        plugins: As JSON, the names of plug-ins that the points may use by group, and the record of those that
            are installed where the study is (:func:`~layerweaver.ir.plugin_hashes.plugin_record`).
        modules: SHA-256 of the modules beside policy files that define what the policies call.
    """

    base: dict[str, Any]
    folder: str
    npus: dict[str, dict[str, Any]]
    axes: tuple[str, ...]
    measure: str
    queries: int
    allow_code: bool = False
    version: str = metadata.version("layerweaver")
    graphs: tuple[LayerGraph, ...] = ()
    parcel: Parcel | None = None
    plugins: str = "[{}, {}]"
    modules: frozenset[str] = frozenset()


class Measured(NamedTuple):
    """One point.

    Attributes:
        number: Its number.
        row: Column to value; empty if it failed.
        error: Why it failed; "" if it did not.
    """

    number: int
    row: dict[str, object]
    error: str


def npu_key(value: Any) -> str:
    """What an NPU goes by: its name or path, or the keys of one that is written out."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


@functools.cache
def _own_version() -> str:
    return metadata.version("layerweaver")


@functools.lru_cache(maxsize=1)
def _other_plugin(text: str) -> str | None:
    """What plug-in this process has otherwise than the one that asks, in words; None if it has the same."""
    used, theirs = json.loads(text)
    own = plugin_record(used)
    if (changed := next(changed_plugins(theirs), None)) is not None:
        return changed
    more = next((name for name in own if name not in theirs), None)
    return None if more is None else f"plug-in {more} of {own[more]['package']} is installed only here"


@functools.lru_cache(maxsize=1)
def _take(graphs: tuple[LayerGraph, ...]) -> None:
    """Make the graphs known in this process, once."""
    for graph in graphs:
        give(graph)


def measure_points(job: Job, points: Sequence[tuple[int, Sequence[Any]]]) -> list[Measured]:
    """Measure some points, each by its number and its values.

    Raises:
        ScenarioError: If this process has another version of the package than the one that asks, or of a
            plug-in.
    """
    own = _own_version()
    if job.version != own:
        raise ScenarioError(
            f"worker {platform.node()} has layerweaver {own}, not {job.version}",
            accepted="install the same version everywhere",
        )
    if (apart := _other_plugin(job.plugins)) is not None:
        raise ScenarioError(
            f"worker {platform.node()}: {apart}", accepted="install the same plug-ins everywhere"
        )
    _take(job.graphs)
    return [_measured(job, number, dict(zip(job.axes, values, strict=True))) for number, values in points]


def _measured(job: Job, number: int, values: Mapping[str, Any]) -> Measured:
    try:
        return Measured(number, dict(_MEASURES[job.measure](job, values)), "")
    except LayerweaverError as error:
        said = " ".join(str(error).split())
        said = said if job.parcel is None else job.parcel.told(said)
        return Measured(number, {}, said if len(said) <= _LONGEST_REASON else f"{said[:_LONGEST_REASON]}...")


def scenario_of(job: Job, values: Mapping[str, Any]) -> Scenario:
    """The scenario of a point.

    Raises:
        LayerweaverError: If a value does not fit.
    """
    return load_scenario(_document(job, values), folder=_home(job))


def _document(job: Job, values: Mapping[str, Any]) -> dict[str, Any]:
    npu = job.base.get("npu") if "npu" not in values else values["npu"]
    changes = {
        scenario_path(name, job.base, name): value
        for name, value in values.items()
        if name not in ("npu", "load", "seed") and not name.startswith((NPU_PREFIX, POLICY_PREFIX))
    }
    document = changed_scenario(job.base, changes)
    options = {
        name.removeprefix(POLICY_PREFIX): value
        for name, value in values.items()
        if name.startswith(POLICY_PREFIX)
    }
    if options:
        document["policy"] = with_options(document.get("policy"), options)
    if job.measure == "cost":
        document = _without_traffic(document)
    if npu is not None and npu_key(npu) in job.npus:  # else the scenario's own, where only the axis counts
        inside = {
            name.removeprefix(NPU_PREFIX): value
            for name, value in values.items()
            if name.startswith(NPU_PREFIX)
        }
        document["npu"] = changed_npu(job.npus[npu_key(npu)], inside)
    return document if job.parcel is None else job.parcel.moved(document)


def _without_traffic(document: Mapping[str, Any]) -> dict[str, Any]:
    """The scenario with arrivals where it leaves them out: costs need none."""
    tenants = document.get("tenants")
    if isinstance(tenants, list):
        none = {"arrival": {"kind": "saturated"}}
        tenants = [{**none, **tenant} if isinstance(tenant, Mapping) else tenant for tenant in tenants]
    # An end is asked for where there is none; beside one by the clock it would forbid a cool-down.
    end = {} if document.get("duration_s") is not None else {"min_queries": 1}
    return {**end, **document, "tenants": tenants}


def _home(job: Job) -> Path:
    """Folder of the scenario's files in this process."""
    return Path(job.folder) if job.parcel is None else job.parcel.home_here()


@functools.lru_cache(maxsize=_PREPARED)
def _prepared(text: str, folder: Path) -> PreparedScenario:
    """Points that differ in seed, load or policy only are prepared once."""
    return prepare(load_scenario(json.loads(text), folder=folder))


def _ready(job: Job, values: Mapping[str, Any]) -> tuple[PreparedScenario, Any, TrafficRequest]:
    document = _document(job, values)
    policy = document.pop("policy", None)
    prepared = _prepared(json.dumps(document), _home(job))
    for name in ("load", "seed"):
        if name in values:  # of what is sampled between two ends, only the ends were seen before
            check_value(name, values[name], name)
    factor = load_factor(prepared, float(values["load"])) if "load" in values else 1.0
    return (
        prepared,
        _policy(json.dumps(policy), job.allow_code, _home(job), job.modules),
        TrafficRequest(factor=factor, seed=values.get("seed")),
    )


def with_options(policy: Any, options: Mapping[str, Any]) -> Any:
    """A policy, as a study writes it, with some of its options changed."""
    named = (
        _OWN_POLICY if policy is None else read_policy_words(policy) if isinstance(policy, str) else policy
    )
    return {**(named if isinstance(named, Mapping) else {"name": named}), **options}


@functools.lru_cache(maxsize=_PREPARED)
def _policy(text: str, allow_code: bool, home: Path, modules: frozenset[str]) -> Policy:
    """The policy that a document names, as JSON; looking into its code takes as long as a short run."""
    policy = load_policy(own_policy(json.loads(text) or _OWN_POLICY, allow_code, home.joinpath))
    for file in policy.files[1:]:
        if file_hash(file) not in modules:
            raise ScenarioError(
                f"{file}, which policy {policy.name} calls, is another on {platform.node()} "
                "than when the study began",
                accepted="install the same module everywhere",
            )
    return policy


def point_document(job: Job, values: Mapping[str, Any], *, histograms: bool = True) -> Any:
    """The whole result of a point that is simulated or searched, with what it takes to run it again.

    Raises:
        KeyboardInterrupt: After Ctrl-C.
    """
    prepared, policy, request = _ready(job, values)
    document: Any
    if job.measure == "peak":
        from layerweaver.backend_sim.study.peak.peak import peak  # noqa: PLC0415

        document = peak(prepared, [policy], queries=job.queries, seed=request.seed)
    else:
        from layerweaver.backend_sim.results.document import run_document  # noqa: PLC0415
        from layerweaver.backend_sim.run.run import run_once  # noqa: PLC0415

        document = run_document(run_once(prepared, policy, request), histograms=histograms)
        if said := prepared.scenario.of_seeds(request.seed):
            document["warnings"] = [*document.get("warnings", []), *said]
    if document.get("interrupted"):
        raise KeyboardInterrupt
    return document


def _simulate(job: Job, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    document = point_document(job, values, histograms=False)
    if "load" in values:  # of the point's row only: the run alone knows of no axis
        said = list(other_load(_ready(job, values)[0], document, float(values["load"])))
        if said:
            document["warnings"] = [*document.get("warnings", []), *said]
    return flat({key: value for key, value in document.items() if key not in _LEFT_OUT})


def _peak(job: Job, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    document = point_document(job, values)
    yield "bound_qps", document["bound_qps"]
    (row,) = document["results"]
    yield from flat({key: value for key, value in row.items() if key not in _LEFT_OUT})
    known = row.get("reasons", ())
    yield from _said(
        [line for line in document.get("warnings", ()) if line not in known], document.get("notes")
    )


def _said(warnings: Sequence[str], notes: Sequence[str] | None) -> Iterator[tuple[str, Any]]:
    """What the numbers do not explain, where there is something."""
    yield from flat({key: said for key, said in (("warnings", warnings), ("notes", notes)) if said})


def _cost(job: Job, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    scenario = scenario_of(job, values)
    prepared = prepare(scenario, shared=False)
    npu, config = prepared.npus[0], next(iter(prepared.configs), None)
    machine, menus = npu.machine, npu.menus
    yield "npu", machine.name
    for tenant, menu in zip(scenario.spec.tenants, menus, strict=True):
        profile = menu[0]
        table, name = profile.table, f"models.{tenant.name}"
        yield f"{name}.batch", table.batch
        yield f"{name}.standalone_ms", 1e3 * profile.standalone_cycles / machine.clock_hz
        yield f"{name}.standalone_cycles", profile.standalone_cycles
        yield f"{name}.compute_cycles", int(table.compute_cycles.sum())
        yield f"{name}.memory_cycles", int(table.memory_cycles.sum())
        yield f"{name}.dram_bytes", table.data_bytes
        yield f"{name}.weight_bytes", int(table.weight_bytes.sum())
        yield f"{name}.peak_activation_bytes", table.peak_activation_bytes
        energy_pj = table.energy_pj
        yield f"{name}.energy_j", None if energy_pj is None else three_digits(energy_pj / 1e12)
        if energy_pj is not None:
            counts = None if config is None or config.energy is None else config.energy.counts
            yield f"{name}.energy_counts", counts or ENERGY_COUNTS
    traffic = scenario.warnings  # of no concern to costs
    yield from _said([line for line in prepared.warnings if line not in traffic], prepared.notes)


_MEASURES = {"simulate": _simulate, "peak": _peak, "cost": _cost}
