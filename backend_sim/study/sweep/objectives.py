"""What a study's objectives can be: columns of its table that are numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from typing_extensions import get_type_hints, is_typeddict

from layerweaver.backend_sim.results.schema.peak import PeakRow
from layerweaver.backend_sim.results.schema.run import Run
from layerweaver.backend_sim.study.sweep.axes import AxisValues, label
from layerweaver.backend_sim.study.sweep.known import KnownPoints
from layerweaver.backend_sim.study.sweep.schema import StudySpec
from layerweaver.backend_sim.study.sweep.study import Study
from layerweaver.ir import ScenarioError
from layerweaver.ir.spelling import nearest
from layerweaver.ir.text import counted
from layerweaver.ir.yaml_source import YamlSource

__all__ = [
    "check_columns",
    "check_stated",
    "is_number",
    "objectives_without_values",
    "relative_objectives",
    "texts_of_columns",
]

_RESULTS: Mapping[str, Any] = {"simulate": Run, "peak": PeakRow}
_SUCH_AS = {"simulate": "system.stp", "peak": "peak_qps", "cost": "models.NAME.standalone_ms"}


_RELATIVE = ("system.stp", "system.bound_stp", "system.antt")
"""Metrics that compare with the time of one request alone on the same NPU."""

_BESIDE_TIMES = ("npu.energy", "npu.name", "npu.description", "npu.sources", "npu.evidence")


def relative_objectives(spec: StudySpec) -> list[str]:
    """Objectives that compare a point with itself alone, where an axis changes what that is."""
    changing = [
        name
        for name in spec.axes
        if name.partition(".")[0] in {"npu", "pool"} and not name.startswith(_BESIDE_TIMES)
    ]
    return [
        f"objective {name} is relative to one request alone on the point's own NPU, which {changing[0]} "
        "changes: a slower NPU may have the better one; rates (tenants.NAME.qps) and latencies compare NPUs"
        for _, name in _objectives(spec)
        if name in _RELATIVE and changing
    ]


def objectives_without_values(spec: StudySpec, points: KnownPoints) -> Iterator[str]:
    """Objectives that points have no number for, a line each: the front leaves these points out."""
    names = [name for _, name in _objectives(spec)]
    measured, valued = points.valued(names)
    for name, many in zip(names, valued, strict=True):
        if many < measured:
            of_all = f"{measured - many:,} of {counted(measured, 'point')}"
            yield f"objective {name} has no value at {of_all}: the front leaves them out"


def is_number(value: Any) -> bool:
    """Whether a cell can be compared with others."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_stated(
    spec: StudySpec, axes: Sequence[AxisValues], tenants: Sequence[str], source: YamlSource
) -> None:
    """Refuse objectives that are texts whatever the points give: values of axes, and metrics by their type.

    Raises:
        ScenarioError: Naming the first.
    """
    values = {axis.name: [label(value) for value in axis.values] for axis in axes}
    for kind, name in _objectives(spec):
        if name in values:
            text = not all(value is None or is_number(value) for value in values[name])
        else:
            text = _is_text(spec.measure, _path(name, tenants))
        if text:
            raise _refused(name, kind, spec, source)


def check_columns(study: Study, columns: Collection[str], texts: Collection[str]) -> None:
    """Refuse objectives that are no column, or one of texts.

    Args:
        study: The study.
        columns: All columns.
        texts: Those that hold no number.

    Raises:
        ScenarioError: With the nearest that is a column, or what is a number.
    """
    for kind, name in _objectives(study.spec):
        if name not in columns:
            close = get_close_matches(name, columns, n=5, cutoff=0.3) or columns
            raise ScenarioError(
                f"there is no column {name!r}",
                where=study.source.where(("objectives", kind)),
                accepted=nearest(name, list(close)),
            )
        if name in texts:
            raise _refused(name, kind, study.spec, study.source)


def texts_of_columns(points: KnownPoints, columns: Sequence[str]) -> set[str]:
    """Columns that hold texts or truth values, and no number."""
    kinds = zip(columns, points.kinds(columns), strict=True)
    return {name for name, found in kinds if found & {"s", "b"} and not found - {"s", "b", "n"}}


def _objectives(spec: StudySpec) -> Iterator[tuple[str, str]]:
    for name in spec.objectives.maximise:
        yield "maximise", name
    for name in spec.objectives.minimise:
        yield "minimise", name


def _refused(name: str, kind: str, spec: StudySpec, source: YamlSource) -> ScenarioError:
    return ScenarioError(
        f"{name!r} is text, which is neither large nor small",
        where=source.where(("objectives", kind)),
        accepted=f"a column of numbers, such as {_SUCH_AS[spec.measure]}",
    )


def _path(name: str, tenants: Sequence[str]) -> list[str]:
    """Keys of a dotted path into a result; a tenant goes by its name, which may hold dots."""
    for tenant in sorted(tenants, key=len, reverse=True):
        if name.startswith(f"tenants.{tenant}."):
            return ["tenants", *name.removeprefix(f"tenants.{tenant}.").split(".")]
    return name.split(".")


def _is_text(measure: str, path: Sequence[str]) -> bool:
    """Whether a metric is a text or a truth value by its type; packages' own and options have none."""
    if measure not in _RESULTS:
        return path == ["npu"]
    found = _RESULTS[measure]
    for key in path:
        sections = [one for one in _plain(found) if is_typeddict(one)]
        if not sections:
            return False
        found = get_type_hints(sections[0]).get(key)
    kinds = list(_plain(found))
    return bool(kinds) and all(kind in (str, bool, type(None)) for kind in kinds) and kinds != [type(None)]


def _plain(annotation: Any) -> Iterator[Any]:
    """What a value of this type, or an item of the list that it is, can be."""
    parts = get_args(annotation) if get_origin(annotation) is not dict else ()
    if annotation is not None and not parts:
        yield annotation
    for part in parts:
        yield from _plain(part)
