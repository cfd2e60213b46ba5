"""What long work says of itself."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from layerweaver.backend_sim.engine.loop import Progress
from layerweaver.cli import progress as progress_module
from layerweaver.cli.progress import ProgressBar
from layerweaver.cli.session import Session


def bar_on(screen: io.StringIO) -> ProgressBar:
    return ProgressBar("working", Console(file=screen, force_terminal=True, width=120, color_system=None))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "PATIENCE_S", 0.0)


def seen(screen: io.StringIO, text: str) -> bool:
    for _ in range(200):
        if text in screen.getvalue():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.usefixtures("impatient")
def test_work_that_never_reports_still_shows_a_bar() -> None:
    screen = io.StringIO()
    with bar_on(screen):
        assert seen(screen, "working")


@pytest.mark.usefixtures("impatient")
def test_the_bar_tells_share_rate_and_remaining_time() -> None:
    screen = io.StringIO()
    with bar_on(screen) as bar:
        bar.report(0.25, "first half")
        assert seen(screen, "working: first half")
        assert seen(screen, " 25%")
        assert seen(screen, "/s")
        assert seen(screen, "left")
        rows = Progress(0, 3_000_000, (), (), (), (), share=0.5)
        bar.report_engine(rows)
        assert seen(screen, "3.0 M rows")
        assert seen(screen, "M/s")


def test_short_work_shows_nothing() -> None:
    screen = io.StringIO()
    with bar_on(screen) as bar:
        bar.report(0.5, "quick")
    assert screen.getvalue() == ""


@pytest.mark.parametrize("verbose", [False, True])
def test_long_work_without_a_terminal_says_so_where_asked(
    verbose: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "LINE_EVERY_S", 0.01)
    with Session(verbose=verbose).progress("working") as report:
        time.sleep(0.1)
        report(0.42, "half of it\x1b[31m")
        time.sleep(0.1)
    lines = capsys.readouterr().err.splitlines()
    if not verbose:
        assert lines == []
        return
    assert re.fullmatch(r"layerweaver: working after \d+ s", lines[0])
    assert re.fullmatch(r"layerweaver: working: half of it.*, 42% done after \d+ s", lines[-1])
    assert all(line.isprintable() for line in lines)
