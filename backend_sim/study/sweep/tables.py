"""``points.csv`` and ``points.parquet``: one row per point, every axis and every metric a column."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.study.sweep.axes import label
from layerweaver.backend_sim.study.sweep.store import WRITTEN, KnownPoints, Store
from layerweaver.ir import atomic_write
from layerweaver.ir.csv_text import CsvWriter

__all__ = ["point_columns", "point_rows", "write_tables"]

_PIECE = 2_000


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
        yield [number, *map(label, values), *found, error or None]


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
    kinds: list[set[type]] = [set() for _ in columns]
    with atomic_write(folder / "points.csv") as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=False)
        writer = CsvWriter(text)
        writer.writerow(columns)
        for row in point_rows(store, axes, columns):
            writer.writerow(row)
            for kind, cell in zip(kinds, row, strict=True):
                kind.add(type(cell))
        text.detach()
    if len(names) > 1:
        _write_parquet(point_rows(store, axes, columns), columns, kinds, folder / "points.parquet")
    store.put_note(WRITTEN, {name: _hash(folder / name) for name in names})


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def _write_parquet(
    rows: Iterator[list[Any]], columns: Sequence[str], kinds: Sequence[set[type]], path: Path
) -> None:
    import pyarrow as pa  # noqa: PLC0415 - optional and heavy
    from pyarrow import parquet  # noqa: PLC0415

    known = [kind - {type(None)} for kind in kinds]
    schema = pa.schema([(name, _arrow_type(pa, kind)) for name, kind in zip(columns, known, strict=True)])
    texts = [field.type == pa.string() for field in schema]
    with atomic_write(path) as stream, parquet.ParquetWriter(stream, schema) as writer:
        while piece := list(islice(rows, _PIECE)):
            arrays = [
                pa.array([_cell(value, text) for value in column], type=field.type)
                for column, text, field in zip(zip(*piece, strict=True), texts, schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _cell(value: Any, as_text: bool) -> Any:
    return str(value) if as_text and value is not None else value


def _arrow_type(pa: Any, kinds: set[type]) -> Any:
    if kinds <= {bool} and kinds:
        return pa.bool_()
    if kinds <= {int} and kinds:
        return pa.int64()
    if kinds <= {int, float} and kinds:
        return pa.float64()
    return pa.string()
