"""Results as files: JSON, CSV and Parquet, one row per run and tenant, written atomically."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layerweaver.ir import OutputError, atomic_write, check_writable, write_text
from layerweaver.ir.csv_text import CsvWriter
from layerweaver.ir.extras import need_extra
from layerweaver.ir.files import is_stream

__all__ = ["check_result_path", "result_csv", "result_rows", "save_result"]


def _runs(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(document["runs"]) if "runs" in document else [document]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys; lists as text."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        elif isinstance(value, (list, tuple)):
            flat[f"{prefix}{key}"] = "; ".join(str(item) for item in value)
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _of_one_row(values: Mapping[str, Any]) -> dict[str, Any]:
    """What belongs into one row: distributions and single trials do not."""
    return {key: value for key, value in values.items() if key not in {"latency_histogram", "trial_points"}}


def result_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A result as flat rows: one per run and tenant, or of a peak search one per policy.

    Wall times and dates (the key ``run``) are left out, so equal input gives equal files.
    """
    if "results" in document:
        bound = {"bound_qps": document["bound_qps"]}
        return [{**bound, **_flat(_of_one_row(row))} for row in document["results"]]
    rows: list[dict[str, Any]] = []
    for run in _runs(document):
        shared = {key: run[key] for key in ("policy", "npu", "simulated_s", "layers_executed")}
        system = _flat(run["system"], "system.")
        rows.extend({**shared, **_flat(_of_one_row(tenant)), **system} for tenant in run["tenants"])
    return rows


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def result_csv(document: Mapping[str, Any]) -> str:
    """A result as CSV with a header; empty where a value does not apply."""
    rows = result_rows(document)
    text = io.StringIO()
    columns = _columns(rows)
    writer = CsvWriter(text)
    writer.writerow(columns)
    writer.writerows([row.get(column) for column in columns] for row in rows)
    return text.getvalue()


def check_result_path(path: Path | str) -> None:
    """Refuse a file that no result could be written to, before the work is done.

    Raises:
        OutputError: If the suffix is not one of results, the file cannot be written, or pyarrow is missing
            for Parquet.
    """
    target = Path(path)
    if target.suffix not in {".json", ".csv", ".parquet"} and not is_stream(target):
        raise OutputError(
            f"{target.suffix or 'no suffix'} is not a format for results",
            where=str(target),
            accepted="give .json, .csv or .parquet",
        )
    if target.suffix == ".parquet":
        need_extra("pyarrow", "writing Parquet", "data", str(target))
    check_writable(target)


def save_result(document: Mapping[str, Any], path: Path | str) -> None:
    """Write a result; the suffix chooses ``.json``, ``.csv`` or ``.parquet``; into devices and pipes, JSON.

    Raises:
        OutputError: If the suffix is another, the file cannot be written, or pyarrow is missing for Parquet.
    """
    check_result_path(path)
    target = Path(path)
    if target.suffix == ".parquet":
        _save_parquet(document, target)
    elif target.suffix == ".csv":
        write_text(target, result_csv(document))
    else:
        write_text(target, json.dumps(document, indent=2, allow_nan=False) + "\n")


def _save_parquet(document: Mapping[str, Any], target: Path) -> None:
    import pyarrow  # noqa: PLC0415 - optional and heavy
    from pyarrow import parquet  # noqa: PLC0415

    rows = result_rows(document)
    table = pyarrow.table({name: [row.get(name) for row in rows] for name in _columns(rows)})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    with atomic_write(target) as stream:
        stream.write(buffer.getvalue())
