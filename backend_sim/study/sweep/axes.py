"""Axes of a study: their values, and what a value changes in the scenario and in its NPU's config."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from layerweaver.backend_sim.scenario.schema import ScenarioSpec
from layerweaver.backend_sim.study.sweep.schema import Range, Repeats
from layerweaver.costmodel import NpuConfig
from layerweaver.ir import ScenarioError
from layerweaver.ir.sections import keys_at
from layerweaver.ir.spelling import nearest
from layerweaver.ir.yaml_source import YamlSource

__all__ = [
    "NPU_PREFIX",
    "POLICY_PREFIX",
    "AxisValues",
    "changed_scenario",
    "label",
    "read_axes",
    "tenant_names",
]

NPU_PREFIX = "npu."
POLICY_PREFIX = "policy."
_SPECIAL = ("load", "seed")
_MOST_LOAD = 1e6


@dataclass(frozen=True, slots=True)
class AxisValues:
    """One axis.

    Attributes:
        name: Its dotted path.
        values: What it takes, in order; of a range that is only sampled, its two ends.
        range: The range, where it is one that can be sampled in between.
        is_whole: Whether only whole numbers in between are accepted.
    """

    name: str
    values: tuple[Any, ...]
    range: Range | None = None
    is_whole: bool = False

    def sampled(self, share: float) -> Any:
        """The value at a share of the axis, 0 to below 1."""
        if self.range is not None:
            return self.between(self.range.value(share))
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]

    def between(self, value: float) -> int | float:
        """A value of the range as the axis takes it."""
        return round(value) if self.is_whole else value


def label(value: Any) -> Any:
    """A value as a cell of a table: plain values as they are, a config by its name, others as JSON."""
    if isinstance(value, Mapping):
        name = value.get("name")
        options = ":".join(f"{key}={item}" for key, item in value.items() if key != "name")
        if isinstance(name, str) and "array" not in value:
            return f"{name}:{options}" if options else name
        return name if isinstance(name, str) else json.dumps(value, sort_keys=True)
    return json.dumps(value) if isinstance(value, (list, tuple)) else value


def read_axes(axes: Mapping[str, Any], base: Mapping[str, Any], source: YamlSource) -> tuple[AxisValues, ...]:
    """The axes of a study, checked by name.

    Args:
        axes: As the study states them.
        base: The scenario's keys.
        source: The study, for places in messages.

    Raises:
        ScenarioError: If an axis names no key or has no values.
    """
    return tuple(_axis(name, given, base, source) for name, given in axes.items())


def _axis(name: str, given: Any, base: Mapping[str, Any], source: YamlSource) -> AxisValues:
    where = source.where(("axes", name))
    if name not in _SPECIAL:
        _check_name(name, base, where)
    axis = _read(name, given, where)
    for value in axis.values if axis.range is None or axis.range.points is not None else ():
        check_value(name, value, where)
    _refuse_twice(axis, where)
    return axis


def _refuse_twice(axis: AxisValues, where: str) -> None:
    """Points that are run twice would count as two."""
    seen: set[Any] = set()
    for value in axis.values if axis.range is None or axis.range.points is not None else ():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        key = value if number else json.dumps(value, sort_keys=True, default=str)
        if key in seen:
            raise ScenarioError(
                f"{str(label(value))[:60]} stands twice", where=where, accepted="give every value once"
            )
        seen.add(key)


def check_value(name: str, value: Any, where: str) -> None:
    """Refuse a value that is no share of the bound, no seed, or no NPU.

    Raises:
        ScenarioError: With what would be one.
    """
    number = not isinstance(value, bool) and isinstance(value, (int, float))
    if name == "load" and not (number and 0 < value <= _MOST_LOAD):
        raise ScenarioError(
            f"load {str(value)[:40]!r} is no share of the bound", where=where, accepted="such as 0.7"
        )
    if name == "seed" and not (number and isinstance(value, int) and 0 <= value < 2**64):
        raise ScenarioError(
            f"{str(value)[:40]!r} is no seed", where=where, accepted="a whole number from 0 to 2^64 - 1"
        )
    if name == "npu" and not isinstance(value, (str, Mapping)):
        raise ScenarioError(
            f"{str(value)[:40]!r} is no NPU", where=where, accepted="a name, a path, or the keys of a config"
        )


def _read(name: str, given: Any, where: str) -> AxisValues:
    if isinstance(given, (list, tuple)):
        if not given:
            raise ScenarioError("an axis without values", where=where, accepted="give a list of values")
        return AxisValues(name, tuple(given))
    if isinstance(given, Mapping) and "count" in given:
        if name != "seed":
            raise ScenarioError(
                "a count is for the axis seed", where=where, accepted="give a list or a range"
            )
        repeats = _section(Repeats, given, where)
        return AxisValues(name, tuple(range(1, repeats.count + 1)))
    if isinstance(given, Mapping):
        found = _section(Range, given, where)
        if found.points is None:
            return AxisValues(name, (found.value(0.0), found.value(1.0)), found)
        steps = max(1, found.points - 1)
        return AxisValues(name, tuple(found.value(step / steps) for step in range(found.points)), found)
    raise ScenarioError(
        f"{str(given)[:40]!r} is no axis",
        where=where,
        accepted="a list of values, {from, to, points, scale: linear|log}, or {count} of seeds",
    )


def _section(model: Any, given: Mapping[str, Any], where: str) -> Any:
    from layerweaver.ir.sections import validated  # noqa: PLC0415

    try:
        return validated(model, YamlSource(dict(given), "", {}), ScenarioError)
    except ScenarioError as error:
        raise ScenarioError(error.what, where=f"{where}{error.where}", accepted=error.accepted) from None


def _check_name(name: str, base: Mapping[str, Any], where: str) -> None:
    """Refuse an axis that names no key, with the nearest that does; a policy's options are its own."""
    if name.startswith(POLICY_PREFIX):
        return
    if name.startswith(NPU_PREFIX):
        path: tuple[str | int, ...] = tuple(name.removeprefix(NPU_PREFIX).split("."))
        model: Any = NpuConfig
    else:
        path, model = scenario_path(name, base, where), ScenarioSpec
        if _is_stated(base, path):
            return
    if path[-1] not in keys_at(model, path[:-1]) and not _is_free(model, path):
        every = [*_SPECIAL, "npu.", *ScenarioSpec.model_fields]
        for depth in range(len(path) - 1, 0 if model is ScenarioSpec else -1, -1):
            if known := keys_at(model, path[:depth]):  # the section, or the nearest around it that is one
                prefix = name[: len(name) - sum(len(str(step)) + 1 for step in path[depth:])]
                every = [f"{prefix}.{key}" for key in known]
                break
        raise ScenarioError("names no key of scenario or NPU", where=where, accepted=nearest(name, every))


def _is_stated(document: Any, path: Sequence[str | int]) -> bool:
    """Whether a document has something at a path."""
    try:
        for step in path:
            document = document[step]
    except (LookupError, TypeError):
        return False
    return True


def _is_free(model: Any, path: Sequence[str | int]) -> bool:
    """Whether the last key is one of a mapping with free keys (dimensions, trip counts)."""
    *above, parent = path[:-1] or ("",)
    return parent in ("dims", "shapes", "values") and parent in keys_at(model, tuple(above))


def tenant_names(base: Mapping[str, Any]) -> list[str]:
    """Names of a scenario's tenants, in order."""
    tenants = base.get("tenants")
    listed = tenants if isinstance(tenants, list) else []
    return [str(tenant.get("name")) for tenant in listed if isinstance(tenant, Mapping)]


def scenario_path(name: str, base: Mapping[str, Any], where: str) -> tuple[str | int, ...]:
    """Keys of a dotted path into the scenario; a tenant goes by its name, which may hold dots.

    Raises:
        ScenarioError: If there is no such tenant.
    """
    if not name.startswith("tenants."):
        return _steps(name.split("."), base)
    names = tenant_names(base)
    rest = name.removeprefix("tenants.")
    for tenant in sorted(names, key=len, reverse=True):
        if rest.startswith(f"{tenant}."):
            return ("tenants", names.index(tenant), *rest[len(tenant) + 1 :].split("."))
    given = rest.split(".")[0]
    if given in names:
        raise ScenarioError(
            "names a whole tenant", where=where, accepted=f"one of its keys, such as {name}.batch"
        )
    raise ScenarioError(f"there is no tenant {given!r}", where=where, accepted=nearest(given, names))


def _steps(names: Sequence[str], base: Any) -> tuple[str | int, ...]:
    """Keys of a dotted path; the items of a list go by their numbers, from 0."""
    steps: list[str | int] = []
    for name in names:
        listed = isinstance(base, list) and name.isdecimal() and int(name) < len(base)
        step = int(name) if listed else name
        base = base[step] if listed else base.get(name) if isinstance(base, Mapping) else None
        steps.append(step)
    return tuple(steps)


def changed_scenario(base: Mapping[str, Any], changes: Mapping[tuple[str | int, ...], Any]) -> dict[str, Any]:
    """A scenario's document with some keys changed; a plain value becomes a mapping where a key needs one."""
    if not changes:
        return dict(base)
    changed = copy.deepcopy(dict(base))
    for path, value in changes.items():
        section: Any = changed
        for key in path[:-1]:
            if isinstance(section, dict) and not isinstance(section.get(str(key)), (dict, list)):
                section[str(key)] = {}
            section = section[key]
        section[path[-1]] = value
    return changed


def combinations(axes: Sequence[AxisValues], most: int) -> Iterator[tuple[Any, ...]]:
    """The product of some axes, the last fastest, at most so many."""
    total = 1
    for axis in axes:
        total *= len(axis.values)
    for number in range(min(total, most)):
        yield grid_point(axes, number)


def grid_point(axes: Sequence[AxisValues], number: int) -> tuple[Any, ...]:
    """Values of a point of the grid; the last axis is the fastest."""
    values = []
    for axis in reversed(axes):
        number, place = divmod(number, len(axis.values))
        values.append(axis.values[place])
    return tuple(reversed(values))
