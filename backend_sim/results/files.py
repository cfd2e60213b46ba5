"""Results as files: JSON, CSV and Parquet, one row per run and tenant, written atomically."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from layerweaver.backend_sim.results.metrics import RUN_METRICS, TOKEN_METRICS, system_metrics, tenant_metrics
from layerweaver.backend_sim.results.schema.metric import Metric, Shown, Value
from layerweaver.backend_sim.results.schema.peak import Peak, PeakRow
from layerweaver.backend_sim.results.schema.run import Comparison, Run
from layerweaver.ir import OutputError, atomic_write, check_writable, write_text
from layerweaver.ir.csv_text import CsvWriter
from layerweaver.ir.extras import need_extra
from layerweaver.ir.files import is_stream

ORIGIN = ("seeds", "rate_factor", "scenario", "search", "interrupted")
"""Columns, last in a file, that hold how a result was made as JSON."""

_SAID = ("notes", "warnings")
"""Columns before these that hold what the numbers do not explain."""

__all__ = [
    "ORIGIN",
    "check_result_path",
    "of_one_type",
    "option_cells",
    "result_csv",
    "result_parquet",
    "result_rows",
    "save_result",
]


def result_rows(document: Mapping[str, object]) -> list[dict[str, Value]]:
    """A result as flat rows: one per run and tenant, or of a peak search one per policy.

    Columns are the metrics' keys; of repetitions with other seeds, each is the mean and has ``KEY_low`` and
    ``KEY_high`` beside it, its 95% interval; where ``KEY_mean`` stands beside it, it is the first
    repetition's and that the mean of all; status, verdict, reasons and what is missing are the worst
    repetition's. Wall times and dates (the key ``run``) are left out, so equal input gives equal files. The
    first row of each run has its ``notes`` and ``warnings``, and in :data:`ORIGIN` what it takes to run it
    again.
    """
    if "results" in document:
        peak = cast("Peak", document)
        bound: dict[str, Value] = {"bound_qps": peak["bound_qps"]}
        plain = [
            bound
            | {"policy": row["policy"]}
            | option_cells(row)
            | ({"seed": peak["seed"]} if "seed" in peak else {})
            | _flat(row, skip=("trial_points", "policy_options"))
            for row in peak["results"]
        ]
        return _with_origin(plain, peak)
    rows: list[dict[str, Value]] = []
    for run in cast("Comparison", document)["runs"] if "runs" in document else [cast("Run", document)]:
        head: dict[str, Value] = {"policy": run["policy"], **option_cells(run), "npu": str(run["npu"])}
        if "seed" in run:
            head["seed"] = run["seed"]
        spreads, means = run.get("confidence"), run.get("means")
        system = _cells(
            system_metrics(), run["system"], spreads and spreads["system"], means and means["system"]
        )
        own: list[dict[str, Value]] = []
        for index, tenant in enumerate(run["tenants"]):
            spread, mean = spreads and spreads["tenants"][index], means and means["tenants"][index]
            own.append(
                head
                | _cells(RUN_METRICS, run, None, means and means["run"])
                | {"name": tenant["name"]}
                | _cells(tenant_metrics(), tenant, spread, mean)
                | (_cells(TOKEN_METRICS, tenant, spread, mean) if "llm" in tenant else {})
                | {f"system.{key}": value for key, value in system.items()}
            )
        rows += _with_origin(own, run)
    return rows


def option_cells(document: Run | PeakRow) -> dict[str, Value]:
    """The options of a result's policy, a column each."""
    return {f"policy_options.{name}": value for name, value in document.get("policy_options", {}).items()}


def _with_origin(rows: list[dict[str, Value]], document: Mapping[str, object]) -> list[dict[str, Value]]:
    """Rows whose first one has notes and warnings, and says how they were made, as JSON: the same for all."""
    origin: dict[str, Value] = {key: _listed(document[key]) for key in _SAID if document.get(key)}
    origin |= {
        key: json.dumps(document[key], ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        for key in ORIGIN
        if document.get(key) is not None
    }
    return [row | (origin if place == 0 else {}) for place, row in enumerate(rows)]


def _cells(
    metrics: Sequence[Metric],
    document: Mapping[str, object],
    spread: Mapping[str, object] | None,
    means: Mapping[str, float] | None,
) -> dict[str, Value]:
    """The columns of some metrics, over repetitions each with its interval or, of the first one, the mean."""
    cells: dict[str, Value] = {}
    for metric in metrics:
        for key, value in metric.cells(document):
            cells[key] = value
            if means and key in means:
                cells[f"{key}_mean"] = means[key]
        if spread and Shown.SPREAD in metric.shown:
            low, high = metric.interval(spread)
            mean = cells.get(metric.key) if low is None else metric.mean(spread)
            cells |= {metric.key: mean, f"{metric.key}_low": low, f"{metric.key}_high": high}
    return cells


def _flat(values: Mapping[str, object], *, skip: Sequence[str]) -> dict[str, Value]:
    """The values of a mapping, lists as text."""
    return {
        key: value if isinstance(value, (str, int, float)) else None if value is None else _listed(value)
        for key, value in values.items()
        if key not in skip
    }


def _listed(value: object) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _columns(rows: list[dict[str, Value]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def result_csv(document: Mapping[str, object]) -> str:
    """A result as CSV with a header; empty where a value does not apply."""
    rows = result_rows(document)
    text = io.StringIO()
    columns = _columns(rows)
    writer = CsvWriter(text)
    writer.writerow(columns)
    writer.writerows([row.get(column) for column in columns] for row in rows)
    return text.getvalue()


def of_one_type(cells: Sequence[Any]) -> Sequence[Any]:
    """A column as typed tables take it: numbers, truth values or, where mixed, texts; None stays."""
    kinds = {type(cell) for cell in cells} - {type(None)}
    if len(kinds) <= 1:
        return cells
    one: Callable[[Any], Any] = float if kinds == {int, float} else str
    return [None if cell is None else one(cell) for cell in cells]


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


def save_result(document: Mapping[str, object], path: Path | str) -> None:
    """Write a result; the suffix chooses ``.json``, ``.csv`` or ``.parquet``; into devices and pipes, JSON.

    Raises:
        OutputError: If the suffix is another, the file cannot be written, or pyarrow is missing for Parquet.
    """
    check_result_path(path)
    target = Path(path)
    if target.suffix == ".parquet":
        with atomic_write(target) as stream:
            stream.write(result_parquet(document))
    elif target.suffix == ".csv":
        write_text(target, result_csv(document))
    else:
        write_text(target, json.dumps(document, indent=2, allow_nan=False) + "\n")


def result_parquet(document: Mapping[str, object]) -> bytes:
    """A result as a Parquet file, with the columns of the CSV; null where a value does not apply."""
    import pyarrow  # noqa: PLC0415 - optional and heavy
    from pyarrow import parquet  # noqa: PLC0415

    rows = result_rows(document)
    table = pyarrow.table({name: of_one_type([row.get(name) for row in rows]) for name in _columns(rows)})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()
