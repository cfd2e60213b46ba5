"""How far long work is, on stderr: a bar on a terminal, otherwise a line a minute where it is asked for."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from layerweaver.ir.text import printable

if TYPE_CHECKING:
    from layerweaver.backend_sim.engine.loop import Progress as EngineProgress

__all__ = ["LINE_EVERY_S", "PATIENCE_S", "MinuteLines", "ProgressBar"]

PATIENCE_S = 1.0
"""Work shorter than this shows no bar."""

LINE_EVERY_S = 60.0
"""Time between two lines where there is no bar."""


class ProgressBar:
    """A bar that shows itself after :data:`PATIENCE_S`, whether or not the work reports anything."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._title = title
        self._bar = Progress(
            TextColumn("{task.description}", table_column=None, markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[share]}"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console or Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(title, total=None, share="", rate="")
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._ended = False
        self._timer = threading.Timer(PATIENCE_S, self._show)
        self._timer.daemon = True
        self._rows_before = 0
        self._rows_now = 0

    def __enter__(self) -> ProgressBar:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._ended = True
            self._bar.stop()

    def _show(self) -> None:
        with self._lock:
            if not self._ended:
                self._bar.start()

    def report(self, share: float, text: str, rate: str = "") -> None:
        """Say how far the work is.

        Args:
            share: Share done, 0 to 1; negative where unknown.
            text: What is being done.
            rate: How fast; by default percent per second of the share.
        """
        known = share >= 0
        elapsed_s = max(time.monotonic() - self._began, 1e-9)
        if known and not rate and share > 0:
            rate = _per_time(100 * share / elapsed_s)
        self._bar.update(
            self._task,
            completed=min(share, 1.0) if known else 0.0,
            total=1.0 if known else None,
            description=printable(f"{self._title}: {text}" if text else self._title),
            share=f"{min(share, 1.0):4.0%}" if known else "",
            rate=rate,
        )

    def report_engine(self, progress: EngineProgress) -> None:
        """Say how far a simulation is."""
        if progress.layers_executed < self._rows_now:
            self._rows_before += self._rows_now
        self._rows_now = progress.layers_executed
        rows = self._rows_before + self._rows_now
        elapsed_s = max(time.monotonic() - self._began, 1e-9)
        share = -1.0 if progress.share is None else progress.share
        self.report(share, f"{rows / 1e6:.1f} M rows", f"{rows / elapsed_s / 1e6:.1f} M/s")


class MinuteLines:
    """A line every minute, whether or not the work reports anything, for stderr that is a file or a pipe.

    Args:
        title: What is being done.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._share, self._text = -1.0, ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)

    def __enter__(self) -> MinuteLines:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _tell(self) -> None:
        began = time.monotonic()
        while not self._ended.wait(LINE_EVERY_S):
            share = f", {min(self._share, 1.0):.0%} done" if self._share >= 0 else ""
            text = f": {self._text}" if self._text else ""
            line = f"layerweaver: {self._title}{text}{share} after {time.monotonic() - began:.0f} s"
            print(printable(line), file=sys.stderr, flush=True)

    def report(self, share: float, text: str) -> None:
        """Note how far the work is, as for :meth:`ProgressBar.report`."""
        self._share, self._text = share, text

    def report_engine(self, progress: EngineProgress) -> None:
        """Note how far a simulation is."""
        share = -1.0 if progress.share is None else progress.share
        self.report(share, f"{progress.layers_executed / 1e6:.1f} M rows")


def _per_time(percent_per_s: float) -> str:
    return f"{percent_per_s:.1f} %/s" if percent_per_s >= 0.1 else f"{60 * percent_per_s:.2f} %/min"
