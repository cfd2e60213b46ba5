"""Figures of runs: latencies, utilisation, queues and batches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from layerweaver.backend_sim.report.documents import Run, Tenant
from layerweaver.backend_sim.report.palette import (
    BUSY,
    DANGER,
    IDLE_COLOURS,
    IDLE_HATCHES,
    MARK,
    MOVING,
    colour,
    dash,
    hatched,
    log_ticks,
    mark_x,
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


_PERCENTILES = (("p50", 0.5), ("p90", 0.1), ("p99", 0.01), ("p999", 0.001))


def _tail(run: Run, tenant: Tenant) -> tuple[list[float], list[float]] | None:
    """Latencies in ms and the shares of requests that took longer; without details from the percentiles."""
    histograms = run.details["latency"] if run.details else []
    entry = next((found for found in histograms if found["tenant"] == tenant.name and found["counts"]), None)
    if entry is None:
        values = [(getattr(tenant.latency_ms, name), share) for name, share in _PERCENTILES]
        known = [(value, share) for value, share in values if value is not None and value > 0]
    else:
        total = sum(entry["counts"]) + entry["dropped"]
        slower = (1 - np.cumsum([0, *entry["counts"]]) / total).tolist()
        pairs = zip(entry["edges_ms"], slower, strict=True)
        known = [(edge, share) for edge, share in pairs if share > 0.5 / total and edge > 0]
    return ([value for value, _ in known], [share for _, share in known]) if known else None


def latency_figure(runs: Sequence[Run], tenant: str) -> go.Figure | None:
    """Share of a tenant's requests that took longer than a latency, one line per run.

    Both axes are logarithmic. Where a line crosses the deadline, its height is the violation rate. Runs
    without details are drawn through their percentiles. None if nothing completed.
    """
    figure = go.Figure()
    deadlines: set[float] = set()
    every: list[float] = []
    for index, run in enumerate(runs):
        entry = next((found for found in run.tenants if found.name == tenant), None)
        tail = _tail(run, entry) if entry is not None else None
        if entry is None or tail is None:
            continue
        if entry.deadline_ms:
            deadlines.add(entry.deadline_ms)
        every += tail[0]
        figure.add_scatter(
            x=tail[0],
            y=tail[1],
            name=plain(run.label),
            mode="lines" if run.details else "lines+markers",
            line={"color": colour(index), "dash": dash(index), "width": 2.2},
            hovertemplate="%{y:.3%} took longer than %{x:.3g} ms<extra>" + plain(run.label) + "</extra>",
        )
    if not figure.data:
        return None
    styled(figure, height=380, x_title="latency, ms", y_title="share of requests slower")
    for deadline in sorted(deadlines):
        mark_x(figure, deadline, f"deadline {deadline:g} ms", DANGER, log=True)
    figure.update_xaxes(type="log", **log_ticks(min(every), max(*every, *deadlines, min(every))))
    figure.update_yaxes(type="log", tickformat="~%", dtick=1)
    return figure


def _idle_bar(cause: str, **values: Any) -> dict[str, Any]:
    name = "idle: " + cause.replace("_", " ")
    pattern = {"shape": IDLE_HATCHES.get(cause, ""), "size": 5, "solidity": 0.3}
    marker = {"color": IDLE_COLOURS.get(cause, MARK), "line": {"width": 0}, "pattern": pattern}
    return {"name": name, "legendgroup": cause, "marker": marker, **values}


def idle_figure(runs: Sequence[Run]) -> go.Figure:
    """Where the time of both engines went, one bar per run: each engine is half of a bar."""
    labels = [plain(run.label) for run in runs]
    figure = go.Figure()
    common: dict[str, Any] = {"y": labels, "orientation": "h", "hovertemplate": "%{x:.1%}"}
    busy = [(run.system.compute_utilization or 0.0, run.system.dram_utilization or 0.0) for run in runs]
    figure.add_bar(x=[compute / 2 for compute, _ in busy], name="computing", marker={"color": BUSY}, **common)
    figure.add_bar(x=[dram / 2 for _, dram in busy], name="DRAM moving", marker={"color": MOVING}, **common)
    scale = []
    for run, (compute, dram) in zip(runs, busy, strict=True):
        idle = sum(share or 0.0 for share in run.system.idle.values())
        scale.append(max(0.0, 1 - (compute + dram) / 2) / idle if idle else 0.0)
    for cause in IDLE_COLOURS:
        shares = [
            (run.system.idle.get(cause) or 0.0) * factor for run, factor in zip(runs, scale, strict=True)
        ]
        if any(shares):
            figure.add_bar(**_idle_bar(cause, x=shares, **common))
    styled(
        figure,
        height=150 + 34 * len(labels),
        x_title="share of the time of both engines",
        y_title="",
        barmode="stack",
        bargap=0.35,
    )
    figure.update_xaxes(tickformat=".0%", range=[0, 1.002])
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(legend={"y": -56 / (34 * len(labels) + 74), "traceorder": "normal"})
    return figure


def activity_figure(run: Run) -> go.Figure | None:
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
            bar: dict[str, Any] = {"x": middle, "y": values, "width": edges[1] - edges[0]}
            if cause == "busy":
                bar |= {"name": busy_name, "marker": {"color": busy_colour, "line": {"width": 0}}}
            else:
                bar = _idle_bar(cause, showlegend=cause not in shown, **bar)
                shown.add(cause)
            figure.add_bar(row=row, col=1, hovertemplate="%{y:.1%} at %{x:.4g} ms", **bar)
    styled(figure, height=420, x_title="", y_title="", barmode="stack", bargap=0)
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02], tickvals=[0, 0.5, 1])
    figure.update_yaxes(title_text="compute", row=1)
    figure.update_yaxes(title_text="DRAM", row=2)
    figure.update_xaxes(title_text="simulated time, ms", row=2)
    figure.update_layout(legend={"y": -0.16, "traceorder": "normal"})
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
                cliponaxis=False,
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
            width=0.8 / len(entries) if len(entries) > 1 else 0.4,
            name=plain(entry["tenant"]),
            marker=hatched(index),
            hovertemplate="%{y} batches of %{x}",
        )
    styled(figure, height=320, x_title="requests in a batch", y_title="batches")
    largest = max(max(entry["size"]) for entry in entries)
    figure.update_xaxes(range=[0.4, largest + 0.6], tick0=1, dtick=1 if largest <= 16 else None)
    return figure
