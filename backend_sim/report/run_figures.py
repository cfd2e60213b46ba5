"""Figures of runs: latencies, utilisation, queues and batches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go

from layerweaver.backend_sim.report.documents import Run
from layerweaver.backend_sim.report.palette import (
    BUSY,
    DANGER,
    HATCHES,
    IDLE_COLOURS,
    MARK,
    colour,
    dash,
    plain,
    styled,
)

__all__ = [
    "activity_figure",
    "batch_figure",
    "idle_figure",
    "in_system_figure",
    "latency_figure",
    "lateness_figure",
]


def latency_figure(runs: Sequence[Run], tenant: str) -> go.Figure | None:
    """Share of a tenant's requests that took longer than a latency, one line per run; None without details.

    Both axes are logarithmic. Where a line crosses the deadline, its height is the violation rate.
    """
    figure = go.Figure()
    deadlines: set[float] = set()
    for index, run in enumerate(runs):
        histograms = run.details["latency"] if run.details else []
        entry = next((found for found in histograms if found["tenant"] == tenant and found["counts"]), None)
        if entry is None:
            continue
        total = sum(entry["counts"]) + entry["dropped"]
        slower = 1 - np.cumsum([0, *entry["counts"]]) / total
        if entry["deadline_ms"] is not None:
            deadlines.add(entry["deadline_ms"])
        shown = [(edge, share) for edge, share in zip(entry["edges_ms"], slower.tolist(), strict=True)]
        shown = [(edge, share) for edge, share in shown if share > 0.5 / total]
        figure.add_scatter(
            x=[edge for edge, _ in shown],
            y=[share for _, share in shown],
            name=plain(run.label),
            mode="lines",
            line={"color": colour(index), "dash": dash(index), "width": 2.2},
            hovertemplate="%{y:.3%} took longer than %{x:.3g} ms<extra>" + plain(run.label) + "</extra>",
        )
    if not figure.data:
        return None
    styled(figure, height=380, x_title="latency, ms", y_title="share of requests slower")
    for deadline in sorted(deadlines):
        figure.add_vline(
            x=deadline,
            line={"color": DANGER, "dash": "dash", "width": 1.6},
            annotation={"text": f"deadline {deadline:g} ms", "font": {"color": DANGER}, "yanchor": "bottom"},
            annotation_position="top",
        )
    figure.update_xaxes(type="log", minor={"ticks": ""}, dtick="D2")
    figure.update_yaxes(type="log", tickformat="~%", dtick=1)
    return figure


def idle_figure(runs: Sequence[Run]) -> go.Figure:
    """Where the compute engine's time went, one bar per run; the mark is the DRAM channel's utilisation."""
    labels = [plain(run.label) for run in runs][::-1]
    ordered = list(runs)[::-1]
    figure = go.Figure()
    figure.add_bar(
        y=labels,
        x=[run.system.compute_utilization for run in ordered],
        name="computing",
        orientation="h",
        marker={"color": BUSY},
        hovertemplate="%{x:.1%} computing<extra>%{y}</extra>",
    )
    causes = [cause for cause in IDLE_COLOURS if any(run.system.idle.get(cause) for run in runs)]
    for number, cause in enumerate(causes, start=1):
        figure.add_bar(
            y=labels,
            x=[run.system.idle.get(cause) for run in ordered],
            name="idle: " + cause.replace("_", " "),
            orientation="h",
            marker={
                "color": IDLE_COLOURS[cause],
                "pattern": {"shape": HATCHES[number], "size": 5, "solidity": 0.25},
            },
            hovertemplate="%{x:.1%} idle, " + cause.replace("_", " ") + "<extra>%{y}</extra>",
        )
    figure.add_scatter(
        y=labels,
        x=[run.system.dram_utilization for run in ordered],
        name="DRAM busy",
        mode="markers",
        marker={"symbol": "diamond", "size": 11, "color": DANGER, "line": {"color": "#ffffff", "width": 1.2}},
        hovertemplate="%{x:.1%} DRAM busy<extra>%{y}</extra>",
    )
    styled(figure, height=150 + 34 * len(labels), x_title="share of time", y_title="", barmode="stack")
    figure.update_xaxes(tickformat=".0%", range=[0, 1.005])
    figure.update_layout(bargap=0.35)
    figure.update_layout(legend={"y": -0.18 - 1.6 / (2 + len(labels))})
    return figure


def activity_figure(run: Run) -> go.Figure | None:
    """Compute time by use over the recorded time, and DRAM utilisation; None without details."""
    activity = run.details["utilization"] if run.details else None
    if not activity:
        return None
    edges = activity["edges_ms"]
    middle = [(first + second) / 2 for first, second in pairwise(edges)]
    width = edges[1] - edges[0]
    figure = go.Figure()
    figure.add_bar(
        x=middle,
        y=activity["compute"],
        width=width,
        name="computing",
        marker={"color": BUSY, "line": {"width": 0}},
    )
    causes = [cause for cause, values in activity["idle"].items() if any(values)]
    for number, cause in enumerate(causes, start=1):
        figure.add_bar(
            x=middle,
            y=activity["idle"][cause],
            width=width,
            name="idle: " + cause.replace("_", " "),
            marker={
                "color": IDLE_COLOURS.get(cause, MARK),
                "line": {"width": 0},
                "pattern": {"shape": HATCHES[number], "size": 5, "solidity": 0.25},
            },
        )
    figure.add_scatter(
        x=middle,
        y=activity["dram"],
        name="DRAM busy",
        mode="lines",
        line={"color": DANGER, "width": 2.2, "shape": "hvh"},
    )
    styled(
        figure, height=340, x_title="simulated time, ms", y_title="share of time", barmode="stack", bargap=0
    )
    figure.update_traces(hovertemplate="%{y:.1%} at %{x:.4g} ms")
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02])
    return figure


def lateness_figure(run: Run) -> go.Figure | None:
    """Requests in the system of each tenant over the whole run, with the moments deadlines were lost."""
    if run.details is None:
        return None
    over_time = run.details["over_time"]
    edges = over_time["edges_ms"]
    figure = go.Figure()
    for index, entry in enumerate(over_time["tenants"]):
        figure.add_scatter(
            x=edges,
            y=entry["in_system"],
            name=f"{plain(entry['tenant'])}: in the system",
            mode="lines",
            line={"color": colour(index), "dash": dash(index), "width": 2},
            hovertemplate="%{y} in the system at %{x:.4g} ms",
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
                marker={"symbol": "x-thin", "size": 9, "line": {"width": 2, "color": colour(index)}},
                hovertemplate="%{customdata} due about %{x:.4g} ms were late or dropped",
            )
    styled(figure, height=320, x_title="simulated time, ms", y_title="requests")
    figure.update_yaxes(rangemode="tozero")
    return figure


def in_system_figure(run: Run) -> go.Figure | None:
    """How often so many requests of a tenant were waiting or running."""
    entries = [entry for entry in run.details["in_system"] if entry["requests"]] if run.details else []
    if not entries:
        return None
    figure = go.Figure()
    for index, entry in enumerate(entries):
        figure.add_bar(
            x=entry["requests"],
            y=entry["share_of_time"],
            name=plain(entry["tenant"]),
            marker={
                "color": colour(index),
                "pattern": {"shape": HATCHES[index % len(HATCHES)], "size": 5, "solidity": 0.25},
            },
            hovertemplate="%{y:.2%} of the time %{x} in the system",
        )
    styled(figure, height=320, x_title="requests of the tenant waiting or running", y_title="share of time")
    figure.update_yaxes(tickformat="~%")
    return figure


def batch_figure(run: Run) -> go.Figure | None:
    """Batches by size, per tenant."""
    entries = [entry for entry in run.details["batches"] if entry["size"]] if run.details else []
    if not entries:
        return None
    figure = go.Figure()
    for index, entry in enumerate(entries):
        figure.add_bar(
            x=entry["size"],
            y=entry["count"],
            name=plain(entry["tenant"]),
            marker={
                "color": colour(index),
                "pattern": {"shape": HATCHES[index % len(HATCHES)], "size": 5, "solidity": 0.25},
            },
            hovertemplate="%{y} batches of %{x}",
        )
    styled(figure, height=320, x_title="requests in a batch", y_title="batches")
    largest = max(max(entry["size"]) for entry in entries)
    figure.update_xaxes(range=[0.4, largest + 0.6], tick0=1, dtick=1 if largest <= 16 else None)
    return figure
