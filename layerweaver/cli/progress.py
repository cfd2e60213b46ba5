"""The progress bar: share done, rate and remaining time, on stderr, once work has taken a while."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from layerweaver.ir.text import printable

if TYPE_CHECKING:
    from layerweaver.backend_sim.engine.loop import Progress as EngineProgress

__all__ = ["PATIENCE_S", "ProgressBar"]

PATIENCE_S = 1.0
"""Work shorter than this shows no bar."""


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


def _per_time(percent_per_s: float) -> str:
    return f"{percent_per_s:.1f} %/s" if percent_per_s >= 0.1 else f"{60 * percent_per_s:.2f} %/min"
