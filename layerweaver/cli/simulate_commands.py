"""``simulate``, ``compare``, ``peak``, ``traffic``, ``certify`` and ``policies``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from layerweaver.cli.render import rows_table
from layerweaver.cli.render_results import certify_table, comparison_tables, peak_table
from layerweaver.cli.session import JsonOption, console, print_document, session_of

__all__ = ["register"]

ScenarioArgument = Annotated[Path, typer.Argument(help="A scenario file (YAML).")]
SkipOption = Annotated[bool, typer.Option("--skip-bad-rows", help="Skip and count bad rows of a trace.")]
PoliciesOption = Annotated[str, typer.Option("--policies", help="Policies to run, for example fcfs,layerweaver+.")]
PartialOutput = Annotated[
    Optional[Path], typer.Option("--output", "-o", help="Write the result (.json, .csv or .parquet).")
]


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise typer.BadParameter("--policies names no policy; see 'layerweaver policies'")
    return names


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (
        ("simulate", _simulate),
        ("compare", _compare),
        ("peak", _peak),
        ("traffic", _traffic),
        ("certify", _certify),
        ("policies", _policies),
    ):
        app.command(name)(command)
