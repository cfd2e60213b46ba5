"""``compile`` and ``show``: make a schedule profile and look into it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from layerweaver.cli.bindings import (
    merged,
    parse_batches,
    parse_bindings,
    parse_models,
    parse_overrides,
)
from layerweaver.cli.completion import complete_npu
from layerweaver.cli.manual import epilog
from layerweaver.cli.model_commands import (
    DimOption,
    LongestOption,
    ShapeOption,
    StateOption,
    StrictOption,
    TripOption,
    ValueOption,
    check_longest,
    parse_state,
)
from layerweaver.cli.outputs import named_file
from layerweaver.cli.rendering.profiles import bound_lines, profile_tables
from layerweaver.cli.session import JsonOption, Session, console, data_stream, print_document, session_of

if TYPE_CHECKING:
    from layerweaver.scheduler.profile.profile import Profile

__all__ = ["register"]


def _compile(
    context: typer.Context,
    model: Annotated[
        list[str], typer.Argument(help="[NAME=]MODEL: ONNX files or zoo models.", metavar="[NAME=]MODEL...")
    ],
    npu: Annotated[
        str,
        typer.Option("--npu", help="NPU config: a shipped name or a YAML file.", autocompletion=complete_npu),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Schedule profile (.lwp) to write.", callback=named_file(".lwp")),
    ],
    dim: DimOption = None,
    shape: ShapeOption = None,
    value: ValueOption = None,
    trip_count: TripOption = None,
    state: StateOption = None,
    batch: Annotated[str, typer.Option("--batch", help="Batch sizes, for example 1,8,16.")] = "1",
    group: Annotated[
        list[str] | None,
        typer.Option(
            "--group", help="Entries whose static woven schedule is precomputed: A,B.", metavar="A,B"
        ),
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option(
            "--override",
            help="CSV of measured costs that replace those of the layers it names.",
            metavar="NAME[@BATCH]=FILE",
        ),
    ] = None,
    longest_us: LongestOption = None,
    llm: Annotated[
        list[str] | None,
        typer.Option(
            "--llm", help="Entry that is a language model: batch, seq and past stay open.", metavar="NAME"
        ),
    ] = None,
    strict: StrictOption = False,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Compile although work is missing from a model's totals.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compile ONNX models into a schedule profile.

    --dim, --shape, --value and --trip-count with NAME: before apply to that entry only.
    """
    from layerweaver.scheduler.compile.compiler import ModelRequest, compile_models
    from layerweaver.scheduler.profile.document import profile_document
    from layerweaver.scheduler.profile.file import save_profile

    session = session_of(context)
    check_longest(longest_us)
    models = parse_models(model)
    bound = parse_bindings(dim or (), shape or (), trip_count or (), models, values=value or ())
    batches = parse_batches(batch)
    measured = parse_overrides(override or (), models, batches)
    for name in llm or ():
        if name not in models:
            raise typer.BadParameter(f"--llm names {name!r}, which is no entry: {', '.join(models)}")
    requests = []
    for entry, reference in models.items():
        own = merged(bound, entry)
        requests.append(
            ModelRequest(
                entry=entry,
                source=reference,
                batches=batches,
                dims=own.dims,
                shapes=own.shapes,
                values=own.values,
                trip_counts=own.trip_counts,
                state=parse_state(state),
                strict=strict,
                incomplete=incomplete,
                overrides=measured[entry],
                iterations=entry in (llm or ()),
                longest_us=longest_us,
            )
        )
    groups = tuple(tuple(names.split(",")) for names in group or ())
    with session.progress("compiling") as progress:
        profile = compile_models(requests, npu, groups=groups, progress=progress)
    save_profile(profile, output)
    _warn(session, profile)
    document = profile_document(profile)
    _print(document, as_json=as_json, layers=False)
    session.note(f"wrote {output}")


def _print(document: dict[str, Any], *, as_json: bool, layers: bool) -> None:
    if as_json:
        print_document(document)
        return
    screen = console()
    for table in profile_tables(document, layers=layers):
        screen.print(table)
    for line in bound_lines(document):
        screen.print(line, markup=False)


def _warn(session: Session, profile: Profile) -> None:
    """What was assumed of the entries, what is to be said of the NPU, and where it lacks room."""
    from layerweaver.costmodel import config_notes, load_npu, room_notes

    config = load_npu(profile.npu)
    session.warn([*profile.warnings, *config_notes(config)])
    for entry in profile.entries:
        which = f"{entry.entry}, batch {entry.table.batch}"
        beyond = room_notes(config, [entry.table], "the weights that are fetched")
        session.warn([f"{which}: {note}" for note in beyond])


def _show(
    context: typer.Context,
    profile: Annotated[Path, typer.Argument(help="A schedule profile (.lwp).")],
    csv: Annotated[bool, typer.Option("--csv", help="Print the layers as CSV.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a schedule profile holds."""
    from layerweaver.scheduler.profile.document import profile_csv, profile_document
    from layerweaver.scheduler.profile.file import load_profile

    loaded, session = load_profile(profile), session_of(context)
    _warn(session, loaded)
    if csv:
        data_stream().write(profile_csv(loaded))
        return
    _print(profile_document(loaded), as_json=as_json, layers=session.verbose)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("compile", epilog=epilog("compile"))(_compile)
    app.command("show", epilog=epilog("show"))(_show)
