"""Schedule profiles on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from layerweaver.cli.rendering.tables import Document, number, told_apart
from layerweaver.cli.session import table

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["bound_lines", "profile_tables"]


def profile_tables(document: Document, *, layers: bool) -> Iterator[Table]:
    """The entries of a schedule profile, and their layers when asked for."""
    columns = [
        ("model", "left"),
        ("batch", "right"),
        ("intensive", "left"),
        ("layers", "right"),
        ("rows", "right"),
    ]
    columns += [("compute", "right"), ("memory", "right"), ("standalone", "right")]
    grid = table(f"schedule profile for {document['npu']['name']} (cycles)", columns)
    for model in document["models"]:
        grid.add_row(
            model["name"],
            str(model["batch"]),
            model["kind"].removesuffix("-intensive"),
            str(len(model["layers"])),
            str(sum(layer["rows"] for layer in model["layers"])),
            *(f"{model[key]:,}" for key in ("compute_cycles", "memory_cycles", "standalone_cycles")),
        )
    if grid.row_count:
        yield grid
    if document["decoders"]:
        columns = [("language model", "left"), ("rows", "right"), ("parameters", "right")]
        grid = table("language models", [*columns, ("cached elements\nper token", "right")])
        for decoder in document["decoders"]:
            numbers = (decoder["parameters"], decoder["cache_elements_per_token"])
            grid.add_row(decoder["name"], str(len(decoder["layers"])), *(f"{value:,}" for value in numbers))
        yield grid
    if document["weaves"]:
        yield _groups_table(document)
    if not layers:
        return
    columns = [
        ("layer", "left"),
        ("rows", "right"),
        ("compute", "right"),
        ("memory", "right"),
        ("weights", "right"),
    ]
    columns.append(("remaining", "right"))
    for model in document["models"]:
        grid = table(f"{model['name']}, batch {model['batch']} (cycles)", columns)
        names = told_apart([layer["name"] for layer in model["layers"]], 26)
        for name, layer in zip(names, model["layers"], strict=True):
            grid.add_row(
                name,
                str(layer["rows"]),
                f"{layer['compute_cycles']:,}",
                f"{layer['memory_cycles']:,}",
                f"{number(layer['weight_bytes'])}B",
                f"{layer['remaining_cycles']:,}",
            )
        yield grid


def bound_lines(document: Document) -> list[str]:
    """What the entries were bound to, one line for each that was to anything."""
    from layerweaver.scheduler.profile.document import bound_to

    bound = {model["name"]: ", ".join(bound_to(model)) for model in document["models"]}
    return [f"{name}: {text}" for name, text in bound.items() if text]


def _groups_table(document: Document) -> Table:
    """The static woven schedules of declared groups."""
    columns = [("group", "left"), ("before", "right"), ("period", "right"), ("cycles", "right")]
    columns.append(("requests", "right"))
    grid = table("woven groups (rows before the period, of it, cycles, requests)", columns)
    for weave in document["weaves"]:
        grid.add_row(
            "+".join(member["name"] for member in weave["members"]),
            f"{weave['prefix_rows']:,}",
            f"{weave['period_rows']:,}",
            f"{weave['period_cycles']:,}",
            ", ".join(map(str, weave["requests_per_period"])),
        )
    return grid
