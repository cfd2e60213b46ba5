"""Reading a study file, or the keys of one."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.scenario.plain import plain
from layerweaver.backend_sim.scenario.provenance import file_hash
from layerweaver.backend_sim.study.inputs import own_policy
from layerweaver.backend_sim.study.sweep.axes import (
    NPU_PREFIX,
    AxisValues,
    label,
    read_axes,
    tenant_names,
)
from layerweaver.backend_sim.study.sweep.checks import check_values, with_whole_axes, within
from layerweaver.backend_sim.study.sweep.measure import Job, npu_key
from layerweaver.backend_sim.study.sweep.objectives import check_stated
from layerweaver.backend_sim.study.sweep.parcel import named_files, texts_of
from layerweaver.backend_sim.study.sweep.schema import MAX_POINTS, StudySpec
from layerweaver.backend_sim.study.sweep.study import Study
from layerweaver.costmodel import load_npu, npu_document, npu_names
from layerweaver.costmodel.plugins import ARRAY_MODELS, COST_MODELS
from layerweaver.ir import LayerweaverError, ScenarioError
from layerweaver.ir.files import at_home
from layerweaver.ir.given import PATHS, check_given
from layerweaver.ir.plugin_hashes import plugin_record
from layerweaver.ir.plugins import ARRIVALS, METRICS, OPERATORS
from layerweaver.ir.sections import validated
from layerweaver.ir.yaml_source import YamlSource, read_yaml
from layerweaver.scheduler.compile.given_graphs import GRAPH_PREFIX, given
from layerweaver.scheduler.policies import load_policy
from layerweaver.scheduler.policies.registry import ENTRY_POINT_GROUP as POLICIES

__all__ = ["INLINE_STUDY", "read_study"]

INLINE_STUDY = "study"
"""What errors call a study whose keys are given, not its file."""


def read_study(
    source: str | Path | Mapping[str, Any],
    *,
    many: bool = False,
    allow_code: bool = False,
    folder: Path = Path(),
) -> Study:
    """Read a study and check what can be checked before the first point.

    Args:
        source: Path of a YAML file, or its keys; objects (NPU configs, NumPy numbers, paths) are taken, too.
        many: Accept more than a million points of a grid.
        allow_code: Run policies that the study gives as Python files.
        folder: Folder that the paths of keys are relative to.

    Raises:
        LayerweaverError: If a key, the scenario, an axis, or a value for every point is wrong.
    """
    if isinstance(source, Mapping):
        document = YamlSource(plain(source), INLINE_STUDY, {})
    else:
        check_given(source, PATHS, ScenarioError, "give the path of a study file, or its keys")
        document, folder = read_yaml(Path(source), ScenarioError), Path(source).parent
    spec = validated(StudySpec, document, ScenarioError)
    base, home = _base(spec, document, folder)
    axes = read_axes(spec.axes, base, document)
    check_stated(spec, axes, tenant_names(base), document)
    if spec.measure != "simulate" and "load" in spec.axes:
        raise ScenarioError(
            f"{spec.measure} knows no load",
            where=document.where(("axes", "load")),
            accepted="measure: simulate, or leave it out",
        )
    npus = _npus(document, axes, folder, (base.get("npu"), home))
    names = tuple(axis.name for axis in axes)
    values = [base, *(list(axis.values) for axis in axes)]
    graphs = tuple(given(text) for text in texts_of(values) if text.startswith(GRAPH_PREFIX))
    used = {
        group: None if found is None else sorted(found) for group, found in _plugins(base, axes, npus).items()
    }
    plugins, called = plugin_record(used), _called_by_policies(values, home, allow_code)
    job = Job(
        base,
        str(home),
        npus,
        names,
        spec.measure,
        spec.queries,
        allow_code,
        graphs=graphs,
        plugins=json.dumps([used, plugins]),
        modules=frozenset(found for file in called.values() if (found := file_hash(file)) is not None),
    )
    parts = {"scenario": _digest(base), "measure": _digest([spec.measure, spec.queries])}
    parts |= {"sample": _digest(spec.sample.model_dump())}
    parts |= {f"axes.{axis.name}": _digest([label(value) for value in axis.values]) for axis in axes}
    parts |= {f"npu {key}": _digest(npu) for key, npu in job.npus.items()}
    named = named_files(values, home) | called
    parts |= {f"file {name}": (file_hash(path) or "")[:16] for name, path in named.items()}
    parts |= {f"plug-in {name}": one["sha256"] for name, one in plugins.items()}
    study = Study(spec, document, axes, job, folder, parts)
    if spec.sample.kind == "grid" and study.total > MAX_POINTS and not many:
        raise ScenarioError(
            f"the grid has {study.total:,} points",
            where=document.where(("axes",)),
            accepted=f"at most {MAX_POINTS:,} without --yes; or sample it",
        )
    check_values(study)
    return study if spec.sample.kind == "grid" else with_whole_axes(study)


def _base(spec: StudySpec, document: YamlSource, folder: Path) -> tuple[dict[str, Any], Path]:
    """The scenario's keys, and the folder its paths are relative to."""
    if isinstance(spec.scenario, dict):
        base, home = spec.scenario, folder
    else:
        path = folder / at_home(spec.scenario)
        found = read_yaml(path, ScenarioError)
        if not isinstance(found.value, dict):
            raise ScenarioError("is not a mapping", where=found.where(), accepted="a scenario file")
        base, home = dict(found.value), path.parent
    if base.get("pool") is not None and any(
        name == "npu" or name.startswith(NPU_PREFIX) for name in spec.axes
    ):
        raise ScenarioError(
            "a pool has no NPU that an axis could change",
            where=document.where(("axes",)),
            accepted="give npu",
        )
    return base, home


def _npus(
    document: YamlSource, axes: Sequence[AxisValues], folder: Path, stated: tuple[Any, Path]
) -> dict[str, dict[str, Any]]:
    """Documents of the configs that the axis ``npu`` names, or of the scenario's own."""
    given = [(value, folder) for axis in axes if axis.name == "npu" for value in axis.values]
    npus: dict[str, dict[str, Any]] = {}
    for value, place in given or [stated]:
        if value is None:
            continue
        try:
            npus[npu_key(value)] = _npu_document(value, place)
        except LayerweaverError as error:
            raise within(error, document.where(("axes", "npu") if given else ("scenario",))) from None
    return npus


def _plugins(
    base: Mapping[str, Any], axes: Sequence[AxisValues], npus: Mapping[str, Mapping[str, Any]]
) -> dict[str, Collection[str] | None]:
    """Names of entry points by group that decide what the points give; metrics are in every one."""
    values = [base, *(value for axis in axes for value in axis.values)]
    texts = set(texts_of(values))
    return {
        COST_MODELS.group: {str(npu.get("cost_model")) for npu in npus.values()} | texts,
        ARRAY_MODELS.group: {str(npu["array"].get("dataflow")) for npu in npus.values()} | texts,
        POLICIES: {text.partition(":")[0] for text in texts},
        ARRIVALS: texts,
        METRICS: None,
        OPERATORS: None,
    }


def _called_by_policies(values: Sequence[Any], home: Path, allow_code: bool) -> dict[str, Path]:
    """The modules that define what policies of the study call, which are Python files, too."""
    if not allow_code:
        return {}
    found: dict[str, Path] = {}
    texts = {text.partition(":")[0] for text in texts_of(values)}
    for text in sorted(text for text in texts if text.endswith(".py")):
        with contextlib.suppress(LayerweaverError):  # what is wrong with it is said where it is tried
            called = load_policy(own_policy(text, allow_code, home.joinpath)).files[1:]
            found |= {str(file): file for file in called}
    return found


def _npu_document(value: Any, folder: Path) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return npu_document(load_npu(value, folder=folder))
    text = str(value)
    return npu_document(load_npu(text if text in npu_names() else _npu_path(text, folder)))


def _npu_path(text: str, folder: Path) -> str | Path:
    return folder / text if "/" in text or Path(text).suffix else text


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
