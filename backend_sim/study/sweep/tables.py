"""``points.csv`` and ``points.parquet``: one row per point, every axis and every metric a column."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.scenario.provenance import file_hash
from layerweaver.backend_sim.study.sweep.known import KnownPoints
from layerweaver.backend_sim.study.sweep.store import WRITTEN, Store
from layerweaver.ir import atomic_write
from layerweaver.ir.csv_text import MARKED, CsvWriter

__all__ = ["point_columns", "point_rows", "write_tables"]

_ORIGIN = "study"
_ROWS = 2048
"""Written at once."""


def point_columns(points: KnownPoints, axes: Sequence[str]) -> list[str]:
    """Columns of the table: the number, the axes, the metrics, and why a point failed."""
    metrics = [name for name in points.columns() if name not in axes]
    return ["point", *axes, *metrics, "error"]


def point_rows(
    points: KnownPoints, axes: Sequence[str], columns: Sequence[str], numbers: Sequence[int] | None = None
) -> Iterator[list[Any]]:
    """Cells of all points, or of some, in order."""
    places: dict[tuple[str, ...], list[int | None]] = {}
    metrics = columns[1 + len(axes) : -1]
    for number, values, names, cells, error in points.rows(numbers):
        taken = places.get(names)
        if taken is None:
            known = {name: place for place, name in enumerate(names)}
            taken = places[names] = [known.get(name) for name in metrics]
        found = [None if place is None else cells[place] for place in taken]
        yield [number, *values, *found, error or None]


def write_tables(store: Store, axes: Sequence[str], folder: Path, origin: str = "") -> None:
    """Write the CSV and, where pyarrow is installed, the Parquet file; both atomically.

    Tables that have all points are left as they are. The Parquet file has the origin in its metadata, the CSV
    in a last column, where the first point has it, as results in CSV have theirs.

    Raises:
        OutputError: If a file cannot be written.
    """
    names = ["points.csv"]
    if importlib.util.find_spec("pyarrow") is not None:
        names.append("points.parquet")
    written = store.note(WRITTEN)
    if written is not None and written == {name: file_hash(folder / name) or "" for name in names}:
        return
    columns = point_columns(store, axes)
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(atomic_write(folder / "points.csv"))
        head = io.StringIO(newline="")
        CsvWriter(head).writerow([*columns, *([_ORIGIN] if origin else [])])
        stream.write(head.getvalue().encode())
        add = None
        if len(names) > 1:
            stack.enter_context(store.refusing())
            add = stack.enter_context(
                _parquet(folder / "points.parquet", columns, store.kinds(columns), origin)
            )
        lines, ends = store.lines(columns), _ends(origin)
        while piece := list(itertools.islice(lines, _ROWS)):
            stream.write("".join(f"{line}{next(ends)}\n" for line in piece).encode())
            if add is not None:
                add("".join(f"{line}\n" for line in piece).encode())
    store.put_note(WRITTEN, {name: file_hash(folder / name) or "" for name in names})


def _ends(origin: str) -> Iterator[str]:
    """What stands behind each line: the origin behind the first, and an empty cell behind the others."""
    if not origin:
        return itertools.repeat("")
    cell = io.StringIO(newline="")
    CsvWriter(cell).writerow(["", origin])
    return itertools.chain([cell.getvalue().rstrip("\r\n")], itertools.repeat(","))


@contextlib.contextmanager
def _parquet(
    path: Path, columns: Sequence[str], kinds: Sequence[set[str]], origin: str
) -> Iterator[Callable[[bytes], None]]:
    """Writes lines of the CSV file that it is given, so many at once, as groups of rows."""
    import pyarrow as pa  # noqa: PLC0415 - optional and heavy
    from pyarrow import csv, parquet  # noqa: PLC0415

    schema = pa.schema(
        [(name, _arrow_type(pa, kind - {"n"})) for name, kind in zip(columns, kinds, strict=True)],
        metadata={"layerweaver.study": origin},
    )
    texts = [field.name for field in schema if field.type == pa.string()]
    converting = csv.ConvertOptions(
        column_types=schema,
        null_values=[""],
        strings_can_be_null=True,
        true_values=["True"],
        false_values=["False"],
    )
    parsing = csv.ParseOptions(newlines_in_values=True)

    def add(lines: bytes) -> None:
        # One block: a line that is longer than a block is refused.
        reading = csv.ReadOptions(column_names=columns, block_size=len(lines) + 1, use_threads=False)
        table = csv.read_csv(pa.BufferReader(lines), reading, parsing, converting)
        writer.write_table(pa.table([_names(pa, cells) for cells in table.columns], schema=schema))

    with atomic_write(path) as stream, parquet.ParquetWriter(stream, schema, use_dictionary=texts) as writer:
        yield add


def _names(pa: Any, cells: Any) -> Any:
    """Texts as they were before spreadsheets were kept from running them."""
    if cells.type != pa.string():
        return cells
    from pyarrow import compute  # noqa: PLC0415

    return compute.replace_substring_regex(cells, pattern=MARKED, replacement=r"\1")


def _arrow_type(pa: Any, kinds: set[str]) -> Any:
    if kinds == {"b"}:
        return pa.bool_()
    if kinds == {"i"}:
        return pa.int64()
    if kinds and kinds <= {"i", "f"}:
        return pa.float64()
    return pa.string()
