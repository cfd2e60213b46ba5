"""Bring your own costs: a CSV per model, or measured costs for single layers of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.model import CostedModel
from layerweaver.costmodel.table import CostTable, row_pieces, split_into_rows
from layerweaver.ir import ConfigError
from layerweaver.ir.csv_table import CsvTable
from layerweaver.ir.csv_text import cell_text
from layerweaver.ir.limits import MAX_QUANTITY
from layerweaver.ir.spelling import nearest_of

__all__ = ["COLUMNS", "load_cost_csv", "override_costs"]

COLUMNS = ("layer", "compute_cycles", "dram_bytes", "weight_bytes")
MAX_FILE_BYTES = 64 << 20
MAX_LAYERS = 100_000
MAX_NAME = 500


@dataclass(frozen=True, slots=True)
class _Row:
    layer: str
    compute_cycles: int
    dram_bytes: int
    weight_bytes: int
    where: str


def _read(path: Path) -> list[_Row]:
    """Rows of the file; further columns are left out."""
    accepted = f"columns {','.join(COLUMNS)}"
    table = CsvTable(path, ConfigError, accepted=accepted, most_bytes=MAX_FILE_BYTES, most_rows=MAX_LAYERS)
    if table.header:
        table.require(COLUMNS)
    rows: dict[str, _Row] = {}
    for where, cells in table.rows():
        row = _row(cells, where)
        if row.layer in rows:
            raise ConfigError(f"layer {row.layer[:80]!r} appears twice", where=where, accepted="keep one")
        rows[row.layer] = row
    if not rows:
        raise ConfigError("has no layers", where=str(path), accepted=accepted)
    return list(rows.values())


def _row(cells: Mapping[str, str], where: str) -> _Row:
    numbers = []
    for column in COLUMNS[1:]:
        text = cells[column]
        if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= MAX_QUANTITY):
            raise ConfigError(
                f"{text[:40]!r} is not accepted",
                where=f"{where}: {column}",
                accepted=f"give a whole number from 0 to {MAX_QUANTITY}",
            )
        numbers.append(int(text))
    compute, dram, weights = numbers
    if weights > dram:
        raise ConfigError(
            f"weight_bytes {weights} exceeds dram_bytes {dram}",
            where=where,
            accepted="resident weights are part of the traffic",
        )
    name = cell_text(cells["layer"])
    if not name or len(name) > MAX_NAME:
        raise ConfigError("the layer has no name or a very long one", where=f"{where}: layer")
    return _Row(name, compute, dram, weights, where)


def load_cost_csv(
    path: str | Path, machine: MachineSpec, *, model: str | None = None, batch: int = 1
) -> CostTable:
    """Read a model's costs, one layer per line in execution order.

    Layers with more weights than the weight buffer are split into rows as in costing. Activation liveness is
    unknown, so the table keeps its traffic whatever the activation budget.

    Args:
        path: CSV with the columns ``layer,compute_cycles,dram_bytes,weight_bytes``, in NPU cycles and bytes.
        machine: The machine that the costs refer to.
        model: Entry name; None takes the file's stem.
        batch: Batch size that the costs refer to.

    Raises:
        ConfigError: If the file cannot be read, a value is wrong or a layer appears twice, with line and
            column.
    """
    path = Path(path)
    rows = _read(path)
    compute, dram, weights = (
        np.array([getattr(row, column) for row in rows], dtype=np.int64) for column in COLUMNS[1:]
    )
    pieces = row_pieces(weights, machine.weight_buffer_bytes)
    if int(pieces.sum()) > MAX_LAYERS * 10:
        raise ConfigError("needs too many rows", where=str(path), accepted="give a larger weight buffer")
    index = np.repeat(np.arange(len(rows), dtype=np.int64), pieces)
    return CostTable(
        model=model or path.stem,
        batch=batch,
        machine=machine,
        compute_cycles=split_into_rows(compute, pieces),
        dram_bytes=split_into_rows(dram, pieces),
        weight_bytes=split_into_rows(weights, pieces),
        live_bytes=np.zeros(len(index), dtype=np.int64),
        layer_index=index,
        layer_names=tuple(row.layer for row in rows),
    )


def _like(name: str, known: Sequence[str]) -> str:
    close = nearest_of(name, known) or known[0]
    return f"did you mean {close!r}? `layerweaver inspect` lists the layers"


def override_costs(costed: CostedModel, path: str | Path) -> CostTable:
    """The model's table with the layers that a measured profile names replaced by its figures.

    A replaced layer keeps its number of rows and its liveness; its traffic no longer changes with the
    activation budget. Its figures are of the layer alone: what the config charges an inference comes after
    the last layer all the same. Energy follows the traffic; that of its operations stays as modelled.

    Args:
        costed: The model as costed.
        path: CSV as for :func:`load_cost_csv`, any subset of the layers in any order.

    Raises:
        ConfigError: If the file is wrong, names a layer twice or one that the model does not have, or gives
            a layer more weights than its rows can hold.
    """
    rows = _read(Path(path))
    table = costed.table
    position = {name: index for index, name in enumerate(table.layer_names)}
    pieces = np.bincount(table.layer_index, minlength=len(position)).astype(np.int64)
    layers = np.zeros((3, len(position)), dtype=np.int64)
    for values, column in zip(
        layers, (table.compute_cycles, table.dram_bytes, table.weight_bytes), strict=True
    ):
        np.add.at(values, table.layer_index, column)
    replaced = np.zeros(len(position), dtype=np.bool_)
    for row in rows:
        index = position.get(row.layer)
        if index is None:
            raise ConfigError(
                f"{table.model} has no layer {row.layer[:80]!r}",
                where=row.where,
                accepted=_like(row.layer, table.layer_names),
            )
        if -(-row.weight_bytes // int(pieces[index])) > table.machine.weight_buffer_bytes:
            raise ConfigError("weight_bytes exceeds the weight buffer", where=row.where)
        layers[:, index] = row.compute_cycles, row.dram_bytes, row.weight_bytes
        replaced[index] = True
    if replaced[-1] and costed.config.cost_model == "analytical":
        layers[0, -1] += costed.config.inference_overhead_cycles
    spills = None if table.spills is None else table.spills.without(replaced)
    energy, waited = table.energy_pj, table.waited_bytes[replaced].sum()
    if energy is not None:
        more = int(layers[1].sum()) - int(table.dram_bytes.sum()) + int(waited)
        energy += round(more * table.dram_byte_pj)
    return replace(
        table,
        compute_cycles=split_into_rows(layers[0], pieces),
        dram_bytes=split_into_rows(layers[1], pieces),
        weight_bytes=split_into_rows(layers[2], pieces),
        spills=spills,
        latency=None if table.latency is None else table.latency.without(replaced),
        energy_pj=energy,
    )
