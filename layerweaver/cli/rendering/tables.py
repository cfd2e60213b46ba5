"""Documents as terminal tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from layerweaver.cli.session import plain_terminal, table
from layerweaver.ir.text import counted, figure

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "fields_table",
    "layers_table",
    "models_table",
    "npus_table",
    "number",
    "percent",
    "rows_table",
    "told_apart",
    "totals_lines",
]

_LAYERS_SHOWN = 24
_PREFIXES = ((10**15, "P"), (10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))

Document = Mapping[str, Any]


def number(value: float | None) -> str:
    """A count in at most five characters and a prefix: 4.09 G; a dash for None."""
    if value is None:
        return "-"
    for size, prefix in _PREFIXES:
        if abs(value) >= size:
            return f"{figure(value / size)} {prefix}"
    return figure(value)


def percent(share: float | None) -> str:
    """A fraction as percent with as many digits as matter."""
    if share is None:
        return "-"
    return f"{share:.1%}" if abs(share) >= 0.0995 or share == 0 else f"{share:.2%}"


def _shortened(name: str, width: int = 26) -> str:
    gap = "..." if plain_terminal() else "…"
    begin = width // 2 - len(gap)
    return name if len(name) <= width else f"{name[:begin]}{gap}{name[begin + len(gap) - width :]}"


def told_apart(names: Sequence[str], width: int) -> list[str]:
    """Names cut in the middle to a width; those that would then read the same are left whole."""
    short = [_shortened(name, width) for name in names]
    meant = {
        cut: {name for name, other in zip(names, short, strict=True) if other == cut} for cut in {*short}
    }
    return [cut if len(meant[cut]) == 1 else name for name, cut in zip(names, short, strict=True)]


def _operators(names: Sequence[str]) -> str:
    """The first operator of a layer, and how many more are in it."""
    first = _shortened(names[0], 12) if names else "-"
    return first if len(names) < 2 else f"{first} +{len(names) - 1}"


def layers_table(document: Document, *, full: bool, width: int = 80) -> Table:
    """Layers of an ``inspect`` document, the first and last ones unless ``full``."""
    layers: Sequence[Document] = document["layers"]
    costed = bool(layers) and "compute_cycles" in layers[0]
    columns = [
        ("layer", "left"),
        ("operators", "left"),
        ("MACs", "right"),
        ("weights", "right"),
    ]
    columns += (
        [("compute", "right"), ("memory", "right"), ("bound", "left")]
        if costed
        else [("kind", "left"), ("M x N x K", "right")]
    )
    units = " (weights in the model's own types; compute and memory in cycles)" if costed else ""
    grid = table(f"{document['model']}, {document['bound_to']}{units}", columns)
    hidden = 0 if full else max(0, len(layers) - _LAYERS_SHOWN)
    names = told_apart([layer["name"] for layer in layers], max(20, width - 60))
    for position, layer in enumerate(layers):
        if hidden and position == _LAYERS_SHOWN // 2:
            grid.add_row(f"({hidden} more: -v)")
        if hidden and _LAYERS_SHOWN // 2 <= position < _LAYERS_SHOWN // 2 + hidden:
            continue
        cells = [
            names[position],
            _operators(layer["operators"]),
            number(layer["macs"]),
            f"{number(layer['weight_bytes'])}B",
        ]
        if costed:
            cells += [number(layer["compute_cycles"]), number(layer["memory_cycles"]), layer["bound_by"]]
        else:
            extents = (layer["m"], layer["n"], layer["k"])
            cells += [layer["kind"], "-" if None in extents else " x ".join(map(str, extents))]
        grid.add_row(*cells)
        rows = zip(layer.get("piece_compute_cycles", ()), layer.get("piece_memory_cycles", ()), strict=True)
        pieces = len(layer.get("piece_compute_cycles", ()))
        for piece, (compute, memory) in enumerate(rows if pieces > 1 else ()):
            grid.add_row(f"  {piece + 1} of {pieces}", "", "", "", number(compute), number(memory), "")
    return grid


def totals_lines(document: Document) -> Iterator[str]:
    """The totals of an ``inspect`` document in words."""
    totals = document["totals"]
    yield (
        f"{counted(totals['layers'], 'layer')}, {totals['macs']:,} MACs, "
        f"{counted(totals['parameters'], 'parameter')}, "
        f"{number(totals['weight_bytes'])}B weights, "
        f"{number(totals['peak_activation_bytes'])}B peak activations"
        + (f" ({number(own)}B in the NPU's types)" if (own := _own_peak(totals)) else "")
    )
    if not totals.get("complete", True):
        yield "incomplete: work is missing from these totals; the first warnings say why"
    if "compute_cycles" in totals:
        yield (
            f"{totals['compute_cycles']:,} compute cycles, {totals['memory_cycles']:,} memory cycles "
            f"({totals['kind']}), "
            f"{totals['standalone_cycles']:,} alone, "
            f"{number(totals['dram_bytes'])}B through the DRAM in the NPU's types"
        )
        if (clock_hz := document.get("roofline", {}).get("clock_hz")) and totals["standalone_cycles"]:
            seconds = totals["standalone_cycles"] / clock_hz
            rate = document["batch"] / seconds
            several = f" for a batch of {document['batch']}" if document["batch"] > 1 else ""
            yield f"{figure(1e3 * seconds, 4)} ms alone{several}, {figure(rate, 4)} inferences/s"
        if (energy_j := totals.get("energy_j")) is not None:
            each = f"batch of {document['batch']}" if document["batch"] > 1 else "inference"
            yield f"energy: {figure(1e3 * energy_j)} mJ per {each} ({totals['energy_counts']})"


def _own_peak(totals: Document) -> int | None:
    """The largest activation footprint in the NPU's types, where these are others than the model's."""
    own: int | None = totals.get("npu_peak_activation_bytes")
    return None if own == totals["peak_activation_bytes"] else own


def models_table(rows: Sequence[Document]) -> Table:
    """The zoo."""
    grid = table(
        "model zoo", [("name", "left"), ("MACs", "right"), ("parameters", "right"), ("dims", "left")]
    )
    for row in rows:
        dims = ", ".join(f"{name}={value}" for name, value in row.get("dims", {}).items())
        grid.add_row(row["name"], f"{row['macs']:,}", f"{row['parameters']:,}", dims)
    return grid


def npus_table(rows: Sequence[Document]) -> Table:
    """NPUs with their roofline."""
    columns = [("name", "left"), ("TOP/s", "right"), ("DRAM GB/s", "right"), ("reached", "right")]
    columns.append(("ridge op/B", "right"))
    grid = table("NPUs", [*columns, ("figures are", "left")])
    for row in rows:
        grid.add_row(
            row["name"],
            figure(row["peak_tops"], 4),
            figure(row["dram_gb_s"], 4),
            figure(row["dram_reached_gb_s"], 4),
            figure(row["ridge_ops_per_byte"], 4),
            row["evidence"]
            if row["held_out_mape"] is None
            else f"measured, {percent(row['held_out_mape'])} off",
        )
    return grid


def _cell(value: object) -> str:
    if isinstance(value, float):
        return figure(value, 4)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "-" if value is None else str(value)


_SHARES = {"mape", "ape", "bias", "error", "covered"}
"""Words of keys of errors, which are fractions in documents, and percentages on the terminal."""


def _figure(key: str, value: object) -> str:
    if isinstance(value, float) and not _SHARES.isdisjoint(key.split("_")):
        return f"{figure(100 * value)}%"
    return _cell(value)


def rows_table(title: str, rows: Sequence[Document]) -> Table:
    """Rows of equal keys as a table."""
    keys = list(rows[0]) if rows else []
    sides = ["left" if isinstance(rows[0][key], str) else "right" for key in keys]
    grid = table(title, [(key.replace("_", "\n"), side) for key, side in zip(keys, sides, strict=True)])
    for row in rows:
        grid.add_row(*(_figure(key, row[key]) for key in keys))
    return grid


def fields_table(title: str, document: Document) -> Table:
    """A flat document as a two-column table, nested mappings opened once."""
    grid = table(title, [("figure", "left"), ("value", "right")])
    for key, value in document.items():
        if isinstance(value, Mapping):
            for inner, figure in value.items():
                grid.add_row(f"{key}.{inner}", _figure(inner, figure))
        elif not isinstance(value, (list, tuple)):
            grid.add_row(key, _figure(key, value))
    return grid
