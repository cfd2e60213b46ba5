"""Reading the rows of a recorded trace one by one, whatever its format."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from layerweaver.backend_sim.traffic.lengths import MAX_TOKENS, token_count, token_mistake
from layerweaver.backend_sim.traffic.trace_columns import TraceColumns
from layerweaver.backend_sim.traffic.trace_formats import FORMATS, Parse, TraceRow, named_format
from layerweaver.backend_sim.traffic.trace_parquet import parquet_rows
from layerweaver.backend_sim.traffic.trace_times import BadValueError, TraceClock
from layerweaver.ir import TrafficError
from layerweaver.ir.csv_table import COMMAS, beyond_header, other_marks
from layerweaver.ir.csv_text import RowLines
from layerweaver.ir.files import open_file
from layerweaver.ir.json_text import RepeatedKeyError, object_of

__all__ = ["TraceFile"]

_TIME_COLUMNS = ("arrival_ns", "timestamp", "TIMESTAMP", "Timestamp", "end_timestamp")

_PARQUET = b"PAR1"


class TraceFile:
    """The rows of a trace file, read as they are needed.

    Args:
        path: The file.
        kind: One of :data:`FORMATS`.
        skip_bad_rows: Leave rows out that cannot be read, and count them.
        with_tokens: Read the tokens of every row too, and refuse a file without.
        tokens_if_any: Read the tokens that are there, 0 for others, and count all of a row as its prompt.
        tenants: Whose rows have their tokens read; None for all.
        columns: Columns that are named; None for those of the format.

    Attributes:
        skipped: Rows left out so far in the present reading.
        time_column: Column that holds the time, once the header is read.
    """

    def __init__(
        self,
        path: Path,
        kind: str,
        *,
        skip_bad_rows: bool = False,
        with_tokens: bool = False,
        tokens_if_any: bool = False,
        tenants: frozenset[str] | None = None,
        columns: TraceColumns | None = None,
    ) -> None:
        self.path, self.skip_bad_rows = path, skip_bad_rows
        self.format = FORMATS[kind] if columns is None else named_format(columns, kind)
        self.kind, self.with_tokens = kind, with_tokens
        self._tokens_if_any, self._tenants = tokens_if_any, tenants
        self.time_column = self.format.columns[0][-1] if columns is None else columns.time
        self._named = columns is not None
        self.skipped = 0

    def rows(self) -> Iterator[TraceRow]:
        """Every readable row, in the file's order.

        Raises:
            TrafficError: If the file cannot be read, lacks a column, or (unless bad rows are skipped) has a
                row that cannot be read; with file, line and column.
        """
        self.skipped = 0
        if self.format.parquet:
            yield from self._parquet_rows(TraceClock(self.path, foreign=self._named))
            return
        try:
            stream = open_file(self.path)
        except OSError as failure:
            raise TrafficError(
                f"cannot be read ({failure.strerror})", where=str(self.path), accepted="give a trace file"
            ) from None
        with stream:
            packed = self.path.suffix == ".gz"
            plain = io.BufferedReader(gzip.GzipFile(fileobj=stream)) if packed else stream
            if not packed and stream.peek(len(_PARQUET)).startswith(_PARQUET):
                raise self.refusal(0, "", "is a Parquet file", "give format: parquet")
            text = io.TextIOWrapper(plain, encoding="utf-8-sig", errors="replace", newline="")
            clock = TraceClock(self.path, foreign=self._named)
            yield from self._json_rows(text, clock) if self.format.json_lines else self._csv_rows(text, clock)

    def refusal(self, line: int, column: str, what: str, accepted: str) -> TrafficError:
        """The error about a row."""
        where = str(self.path) + (f":{line}" if line else "") + (f", column {column!r}" if column else "")
        return TrafficError(what, where=where, accepted=accepted)

    def bad_row(self, line: int, column: str, what: str, accepted: str) -> None:
        """Count a row that is left out, or refuse it.

        Raises:
            TrafficError: Unless bad rows are skipped.
        """
        if not self.skip_bad_rows:
            raise self.refusal(line, column, what, f"{accepted}, or skip bad rows")
        self.skipped += 1

    def _too_long(self, line: int) -> TrafficError:
        return self.refusal(line, "", "the row is longer than 1 MiB", "give a trace file")

    def _read(self, lines: Iterable[str]) -> Iterator[str]:
        try:
            yield from lines
        except (OSError, EOFError, zlib.error) as failure:
            reason = getattr(failure, "strerror", None) or failure
            raise TrafficError(f"cannot be read ({reason})", where=str(self.path)) from None

    def _csv_rows(self, stream: IO[str], clock: TraceClock) -> Iterator[TraceRow]:
        lines = RowLines(stream, self._too_long)
        reader = csv.reader(self._read(lines))
        names: Sequence[str] | None = None
        parse, used, width = self.format.parse[0], list[tuple[int, str]](), 0
        counted: tuple[int, ...] = ()
        while True:
            try:
                fields = next(reader)
                lines.row_ended()
            except StopIteration:
                break
            except csv.Error as failure:
                self.bad_row(reader.line_num, "", f"is not CSV ({failure})", "give comma-separated values")
                lines.row_ended()
                continue
            comment = bool(fields) and fields[0].startswith("#")
            if not fields or (comment and (names is None or len(fields) < width)):
                continue
            if names is None:
                names = self.format.names_in([name.strip() for name in fields])
                parse, used = self._choose(names, reader.line_num)
                counted = self._token_columns(names, reader.line_num)
                width = max(position for position, _ in used) + 1
                continue
            line = reader.line_num
            if len(fields) < width:
                self.bad_row(line, names[len(fields)], "the row has too few values", "give every column")
                continue
            if not comment and (extra := beyond_header(names, fields)):
                self.bad_row(line, "", extra, f"give {COMMAS}")
                continue
            try:
                time_ns, tenant = parse({name: fields[position] for position, name in used}, clock)
            except BadValueError as bad:
                if comment:
                    continue
                self.bad_row(line, bad.column, bad.what, bad.accepted)
                continue
            counts = [fields[place] if place < len(fields) else "" for place in counted]
            yield from self._counted(line, time_ns, tenant, counts)
        if names is None:
            raise self.refusal(1, "", "the file has no header", f"give the columns {self._accepted()}")

    def _token_columns(self, names: Sequence[str], line: int) -> tuple[int, ...]:
        if self._tokens_if_any:
            return tuple(self._place(names, column, line) for column in self.format.tokens if column in names)
        if not self.with_tokens:
            return ()
        if not self.format.tokens:
            raise self.refusal(
                line, "", "columns names no tokens", "lengths need columns: {prompt: ..., output: ...}"
            )
        accepted = f"lengths need {' and '.join(self.format.tokens)}"
        for column in self.format.tokens:
            if column not in names:
                raise self.refusal(line, column, "the column is missing", accepted)
        return tuple(self._place(names, column, line) for column in self.format.tokens)

    def _place(self, names: Sequence[str], column: str, line: int) -> int:
        if names.count(column) > 1:
            raise self.refusal(line, column, "the column appears twice", "give it once")
        return names.index(column)

    def _counted(
        self, line: int, time_ns: int, tenant: str | None, counts: Sequence[Any]
    ) -> Iterator[TraceRow]:
        """The row with its prompt and output, where the columns of these are read; none if they are bad."""
        if not counts or (self._tenants is not None and tenant not in self._tenants):
            yield TraceRow(line, time_ns, tenant)
            return
        if self._tokens_if_any:
            yield TraceRow(line, time_ns, tenant, sum(token_count(count) or 0 for count in counts))
            return
        prompt, output = token_count(counts[0]), token_count(counts[1])
        if prompt and output and max(prompt, output) <= MAX_TOKENS:
            yield TraceRow(line, time_ns, tenant, prompt, output)
            return
        for column, count in zip(self.format.tokens, counts, strict=True):
            if wrong := token_mistake(count):
                self.bad_row(line, column, *wrong)
                return

    def _accepted(self) -> str:
        return " or ".join(",".join(columns) for columns in self.format.columns)

    def _choose(self, names: Sequence[str], line: int) -> tuple[Parse, list[tuple[int, str]]]:
        for columns, parse in zip(self.format.columns, self.format.parse, strict=True):
            if all(column in names for column in columns):
                if not self._named:
                    self.time_column = next(name for name in _TIME_COLUMNS if name in columns)
                return parse, [(self._place(names, column, line), column) for column in columns]
        if not self.format.parquet and (marks := other_marks(names)):
            raise self.refusal(line, "", marks, COMMAS)
        missing = next(column for column in self.format.columns[0] if column not in names)
        accepted = f"{self.kind} files have {self._accepted()}"
        if self._named:
            accepted = f"the file has {', '.join(names)[:200]}"
        elif self.format.own_tenant:
            accepted += "; name others with columns: {time: ...}"
        raise self.refusal(line, missing, "the column is missing", accepted)

    def _parquet_rows(self, clock: TraceClock) -> Iterator[TraceRow]:
        parse, counted, used = self.format.parse[0], list[str](), dict[str, str]()

        def choose(stored: Sequence[str]) -> list[str]:
            nonlocal parse
            names = self.format.names_in(stored)
            parse, places = self._choose(names, 0)
            used.update((column, stored[place]) for place, column in places)
            counted.extend(stored[place] for place in self._token_columns(names, 0))
            return [*used.values(), *counted]

        for line, row in parquet_rows(self.path, choose):
            try:
                time_ns, tenant = parse({column: row[name] for column, name in used.items()}, clock)
            except BadValueError as bad:
                self.bad_row(line, bad.column, bad.what, bad.accepted)
                continue
            yield from self._counted(line, time_ns, tenant, [row[column] for column in counted])

    def _json_rows(self, stream: IO[str], clock: TraceClock) -> Iterator[TraceRow]:
        lines = RowLines(stream, self._too_long)
        for line, text in enumerate(self._read(lines), start=1):
            lines.row_ended()
            if not text.strip():
                continue
            try:
                record = json.loads(text, object_pairs_hook=object_of)
                stamp = record["timestamp"] if isinstance(record, dict) else None
            except RepeatedKeyError as twice:
                self.bad_row(line, twice.key[:60], "the key appears twice", "give it once")
                continue
            except (ValueError, RecursionError):
                self.bad_row(line, "", "is not a JSON object", "give one object a line")
                continue
            except KeyError:
                stamp = None
            if isinstance(stamp, bool) or not isinstance(stamp, (int, float)):
                self.bad_row(line, "timestamp", "has no number", "give milliseconds")
                continue
            try:
                time_ns, tenant = self.format.parse[0]({"timestamp": str(stamp)}, clock)
            except BadValueError as bad:
                self.bad_row(line, bad.column, bad.what, bad.accepted)
                continue
            read = self.format.tokens if self.with_tokens or self._tokens_if_any else ()
            counts = [_json_count(record.get(column)) for column in read]
            yield from self._counted(line, time_ns, tenant, counts)


def _json_count(value: object) -> str:
    return "" if value is None else json.dumps(value)[:40]
