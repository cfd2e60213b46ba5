"""The root of the command line: global options, command groups, and one-line usage errors."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from layerweaver.cli import (
    export_commands,
    model_commands,
    npu_commands,
    profile_commands,
    reproduce_commands,
    result_commands,
    simulate_commands,
    study_commands,
    sweep_commands,
)
from layerweaver.cli.manual import EXIT_CODES
from layerweaver.cli.session import Session
from layerweaver.cli.strict import StrictTyper, with_global_options_first
from layerweaver.ir.errors import LayerweaverError
from layerweaver.ir.text import printable

__all__ = ["CommandLineError", "app", "run"]

_USAGE_ERROR: type[Exception] = next(
    base
    for base in typer.BadParameter.__mro__
    if issubclass(base, Exception) and base.__name__ == "ClickException"
)
"""What typer raises for unusable words; its module moved between versions, its name did not."""


class CommandLineError(LayerweaverError):
    """A command line that cannot be understood."""


class _CurrentStderr(logging.Handler):
    """Logs to what ``sys.stderr`` is at the time, so that a progress bar is not written over."""

    def emit(self, record: logging.LogRecord) -> None:
        print(printable(self.format(record)), file=sys.stderr)


app = StrictTyper(
    name="layerweaver",
    help="Compile ONNX models into NPU schedule profiles and simulate many tenants sharing one NPU.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    epilog=f"Start with 'layerweaver simulate', which needs nothing. {EXIT_CODES}",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"layerweaver {version('layerweaver')}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say what is being done, on stderr.")
    ] = False,
    version: Annotated[  # noqa: ARG001 - handled by its callback
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that every command understands."""
    handler = _CurrentStderr()
    handler.setFormatter(logging.Formatter("layerweaver: %(message)s"))
    logger = logging.getLogger("layerweaver")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO)
    context.obj = Session(quiet=quiet, verbose=verbose)


model_commands.register(app)
profile_commands.register(app)
simulate_commands.register(app)
study_commands.register(app)
sweep_commands.register(app)
result_commands.register(app)
npu_commands.register(app)
export_commands.register(app)
reproduce_commands.register(app)


_INTERRUPTED = 130


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code.

    Raises:
        CommandLineError: If the words do not form a command.
        KeyboardInterrupt: After Ctrl-C.
    """
    try:
        words = model_commands.name_standard_output(with_global_options_first(arguments))
        code = app(words, prog_name="layerweaver", standalone_mode=False)
    except typer.Exit as finished:
        return int(finished.exit_code)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except SystemExit as ended:
        # typer turns a broken pipe into exit code 1, which says here that the tool is wrong.
        if isinstance(ended.__context__, BrokenPipeError):
            raise ended.__context__ from None
        raise
    except _USAGE_ERROR as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(str(error))
            return 2
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "layerweaver"
        message = " ".join(str(getattr(error, "format_message", error.__str__)()).split())
        raise CommandLineError(f"{message.rstrip('.')}; see '{command} --help'") from None
    if code == _INTERRUPTED:
        # Either typer caught Ctrl-C, or a command printed what it had reached by then.
        sys.stdout.flush()
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0
