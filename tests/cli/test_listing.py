"""Tables at every width of a terminal: no name, no number and no verdict is cut or torn."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from layerweaver.cli.listing import Listing

COLUMNS = [
    ("tenant", "left"),
    ("policy", "left"),
    ("q/s", "right"),
    ("p50\nms", "right"),
    ("p99\nms", "right"),
    ("latency\n(log)", "left"),
    ("due\nms", "right"),
    ("late", "right"),
    ("status", "left"),
]
ROW = ("service-299", "layerweaver+", "39.2", "0.00247", "0.712", "12345#7890", "5", "0.0%", "too short")


@pytest.mark.parametrize("width", range(40, 100))
def test_names_numbers_and_verdicts_stay_whole(width: int) -> None:
    grid = Listing("t", COLUMNS)
    grid.add_row(*ROW)
    grid.add_row("", *ROW[1:])
    screen = io.StringIO()
    Console(file=screen, width=width).print(grid)
    lines = screen.getvalue().splitlines()
    assert all(len(line.rstrip()) <= width for line in lines)
    for cell in ROW[1:]:
        assert sum(cell in line for line in lines) >= 2


def test_a_heading_is_not_folded_to_the_width_of_its_columns() -> None:
    title = "schedule profile of a model with a name that is longer than its table (cycles)"
    grid = Listing(title, [("name", "left"), ("n", "right")])
    grid.add_row("a", "1")
    for width in (200, len(title)):
        screen = io.StringIO()
        Console(file=screen, width=width).print(grid)
        assert screen.getvalue().splitlines()[0].rstrip() == title
