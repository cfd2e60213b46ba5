"""``sweep`` and ``cache``: studies of many points, and what is kept between runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from layerweaver.cli.manual import epilog
from layerweaver.cli.serving import CodeOption
from layerweaver.cli.session import JsonOption, console, print_document, session_of, table
from layerweaver.ir.limits import MAX_WORKERS
from layerweaver.ir.text import counted, figure

__all__ = ["register"]

_SHOWN = 20
_EFFECTS = 5


def _sweep(
    context: typer.Context,
    study: Annotated[Path, typer.Argument(help="A study file (YAML): scenario, axes, objectives.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder of the study; an earlier run in it is gone on with."),
    ],
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, max=MAX_WORKERS, help="Processes; default: one per core."),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster", help="A Dask scheduler's address or its scheduler file.", metavar="ADDRESS"
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Run a grid of more than a million points.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a point failed.")] = False,
    allow_code: CodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a study: every combination of its axes once, into one table; again to go on."""
    from layerweaver.backend_sim.study.sweep.sweep import sweep

    if cluster is not None and workers is not None:
        raise typer.BadParameter("--workers changes nothing: with --cluster the processes are the cluster's")
    session = session_of(context)
    with session.progress("sweeping") as progress:
        document = sweep(
            study,
            output,
            workers=workers or os.cpu_count() or 1,
            cluster=cluster,
            many=yes,
            allow_code=allow_code,
            progress=progress,
        )
    session.warn(document.get("warnings", []))
    if as_json:
        print_document(document)
    else:
        _print(document, output)
    if strict and document["failed"]:
        raise typer.Exit(1)


def _print(document: dict[str, Any], output: Path) -> None:
    screen = console()
    failed = f", {document['failed']:,} failed" if document["failed"] else ""
    before = f" ({document['done_before']:,} were known)" if document["done_before"] else ""
    screen.print(
        f"{counted(document['points'], 'point')}{before}{failed}: {output / 'points.csv'}", markup=False
    )
    front, effects = document["pareto"], document["sensitivity"]
    if effects:
        named = dict.fromkeys(["point", *(e["axis"] for e in effects), *(e["objective"] for e in effects)])
        grid = table(
            f"Pareto front, {len(front)} point{'s' * (len(front) != 1)}", [(name, "right") for name in named]
        )
        for row in front[:_SHOWN]:
            grid.add_row(*(_cell(row.get(name)) for name in named))
        screen.print(grid)
        if len(front) > _SHOWN:
            screen.print(f"... and {len(front) - _SHOWN} more")
        if any(item["axis"] == "seed" for item in effects):
            screen.print("every seed is a point of its own: the front has the luckiest")
        strongest = table(
            "Strongest effects",
            [("axis", "left"), ("objective", "left"), ("of its variance", "right")],
        )
        for item in effects[:_EFFECTS]:
            strongest.add_row(item["axis"], item["objective"], _effect(item))
        screen.print(strongest)


def _effect(item: dict[str, Any]) -> str:
    if "note" in item:
        return str(item["note"])
    over_seeds = f" ({item['low']:.1%} to {item['high']:.1%})" if "low" in item else ""
    return f"{item['effect']:.1%}{over_seeds}"


def _cell(value: object) -> str:
    return figure(value, 4) if isinstance(value, float) else "" if value is None else str(value)


def _cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove everything that is kept.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show, or clear, what is kept between runs: compiled code, imported models and their costs."""
    from layerweaver.backend_sim.study.certify.virtual_clock import CLOCK
    from layerweaver.scheduler.compile.kept_costs import COSTS
    from layerweaver.scheduler.compile.kept_graphs import GRAPHS
    from layerweaver.scheduler.machine.cache import COMPILED

    caches = (COMPILED, GRAPHS, COSTS, CLOCK)
    if clear:
        for cache in caches:
            cache.clear()
    if as_json:
        rows = [{"name": cache.kind, "folder": str(cache.folder or ""), **cache.size()} for cache in caches]
        print_document({"caches": rows})
        return
    grid = table("", [("cache", "left"), ("entries", "right"), ("MB", "right"), ("folder", "left")])
    for cache in caches:
        size = cache.size()
        folder = str(cache.folder or "none")
        grid.add_row(cache.kind, str(size["entries"]), f"{size['bytes'] / 1e6:.1f}", folder)
    console().print(grid)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (("sweep", _sweep), ("cache", _cache)):
        app.command(name, epilog=epilog(name))(command)
