"""A study, read and checked: what every point is, before any is run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.study.inputs import own_policy
from layerweaver.backend_sim.study.sweep.axes import (
    NPU_PREFIX,
    AxisValues,
    changed_npu,
    combinations,
    grid_point,
    label,
    read_axes,
)
from layerweaver.backend_sim.study.sweep.measure import Job, npu_key, scenario_of
from layerweaver.backend_sim.study.sweep.parcel import named_files, texts_of
from layerweaver.backend_sim.study.sweep.plain import plain
from layerweaver.backend_sim.study.sweep.schema import MAX_POINTS, StudySpec
from layerweaver.costmodel import load_npu, npu_document, npu_names
from layerweaver.ir import LayerweaverError, ScenarioError
from layerweaver.ir.sections import validated
from layerweaver.ir.yaml_source import YamlSource, read_yaml
from layerweaver.scheduler.compile.given_graphs import GRAPH_PREFIX, given
from layerweaver.scheduler.policies import load_policy

__all__ = ["Study", "read_study"]

_TRIED = 400
"""Combinations tried to find values that no point accepts."""

_PLACES = 25
"""Combinations tried of a value that seems to be one, where there are more."""


@dataclass(frozen=True, eq=False)
class Study:
    """A study whose axes are checked.

    Attributes:
        spec: Its keys.
        source: The document with its lines.
        axes: The axes in order.
        job: What every worker needs.
        parts: Digest of every part that the points depend on, by name.
    """

    spec: StudySpec
    source: YamlSource
    axes: tuple[AxisValues, ...]
    job: Job
    parts: Mapping[str, str]

    @property
    def objectives(self) -> tuple[str, ...]:
        """Columns to be large, then those to be small."""
        return (*self.spec.objectives.maximise, *self.spec.objectives.minimise)

    @cached_property
    def total(self) -> int:
        """Number of points."""
        sample = self.spec.sample
        count = sample.points or sample.trials
        if count is not None:
            return count
        total = 1
        for axis in self.axes:
            total *= len(axis.values)
        return total

    @cached_property
    def _shares(self) -> Any:
        """Of a sampled study, where every point lies on every axis, shape (points, axes), in [0, 1)."""
        import numpy as np  # noqa: PLC0415

        sample, width = self.spec.sample, max(1, len(self.axes))
        if sample.kind == "random":
            return np.random.Generator(np.random.PCG64(sample.seed)).random((self.total, width))
        from scipy.stats import qmc  # noqa: PLC0415 - loads slowly

        exponent = max(0, (self.total - 1).bit_length())
        return qmc.Sobol(width, rng=np.random.default_rng(sample.seed)).random_base2(exponent)[: self.total]

    def values(self, number: int) -> tuple[Any, ...]:
        """The values of a point, in the order of the axes."""
        if self.spec.sample.kind == "grid":
            return grid_point(self.axes, number)
        shares = self._shares[number].tolist()
        return tuple(axis.sampled(share) for axis, share in zip(self.axes, shares, strict=False))


def read_study(
    source: str | Path | Mapping[str, Any], *, many: bool = False, allow_code: bool = False
) -> Study:
    """Read a study and check what can be checked before the first point.

    Args:
        source: Path of a YAML file, or its keys; objects (NPU configs, NumPy numbers, paths) are taken, too.
        many: Accept more than a million points of a grid.
        allow_code: Run policies that the study gives as Python files.

    Raises:
        LayerweaverError: If a key, the scenario, an axis, or a value for every point is wrong.
    """
    if isinstance(source, Mapping):
        document, folder = YamlSource(plain(source), "study", {}), Path()
    else:
        document, folder = read_yaml(Path(source), ScenarioError), Path(source).parent
    spec = validated(StudySpec, document, ScenarioError)
    base, home = _base(spec, document, folder)
    axes = read_axes(spec.axes, base, document)
    if spec.measure != "simulate" and "load" in spec.axes:
        raise ScenarioError(
            f"{spec.measure} knows no load",
            where=document.where(("axes", "load")),
            accepted="measure: simulate, or leave it out",
        )
    npus = _npus(document, axes, folder, (base.get("npu"), home))
    for axis in axes:
        for value in axis.values if axis.name == "policy" else ():
            load_policy(own_policy(value, allow_code, home.joinpath))
    names = tuple(axis.name for axis in axes)
    values = [base, *(list(axis.values) for axis in axes)]
    graphs = tuple(given(text) for text in texts_of(values) if text.startswith(GRAPH_PREFIX))
    job = Job(base, str(home), npus, names, spec.measure, spec.queries, allow_code, graphs=graphs)
    parts = {"scenario": _digest(base), "measure": _digest([spec.measure, spec.queries])}
    parts |= {"sample": _digest(spec.sample.model_dump())}
    parts |= {f"axes.{axis.name}": _digest([label(value) for value in axis.values]) for axis in axes}
    parts |= {f"npu {key}": _digest(npu) for key, npu in job.npus.items()}
    named = named_files(values, home)
    parts |= {f"file {name}": _hash(path) for name, path in named.items()}
    study = Study(spec, document, axes, job, parts)
    if spec.sample.kind == "grid" and study.total > MAX_POINTS and not many:
        raise ScenarioError(
            f"the grid has {study.total:,} points",
            where=document.where(("axes",)),
            accepted=f"at most {MAX_POINTS:,} without --yes; or sample it",
        )
    _check_values(study)
    return study


def _base(spec: StudySpec, document: YamlSource, folder: Path) -> tuple[dict[str, Any], Path]:
    """The scenario's keys, and the folder its paths are relative to."""
    if isinstance(spec.scenario, dict):
        base, home = spec.scenario, folder
    else:
        path = folder / Path(spec.scenario).expanduser()
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
            raise _within(error, document.where(("axes", "npu") if given else ("scenario",))) from None
    return npus


def _within(error: LayerweaverError, place: str) -> LayerweaverError:
    """The same error with the place in the study before its own."""
    where = f"{place}: {error.where}" if error.where and error.where != place else place
    return type(error)(error.what, where=where, accepted=error.accepted)


def _npu_document(value: Any, folder: Path) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return npu_document(load_npu(value, folder=folder))
    text = str(value)
    return npu_document(load_npu(text if text in npu_names() else _npu_path(text, folder)))


def _npu_path(text: str, folder: Path) -> str | Path:
    return folder / text if "/" in text or Path(text).suffix else text


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    except OSError:
        return ""


def _check_values(study: Study) -> None:
    """Refuse a value that the config, or the scenario, refuses whatever the other axes have."""
    config = [axis for axis in study.axes if axis.name == "npu" or axis.name.startswith(NPU_PREFIX)]
    rest = [axis for axis in study.axes if axis not in config]
    if study.job.npus:
        _check_group(study, config, _try_npu(study, config))
    _check_group(study, rest, _try_scenario(study, rest))


def _try_npu(study: Study, axes: Sequence[AxisValues]) -> Callable[[tuple[Any, ...]], None]:
    def attempt(values: tuple[Any, ...]) -> None:
        found = dict(zip((axis.name for axis in axes), values, strict=True))
        npu = (
            study.job.npus[npu_key(found.pop("npu"))]
            if "npu" in found
            else next(iter(study.job.npus.values()))
        )
        changes = {name.removeprefix(NPU_PREFIX): value for name, value in found.items()}
        load_npu(changed_npu(npu, changes))

    return attempt


def _try_scenario(study: Study, axes: Sequence[AxisValues]) -> Callable[[tuple[Any, ...]], None]:
    def attempt(values: tuple[Any, ...]) -> None:
        scenario_of(study.job, dict(zip((axis.name for axis in axes), values, strict=True)))

    return attempt


def _check_group(
    study: Study, axes: Sequence[AxisValues], attempt: Callable[[tuple[Any, ...]], None]
) -> None:
    total = 1
    for axis in axes:
        total *= len(axis.values)
    if not axes:
        try:
            attempt(())
        except LayerweaverError as error:
            raise _within(error, study.source.where(("scenario",))) from None
    accepted: list[set[int]] = [set() for _ in axes]
    refused: dict[tuple[int, int], LayerweaverError] = {}
    for values in combinations(axes, _TRIED) if total <= _TRIED else _one_by_one(axes):
        try:
            attempt(values)
        except LayerweaverError as error:
            for place, (axis, value) in enumerate(zip(axes, values, strict=True)):
                refused.setdefault((place, axis.values.index(value)), error)
            continue
        for place, (axis, value) in enumerate(zip(axes, values, strict=True)):
            accepted[place].add(axis.values.index(value))
    for place, index in list(refused) if total > _TRIED else ():
        # Not all combinations were tried: what is refused with some may be accepted with others.
        if any(_is_accepted(attempt, values) for values in _elsewhere(axes, place, index, total)):
            del refused[place, index]
    for (place, index), reason in refused.items():
        if not any(accepted):  # no single axis is to blame
            said = type(reason)(
                f"refused for every point: {reason.what}", where=reason.where, accepted=reason.accepted
            )
            raise _within(said, study.source.where(("axes",)))
        if index not in accepted[place]:
            axis = axes[place]
            raise type(reason)(
                f"refused for every point: {reason.what}",
                where=f"{study.source.where(('axes', axis.name))} = {label(axis.values[index])}",
                accepted=reason.accepted,
            )


def _is_accepted(attempt: Callable[[tuple[Any, ...]], None], values: tuple[Any, ...]) -> bool:
    try:
        attempt(values)
    except LayerweaverError:
        return False
    return True


def _elsewhere(axes: Sequence[AxisValues], place: int, index: int, total: int) -> Iterator[tuple[Any, ...]]:
    """One value with combinations of the others from all over the grid."""
    for step in range(_PLACES):
        others = grid_point(axes, step * total // _PLACES)
        yield (*others[:place], axes[place].values[index], *others[place + 1 :])


def _one_by_one(axes: Sequence[AxisValues]) -> list[tuple[Any, ...]]:
    """Every value once, the other axes at their first."""
    first = [axis.values[0] for axis in axes]
    found = []
    for place, axis in enumerate(axes):
        for value in axis.values[: _TRIED // max(1, len(axes))]:
            found.append((*first[:place], value, *first[place + 1 :]))
    return found
