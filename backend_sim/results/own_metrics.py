"""Metrics that packages add, by entry points of the group ``layerweaver.metrics``.

An entry point's name is the metric's key under ``own``, of every tenant or of the system; what it names is an
:class:`OwnMetric`. Tables, pages, data frames, CSV and confidence intervals show it as any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.outcome import is_done
from layerweaver.backend_sim.results.schema.metric import Form, Metric, Shown, Value
from layerweaver.ir import ScenarioError
from layerweaver.ir.plugins import METRICS, PluginGroup

__all__ = [
    "MeasuredTenant",
    "OwnMetric",
    "Scope",
    "has_own_metrics",
    "measure_system",
    "measure_tenant",
    "own_metrics",
    "unknown_metrics",
]

_GROUP = PluginGroup(METRICS, "metric", ScenarioError, {})
_EVERYWHERE = Shown.TERMINAL | Shown.PAGE | Shown.FRAME | Shown.SPREAD


class Scope(Enum):
    """What a metric is of."""

    TENANT = auto()
    SYSTEM = auto()


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredTenant:
    """What a metric may look at.

    Attributes:
        name: The tenant's name.
        latency_ns: Of its measured requests, in order of arrival, NPU after NPU; negative where a request was
            dropped (:data:`layerweaver.backend_sim.engine.outcome.DROPPED`, ``TIMED_OUT``).
        deadline_ns: None for no deadline.
        priority: 1, 3 or 9.
        standalone_s: Time of one request alone.
        window_s: The measured time.
        document: The result so far, see ``docs/metrics.md``.
    """

    name: str
    latency_ns: NDArray[np.int64]
    deadline_ns: int | None
    priority: int
    standalone_s: float
    window_s: float
    document: Mapping[str, Any]

    @property
    def completed_ns(self) -> NDArray[np.int64]:
        """Latencies of the requests that completed."""
        done: NDArray[np.int64] = self.latency_ns[is_done(self.latency_ns)]
        return done


@dataclass(frozen=True, slots=True)
class OwnMetric:
    """A metric of a package.

    Attributes:
        heading: What tables call it, unit included.
        definition: What exactly it is.
        of_tenant: Makes the value of a tenant; None where it is not of one.
        of_system: Makes the value of all tenants together, likewise. One of both is given.
        form: How its value is written.
        shown: Where it is shown; JSON and CSV have all.
    """

    heading: str
    definition: str
    of_tenant: Callable[[MeasuredTenant], Value] | None = None
    of_system: Callable[[Sequence[MeasuredTenant]], Value] | None = None
    form: Form = Form.NUMBER
    shown: Shown = field(default=_EVERYWHERE)

    @property
    def scope(self) -> Scope:
        """What it is of."""
        return Scope.TENANT if self.of_tenant is not None else Scope.SYSTEM


@cache
def _registered() -> Mapping[str, OwnMetric]:
    """All metrics of packages by name.

    Raises:
        ScenarioError: If a package registers something else.
    """
    found: dict[str, OwnMetric] = {}
    for name in _GROUP.names:
        metric = _GROUP.load(name)
        if not isinstance(metric, OwnMetric) or (metric.of_tenant is None) == (metric.of_system is None):
            raise ScenarioError(
                f"{name!r} ({_GROUP.entries[name].value}) is no metric",
                where=f"entry points {_GROUP.group}",
                accepted="an OwnMetric with of_tenant or of_system",
            )
        found[name] = metric
    return found


def unknown_metrics(documents: Iterable[Mapping[str, object]]) -> list[str]:
    """Names of metrics under ``own`` of tenants or systems that no installed package adds."""
    found = (document.get("own") for document in documents)
    names = {str(name) for own in found if isinstance(own, Mapping) for name in own}
    return sorted(names.difference(_registered()))


def has_own_metrics() -> bool:
    """Whether packages add any; they may look at everything in a document."""
    return bool(_registered())


def own_metrics(scope: Scope) -> tuple[Metric, ...]:
    """How the metrics of packages are shown."""
    return tuple(
        Metric(f"own.{name}", metric.heading, metric.form, metric.shown, metric.definition)
        for name, metric in _registered().items()
        if metric.scope is scope
    )


def measure_tenant(tenant: MeasuredTenant) -> dict[str, Value]:
    """The key ``own`` of a tenant; empty without packages that add metrics.

    Raises:
        ScenarioError: If a metric fails or gives something that no document can hold.
    """
    return {
        name: _value(name, metric.of_tenant, tenant)
        for name, metric in _registered().items()
        if metric.of_tenant is not None
    }


def measure_system(tenants: Sequence[MeasuredTenant]) -> dict[str, Value]:
    """The key ``own`` of the system.

    Raises:
        ScenarioError: If a metric fails or gives something that no document can hold.
    """
    return {
        name: _value(name, metric.of_system, tenants)
        for name, metric in _registered().items()
        if metric.of_system is not None
    }


def _value(name: str, measure: Callable[[Any], Value], measured: Any) -> Value:
    where = f"metric {name!r}"
    try:
        value: Any = measure(measured)
    except Exception as error:  # whatever a package's code does is one line that names it
        raise ScenarioError(f"fails: {type(error).__name__}: {error}"[:300], where=where) from error
    if isinstance(value, np.generic):
        value = value.item()
    finite = not isinstance(value, float) or math.isfinite(value)
    if finite and (value is None or isinstance(value, (str, int, float))):
        return value
    raise ScenarioError(f"gives {repr(value)[:60]}", where=where, accepted="a finite number, a text or None")
