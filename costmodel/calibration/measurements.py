"""Files of measured latencies, a network or one of its layers per line."""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from layerweaver.ir import ConfigError
from layerweaver.ir.csv_table import CsvTable
from layerweaver.ir.csv_text import cell_text

__all__ = ["Measurement", "Measurements", "read_measurements"]

MAX_FILE_BYTES = 16 << 20
MAX_ROWS = 10_000
MAX_MS = 1e9
MAX_BATCH = 65_536
KNOWN = ("model", "batch", "dims", "layer", "latency_ms", "metric", "sd_ms", "weight")
ACCEPTED = "columns model,batch,dims,latency_ms[,layer,metric,sd_ms,weight]"


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measured network, or one layer of it.

    Attributes:
        model: As written: a path relative to the file, or ``zoo:NAME``.
        source: What to load: the path from here, or ``zoo:NAME``.
        batch: Images per inference.
        dims: Bound symbolic dimensions.
        latency_ms: Milliseconds per image.
        sd_ms: Standard deviation of the measurement, 0 where unknown.
        weight: What it counts in a fit.
        where: File and line.
        layer: The layer that was timed alone; empty for the whole network.
    """

    model: str
    source: str
    batch: int
    dims: Mapping[str, int]
    latency_ms: float
    sd_ms: float
    weight: float
    where: str
    layer: str = ""

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"{self.model}: {self.layer}" if self.layer else self.model

    @property
    def held_out_with(self) -> str:
        """What is held out together in cross-validation: a network whatever its batch, or a layer."""
        return f"{self.source}\n{self.layer}"


@dataclass(frozen=True, slots=True)
class Measurements:
    """A file of measurements.

    Attributes:
        path: The file.
        sha256: Hash of its bytes.
        date: Day of its last change (UTC), year-month-day.
        rows: Its lines.
    """

    path: Path
    sha256: str
    date: str
    rows: tuple[Measurement, ...]


def read_measurements(path: Path, *, throughput: bool = False, model: str | None = None) -> Measurements:
    """Read a file of measured latencies; empty lines and lines that start with ``#`` are left out.

    Args:
        path: CSV with at least the columns model and latency_ms, or layer and latency_ms.
        throughput: Accept rows whose metric is throughput (an inverse throughput, as ms per image).

        model: The model of every row where the file has no column of that name.

    Raises:
        ConfigError: If the file cannot be read, has an unknown or missing column, no rows, a
            value out of range, a network or layer twice, or throughput rows without ``throughput``.
    """
    table = CsvTable(path, ConfigError, accepted=ACCEPTED, most_bytes=MAX_FILE_BYTES, most_rows=MAX_ROWS)
    changed = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
    if table.header:
        _check_header(table, model)
    rows: list[Measurement] = []
    seen: dict[tuple[str, int, str, str], str] = {}
    for where, cells in table.rows():
        row = _row({"model": model or "", **cells}, path.parent, where, throughput=throughput)
        if model is not None:
            row = replace(row, source=model)
        key = (row.source, row.batch, cells.get("dims", ""), row.layer)
        if key in seen:
            raise ConfigError(
                f"{row.name[:80]!r} was measured at {seen[key]} already", where=where, accepted="keep one"
            )
        seen[key] = f"line {where.rpartition(':')[2]}"
        rows.append(row)
    if not rows:
        raise ConfigError("has 0 measurements", where=str(path), accepted=ACCEPTED)
    return Measurements(path, hashlib.sha256(table.data).hexdigest(), changed.date().isoformat(), tuple(rows))


def _check_header(table: CsvTable, model: str | None) -> None:
    if model is not None and "model" in table.header:
        raise ConfigError(
            "has a column 'model' itself", where=table.where, accepted="leave out --model, or the column"
        )
    if model is None and "model" not in table.header and "layer" in table.header:
        raise ConfigError(
            "column 'model' is missing",
            where=table.where,
            accepted=f"say with --model whose layers these are; {ACCEPTED}",
        )
    table.require(("latency_ms",) if model is not None else ("model", "latency_ms"))
    for column in table.header:
        if column not in KNOWN:
            raise ConfigError(f"column {column[:40]!r} is not known", where=table.where, accepted=ACCEPTED)
    table.require(table.header)


def _row(cells: Mapping[str, str], folder: Path, where: str, *, throughput: bool) -> Measurement:
    model = cell_text(cells["model"])
    if not model or len(model) > 1000 or "\0" in model:
        raise ConfigError("names no model", where=f"{where}: model", accepted="a path, or zoo:NAME")
    metric = cells.get("metric", "") or "latency"
    if metric not in ("latency", "throughput"):
        raise ConfigError(
            f"{metric[:40]!r} is no metric", where=f"{where}: metric", accepted="latency or throughput"
        )
    if metric == "throughput" and not throughput:
        raise ConfigError(
            "is an inverse throughput, which hides what overlaps between images",
            where=f"{where}: metric",
            accepted="leave the row out, or say --throughput to take it as a latency",
        )
    sd = cells.get("sd_ms", "")
    weight = cells.get("weight", "")
    batch = cells.get("batch", "") or "1"
    if not (batch.isascii() and batch.isdigit() and 1 <= int(batch[:9]) <= MAX_BATCH and len(batch) < 9):
        raise ConfigError(
            f"{batch[:40]!r} is not accepted",
            where=f"{where}: batch",
            accepted=f"a whole number from 1 to {MAX_BATCH}",
        )
    return Measurement(
        model=model,
        source=model if model.startswith("zoo:") else str(folder / model),
        batch=int(batch),
        dims=_dims(cells.get("dims", ""), f"{where}: dims"),
        latency_ms=_number(cells["latency_ms"], f"{where}: latency_ms", least=1e-6),
        sd_ms=_number(sd, f"{where}: sd_ms", least=0.0) if sd else 0.0,
        weight=_number(weight, f"{where}: weight", least=1e-6) if weight else 1.0,
        where=where,
        layer=cell_text(cells.get("layer", "")),
    )


def _number(text: str, where: str, *, least: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= MAX_MS:
        raise ConfigError(
            f"{text[:40]!r} is not accepted", where=where, accepted=f"a number from {least:g} to {MAX_MS:g}"
        )
    return value


def _dims(text: str, where: str) -> dict[str, int]:
    dims = {}
    for pair in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, size = (part.strip() for part in pair.partition("="))
        if not (name and equals and size.isascii() and size.isdigit() and len(size) < 10):
            raise ConfigError(f"{pair[:60]!r} is not accepted", where=where, accepted="name=1;name=2")
        if name in dims:
            raise ConfigError(f"dimension {name[:60]!r} appears twice", where=where, accepted="give it once")
        dims[name] = int(size)
    return dims
