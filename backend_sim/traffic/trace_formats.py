"""Formats of recorded traces: when a request came and whose it was.

Formats: ``csv`` (``tenant,query,arrival_ns`` as ``layerweaver traffic`` writes it, or ``timestamp,tenant``
with ISO 8601 times or numbers), ``azure-llm`` (``TIMESTAMP,ContextTokens,GeneratedTokens``),
``azure-functions`` (``app,func,end_timestamp,duration`` in seconds; a request arrives at end minus duration),
``burstgpt`` (``Timestamp``, ``Model``) and ``mooncake`` (JSON lines with ``timestamp`` in ms). ``parquet``
has the columns of ``csv``; of both, others can be named. A file whose name ends in ``.gz`` is unpacked as it
is read. Lines of a CSV that begin with ``#`` are comments, unless they are rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from layerweaver.backend_sim.traffic.trace_columns import UNITS_NS, TraceColumns
from layerweaver.backend_sim.traffic.trace_times import BadValueError, TraceClock, number_ns, whole_ns
from layerweaver.ir.csv_text import cell_text

__all__ = ["FORMATS", "Parse", "TraceFormat", "TraceRow", "named_format"]


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One request of a trace.

    Attributes:
        line: Line in the file, from 1.
        time_ns: Recorded time, from any origin.
        tenant: Whose request it was; None when the format does not say.
        prompt: Tokens of its prompt; 0 unless they were asked for.
        output: Tokens of its output; 0 unless they were asked for.
    """

    line: int
    time_ns: int
    tenant: str | None
    prompt: int = 0
    output: int = 0


Row = Mapping[str, str]
Parse = Callable[[Row, TraceClock], tuple[int, str | None]]


@dataclass(frozen=True, slots=True)
class TraceFormat:
    """How one kind of file is read.

    Attributes:
        columns: Sets of columns, the first of which that the file has is used.
        parse: Per set, what makes a time and a tenant of a row.
        in_order: Whether rows should be ascending in time.
        own_tenant: Whether a tenant takes the rows of its own name unless told otherwise.
        json_lines: One JSON object a line instead of CSV.
        parquet: A Parquet file instead of CSV.
        tokens: Columns of the prompt's and the output's tokens; none if it never has any.
    """

    columns: tuple[tuple[str, ...], ...]
    parse: tuple[Parse, ...]
    in_order: bool = True
    own_tenant: bool = False
    json_lines: bool = False
    parquet: bool = False
    tokens: tuple[str, ...] = ()

    def names_in(self, header: Sequence[str]) -> list[str]:
        """The names of a header, those that differ from a column's only in capitals as that column.

        A name stays as it is where the column is there as well, or another name is as like it.
        """
        known = dict.fromkeys((*chain.from_iterable(self.columns), *self.tokens))
        folded = [name.casefold() for name in header]
        meant = {
            column.casefold(): column
            for column in known
            if column not in header and folded.count(column.casefold()) == 1
        }
        return [meant.get(fold, name) for fold, name in zip(folded, header, strict=True)]


def _at(column: str, tenant: str | None = None) -> Parse:
    """A row with its time in one column, and its tenant in another."""
    return lambda row, clock: (clock.moment_ns(row[column], column), row[tenant] if tenant else None)


def _functions_row(row: Row, clock: TraceClock) -> tuple[int, str | None]:  # noqa: ARG001 - always seconds
    end_ns = number_ns(row["end_timestamp"], "end_timestamp", 10**9)
    duration_ns = number_ns(row["duration"], "duration", 10**9)
    if duration_ns < 0:
        raise BadValueError("duration", "is negative", "give seconds, 0 or more")
    return end_ns - duration_ns, row["func"]


FORMATS: dict[str, TraceFormat] = {
    "csv": TraceFormat(
        (("tenant", "arrival_ns"), ("timestamp", "tenant")),
        (
            lambda row, _: (whole_ns(row["arrival_ns"], "arrival_ns"), cell_text(row["tenant"])),
            lambda row, clock: (clock.moment_ns(row["timestamp"], "timestamp"), cell_text(row["tenant"])),
        ),
        own_tenant=True,
        tokens=("prompt", "output"),
    ),
    "azure-llm": TraceFormat(
        (("TIMESTAMP",),), (_at("TIMESTAMP"),), tokens=("ContextTokens", "GeneratedTokens")
    ),
    "azure-functions": TraceFormat(
        (("func", "end_timestamp", "duration"),), (_functions_row,), in_order=False
    ),
    "burstgpt": TraceFormat(
        (("Timestamp", "Model"), ("Timestamp",)),
        (_at("Timestamp", "Model"), _at("Timestamp")),
        tokens=("Request tokens", "Response tokens"),
    ),
    "mooncake": TraceFormat(
        (("timestamp",),),
        (lambda row, _: (number_ns(row["timestamp"], "timestamp", 10**6), None),),
        json_lines=True,
        tokens=("input_length", "output_length"),
    ),
}

FORMATS["parquet"] = replace(FORMATS["csv"], parquet=True)


def named_format(columns: TraceColumns, kind: str) -> TraceFormat:
    """A ``csv`` or ``parquet`` file whose columns a scenario names."""
    time, tenant = columns.time, columns.tenant
    unit_ns = UNITS_NS[columns.unit] if columns.unit is not None else 0

    def parse(row: Row, clock: TraceClock) -> tuple[int, str | None]:
        at_ns = number_ns(row[time], time, unit_ns) if unit_ns else clock.moment_ns(row[time], time)
        return at_ns, None if tenant is None else cell_text(row[tenant])

    named = (time,) if tenant is None else (time, tenant)
    return TraceFormat(
        (named,),
        (parse,),
        own_tenant=tenant is not None,
        parquet=FORMATS[kind].parquet,
        tokens=columns.tokens,
    )
