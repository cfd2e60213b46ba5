"""Tables that turn into lines where a terminal is too narrow for them."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Column, Table
from rich.text import Text

from layerweaver.ir.text import printable

__all__ = ["Listing"]

_LEAST_TEXT = 12
"""Text may be folded down to so many characters; numbers are never folded nor cut."""


class Listing(Table):
    """A table without a frame. Where its columns do not fit, every row becomes a paragraph.

    The first columns of text name a row: a blank one repeats the name above it. No cell is ever cut.
    """

    def __init__(self, title: str, columns: list[tuple[str, str]]) -> None:
        # Rich would fold a title of its own to the width of the columns.
        self._heading = Text(printable(title), style="bold")
        super().__init__(
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            pad_edge=False,
            show_edge=False,
        )
        for heading, side in columns:
            right = side == "right"
            self.add_column(heading, justify="right" if right else "left", no_wrap=right, overflow="fold")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The heading over all the width there is; below it the table, or paragraphs."""
        yield self._heading
        least = self._least_widths(console, options)
        gaps = len(least) - 1
        if sum(least) + gaps <= options.max_width:
            # The box divides columns by a blank, the padding adds one where there is room.
            self.padding = (0, int(sum(least) + 2 * gaps < options.max_width), 0, 0)
            for column, width in zip(self.columns, least, strict=True):
                column.min_width = width
            yield from super().__rich_console__(console, options)
        else:
            yield from self._paragraphs(options.max_width)

    def _least_widths(self, console: Console, options: ConsoleOptions) -> list[int]:
        least = []
        for column in self.columns:
            cells = [console.measure(cell, options=options.update(width=10_000)) for cell in _cells(column)]
            widest = max((cell.maximum for cell in cells), default=0)
            least.append(widest if column.no_wrap else min(widest, _LEAST_TEXT))
        return least

    def _paragraphs(self, width: int) -> Iterator[RenderableType]:
        count = next((place for place, column in enumerate(self.columns) if column.no_wrap), 1) or 1
        headings = [" ".join(str(column.header).split()) for column in self.columns]
        names = [""] * count
        for cells in zip(*(list(_cells(column))[1:] for column in self.columns), strict=True):
            given = [_text(cell).plain for cell in cells[:count]]
            names = [new or old for new, old in zip(given, names, strict=True)] if any(given) else names
            yield Text(", ".join(name for name in names if name), overflow="fold")
            line = Text("", overflow="fold")
            for heading, cell in zip(headings[count:], cells[count:], strict=True):
                value = _text(cell)
                if not value.plain.strip():
                    continue
                if line and len(line) + len(heading) + len(value.plain.strip()) + 5 > width:
                    yield line
                    line = Text("", overflow="fold")
                line.append(f"  {heading} ").append_text(value)
                line.rstrip()
            if line:
                yield line


def _cells(column: Column) -> Iterator[RenderableType]:
    yield column.header
    yield from column.cells


def _text(cell: RenderableType) -> Text:
    return cell if isinstance(cell, Text) else Text(printable(str(cell)))
