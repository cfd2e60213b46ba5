"""Pieces of HTML: numbers, tables and charts with the table behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, TypeAlias

from layerweaver.ir.text import figure

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["Cell", "Chart", "Table", "chart_markup", "number", "table_markup"]

Cell: TypeAlias = str | int | float | None
MAX_TABLE_ROWS = 400
SEARCHED_ROWS = 30
_STATUS = {"met": "valid", "late": "invalid", "too_short": "unsure"}
_ZOOMS = (
    ("in", "Zoom in"),
    ("out", "Zoom out"),
    ("left", "Earlier"),
    ("right", "Later"),
    ("all", "Whole window"),
)


@dataclass(frozen=True, slots=True)
class Table:
    """A table: the first column heads its row; the columns in ``shares`` are shown in percent.

    ``moments`` are columns of times that differ little from row to row: they show 100 ns of a millisecond.
    ``titles`` says what the headings mean. A ``whole`` table is never cut, and can be searched if it is long.
    """

    caption: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    shares: frozenset[int] = frozenset()
    titles: Mapping[str, str] = field(default_factory=dict)
    whole: bool = False
    moments: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Chart:
    """A figure with words for those who do not see it and the numbers it was drawn from.

    Attributes:
        key: Identifier, unique on the page.
        title: What it shows.
        reading: How to read it.
        figure: The plotly figure.
        table: Its numbers.
        zoomable: Whether it gets zoom buttons for the time axis.
    """

    key: str
    title: str
    reading: str
    figure: go.Figure
    table: Table
    zoomable: bool = False


def number(value: Cell) -> str:
    """A value as people read it: four significant digits, thousands separated, a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, (str, bool)):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return figure(value, 4)
    return f"{value:.4g}"


def _cell(value: Cell, *, head: bool, text: bool, share: bool, moment: bool) -> str:
    tag, scope = ("th", ' scope="row"') if head else ("td", "")
    if isinstance(value, str) or value is None:
        status = _STATUS.get(value or "")
        css = f"text {status or ''}".strip() if text else ""
        said = number(value).replace("_", " ") if status else number(value)
        return f'<{tag}{scope} class="{css}">{escape(said)}</{tag}>'
    shown = f"{value:.2%}" if share else f"{value:,.4f}" if moment else number(value)
    return f'<{tag}{scope} data-value="{value!r}">{escape(shown)}</{tag}>'


def _title(table: Table, heading: str) -> str:
    said = table.titles.get(heading)
    return f' title="{escape(said)}"' if said else ""


def table_markup(table: Table, *, identifier: str = "") -> str:
    """A table as HTML; exact values are kept in ``data-value``."""
    rows = list(table.rows if table.whole else table.rows[:MAX_TABLE_ROWS])
    text = [any(isinstance(row[index], str) for row in rows) for index in range(len(table.columns))]
    head = "".join(
        f'<th scope="col"{" class=text" if is_text else ""}{_title(table, name)}>{escape(name)}</th>'
        for name, is_text in zip(table.columns, text, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            _cell(
                value,
                head=index == 0,
                text=text[index],
                share=index in table.shares,
                moment=index in table.moments,
            )
            for index, value in enumerate(row)
        )
        + "</tr>\n"
        for row in rows
    )
    more = len(table.rows) - len(rows)
    caption = table.caption + (f" (first {len(rows)} of {len(table.rows)} rows)" if more > 0 else "")
    name = f' id="{identifier}"' if identifier else ""
    search, tall = "", ""
    if table.whole and len(rows) > SEARCHED_ROWS:
        box = f'<input type="search" data-filter="{identifier}">'
        search = f'<label class="search">Show only rows with {box}</label>'
        tall = " tall"
    return (
        f'{search}<div class="scroll{tall}" tabindex="0" role="region" aria-label="{escape(table.caption)}">'
        f"<table{name}>"
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>"
    )


def chart_markup(chart: Chart) -> str:
    """A chart: title, how to read it, the drawing, and the numbers behind it."""
    figure = chart.figure.to_json(validate=False, pretty=False)
    data = figure.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    tools = ""
    if chart.zoomable:
        buttons = "".join(
            f'<button type="button" data-zoom="{zoom}" aria-controls="plot-{chart.key}">{label}</button>'
            for zoom, label in _ZOOMS
        )
        tools = f'<div class="tools" role="group" aria-label="Move in the timeline">{buttons}</div>'
    return f"""<figure class="chart" aria-labelledby="title-{chart.key}">
<figcaption><h3 id="title-{chart.key}">{escape(chart.title)}</h3><p>{escape(chart.reading)}</p></figcaption>
{tools}<div class="plot" id="plot-{chart.key}" role="img"
 aria-label="{escape(chart.title)}. {escape(chart.reading)}"
 style="height:{int(chart.figure.layout.height)}px"></div>
<script type="application/json" data-plot="{chart.key}">{data}</script>
<details><summary>Numbers</summary>{table_markup(chart.table)}</details>
</figure>
"""
