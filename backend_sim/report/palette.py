"""Colours and the common layout of every figure.

All series colours are mid-tones whose contrast is at least 3 to 1 against both the light and the dark
page, so one figure serves both; text and grid take the page's own colours through its style sheet. Series
also differ by dash or hatch, so that nothing is told by colour alone.
"""

from __future__ import annotations

import math
from typing import Any, TypedDict

import plotly.graph_objects as go

__all__ = [
    "BUSY",
    "DANGER",
    "DASHES",
    "HATCHES",
    "IDLE_COLOURS",
    "IDLE_HATCHES",
    "MARK",
    "MOVING",
    "SERIES",
    "Marker",
    "Pattern",
    "colour",
    "dash",
    "hatched",
    "log_ticks",
    "mark_x",
    "mark_y",
    "plain",
    "styled",
]

SERIES = ("#2f7fc4", "#c4641a", "#2e9560", "#9a63c9", "#c9486b", "#1f939c", "#9a7b23", "#7a7f8c")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash")
HATCHES = ("", "/", "\\", "x", "-", "|", "+", ".")
DANGER = "#d13f3f"
MARK = "#7a8594"
BUSY = "#2f7fc4"
MOVING = "#1f939c"
IDLE_COLOURS = {
    "no_work": "#818b9a",
    "waiting_for_memory": "#c4641a",
    "buffer_full": "#9a63c9",
    "inherent": "#9a7b23",
    "held_by_policy": "#2e9560",
}
IDLE_HATCHES = {
    "no_work": ".",
    "waiting_for_memory": "/",
    "buffer_full": "x",
    "inherent": "-",
    "held_by_policy": "|",
}
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"


def colour(index: int) -> str:
    """Colour of the ``index``-th series."""
    return SERIES[index % len(SERIES)]


def dash(index: int) -> str:
    """Dash of the ``index``-th line."""
    return DASHES[index % len(DASHES)]


class Ticks(TypedDict):
    """Ticks of an axis, as plotly takes them."""

    tickmode: str
    tickvals: list[float]
    ticktext: list[str]


class Pattern(TypedDict, total=False):
    """Hatch of a bar."""

    shape: str
    fillmode: str
    fgcolor: str
    size: int
    solidity: float


class Marker(TypedDict, total=False):
    """Look of a bar."""

    color: str
    line: dict[str, int]
    pattern: Pattern


def log_ticks(low: float, high: float) -> Ticks:
    """Ticks at 1, 2 and 5 times powers of ten around a range, or at the powers alone when it is wide."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 4 else (1,)
    values = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    return {"tickmode": "array", "tickvals": values, "ticktext": [f"{value:g}" for value in values]}


def hatched(index: int) -> Marker:
    """Marker of the ``index``-th series of bars: its colour, told apart by a hatch as well."""
    pattern: Pattern = {
        "shape": HATCHES[index % len(HATCHES)],
        "fillmode": "overlay",
        "fgcolor": "rgba(255,255,255,0.6)",
        "size": 6,
        "solidity": 0.25,
    }
    return {"color": colour(index), "line": {"width": 0}, "pattern": pattern}


def mark_x(figure: go.Figure, value: float, text: str, mark: str, *, log: bool = False) -> None:
    """A dashed vertical line with its name above the plot."""
    figure.add_shape(
        type="line",
        x0=value,
        x1=value,
        yref="paper",
        y0=0,
        y1=1,
        line={"color": mark, "dash": "dash", "width": 1.6},
    )
    figure.add_annotation(
        x=math.log10(value) if log else value, yref="paper", y=1, yanchor="bottom", text=text, showarrow=False
    )


def mark_y(figure: go.Figure, value: float, text: str, mark: str, *, log: bool = False) -> None:
    """A dashed horizontal line with its name at the left end, above it."""
    figure.add_shape(
        type="line",
        y0=value,
        y1=value,
        xref="paper",
        x0=0,
        x1=1,
        line={"color": mark, "dash": "dash", "width": 1.6},
    )
    figure.add_annotation(
        y=math.log10(value) if log else value,
        xref="paper",
        x=0.01,
        xanchor="left",
        yanchor="bottom",
        text=text,
        showarrow=False,
    )


def plain(text: str) -> str:
    """Text that plotly shows as it is: its own markup is taken out of force."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def styled(figure: go.Figure, *, height: int, x_title: str, y_title: str, **layout: Any) -> go.Figure:
    """Give a figure the common look: transparent ground, legend below, margins that fit a phone."""
    before: dict[str, Any] = figure.layout.to_plotly_json()
    axes = {
        name: {
            **before.get(name, {}),
            "title": {"text": title, "standoff": 8, "font": {"size": 13}},
            "gridcolor": "rgba(128,138,150,0.25)",
            "zerolinecolor": "rgba(128,138,150,0.5)",
            "automargin": True,
        }
        for kind, title in (("xaxis", x_title), ("yaxis", y_title))
        for name in {kind, *(name for name in before if name.startswith(kind))}
    }
    figure.layout = {  # as a whole: plotly takes five times as long to update it
        **before,
        "template": {},
        "height": height,
        "margin": {"l": 56, "r": 16, "t": 28, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13, "color": "#5b6673"},
        "legend": {"orientation": "h", "x": 0, "y": -0.22, "yanchor": "top"},
        "hoverlabel": {"font": {"family": FONT, "size": 13}, "align": "left"},
        **layout,
        **axes,
    }
    figure.layout.template = None
    return figure
