"""Charts of what happened inside one run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import TypeVar

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from layerweaver.backend_sim.report.charts.machine import idle_bar
from layerweaver.backend_sim.report.charts.timeline import timeline_figure
from layerweaver.backend_sim.report.markup import Cell, Chart, Table
from layerweaver.backend_sim.report.palette import BUSY, MOVING, colour, dash, hatched, plain, styled
from layerweaver.backend_sim.report.ranking import drawn_names
from layerweaver.backend_sim.results.reading import LabelledRun
from layerweaver.backend_sim.results.schema.details import Batches, InSystem, TenantSeries

__all__ = ["activity_figure", "batch_figure", "in_system_figure", "lateness_figure", "run_charts"]


def run_charts(run: LabelledRun, index: int) -> list[Chart]:
    """What happened inside one run, as far as its details tell."""
    if run.details is None:
        return []
    charts = []
    timeline, figure = run.details["timeline"], timeline_figure(run)
    if timeline is not None and figure is not None:
        shown = len(timeline["layer"])
        cut = "" if shown == timeline["rows_in_window"] else f" The last {shown} layers are drawn."
        names = [tenant["name"] for tenant in run.tenants]
        rows: list[list[Cell]] = [
            [layer, names[owner], request, begin, end, start, done, mode]
            for layer, owner, request, begin, end, start, done, mode in zip(
                timeline["layer"],
                timeline["tenant"],
                timeline["request"],
                timeline["fetch_start_ms"],
                timeline["fetch_end_ms"],
                timeline["compute_start_ms"],
                timeline["compute_end_ms"],
                timeline["mode"],
                strict=True,
            )
        ]
        columns = ("layer", "tenant", "request", "fetch ms", "to ms", "compute ms", "to ms", "why chosen")
        charts.append(
            Chart(
                f"timeline-{index}",
                "Timeline",
                f"{timeline['why']}. Each block is a layer: its fetch on the DRAM row, its compute below. "
                f"Lines are requests from arrival to completion; a red cross is a lost deadline.{cut}",
                figure,
                Table("Layers in the window", columns, rows, moments=frozenset(range(3, 7))),
                zoomable=True,
            )
        )
    charts += _series_charts(run, index)
    return charts


def _series_charts(run: LabelledRun, index: int) -> list[Chart]:
    details = run.details
    if details is None:
        return []
    charts = []
    activity, figure = details["utilization"], activity_figure(run)
    if activity is not None and figure is not None:
        shares = (*activity["compute"].values(), *activity["dram"].values())
        rows: list[Sequence[Cell]] = [
            [edge, *(share[step] for share in shares)] for step, edge in enumerate(activity["edges_ms"][:-1])
        ]
        columns = ("from ms", *(f"compute: {cause}" for cause in activity["compute"]))
        columns += tuple(f"DRAM: {cause}" for cause in activity["dram"])
        charts.append(
            Chart(
                f"activity-{index}",
                "Utilization over time",
                "Both engines over the stretch of the run that was recorded; hatched parts are idle.",
                figure,
                Table("Shares of time per step", columns, rows, frozenset(range(1, len(columns)))),
            )
        )
    figure = lateness_figure(run)
    if figure is not None:
        over_time = details["over_time"]
        series = _drawn(run, over_time["tenants"])
        names = [entry["tenant"] for entry in series]
        rows = [
            [edge, *(entry["in_system"][step] for entry in series)]
            + [entry["late"][step] + entry["dropped"][step] for entry in series]
            for step, edge in enumerate(over_time["edges_ms"][:-1])
        ]
        columns = ("from ms", *(f"{name}: in system" for name in names), *(f"{name}: lost" for name in names))
        charts.append(
            Chart(
                f"lateness-{index}",
                "Requests over time",
                "Requests waiting or running at each moment; a cross marks a step whose arrivals lost "
                "their deadlines.",
                figure,
                Table("Requests per step", columns, rows),
            )
        )
    return charts + _histogram_charts(run, index)


def _histogram_charts(run: LabelledRun, index: int) -> list[Chart]:
    details = run.details
    if details is None:
        return []
    charts = []
    figure = in_system_figure(run)
    if figure is not None:
        rows: list[list[Cell]] = [
            [entry["tenant"], count, share]
            for entry in _drawn(run, details["in_system"])
            for count, share in zip(entry["requests"], entry["share_of_time"], strict=True)
        ]
        charts.append(
            Chart(
                f"queue-{index}",
                "Queue lengths",
                "How much of the time so many requests of a tenant were waiting or running.",
                figure,
                Table(
                    "Share of time by requests in the system", ("tenant", "requests", "share of time"), rows
                ),
            )
        )
    figure = batch_figure(run)
    if figure is not None:
        rows = [
            [entry["tenant"], size, count]
            for entry in _drawn(run, details["batches"])
            for size, count in zip(entry["size"], entry["count"], strict=True)
        ]
        charts.append(
            Chart(
                f"batches-{index}",
                "Batch sizes",
                "How many batches of each size were run together.",
                figure,
                Table("Batches by size", ("tenant", "requests", "batches"), rows),
            )
        )
    return charts


Entry = TypeVar("Entry", TenantSeries, InSystem, Batches)


def _drawn(run: LabelledRun, entries: Sequence[Entry]) -> list[Entry]:
    """The entries of the tenants that are drawn, the worst where there are many."""
    wanted = set(drawn_names([run]))
    return [entry for entry in entries if entry["tenant"] in wanted]


def activity_figure(run: LabelledRun) -> go.Figure | None:
    """What each engine did over the recorded time, compute above DRAM; None without details."""
    activity = run.details["utilization"] if run.details else None
    if not activity:
        return None
    edges = activity["edges_ms"]
    middle = [(first + second) / 2 for first, second in pairwise(edges)]
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    shown: set[str] = set()
    for row, (engine, busy_name, busy_colour) in enumerate(
        (("compute", "computing", BUSY), ("dram", "DRAM moving", MOVING)), start=1
    ):
        shares = activity["compute"] if engine == "compute" else activity["dram"]
        for cause, values in shares.items():
            if cause != "busy" and not any(value > 1e-9 for value in values):
                continue
            add_bar = partial(
                figure.add_bar,
                x=middle,
                y=values,
                width=edges[1] - edges[0],
                row=row,
                col=1,
                hovertemplate="%{y:.1%} at %{x:,.4r} ms",
            )
            if cause == "busy":
                add_bar(name=busy_name, marker={"color": busy_colour, "line": {"width": 0}})
            else:
                add_bar(showlegend=cause not in shown, **idle_bar(cause))
                shown.add(cause)
    styled(figure, height=420, x_title="", y_title="", barmode="stack", bargap=0)
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02], tickvals=[0, 0.5, 1])
    figure.update_yaxes(title_text="compute", row=1)
    figure.update_yaxes(title_text="DRAM", row=2)
    figure.update_xaxes(title_text="simulated time, ms", row=2)
    figure.update_layout(legend={"y": -0.16, "traceorder": "normal"})
    return figure


def lateness_figure(run: LabelledRun) -> go.Figure | None:
    """Requests in the system of each tenant over the whole run, with the moments deadlines were lost."""
    if run.details is None:
        return None
    over_time = run.details["over_time"]
    edges = over_time["edges_ms"]
    figure = go.Figure()
    for index, entry in enumerate(_drawn(run, over_time["tenants"])):
        figure.add_scatter(
            x=edges,
            y=entry["in_system"],
            name=f"{plain(entry['tenant'])}: in the system",
            mode="lines",
            line={"color": colour(index), "dash": dash(index), "width": 2},
            hovertemplate="%{y} in the system at %{x:,.4r} ms",
        )
        lost = [
            (edge, missed + dropped)
            for edge, missed, dropped in zip(edges[:-1], entry["late"], entry["dropped"], strict=True)
            if missed + dropped
        ]
        if lost:
            half = (edges[1] - edges[0]) / 2
            figure.add_scatter(
                x=[edge + half for edge, _ in lost],
                y=[0] * len(lost),
                customdata=[count for _, count in lost],
                name=f"{plain(entry['tenant'])}: deadlines lost",
                mode="markers",
                cliponaxis=False,
                marker={"symbol": "x-thin", "size": 9, "line": {"width": 2, "color": colour(index)}},
                hovertemplate="%{customdata} due about %{x:,.4r} ms were late or dropped",
            )
    styled(figure, height=320, x_title="simulated time, ms", y_title="requests")
    figure.update_yaxes(rangemode="tozero")
    return figure


def in_system_figure(run: LabelledRun) -> go.Figure | None:
    """How often so many requests of a tenant were waiting or running."""
    entries = (
        [entry for entry in _drawn(run, run.details["in_system"]) if entry["requests"]] if run.details else []
    )
    if not entries:
        return None
    figure = go.Figure()
    for index, entry in enumerate(entries):
        figure.add_scatter(
            x=entry["requests"],
            y=entry["share_of_time"],
            name=plain(entry["tenant"]),
            mode="lines",
            line={"color": colour(index), "dash": dash(index), "width": 2, "shape": "hvh"},
            hovertemplate="%{y:.2%} of the time %{x} in the system",
        )
    styled(figure, height=320, x_title="requests of the tenant waiting or running", y_title="share of time")
    figure.update_yaxes(tickformat="~%", rangemode="tozero")
    return figure


def batch_figure(run: LabelledRun) -> go.Figure | None:
    """Batches by size, per tenant."""
    entries = [entry for entry in _drawn(run, run.details["batches"]) if entry["size"]] if run.details else []
    if not entries:
        return None
    figure = go.Figure()
    for index, entry in enumerate(entries):
        figure.add_bar(
            x=entry["size"],
            y=entry["count"],
            width=0.8 / len(entries) if len(entries) > 1 else 0.4,
            name=plain(entry["tenant"]),
            marker=hatched(index),
            hovertemplate="%{y} batches of %{x}",
        )
    styled(figure, height=320, x_title="requests in a batch", y_title="batches")
    largest = max(max(entry["size"]) for entry in entries)
    figure.update_xaxes(range=[0.4, largest + 0.6], tick0=1, dtick=1 if largest <= 16 else None)
    return figure
