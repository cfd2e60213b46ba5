"""``inspect`` and ``models``: look at a model before anything is scheduled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from layerweaver.cli.bindings import parse_batches, parse_bindings
from layerweaver.cli.completion import complete_model, complete_npu, complete_zoo_name
from layerweaver.cli.manual import epilog
from layerweaver.cli.outputs import STANDARD_OUTPUT, named_file, output_file, picture_file, spare
from layerweaver.cli.rendering.tables import layers_table, models_table, number, totals_lines
from layerweaver.cli.session import JsonOption, console, data_stream, print_document, session_of
from layerweaver.cli.strict import StrictTyper

__all__ = ["name_standard_output", "register"]

ModelArgument = Annotated[
    str,
    typer.Argument(help="An ONNX file or a zoo model such as zoo:resnet50.", autocompletion=complete_model),
]
DimOption = Annotated[
    list[str] | None,
    typer.Option("--dim", help="Bind a symbolic dimension: NAME=NUMBER.", metavar="NAME=N"),
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--shape", help="Bind or override an input's shape: INPUT=1x3x224x224.", metavar="INPUT=SHAPE"
    ),
]
TripOption = Annotated[
    list[str] | None,
    typer.Option(
        "--trip-count", help="Trips of a loop that the graph leaves open: NODE=NUMBER.", metavar="NODE=N"
    ),
]
ValueOption = Annotated[
    list[str] | None,
    typer.Option(
        "--value",
        help="A number (or several, with commas) that shapes depend on: an input or a value inside.",
        metavar="NAME=N",
    ),
]
StateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--state", help="A graph input that an output feeds back into: INPUT=OUTPUT.", metavar="IN=OUT"
    ),
]
LongestOption = Annotated[
    float | None,
    typer.Option("--longest-us", help="Cut layers whose rows take longer, in microseconds.", metavar="US"),
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Refuse operators that nobody has described.")]


def check_longest(longest_us: float | None) -> None:
    """Refuse a time that is none.

    Raises:
        typer.BadParameter: If it is not above 0.
    """
    if longest_us is not None and not 0 < longest_us < 1e12:
        raise typer.BadParameter(f"--longest-us is {longest_us:g}; give a time above 0")


def parse_state(pairs: list[str] | None) -> list[tuple[str, str]] | None:
    """Read ``INPUT=OUTPUT`` words; None when there are none, so that names are matched instead."""
    if not pairs:
        return None
    state = []
    for pair in pairs:
        name, equals, result = pair.partition("=")
        if not (equals and name and result):
            raise typer.BadParameter(f"--state {pair!r} is not of the form INPUT=OUTPUT")
        state.append((name, result))
    return state


def name_standard_output(arguments: Sequence[str]) -> list[str]:
    """``inspect MODEL --csv`` without a file prints: the words with ``-`` in the file's place."""
    words: list[str] = []
    for place, word in enumerate(arguments):
        words.append(word)
        following = arguments[place + 1 : place + 2]
        if word == "--csv" and "inspect" in words and (not following or following[0].startswith("--")):
            words.append(str(STANDARD_OUTPUT))
    return words


def _inspect(
    context: typer.Context,
    model: ModelArgument,
    dim: DimOption = None,
    shape: ShapeOption = None,
    value: ValueOption = None,
    trip_count: TripOption = None,
    state: StateOption = None,
    batch: Annotated[str | None, typer.Option("--batch", help="Batch size.")] = None,
    npu: Annotated[
        str | None,
        typer.Option(
            "--npu", help="Cost the layers on this NPU (name or file).", autocompletion=complete_npu
        ),
    ] = None,
    longest_us: LongestOption = None,
    strict: StrictOption = False,
    fuse: Annotated[bool, typer.Option("--fuse/--no-fuse", help="Fuse as a compiler would.")] = True,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            help="Write the layers to this file, or print them.",
            metavar="[FILE]",
            callback=output_file,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            help="Draw the roofline (.svg, .png or .html); needs --npu.",
            callback=picture_file(".svg", ".png", ".html"),
        ),
    ] = None,
    graph: Annotated[
        Path | None,
        typer.Option(
            "--graph",
            help="Draw the layer graph (.html or .dot).",
            callback=picture_file(".html", ".dot"),
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a model's layers: shapes, multiply-accumulates, bytes, and costs when an NPU is given."""
    from layerweaver.scheduler.compile.inspection import inspect_model, layers_csv

    session = session_of(context)
    bound = parse_bindings(dim or (), shape or (), trip_count or (), values=value or ())[None]
    if plot is not None and npu is None:
        raise typer.BadParameter("--plot draws a roofline, which needs --npu")
    if longest_us is not None and npu is None:
        raise typer.BadParameter("--longest-us is a time, which needs --npu")
    check_longest(longest_us)
    if csv == STANDARD_OUTPUT and as_json:
        raise typer.BadParameter("--csv without a file and --json both print; give one of them")
    sizes = parse_batches(batch) if batch is not None else (None,)
    if len(sizes) > 1:
        raise typer.BadParameter("inspect takes one batch size")
    spare(context, (model, npu))
    with session.progress("importing"):
        inspection = inspect_model(
            model,
            npu=npu,
            dims=bound.dims,
            shapes=bound.shapes,
            values=bound.values,
            trip_counts=bound.trip_counts,
            state=parse_state(state),
            batch=sizes[0],
            strict=strict,
            fuse=fuse,
            longest_us=longest_us,
        )
    document = inspection.document
    if csv is not None and csv != STANDARD_OUTPUT:
        from layerweaver.ir import write_text

        write_text(csv, layers_csv(document))
        session.note(f"wrote {csv}")
    if plot is not None:
        from layerweaver.backend_sim.report.roofline import roofline_figure, write_figure

        with session.progress("drawing the roofline"):
            write_figure(roofline_figure(document), plot)
        session.note(f"wrote {plot}")
    if graph is not None:
        from layerweaver.backend_sim.report.graph_picture import write_graph_picture

        with session.progress("drawing the graph"):
            write_graph_picture(inspection.graph, graph, document)
        session.note(f"wrote {graph}")
    session.warn(document["warnings"])
    if csv == STANDARD_OUTPUT:
        data_stream().write(layers_csv(document))
        return
    if as_json:
        print_document(document)
        return
    screen = console()
    screen.print(layers_table(document, full=session.verbose, width=screen.width))
    for line in totals_lines(document):
        screen.print(line)


def _list_models(as_json: JsonOption = False) -> None:
    """List the zoo."""
    from layerweaver.scheduler.compile.inspection import zoo_rows

    rows = zoo_rows()
    if as_json:
        print_document({"models": rows})
    else:
        console().print(models_table(rows))


def _export_model(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of a zoo model.", autocompletion=complete_zoo_name)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="ONNX file to write.", callback=named_file(".onnx"))
    ],
) -> None:
    """Write a zoo model as an ONNX file (structure only: its weights are constants of one value)."""
    from layerweaver.scheduler.compile.inspection import export_zoo_model

    size = export_zoo_model(name.removeprefix("zoo:"), output)
    session_of(context).note(f"wrote {output} ({number(size)} bytes)")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("inspect", epilog=epilog("inspect"))(_inspect)
    models = StrictTyper(help="The built-in model zoo.", no_args_is_help=True)
    models.command("list", epilog=epilog("models list"))(_list_models)
    models.command("export", epilog=epilog("models export"))(_export_model)
    app.add_typer(models, name="models")
