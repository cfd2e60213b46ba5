"""What every command shares: how much to say, where, and how long work shows progress."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from layerweaver.backend_sim.engine import Progress as EngineProgress
    from layerweaver.backend_sim.engine import ProgressCallback as EngineCallback

__all__ = ["JsonOption", "ProgressCallback", "Session", "print_document", "session_of"]

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]

ProgressCallback = Callable[[float, str], None]
"""Called with the share done (0 to 1, negative where unknown) and what is being done."""

_PATIENCE_S = 1.0
"""Work shorter than this shows no progress bar."""


@dataclass(frozen=True, slots=True)
class Session:
    """How one invocation talks to the person in front of it."""

    quiet: bool = False
    verbose: bool = False

    def note(self, text: str) -> None:
        """Say something on stderr unless asked to be quiet."""
        if not self.quiet:
            print(f"layerweaver: {text}", file=sys.stderr)

    def detail(self, text: str) -> None:
        """Say something on stderr when asked to be verbose."""
        if self.verbose:
            print(f"layerweaver: {text}", file=sys.stderr)

    def warn(self, warnings: Sequence[str]) -> None:
        """Print an importer's warnings on stderr, the first few unless verbose."""
        if self.quiet:
            return
        shown = warnings if self.verbose else warnings[:5]
        for warning in shown:
            print(f"layerweaver: warning: {warning}", file=sys.stderr)
        if len(shown) < len(warnings):
            print(f"layerweaver: warning: {len(warnings) - len(shown)} more (-v shows all)", file=sys.stderr)

    @contextmanager
    def progress(self, title: str) -> Iterator[ProgressCallback]:
        """A progress bar on stderr for work that turns out to take long, on a terminal only."""
        if self.quiet or not sys.stderr.isatty():
            yield _no_progress
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        bar = Progress(*columns, console=Console(stderr=True), transient=True)
        task = bar.add_task(title, total=1.0)
        started = time.monotonic()

        def report(share: float, text: str) -> None:
            if not bar.live.is_started and time.monotonic() - started > _PATIENCE_S:
                bar.start()
            bar.update(
                task,
                completed=max(share, 0.0),
                total=None if share < 0 else 1.0,
                description=f"{title}: {text}" if text else title,
            )

        try:
            yield report
        finally:
            bar.stop()

    @contextmanager
    def simulation_progress(self, title: str) -> Iterator[tuple[ProgressCallback, EngineCallback]]:
        """Progress for models being compiled and for the engine, which counts rows."""
        with self.progress(title) as report:

            def engine(progress: EngineProgress) -> None:
                report(-1.0, f"{progress.layers_executed:,} rows")

            yield report, engine


def _no_progress(share: float, text: str) -> None:
    """Nothing to show."""


def session_of(context: typer.Context) -> Session:
    """The session of a command's context."""
    session = context.obj
    return session if isinstance(session, Session) else Session()


def console() -> Console:
    """A console on stdout: colour on a terminal only, NO_COLOR respected, 80 columns when piped."""
    from rich.console import Console

    class Screen(Console):
        def on_broken_pipe(self) -> None:
            # rich would exit with 1, which says here that the tool is wrong.
            raise BrokenPipeError

    return Screen(width=None if sys.stdout.isatty() else 100, highlight=False, soft_wrap=False)


def table(title: str, columns: Sequence[tuple[str, str]]) -> Table:
    """An empty table; every column is (heading, "left" or "right")."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    grid = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, title_style="bold")
    for heading, side in columns:
        grid.add_column(heading, justify="right" if side == "right" else "left", no_wrap=side == "right")
    return grid


def print_document(document: Mapping[str, Any]) -> None:
    """Print a document as JSON on stdout."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
