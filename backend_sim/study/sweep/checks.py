"""What is wrong for every point of a study is found before the first."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.scenario.checks import check_rates
from layerweaver.backend_sim.study.inputs import own_policy
from layerweaver.backend_sim.study.sweep.axes import (
    NPU_PREFIX,
    POLICY_PREFIX,
    AxisValues,
    combinations,
    grid_point,
    label,
    scenario_path,
)
from layerweaver.backend_sim.study.sweep.measure import npu_key, scenario_of, with_options
from layerweaver.backend_sim.study.sweep.npu_changes import changed_npu
from layerweaver.backend_sim.study.sweep.study import Study
from layerweaver.costmodel import load_npu
from layerweaver.ir import LayerweaverError, PolicyError
from layerweaver.scheduler.compile.given_graphs import names_file
from layerweaver.scheduler.compile.sources import ModelSource
from layerweaver.scheduler.policies import load_policy

__all__ = ["check_values", "with_whole_axes", "within"]

_TRIED = 400
"""Combinations tried to find values that no point accepts."""

_PLACES = 25
"""Combinations tried of a value that seems to be one, where there are more."""

_BOUND = (("dims",), ("shapes",))
"""Keys of a tenant whose own keys are names in its model."""

Attempt = Callable[[tuple[Any, ...]], None]


def _parts(study: Study) -> list[tuple[list[AxisValues], Attempt]]:
    """The axes of the config, of the policy and of all else, with what says whether it accepts values."""
    config, policy, rest = list[AxisValues](), list[AxisValues](), list[AxisValues]()
    for axis in study.axes:
        if axis.name == "npu" or axis.name.startswith(NPU_PREFIX):
            config.append(axis)
        elif axis.name == "policy" or axis.name.startswith(POLICY_PREFIX):
            policy.append(axis)
        else:
            rest.append(axis)
    found = [(config, _try_npu(study, config))] if study.job.npus else []
    if policy:
        found.append((policy, _try_policy(study, policy)))
    return [*found, (rest, _try_scenario(study, rest))]


def check_values(study: Study) -> None:
    """Refuse a value that config, policy or scenario refuse whatever the other axes have."""
    for axes, attempt in _parts(study):
        _check_group(study, axes, attempt)
    _check_policies(study)


def _check_policies(study: Study) -> None:
    """Refuse one setting of a policy in two spellings."""
    for axis in study.axes:
        seen: list[object] = []
        for value in axis.values if axis.name == "policy" else ():
            policy = load_policy(own_policy(value, study.job.allow_code, Path(study.job.folder).joinpath))
            setting = (policy.file, policy.as_dict())
            if setting in seen:
                raise PolicyError(
                    "is a setting that stands twice",
                    where=f"{study.source.where(('axes', axis.name))} = {label(value)}",
                    accepted="give every setting once",
                )
            seen.append(setting)


def with_whole_axes(study: Study) -> Study:
    """The study with the axes marked that take whole numbers only: what is sampled is rounded there."""
    whole = {"seed"}
    for axes, attempt in _parts(study):
        first = tuple(axis.values[0] for axis in axes)
        for place, axis in enumerate(axes):
            if axis.range is None or not all(isinstance(value, int) for value in axis.values):
                continue
            near = [(*first[:place], axis.values[0] + more, *first[place + 1 :]) for more in (0, 0.5)]
            if [_is_accepted(attempt, values) for values in near] == [True, False]:
                whole.add(axis.name)
    return replace(study, axes=tuple(replace(axis, is_whole=axis.name in whole) for axis in study.axes))


def _try_npu(study: Study, axes: Sequence[AxisValues]) -> Attempt:
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


def _try_policy(study: Study, axes: Sequence[AxisValues]) -> Attempt:
    def attempt(values: tuple[Any, ...]) -> None:
        found = dict(zip((axis.name for axis in axes), values, strict=True))
        policy = found.pop("policy", study.job.base.get("policy"))
        options = {name.removeprefix(POLICY_PREFIX): value for name, value in found.items()}
        named = with_options(policy, options) if options else policy
        load_policy(own_policy(named, study.job.allow_code, Path(study.job.folder).joinpath))

    return attempt


def _try_scenario(study: Study, axes: Sequence[AxisValues]) -> Attempt:
    source_of, names = functools.cache(ModelSource), [axis.name for axis in axes]
    bound = {
        path[1]
        for path in (scenario_path(name, study.job.base, name) for name in names)
        if path[2:3] in _BOUND
    }

    def attempt(values: tuple[Any, ...]) -> None:
        scenario = scenario_of(study.job, dict(zip(names, values, strict=True)))
        if "load" in names:
            check_rates(scenario)
        for index, tenant in enumerate(scenario.spec.tenants):
            if index in bound and isinstance(tenant.model, str):
                shapes = {name: tuple(shape) for name, shape in tenant.shapes.items()}
                source = tenant.model if not names_file(tenant.model) else scenario.path_of(tenant.model)
                source_of(str(source)).check_names(tenant.dims, shapes)

    return attempt


def _check_group(study: Study, axes: Sequence[AxisValues], attempt: Attempt) -> None:
    total = 1
    for axis in axes:
        total *= len(axis.values)
    if not axes:
        try:
            attempt(())
        except LayerweaverError as error:
            raise within(error, study.source.where(("scenario",))) from None
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
        if not any(accepted):  # no single value is to blame
            said = type(reason)(
                f"refused for every point: {reason.what}", where=reason.where, accepted=reason.accepted
            )
            alone = (axes[0].name,) if len(axes) == 1 else ()
            raise within(said, study.source.where(("axes", *alone)))
        if index not in accepted[place]:
            axis = axes[place]
            raise type(reason)(
                f"refused for every point: {reason.what}",
                where=f"{study.source.where(('axes', axis.name))} = {label(axis.values[index])}",
                accepted=reason.accepted,
            )


def _is_accepted(attempt: Attempt, values: tuple[Any, ...]) -> bool:
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


def within(error: LayerweaverError, place: str) -> LayerweaverError:
    """The same error with the place in the study before its own."""
    where = f"{place}: {error.where}" if error.where and error.where != place else place
    return type(error)(error.what, where=where, accepted=error.accepted)
