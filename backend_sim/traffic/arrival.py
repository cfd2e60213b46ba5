"""What every kind of arrivals is: the keys of a scenario, a rate, an end, and a source of requests.

A kind is one class, derived from :class:`Arrival`, and is listed in
:mod:`layerweaver.backend_sim.traffic.kinds`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from layerweaver.backend_sim.traffic.source import Source
from layerweaver.backend_sim.traffic.stream import Stopping
from layerweaver.ir import ScenarioError
from layerweaver.ir.limits import MAX_QUERIES, MAX_SECONDS
from layerweaver.ir.sections import Section, refusal
from layerweaver.ir.text import counted

__all__ = ["Arrival", "Asked", "Length", "check_queries", "some_rate"]


@dataclass(frozen=True, slots=True)
class Length:
    """How long a scenario goes on, and which MLPerf model a tenant stands for.

    Attributes:
        duration_s: Arrivals stop then; None for no duration.
        min_queries: Least number of queries per tenant.
        mlperf_model: Whose least number of samples counts; None for none.
    """

    duration_s: float | None
    min_queries: int
    mlperf_model: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What one run asks of one tenant's arrivals.

    Attributes:
        length: As the scenario states it.
        duration_ns: Of this run; None for none.
        min_queries: Of this run.
        max_queries: Of this run; None for no limit.
        factor: Rates are multiplied by it.
        seed: Seed of this run's draws.
        tenant: Name of the tenant.
        place: File, line and field of the arrivals, for messages.
        path_of: A path that the scenario gives.
        skip_bad_rows: Leave bad rows of a trace out instead of stopping.
        with_tokens: Whether a trace shall give the lengths of requests too.
        fixed_costs: Whether every request costs the same, so that lengths have no meaning.
    """

    length: Length
    duration_ns: int | None
    min_queries: int
    max_queries: int | None
    factor: float
    seed: int
    tenant: str
    place: str
    path_of: Callable[[str], Path]
    skip_bad_rows: bool = False
    with_tokens: bool = False
    fixed_costs: bool = False

    @property
    def stopping(self) -> Stopping:
        """When a generated stream ends: without a duration, the least number of queries is all there is."""
        return Stopping(self.duration_ns or 0, self.min_queries, self.max_queries, place=self.place)


class Arrival(Section):
    """One kind of arrivals.

    Attributes:
        waits: Whether requests wait for the machine (loops) instead of arriving by the clock.
        scalable: Whether it has a rate that can be multiplied.
        bounded: Whether a latency limit applies to every query.
        loadgen: Whether LoadGen knows it.
        usual_percentile: Percentile that counts unless the scenario names one.
    """

    waits: ClassVar[bool] = False
    scalable: ClassVar[bool] = True
    bounded: ClassVar[bool] = True
    loadgen: ClassVar[bool] = False
    usual_percentile: ClassVar[float | None] = None

    @abstractmethod
    def source(self, asked: Asked) -> Source:
        """A fresh source of one tenant's requests.

        Raises:
            TrafficError: If a trace cannot be read or has no row for the tenant.
            ScenarioError: If the number of samples cannot be known.
        """

    def mean_rate_qps(self, duration_s: float | None) -> float | None:  # noqa: ARG002
        """Mean arrival rate in queries per second; None where it is not known beforehand."""
        return None

    def shape_s(self, duration_s: float | None) -> float | None:  # noqa: ARG002
        """Seconds that show all its rates in their shares; None where it is steady or goes by requests."""
        return None

    def changes(self, duration_s: float | None) -> bool:
        """Whether a part of it may have another mean rate than it states; of kinds of others nobody knows."""
        return self.shape_s(duration_s) is not None or not type(self).__module__.startswith("layerweaver.")

    @property
    def draws(self) -> bool:
        """Whether its times are drawn, so that another seed gives others."""
        return "seed" in type(self).model_fields

    def lasts(self) -> bool:
        """Whether it offers requests by the clock until the duration is over."""
        return not self.waits

    def endless(self, length: Length) -> bool:
        """Whether nothing ends the arrivals."""
        return length.duration_s is None and not length.min_queries

    def expected_queries(self, length: Length) -> float:
        """About how many requests there will be; 0 where nobody knows."""
        rate_qps = self.mean_rate_qps(length.duration_s)
        return max(length.min_queries, (rate_qps or 0.0) * (length.duration_s or 0.0))

    def check(self, length: Length, place: str) -> None:
        """Refuse impossible rates and runs that would never end.

        Raises:
            ScenarioError: With the reason.
        """
        if self.endless(length):
            raise ScenarioError(
                "the arrivals would never end", where=place, accepted="give duration_s or min_queries"
            )
        rate_qps = self.mean_rate_qps(length.duration_s)
        if rate_qps is not None:
            _check_rate(rate_qps, length, place)


def some_rate(*rates: float) -> None:
    """Refuse rates that are all 0."""
    if max(rates) <= 0:
        raise refusal("the rate is 0; give a rate above 0 queries per second", "qps")


def _check_rate(rate_qps: float, length: Length, place: str) -> None:
    if length.duration_s is not None:
        expected = rate_qps * length.duration_s
        if expected < 1:
            raise ScenarioError(
                f"{rate_qps:g} queries per second is below one query in {length.duration_s:g} s",
                where=place,
                accepted=f"give at least {1 / length.duration_s:g} per second",
            )
        check_queries(expected, f"{rate_qps:g} queries per second over {length.duration_s:g} s", place)
    queries = length.min_queries
    if queries and queries / rate_qps > MAX_SECONDS:
        raise ScenarioError(
            f"{counted(queries, 'query', 'queries')} at {rate_qps:g} per second "
            f"last {queries / rate_qps:.3g} s",
            where=place,
            accepted=f"at most {MAX_SECONDS:g} s are simulated",
        )


def check_queries(expected: float, of: str, place: str) -> None:
    """Refuse more queries of one tenant than are simulated.

    Raises:
        ScenarioError: Saying how many ``of`` makes.
    """
    if expected > MAX_QUERIES:
        raise ScenarioError(
            f"{of} are {expected:.3g} queries",
            where=place,
            accepted=f"at most {MAX_QUERIES:g} are simulated",
        )
