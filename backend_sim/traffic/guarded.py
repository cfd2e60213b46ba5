"""Kinds of arrivals that packages add: what their code does wrong becomes one line that names the kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from layerweaver.backend_sim.traffic.arrival import Arrival, Asked, Length
from layerweaver.backend_sim.traffic.source import Arrivals, ClosedLoop, Saturated, Source
from layerweaver.ir import LayerweaverError, ScenarioError
from layerweaver.ir.plugins import asked_of_others, failure_of
from layerweaver.ir.sections import refusal

__all__ = ["guarded"]

Given = TypeVar("Given")


def guarded(name: str, kind: type[Arrival]) -> type[Arrival]:
    """A kind that does what ``kind`` does, and complains in one line where that fails.

    Args:
        name: What scenarios call it.
        kind: Somebody's class.
    """

    def source(self: Arrival, asked: Asked) -> Source:
        made: object = _asked(name, "source", lambda: kind.source(self, asked))
        if isinstance(made, (ClosedLoop, Saturated)):
            return made
        if isinstance(made, Arrivals) and type(made).__module__.startswith("layerweaver."):
            return made
        if not isinstance(made, Arrivals):
            raise _wrong(name, "source", made, "a TimeStream, ClosedLoop or Saturated")
        return _Stream(name, made)

    def mean_rate_qps(self: Arrival, duration_s: float | None) -> float | None:
        rate: Any = _asked(name, "mean_rate_qps", lambda: kind.mean_rate_qps(self, duration_s))
        if rate is None or (isinstance(rate, (int, float)) and math.isfinite(rate) and rate > 0):
            return rate
        raise _wrong(name, "mean_rate_qps", rate, "a finite number above 0, or None")

    def expected_queries(self: Arrival, length: Length) -> float:
        return _asked(name, "expected_queries", lambda: kind.expected_queries(self, length))

    def check(self: Arrival, length: Length, place: str) -> None:
        _asked(name, "check", lambda: kind.check(self, length, place))

    def read(cls: type[Arrival], data: Any, handler: Callable[[Any], Arrival]) -> Arrival:  # noqa: ARG001
        try:
            return handler(data)
        except (ValueError, AssertionError, LayerweaverError):  # a complaint about the keys
            raise
        except Exception as error:
            raise refusal(failure_of(f"arrivals {name!r}", error)) from error

    own: dict[str, Any] = {"__module__": kind.__module__, "__doc__": kind.__doc__}
    reads: Any = classmethod(read)
    own["guarded_read"] = model_validator(mode="wrap")(reads)
    asked_of = {given.__name__: given for given in (source, mean_rate_qps, expected_queries, check)}
    made_by: Any = type(kind)
    return cast("type[Arrival]", made_by(kind.__name__, (kind,), own | asked_of))


class _Stream:
    """The times that a package's source gives, looked at piece by piece."""

    def __init__(self, name: str, source: Arrivals) -> None:
        self._name, self._source = name, source

    def take(self, count: int) -> NDArray[np.int64]:
        """As the source.

        Raises:
            ScenarioError: If the source fails, or gives something else than so many whole numbers.
        """
        times: Any = _asked(self._name, "take", lambda: self._source.take(count))
        if not isinstance(times, np.ndarray) or times.ndim != 1 or times.dtype.kind not in "iu":
            shape = f"an array of {times.dtype}" if isinstance(times, np.ndarray) else times
            raise _wrong(self._name, "take", shape, "an array of int64, times in ns")
        if len(times) > count:
            raise _wrong(self._name, "take", f"{len(times)} times", f"at most the {count} that are asked for")
        return times.astype(np.int64, copy=False)


def _asked(name: str, of: str, call: Callable[[], Given]) -> Given:
    return asked_of_others(of, call, ScenarioError, f"arrivals {name!r}")


def _wrong(name: str, of: str, given: object, accepted: str) -> ScenarioError:
    text = given if isinstance(given, str) else repr(given)
    return ScenarioError(f"{of} gives {text[:60]}", where=f"arrivals {name!r}", accepted=accepted)
