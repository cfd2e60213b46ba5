"""What every command shares: how much to say, where, and how long work shows progress."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from layerweaver.ir.csv_text import TextWriter
from layerweaver.ir.text import printable, printable_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from layerweaver.backend_sim.engine.loop import Progress as EngineProgress
    from layerweaver.backend_sim.engine.loop import ProgressCallback as EngineCallback

__all__ = [
    "JsonOption",
    "ProgressCallback",
    "Session",
    "console",
    "data_stream",
    "plain_terminal",
    "print_document",
    "session_of",
    "table",
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]

ProgressCallback = Callable[[float, str], None]
"""Called with the share done (0 to 1, negative where unknown) and what is being done."""

_PIPED_COLUMNS = 80
_PIECES = 10_000


@dataclass(frozen=True, slots=True)
class Session:
    """How one invocation talks to the person in front of it."""

    quiet: bool = False
    verbose: bool = False

    def note(self, text: str) -> None:
        """Say something on stderr unless asked to be quiet."""
        if not self.quiet:
            print(f"layerweaver: {printable(text)}", file=sys.stderr)

    def detail(self, text: str) -> None:
        """Say something on stderr when asked to be verbose."""
        if self.verbose:
            print(f"layerweaver: {printable(text)}", file=sys.stderr)

    def warn(self, warnings: Sequence[str]) -> None:
        """Print an importer's warnings on stderr, the first few unless verbose."""
        if self.quiet:
            return
        shown = warnings if self.verbose else warnings[:5]
        for warning in shown:
            print(f"layerweaver: warning: {printable(warning)}", file=sys.stderr)
        if len(shown) < len(warnings):
            print(f"layerweaver: warning: {len(warnings) - len(shown)} more (-v shows all)", file=sys.stderr)

    @contextmanager
    def progress(self, title: str) -> Iterator[ProgressCallback]:
        """A progress bar on stderr for work that turns out to take long, on a terminal.

        Work that never reports shows a moving bar and the time it has taken. Elsewhere than on a terminal
        there is a line a minute, and only where it is asked to be verbose.
        """
        with self.simulation_progress(title) as (report, _):
            yield report

    @contextmanager
    def simulation_progress(self, title: str) -> Iterator[tuple[ProgressCallback, EngineCallback]]:
        """Progress for models being compiled and for the engine, which counts rows."""
        terminal = sys.stderr.isatty()
        if self.quiet or not (terminal or self.verbose):
            yield _no_progress, _no_engine_progress
            return
        from layerweaver.cli.progress import MinuteLines, ProgressBar

        with ProgressBar(title) if terminal else MinuteLines(title) as shown:
            yield shown.report, shown.report_engine


def _no_progress(share: float, text: str) -> None:
    """Nothing to show."""


def _no_engine_progress(progress: EngineProgress) -> None:
    """Nothing to show."""


def session_of(context: typer.Context) -> Session:
    """The session of a command's context."""
    session = context.obj
    return session if isinstance(session, Session) else Session()


def console() -> Console:
    """A console on stdout: colour on a terminal only, NO_COLOR respected; all text is plain text.

    It is as wide as the terminal, or as the variable COLUMNS says; 80 columns when piped.
    """
    from rich.console import Console

    class Screen(Console):
        def on_broken_pipe(self) -> None:
            # rich would exit with 1, which says here that the tool is wrong.
            raise BrokenPipeError

        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(printable(text), **options)

    columns = os.environ.get("COLUMNS", "")
    piped = None if columns.isdecimal() and int(columns) else _PIPED_COLUMNS
    width = None if sys.stdout.isatty() else piped
    return Screen(width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


def plain_terminal() -> bool:
    """Whether stdout shows ASCII only."""
    return not (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")


def table(title: str, columns: Sequence[tuple[str, str]]) -> Table:
    """An empty table; every column is (heading, "left" or "right")."""
    from layerweaver.cli.listing import Listing

    return Listing(title, list(columns))


def print_document(document: Mapping[str, Any]) -> None:
    """Print a document as JSON on stdout, piece by piece: its text takes more room than itself."""
    encoder = json.JSONEncoder(indent=2, ensure_ascii=plain_terminal(), allow_nan=False)
    pieces = encoder.iterencode(document)
    while block := "".join(islice(pieces, _PIECES)):
        typer.echo(printable_json(block), nl=False)
    typer.echo()


class _Shown:
    """Standard output as a terminal may have it."""

    def write(self, text: str) -> object:
        return sys.stdout.write(printable(text))


def data_stream() -> TextWriter:
    """Where data goes that other programs read: as it is, unless a terminal would obey it."""
    return _Shown() if sys.stdout.isatty() else sys.stdout
