"""Replaying a recorded trace: one tenant's rows, stretched, looped, spread and streamed."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.traffic.lengths import Pairs
from layerweaver.backend_sim.traffic.spreading import spread_ticks
from layerweaver.backend_sim.traffic.stream import CHUNK, NS_PER_S, Stopping, TimeStream
from layerweaver.backend_sim.traffic.trace_file import TraceFile
from layerweaver.backend_sim.traffic.trace_formats import TraceRow
from layerweaver.ir import TrafficError
from layerweaver.ir.limits import MAX_ARRIVAL_NS
from layerweaver.ir.text import first_of

__all__ = ["TraceArrivals"]

_NAMED = 3
_CLOCKS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
"""Clocks that recorders have, with their seconds."""
_LEAST_TOLD = 20
"""Of fewer requests it is not told that they come at one moment."""
_MAX_SORTED = 50_000_000
_MAX_SCALE_PART = 1_000_000
_MAX_SPAN_NS = 2**62


class TraceArrivals(TimeStream):
    """Arrivals of one tenant out of a trace. The first row of the *file* is time 0, whoever's it is.

    Rows are read as they are needed; a tenant's own must be in order, and none before the first row. A format
    whose rows are not in order of arrival (``azure-functions``) is read and sorted first, at eight bytes a
    row.

    Args:
        trace: The file.
        tenants: Names whose rows count; None for all rows.
        time_scale: Factor on all times (2 halves the rate).
        loop: Begin again, one mean gap after the file's last row, or when that has been spread, until the
            duration and least count are reached. All rows of the file count, so that tenants which share it
            stay in phase.
        sort: Sort the rows even of a format that is in order by nature.
        spread_ns: Move every time at random within so much, see
            :mod:`layerweaver.backend_sim.traffic.spreading`; 0 for not.
        seed: Seed of that.
        uncounted: Refuse rows that count tokens, since every request will cost the same.
        stopping: When to end.

    Attributes:
        counts_tokens: Whether any row so far had tokens, of a trace opened to read them.
        pass_queries: Requests of one pass; None before it ended.

    Raises:
        TrafficError: Also while times are taken: a row that goes back in time or is otherwise bad (file, line
            and column), no row for the tenant, or a loop over rows that all have one time.
    """

    def __init__(
        self,
        trace: TraceFile,
        *,
        tenants: frozenset[str] | None,
        time_scale: float,
        loop: bool,
        sort: bool,
        stopping: Stopping,
        uncounted: bool = False,
        spread_ns: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(stopping)
        self._trace, self._tenants, self._loop = trace, tenants, loop
        self._keep_tokens, self._uncounted = trace.with_tokens, uncounted
        self._sort = sort or not trace.format.in_order
        part = max(1, min(_MAX_SCALE_PART, int(_MAX_SCALE_PART**2 / time_scale)))
        scale = max(Fraction(str(time_scale)).limit_denominator(part), Fraction(1, _MAX_SCALE_PART))
        self._numerator, self._denominator = scale.numerator, scale.denominator
        self._others: set[str] = set()
        self._offset_ns = 0
        self.counts_tokens = False
        self.pass_queries: int | None = None
        self._given, self._tied, self._tick_ns = 0, 0, 0
        self._seen: set[str] = set()
        self._file_rows, self._file_ns = 0, 0
        self._prompts, self._outputs, self._lines = array("q"), array("q"), array("q")
        self._spread_ns = spread_ns
        self._generator = np.random.Generator(np.random.PCG64(seed)) if spread_ns else None
        self._times = self._one_pass()
        self._first: int | None = next(self._times, None)
        if self._first is None:
            self._refuse_empty()

    @property
    def skipped(self) -> int:
        """Bad rows left out of the present pass."""
        return self._trace.skipped

    def lengths(self, count: int) -> Pairs:
        """Lengths of the first ``count`` requests, which were taken before; the trace was opened for them."""
        prompts, outputs = (np.array(column[:count], np.int64) for column in (self._prompts, self._outputs))
        return Pairs(prompts, outputs)

    def rows(self, count: int) -> tuple[str, NDArray[np.int64]]:
        """The file, and the lines of the first ``count`` requests, as :meth:`lengths`."""
        return str(self._trace.path), np.array(self._lines[:count], np.int64)

    def _refuse_empty(self) -> None:
        wanted = ", ".join(sorted(self._tenants)) if self._tenants else "any tenant"
        seen = (
            f"the file has {', '.join(sorted(self._others)[:8])}"
            if self._others
            else "give a trace with rows"
        )
        raise TrafficError(f"no row for {wanted}", where=str(self._trace.path), accepted=seen)

    def _wanted(self, tenant: str | None) -> bool:
        if self._tenants is None:
            return True
        if tenant is not None and tenant in self._tenants:
            self._seen.add(tenant)
            return True
        if tenant is not None and len(self._others) < 8:
            self._others.add(tenant[:60])
        return False

    def _meet_tokens(self, row: TraceRow) -> None:
        self.counts_tokens = True
        if self._uncounted:
            raise self._trace.refusal(
                row.line,
                "",
                f"counts tokens ({row.prompt}), and every request of this model costs the same",
                "give llm, or tokens: ignore to replay the arrival times only",
            )

    def _one_pass(self) -> Iterator[int]:
        """This tenant's times of one pass, relative to the file's first row."""
        self._file_rows, self._file_ns = 0, 0
        times = self._sorted_times() if self._sort else self._read()
        if self._generator is None:
            return times
        return spread_ticks(times, self._spread_ns, self._generator)

    def _gap_ns(self) -> int:
        """From the last row to where the file begins again: the mean time between two rows, or a tick."""
        mean = self._file_ns // (self._file_rows - 1) if self._file_rows > 1 else 0
        return max(mean, self._spread_ns)

    def _read(self) -> Iterator[int]:
        origin: int | None = None
        before = 0
        for row in self._trace.rows():
            if origin is None:
                origin = before = row.time_ns
            self._file_rows += 1
            self._file_ns = max(self._file_ns, row.time_ns - origin)
            if not self._wanted(row.tenant):
                continue
            if row.time_ns < before:
                late = (before - row.time_ns) / 1e9
                self._trace.bad_row(
                    row.line,
                    self._trace.time_column,
                    f"goes back in time by {late:g} s",
                    "sort the rows, say sort: true",
                )
                continue
            before = row.time_ns
            if row.prompt:
                self._meet_tokens(row)
            if self._keep_tokens:
                self._prompts.append(row.prompt)
                self._outputs.append(row.output)
                self._lines.append(row.line)
            yield row.time_ns - origin

    def _sorted_times(self) -> Iterator[int]:
        times, origin, last = array("q"), None, 0
        prompts, outputs, lines = array("q"), array("q"), array("q")
        for row in self._trace.rows():
            last = row.time_ns if origin is None else max(last, row.time_ns)
            origin = row.time_ns if origin is None else min(origin, row.time_ns)
            self._file_rows += 1
            if self._wanted(row.tenant):
                times.append(row.time_ns)
                if row.prompt:
                    self._meet_tokens(row)
                if self._keep_tokens:
                    prompts.append(row.prompt)
                    outputs.append(row.output)
                    lines.append(row.line)
                if len(times) > _MAX_SORTED:
                    raise self._trace.refusal(
                        row.line, "", f"more than {_MAX_SORTED:,} rows to sort", "split the file"
                    )
        view = np.frombuffer(times, np.int64) if len(times) else np.empty(0, np.int64)
        if self._keep_tokens:
            order = np.argsort(view, kind="stable")
            own = self._prompts, self._outputs, self._lines
            for kept, read in zip(own, (prompts, outputs, lines), strict=True):
                kept.frombytes(np.frombuffer(read, np.int64)[order].tobytes() if len(read) else b"")
        view.sort()
        self._file_ns = last - (origin or 0)
        for start in range(0, len(view), CHUNK):
            yield from (view[start : start + CHUNK] - (origin or 0)).tolist()

    def _scaled(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        # The first unscaled time that lies beyond what can arrive: products of larger ones leave 64 bits.
        beyond = MAX_ARRIVAL_NS * self._denominator // self._numerator + self._denominator
        whole, rest = np.divmod(np.minimum(times, min(beyond, _MAX_SPAN_NS)), self._denominator)
        scaled: NDArray[np.int64] = whole * self._numerator + rest * self._numerator // self._denominator
        return np.minimum(scaled, MAX_ARRIVAL_NS)

    def _more(self) -> NDArray[np.int64]:
        piece = list(islice(self._times, CHUNK))
        if self._first is not None:
            piece.insert(0, self._first)
            self._first = None
        if not piece:
            if self.pass_queries is None:
                self.pass_queries = self._given
            if not self._loop:
                return np.empty(0, np.int64)
            self._begin_again()
            piece = list(islice(self._times, CHUNK))
        self._look_at(piece)
        if piece[-1] + self._offset_ns > _MAX_SPAN_NS:
            raise TrafficError(
                f"spans more than {_MAX_SPAN_NS / 1e9:.2g} s",
                where=str(self._trace.path),
                accepted="give a shorter trace, or loop: false",
            )
        return self._scaled(np.array(piece, np.int64) + self._offset_ns)

    def _look_at(self, piece: list[int]) -> None:
        """Count requests that come at one moment, and find what all moments are multiples of."""
        self._given += len(piece)
        times = np.array(piece, np.int64)
        same = np.concatenate(([False], times[1:] == times[:-1], [False]))
        self._tied += int(np.count_nonzero(same[1:] | same[:-1]))
        self._tick_ns = math.gcd(self._tick_ns, int(np.gcd.reduce(times)))

    @property
    def said(self) -> tuple[str, ...]:
        """What of the rows that were read so far shows in a result and is not explained by it."""
        found = []
        if self.pass_queries is not None and (missing := sorted((self._tenants or frozenset()) - self._seen)):
            found.append(f"no row of its trace is of {first_of(missing, _NAMED)}")
        clock, seconds = self._clock()
        if seconds and not self._spread_ns and self._given >= _LEAST_TOLD and self._tied > self._given / 2:
            found.append(
                f"{self._tied:,} of {self._given:,} requests come in one {clock} with others, "
                f"and so at once; spread_ms: {1000 * seconds} spreads them over it"
            )
        return tuple(found)

    def _clock(self) -> tuple[str, int]:
        """The coarsest clock that gives all moments read so far, and its seconds; 0 if none is as coarse."""
        tick_ns = self._tick_ns or NS_PER_S
        return next(((name, s) for name, s in _CLOCKS if tick_ns % (s * NS_PER_S) == 0), ("", 0))

    def _begin_again(self) -> None:
        gap = self._gap_ns()
        if gap <= 0:
            raise TrafficError(
                "cannot be looped: its rows all have one time",
                where=str(self._trace.path),
                accepted="loop: false",
            )
        self._offset_ns += self._file_ns + gap
        self._times = self._one_pass()
