"""``npu``: list, show, check and start NPU configs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from layerweaver.cli.calibration_commands import register as register_calibration
from layerweaver.cli.completion import complete_npu
from layerweaver.cli.manual import epilog
from layerweaver.cli.outputs import output_file
from layerweaver.cli.rendering.tables import npus_table
from layerweaver.cli.session import JsonOption, console, data_stream, print_document, session_of
from layerweaver.cli.strict import StrictTyper
from layerweaver.ir.text import printable

if TYPE_CHECKING:
    from layerweaver.costmodel import NpuConfig

__all__ = ["register"]


def _list(as_json: JsonOption = False) -> None:
    """List the NPUs that are shipped or plugged in."""
    from layerweaver.costmodel import npu_rows

    rows = npu_rows()
    if as_json:
        print_document({"npus": rows})
    else:
        console().print(npus_table(rows))


def _show(
    context: typer.Context,
    npu: Annotated[str, typer.Argument(help="Shipped name or YAML file.", autocompletion=complete_npu)],
    as_json: JsonOption = False,
) -> None:
    """Print an NPU config in the form that 'npu check' accepts."""
    from layerweaver.costmodel import change_note, load_npu, npu_document, npu_yaml

    config = load_npu(npu)
    session_of(context).warn([*filter(None, [change_note(config)])])
    if as_json:
        print_document(npu_document(config))
    else:
        data_stream().write(npu_yaml(config))


def _check(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="YAML file to check.")],
    as_json: JsonOption = False,
) -> None:
    """Explain every mistake in an NPU config, with line and field."""
    from layerweaver.costmodel import check_npu, config_notes, load_npu

    problems = check_npu(file)
    if not problems:
        config = load_npu(str(file))
        said = [*config_notes(config), *_unknown_operators(config), *_unknown_pins(config)]
        session_of(context).warn([f"{file}: {note}" for note in said])
    if as_json:
        print_document({"file": str(file), "valid": not problems, "problems": list(problems)})
    else:
        for problem in problems:
            typer.echo(problem, err=True)
        if not problems:
            typer.echo(f"{printable(str(file))}: fine")
    if problems:
        raise typer.Exit(2)


def _unknown_pins(config: NpuConfig) -> list[str]:
    """Warnings about pinned models that are not in the zoo."""
    from layerweaver import models
    from layerweaver.ir.spelling import nearest_of

    warnings = []
    for pin in config.pinned_models:
        name = pin.removeprefix("zoo:")
        if name != pin and name not in models.names():
            close = nearest_of(name, models.names())
            hint = "" if close is None else f"; did you mean 'zoo:{close}'?"
            warnings.append(f"pinned_models: the zoo has no model {name!r}{hint}")
    return warnings


def _unknown_operators(config: NpuConfig) -> list[str]:
    """Warnings about operators of a sound config's host that no rule is registered for."""
    host = config.host
    if host is None:
        return []
    from layerweaver.frontend.node.registry import load_operators
    from layerweaver.ir.spelling import nearest_of

    known = list(dict.fromkeys(entry.name for entry in load_operators().operators()))
    warnings = []
    for name in host.operators:
        if name not in known:
            close = nearest_of(name, known)
            hint = "" if close is None else f"; did you mean {close!r}?"
            warnings.append(f"host.operators: no operator is known as {name!r}{hint}")
    return warnings


def _new(
    context: typer.Context,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write; default: print.", callback=output_file),
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="The JSON Schema for editors instead.")] = False,
) -> None:
    """Write a commented template of an NPU config, or its JSON Schema."""
    from layerweaver.costmodel import npu_json_schema, npu_template

    text = json.dumps(npu_json_schema(), indent=2) + "\n" if schema else npu_template()
    if output is None:
        typer.echo(text, nl=False)
        return
    from layerweaver.ir import write_text

    write_text(output, text)
    session_of(context).note(f"wrote {output}")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    npu = StrictTyper(help="NPU configs.", no_args_is_help=True)
    npu.command("list", epilog=epilog("npu list"))(_list)
    npu.command("show", epilog=epilog("npu show"))(_show)
    npu.command("check", epilog=epilog("npu check"))(_check)
    npu.command("new", epilog=epilog("npu new"))(_new)
    register_calibration(npu)
    app.add_typer(npu, name="npu")
