"""Poisson arrivals exactly as MLPerf's LoadGen schedules them, to the nanosecond.

LoadGen draws from ``std::exponential_distribution<double>`` on ``std::mt19937``; libstdc++ makes of two
outputs ``g, g'`` the number ``u = (g + 2^32 g') / 2^64`` in double precision, below 1, and returns ``-log(1 -
u) / qps``; the gap is that many seconds times 10^9, cut to whole nanoseconds. All of it is exactly rounded
arithmetic except the logarithm, whose last bits differ between C libraries, processors and NumPy versions.

*The definition here* (ours) is the correctly rounded logarithm. It is evaluated only where it matters: a fast
logarithm whose error is far below :data:`LOG_ERROR` fixes the nanosecond unless a whole number lies within
that error of the gap, and only then (some five draws in 10^9 at 1000 queries/s) the exact value is computed
in decimal arithmetic. So any logarithm good to :data:`LOG_ERROR`, LoadGen's own included, gives the same
nanoseconds outside those flagged draws, whose number is kept in ``decided_exactly``.
"""

from __future__ import annotations

from decimal import Context
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from layerweaver.backend_sim.traffic.arrival import Arrival, Asked, some_rate
from layerweaver.backend_sim.traffic.stream import CHUNK, Stopping, TimeStream, running_sums
from layerweaver.ir.documents import Rate, Seed
from layerweaver.ir.limits import MAX_ARRIVAL_NS

__all__ = ["LOG_ERROR", "ExponentialGaps", "LoadGenPoisson", "PoissonSpec", "rounded_log"]


class PoissonSpec(Arrival):
    """LoadGen-exact Poisson arrivals."""

    loadgen = True
    kind: Literal["poisson"]
    qps: Rate
    seed: Seed | None = None

    @model_validator(mode="after")
    def _some_rate(self) -> Self:
        some_rate(self.qps)
        return self

    def mean_rate_qps(self, duration_s: float | None) -> float:  # noqa: ARG002
        """The stated rate."""
        return self.qps

    def source(self, asked: Asked) -> LoadGenPoisson:
        """LoadGen's schedule."""
        return LoadGenPoisson(
            self.qps * asked.factor,
            asked.seed,
            min_duration_ns=asked.duration_ns or 0,
            min_query_count=asked.min_queries,
            max_query_count=asked.max_queries,
            place=asked.place,
        )


LOG_ERROR = 16 * 2.0**-53
"""Relative error granted to a fast logarithm; NumPy's and glibc's stay below 4 units in the last place."""

_DECIMAL = Context(prec=60)


def rounded_log(value: float) -> float:
    """The natural logarithm of a positive double, correctly rounded (from 60 decimal digits)."""
    return float(_DECIMAL.ln(_DECIMAL.create_decimal_from_float(value)))


class ExponentialGaps:
    """The gaps between LoadGen's queries, in whole ns.

    Attributes:
        qps: Target rate per second.
        decided_exactly: Draws so far whose nanosecond hung on the last bits of the logarithm.
    """

    def __init__(self, qps: float, seed: int) -> None:
        self.qps = qps
        self.decided_exactly = 0
        self._generator = np.random.MT19937()
        self._generator._legacy_seeding(seed % 2**32)

    def take(self, count: int) -> NDArray[np.int64]:
        """The next ``count`` gaps, shape (count,), none longer than the last possible arrival."""
        raw = self._generator.random_raw(2 * count)
        uniform = raw[1::2].astype(np.float64)
        uniform *= 2.0**32
        uniform += raw[0::2].astype(np.float64)
        uniform *= 2.0**-64
        np.minimum(uniform, np.nextafter(1.0, 0.0), out=uniform)
        rest = np.subtract(1.0, uniform, out=uniform)
        gaps = np.log(rest)
        np.negative(gaps, out=gaps)
        gaps /= self.qps
        gaps *= 1e9
        np.minimum(gaps, MAX_ARRIVAL_NS, out=gaps)
        whole = gaps.astype(np.int64)
        margin = gaps * (2 * LOG_ERROR)
        unsure = ((gaps - margin) < whole) | ((gaps + margin) >= whole + 1)
        unsure &= (gaps > 0) & (gaps < MAX_ARRIVAL_NS)
        for index in np.flatnonzero(unsure):
            whole[index] = int(-rounded_log(float(rest[index])) / self.qps * 1e9)
            self.decided_exactly += 1
        return whole


class LoadGenPoisson(TimeStream):
    """MLPerf Server arrivals: the first query at 0, then exponential gaps.

    Queries are emitted while the last one's time is below ``min_duration_ns`` or fewer than
    ``min_query_count`` were emitted, as LoadGen does.

    Args:
        qps: Target rate per second.
        seed: ``schedule_rng_seed``; its lowest 32 bits count.
        min_duration_ns: Shortest duration.
        min_query_count: Least number of queries.
        max_query_count: Largest number of queries, None for no limit.
        place: Where the arrivals stand in the scenario, for messages.
    """

    def __init__(
        self,
        qps: float,
        seed: int,
        *,
        min_duration_ns: int = 0,
        min_query_count: int = 0,
        max_query_count: int | None = None,
        place: str = "",
    ) -> None:
        super().__init__(
            Stopping(min_duration_ns, min_query_count, max_query_count, past_the_end=True, place=place)
        )
        self._gaps = ExponentialGaps(qps, seed)
        self._next_ns = 0

    def _more(self) -> NDArray[np.int64]:
        times = running_sums(self._next_ns, self._gaps.take(CHUNK))
        self._next_ns = int(times[-1])
        return times[:-1]
