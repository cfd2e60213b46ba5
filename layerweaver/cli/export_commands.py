"""``export``: what firmware needs of a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from layerweaver.cli.manual import epilog
from layerweaver.cli.serving import CodeOption, PolicyOption, ScenarioArgument, parse_policy
from layerweaver.cli.session import JsonOption, console, print_document, session_of, table
from layerweaver.ir.text import counted

if TYPE_CHECKING:
    from layerweaver.backend_sim.results.schema.run import Run

__all__ = ["register"]

_KINDS = ("c",)


def _kind(text: str) -> str:
    if text not in _KINDS:
        raise typer.BadParameter(f"{text[:40]!r} is not known; known: {', '.join(_KINDS)}")
    return text


def _folder(text: str) -> Path:
    if not text:
        raise typer.BadParameter("an empty name is no folder; accepted: a folder, . for the present one")
    return Path(text)


def _export(
    context: typer.Context,
    scenario: ScenarioArgument,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder to write into.", metavar="<folder>", parser=_folder),
    ],
    to: Annotated[  # noqa: ARG001 - there is one language
        str, typer.Option("--to", help="Language: c.", callback=_kind)
    ] = "c",
    policy: PolicyOption = None,
    most_bytes: Annotated[int, typer.Option("--max-bytes", min=1, help="Bytes that the tables may have.")] = 1
    << 20,
    measure: Annotated[
        bool, typer.Option("--measure", help="Count the instructions of a decision on two small cores.")
    ] = False,
    allow_code: CodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a scenario's tables and its policy as freestanding C99, with a program that replays arrivals."""
    from layerweaver.backend_sim.firmware.export import export, export_document
    from layerweaver.backend_sim.results.options import options_of_runs

    session = session_of(context)
    with session.progress("exporting") as progress:
        exported = export(
            scenario,
            parse_policy(policy) if policy is not None else None,
            output,
            most_bytes=most_bytes,
            measured=measure,
            allow_code=allow_code,
            progress=progress,
        )
    document = export_document(exported)
    session.note(f"wrote {counted(len(exported.texts), 'file')} to {output}")
    if as_json:
        print_document(document)
        return
    listing = table(f"Policy {exported.policy.name} in C", [("what", "left"), ("bytes", "right")])
    listing.add_row("tables", f"{exported.table_bytes:,}")
    listing.add_row("state, with 32-bit pointers", f"{exported.state_bytes:,}")
    for cost in exported.costs:
        listing.add_row(f"code on {cost.core.name}", f"{cost.code_bytes:,}")
    console().print(listing)
    for line in options_of_runs([exported.policy.name], [cast("Run", document)]):
        console().print(line)
    if exported.costs:
        numbers = [("mean", "right"), ("p99", "right"), ("max", "right")]
        costs = table("Instructions of a decision", [("core", "left"), *numbers])
        for cost in exported.costs:
            row = cost.document(exported.tenants)
            costs.add_row(cost.core.name, *(f"{row[key]:,}" for key in ("mean", "p99", "max")))
        console().print(costs)


def register(app: typer.Typer) -> None:
    """Add the command; ``to`` says which language, of which there is one."""
    app.command("export", epilog=epilog("export"))(_export)
