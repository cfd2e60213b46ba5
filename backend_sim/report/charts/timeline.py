"""The zoomable timeline: what both engines did in a window, and which requests it served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypedDict

import plotly.graph_objects as go

from layerweaver.backend_sim.report.palette import DANGER, MARK, colour, hatched, plain, styled
from layerweaver.backend_sim.report.ranking import DRAWN_TENANTS
from layerweaver.backend_sim.results.reading import LabelledRun
from layerweaver.backend_sim.results.schema.details import Timeline

__all__ = ["timeline_figure"]


_MS_DIGITS = 6
"""Times are drawn to the nanosecond."""


class _Bars(TypedDict):
    base: list[float]
    x: list[float]
    y: list[str]
    customdata: list[list[str | int | float]]


def _bars(timeline: Timeline, tenants: Sequence[int], names: Sequence[str], track: str) -> _Bars:
    if track == "DRAM":
        start, end = timeline["fetch_start_ms"], timeline["fetch_end_ms"]
    else:
        start, end = timeline["compute_start_ms"], timeline["compute_end_ms"]
    chosen = [
        index
        for index, owner in enumerate(timeline["tenant"])
        if owner in tenants and (track == "compute" or timeline["dram_bytes"][index] > 0)
    ]
    return {
        "base": [round(start[index], _MS_DIGITS) for index in chosen],
        "x": [round(end[index] - start[index], _MS_DIGITS) for index in chosen],
        "y": [track] * len(chosen),
        "customdata": [
            [
                plain(timeline["layer"][index]),
                timeline["request"][index],
                round((end[index] - start[index]) * 1e3, 3),
                timeline["dram_bytes"][index] / 1e3,
                plain(timeline["mode"][index]),
                plain(names[timeline["tenant"][index]]),
            ]
            for index in chosen
        ],
    }


def timeline_figure(run: LabelledRun) -> go.Figure | None:
    """Fetches and computes of a window as bars, one colour per tenant, above the requests they serve.

    A thick line is a request from arrival to completion; one that lost its deadline ends in a red cross.
    None without details.
    """
    timeline = run.details["timeline"] if run.details else None
    if not timeline or not timeline["layer"]:
        return None
    figure = go.Figure()
    names = [tenant["name"] for tenant in run.tenants]
    there = {*timeline["tenant"], *timeline["requests"]["tenant"]}
    rows_of = Counter(timeline["tenant"])
    drawn = sorted(sorted(there, key=lambda index: -rows_of[index])[:DRAWN_TENANTS])
    groups = [(names[index], hatched(index), [index]) for index in drawn]
    if rest := sorted(there.difference(drawn)):
        groups.append((f"{len(rest)} other tenants", {"color": MARK}, rest))
    outline = {"width": 0.4 if len(timeline["layer"]) <= 600 else 0, "color": "rgba(255,255,255,0.5)"}
    for name, marker, members in groups:
        for track in ("DRAM", "compute"):
            figure.add_bar(
                **_bars(timeline, members, names, track),
                orientation="h",
                name=plain(name),
                legendgroup=name,
                showlegend=track == "DRAM",
                marker=marker | {"line": outline},
                hovertemplate="%{customdata[0]}<br>request %{customdata[1]}, %{customdata[2]:,.4r} us, "
                "%{customdata[3]:,.4r} kB<br>%{customdata[4]}<extra>%{customdata[5]}</extra>",
                width=0.72,
            )
    _add_requests(figure, timeline, {index: names[index] for index in drawn})
    styled(
        figure,
        height=300 + 44 * len(drawn),
        x_title="simulated time, ms",
        y_title="",
        barmode="overlay",
        dragmode="pan",
    )
    figure.update_xaxes(range=[timeline["from_ms"], timeline["to_ms"]])
    rows = ["DRAM", "compute", *(f"{plain(names[index])}: requests" for index in drawn)]
    figure.update_yaxes(categoryorder="array", categoryarray=rows[::-1], fixedrange=True)
    return figure


def _add_requests(figure: go.Figure, timeline: Timeline, names: Mapping[int, str]) -> None:
    requests = timeline["requests"]
    for index, name in names.items():
        row = f"{plain(name)}: requests"
        chosen = [position for position, owner in enumerate(requests["tenant"]) if owner == index]
        x: list[float | None] = []
        y: list[str | None] = []
        for position in chosen:
            x += [requests["due_ms"][position], requests["done_ms"][position], None]
            y += [row, row, None]
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines+markers",
            line={"color": colour(index), "width": 2},
            marker={"symbol": "line-ns", "size": 9, "line": {"width": 2, "color": colour(index)}},
            legendgroup=name,
            showlegend=False,
            hoverinfo="skip",
        )
        late = [position for position in chosen if requests["late"][position]]
        if late:
            figure.add_scatter(
                x=[requests["done_ms"][position] for position in late],
                y=[row] * len(late),
                customdata=[requests["request"][position] for position in late],
                mode="markers",
                name=f"{plain(name)}: deadline lost",
                marker={"symbol": "x", "size": 9, "color": DANGER},
                hovertemplate="request %{customdata} was late<extra>" + plain(name) + "</extra>",
            )
