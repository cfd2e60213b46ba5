"""``points.csv`` and ``points.parquet``: one row per point, every axis and every metric a column."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.study.sweep.axes import label
from layerweaver.backend_sim.study.sweep.store import Store
from layerweaver.ir import atomic_write
from layerweaver.ir.csv_text import CsvWriter

__all__ = ["point_columns", "point_rows", "write_tables"]

_PIECE = 2_000


def point_columns(store: Store, axes: Sequence[str]) -> list[str]:
    """Columns of the table: the number, the axes, the metrics, and why a point failed."""
    metrics = [name for name in store.columns() if name not in axes]
    return ["point", *axes, *metrics, "error"]


def point_rows(store: Store, axes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Every point as a mapping, in order; an axis wins over a metric of its name."""
    for number, values, metrics, error in store.rows():
        named = {name: label(value) for name, value in zip(axes, values, strict=True)}
        yield {"point": number, **metrics, **named, "error": error or None}


def write_tables(store: Store, axes: Sequence[str], folder: Path) -> None:
    """Write the CSV and, where pyarrow is installed, the Parquet file; both atomically.

    Raises:
        OutputError: If a file cannot be written.
    """
    columns = point_columns(store, axes)
    with atomic_write(folder / "points.csv") as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        writer = CsvWriter(text)
        writer.writerow(columns)
        writer.writerows([row.get(name) for name in columns] for row in point_rows(store, axes))
        text.detach()
    if importlib.util.find_spec("pyarrow") is not None:
        _write_parquet(store, axes, columns, folder / "points.parquet")


def _write_parquet(store: Store, axes: Sequence[str], columns: Sequence[str], path: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415 - optional and heavy
    from pyarrow import parquet  # noqa: PLC0415

    kinds: dict[str, set[type]] = {name: set() for name in columns}
    for row in point_rows(store, axes):
        for name in columns:
            if row.get(name) is not None:
                kinds[name].add(type(row[name]))
    schema = pa.schema([(name, _arrow_type(pa, kinds[name])) for name in columns])
    texts = {name for name in columns if schema.field(name).type == pa.string()}
    rows = point_rows(store, axes)
    with atomic_write(path) as stream, parquet.ParquetWriter(stream, schema) as writer:
        while piece := list(islice(rows, _PIECE)):
            arrays = [[_cell(row.get(name), name in texts) for row in piece] for name in columns]
            writer.write_table(pa.table(dict(zip(columns, arrays, strict=True)), schema=schema))


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
