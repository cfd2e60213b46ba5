"""``points.csv`` and ``points.parquet``: one row per point, every axis and every metric a column."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.study.sweep.known import KnownPoints
from layerweaver.backend_sim.study.sweep.store import WRITTEN, Store
from layerweaver.ir import atomic_write
from layerweaver.ir.csv_text import MARKED, CsvWriter

__all__ = ["point_columns", "point_rows", "write_tables"]

_BLOCK_BYTES = 1 << 24
"""Read at once; a longer line would be refused."""


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


def write_tables(store: Store, axes: Sequence[str], folder: Path) -> None:
    """Write the CSV and, where pyarrow is installed, the Parquet file; both atomically.

    Tables that have all points are left as they are.

    Raises:
        OutputError: If a file cannot be written.
    """
    names = ["points.csv"]
    if importlib.util.find_spec("pyarrow") is not None:
        names.append("points.parquet")
    written = store.note(WRITTEN)
    if written is not None and written == {name: _hash(folder / name) for name in names}:
        return
    columns = point_columns(store, axes)
    with atomic_write(folder / "points.csv") as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=False)
        CsvWriter(text).writerow(columns)
        text.writelines(f"{line}\n" for line in store.lines(columns))
        text.detach()
    if len(names) > 1:
        with store.refusing():
            _write_parquet(folder / "points.csv", columns, store.kinds(columns), folder / "points.parquet")
    store.put_note(WRITTEN, {name: _hash(folder / name) for name in names})


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def _write_parquet(table: Path, columns: Sequence[str], kinds: Sequence[set[str]], path: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415 - optional and heavy
    from pyarrow import csv, parquet  # noqa: PLC0415

    types = [_arrow_type(pa, kind - {"n"}) for kind in kinds]
    schema = pa.schema(zip(columns, types, strict=True))
    converting = csv.ConvertOptions(
        column_types=schema,
        null_values=[""],
        strings_can_be_null=True,
        true_values=["True"],
        false_values=["False"],
    )
    with atomic_write(path) as stream, parquet.ParquetWriter(stream, schema) as writer:
        if not any(kinds):
            return
        reading = csv.ReadOptions(block_size=_BLOCK_BYTES, column_names=columns, skip_rows=1)
        parsing = csv.ParseOptions(newlines_in_values=True)
        with csv.open_csv(table, reading, parsing, converting) as pieces:
            for piece in pieces:
                writer.write_batch(pa.record_batch([_names(pa, cells) for cells in piece], schema=schema))


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
