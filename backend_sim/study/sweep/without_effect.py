"""What a study states and what then changes nothing: keys, and axes whose values gave the same figures."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from layerweaver.backend_sim.study.sweep.axes import NPU_PREFIX, AxisValues
from layerweaver.backend_sim.study.sweep.known import KnownPoint, KnownPoints
from layerweaver.backend_sim.study.sweep.schema import StudySpec
from layerweaver.backend_sim.study.sweep.study import Study
from layerweaver.ir.text import first_of

__all__ = ["without_effect"]

_TRIED = 64
"""Pairs of points that are looked at before all are."""

_COMPUTES = tuple(f"{NPU_PREFIX}{part}" for part in ("array", "vector", "precision_bytes"))
"""Keys of a config that say how long layers compute."""

_NAMED = 3

_RESTATED = ("npu", "policy", "seed", "rate_factor", "notes", "warnings")
"""Columns that say what was run, or what is said of it, and are no figures."""


def without_effect(study: Study, points: KnownPoints) -> list[str]:
    """What a study states and what changes nothing, a line each."""
    return [
        *_keys(study.spec),
        *_measured(study),
        *(f"axis {name}: no figure differs" for name in _idle(study, points)),
    ]


def _keys(spec: StudySpec) -> Iterator[str]:
    if "queries" in spec.model_fields_set and spec.measure != "peak":
        yield f"queries changes nothing: only measure peak runs so many, not {spec.measure}"
    if spec.sample.kind == "grid":
        if "seed" in spec.sample.model_fields_set:
            yield "sample.seed changes nothing: a grid draws nothing"
        return
    for name, given in spec.axes.items():
        if isinstance(given, Mapping) and "points" in given:
            yield f"axes.{name}.points changes nothing: {spec.sample.kind} draws from the whole range"


def _measured(study: Study) -> Iterator[str]:
    """Axes of what computes that measured cycles do not follow."""
    measured = [
        str(tenant.get("name"))
        for tenant in study.job.base.get("tenants", ())
        if tenant.get("overrides")
        or (isinstance(tenant.get("model"), Mapping) and "costs" in tenant["model"])
    ]
    for axis in study.axes if measured else ():
        if len(axis.values) > 1 and (axis.name == "npu" or axis.name.startswith(_COMPUTES)):
            whose = first_of(measured, _NAMED, "tenants")
            yield f"axis {axis.name}: measured costs of {whose} are the same cycles at all of its values"


def _idle(study: Study, points: KnownPoints) -> list[str]:
    """Names of axes whose values gave the same figures at every point of a whole grid."""
    shape = tuple(len(axis.values) for axis in study.axes)
    if study.spec.sample.kind != "grid" or points.count < study.total or points.failed:
        return []
    axes = [axis.name for axis in study.axes]
    open_ = [
        place
        for place, axis in enumerate(study.axes)
        if shape[place] > 1 and not _differs(points, axes, _pairs(study.axes, place))
    ]
    if not open_:
        return []
    figures = np.fromiter((_figures(point, axes) for point in points.rows()), np.uint64, study.total)
    table = figures.reshape(shape)
    return [axes[place] for place in open_ if (table == table.take([0], axis=place)).all()]


def _pairs(axes: Sequence[AxisValues], place: int) -> list[tuple[int, int]]:
    """Points that differ in one axis only, from all over the grid."""
    stride = math.prod(len(axis.values) for axis in axes[place + 1 :])
    span, total = stride * len(axes[place].values), math.prod(len(axis.values) for axis in axes)
    firsts = total // len(axes[place].values)
    chosen = range(0, firsts, max(1, firsts // _TRIED))
    starts = [number // stride * span + number % stride for number in chosen]
    return [(start, start + span - stride) for start in starts]


def _differs(points: KnownPoints, axes: Sequence[str], pairs: Sequence[tuple[int, int]]) -> bool:
    numbers = sorted({number for pair in pairs for number in pair})
    found = {point.number: _figures(point, axes) for point in points.rows(numbers)}
    return any(found[first] != found[last] for first, last in pairs)


def _figures(point: KnownPoint, axes: Sequence[str]) -> int:
    """A digest of what a point measured."""
    figures = [
        (name, cell)
        for name, cell in zip(point.columns, point.cells, strict=True)
        if cell is not None
        and name not in axes
        and name.partition(".")[0] not in (*_RESTATED, "policy_options")
    ]
    return int.from_bytes(hashlib.blake2b(repr(figures).encode(), digest_size=8).digest(), "little")
