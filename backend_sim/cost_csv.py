"""Own costs: a CSV ``layer,compute_cycles,dram_bytes,weight_bytes`` in cycles of the scenario's NPU."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from layerweaver.costmodel.table import CostTable, MachineSpec, row_pieces, split_into_rows
from layerweaver.ir import ConfigError

__all__ = ["read_cost_csv"]

_COLUMNS = ("layer", "compute_cycles", "dram_bytes", "weight_bytes")
_MAX_BYTES = 64 << 20
_MAX_ROWS = 200_000
_MAX_VALUE = 10**15


def read_cost_csv(path: Path, machine: MachineSpec, *, model: str, batch: int) -> CostTable:
    """Read one model's costs.

    A layer larger than the weight buffer becomes ``ceil(2 W / buffer)`` rows of equal size.

    Raises:
        ConfigError: If the file cannot be read or a value is wrong; with file, line and column.
    """
    names, values = _read(path)
    columns = np.array(values, np.int64).reshape(-1, 3)
    for line, (_, dram_bytes, weight_bytes) in zip(names.values(), values, strict=True):
        if weight_bytes > dram_bytes:
            raise ConfigError(
                f"weight_bytes is {weight_bytes} but dram_bytes {dram_bytes}",
                where=f"{path}:{line}",
                accepted="weights that become resident are part of the traffic",
            )
    pieces = row_pieces(columns[:, 2], machine.weight_buffer_bytes)
    compute, dram, weights = (split_into_rows(columns[:, column], pieces) for column in range(3))
    return CostTable(
        model=model,
        batch=batch,
        machine=machine,
        compute_cycles=compute,
        dram_bytes=dram,
        weight_bytes=weights,
        live_bytes=np.zeros(len(compute), np.int64),
        layer_index=np.repeat(np.arange(len(names)), pieces),
        layer_names=tuple(names),
    )


def _read(path: Path) -> tuple[dict[str, int], list[tuple[int, ...]]]:
    """Names with their lines, and values, of all layers."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError("is larger than 64 MiB", where=str(path), accepted="give a cost table")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as failure:
        raise ConfigError(
            f"cannot be read ({failure.strerror})", where=str(path), accepted="give a CSV of costs"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text", where=str(path), accepted="give a CSV of costs") from None
    reader = csv.reader(text.splitlines())
    names: dict[str, int] = {}
    values: list[tuple[int, ...]] = []
    positions: list[int] = []
    try:
        for fields in reader:
            where = f"{path}:{reader.line_num}"
            if not any(field.strip() for field in fields) or fields[0].startswith("#"):
                continue
            if not positions:
                header = [field.strip() for field in fields]
                missing = [column for column in _COLUMNS if column not in header]
                if missing:
                    raise ConfigError(
                        f"the column {missing[0]!r} is missing", where=where, accepted=",".join(_COLUMNS)
                    )
                positions = [header.index(column) for column in _COLUMNS]
                continue
            if len(fields) <= max(positions) or len(values) >= _MAX_ROWS:
                raise ConfigError(
                    "has too few values or too many rows", where=where, accepted=",".join(_COLUMNS)
                )
            name = fields[positions[0]].strip()
            if name in names:
                raise ConfigError(f"the layer {name[:80]!r} appears twice", where=where)
            names[name] = reader.line_num
            values.append(
                tuple(
                    _whole(fields[position], where, column)
                    for position, column in zip(positions[1:], _COLUMNS[1:], strict=True)
                )
            )
    except csv.Error as failure:
        raise ConfigError(f"is not CSV ({failure})", where=f"{path}:{reader.line_num}") from None
    if not values:
        raise ConfigError("has no layers", where=str(path), accepted=",".join(_COLUMNS))
    return names, values


def _whole(text: str, where: str, column: str) -> int:
    stripped = text.strip()
    if not (stripped.isascii() and stripped.isdigit()) or len(stripped) > 15 or int(stripped) > _MAX_VALUE:
        raise ConfigError(
            f"{stripped[:40]!r} is not a count",
            where=f"{where}, column {column!r}",
            accepted="a whole number, 0 or more",
        )
    return int(stripped)
