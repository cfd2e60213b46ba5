"""Charts of latencies, a line per policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import plotly.graph_objects as go

from layerweaver.backend_sim.report.markup import Cell, Chart, Table
from layerweaver.backend_sim.report.palette import (
    DANGER,
    colour,
    dash,
    log_ticks,
    mark_x,
    plain,
    styled,
)
from layerweaver.backend_sim.report.ranking import drawn_names
from layerweaver.backend_sim.results.reading import Documents, LabelledRun
from layerweaver.backend_sim.results.schema.details import Histogram
from layerweaver.backend_sim.results.schema.tenant import Tenant

__all__ = ["Line", "histogram_tail", "latency_charts", "latency_figure", "tail_figure"]


def latency_charts(documents: Documents) -> list[Chart]:
    """One chart per tenant with a line per policy."""
    charts = []
    for index, tenant in enumerate(drawn_names(documents.runs)):
        figure = latency_figure(documents.runs, tenant)
        if figure is None:
            continue
        rows: list[list[Cell]] = [
            [
                run.label,
                entry["latency_ms"]["mean"],
                entry["latency_ms"]["p50"],
                entry["latency_ms"]["p90"],
                entry["latency_ms"]["p99"],
                entry["latency_ms"]["p999"],
                entry["latency_ms"]["max"],
                entry.get("deadline_ms"),
            ]
            for run in documents.runs
            for entry in run.tenants
            if entry["name"] == tenant
        ]
        columns = ("policy", "mean ms", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "deadline ms")
        charts.append(
            Chart(
                f"latency-{index}",
                f"Latency of {tenant}",
                "A line falls from all requests to the slowest few; lower and further left is better. Where "
                "it crosses the deadline, its height is the share of requests that missed it: dropped ones "
                "took longer than all. The numbers are of completed requests.",
                figure,
                Table(f"Latency of {tenant}", columns, rows),
            )
        )
    return charts


_BEYOND = (0.5, 0.1, 0.01, 0.001)


def _tail(run: LabelledRun, tenant: Tenant) -> tuple[list[float], list[float]] | None:
    """Latencies in ms and the shares of requests that took longer; without details from the percentiles."""
    histograms = run.details["latency"] if run.details else []
    entry = next(
        (found for found in histograms if found["tenant"] == tenant["name"] and found["counts"]), None
    )
    if entry is None:
        latency = tenant["latency_ms"]
        percentiles = (latency["p50"], latency["p90"], latency["p99"], latency["p999"])
        values = list(zip(percentiles, _BEYOND, strict=True))
        lost = tenant["dropped"] / tenant["arrived"] if tenant["arrived"] else 0.0
        known = [(value, lost + (1 - lost) * share) for value, share in values if value]
    else:
        edges, shares = histogram_tail(entry)
        return (edges, shares) if edges else None
    return ([value for value, _ in known], [share for _, share in known]) if known else None


def histogram_tail(histogram: Histogram) -> tuple[list[float], list[float]]:
    """Edges of a histogram in ms, and the shares that took longer."""
    total = sum(histogram["counts"]) + histogram["dropped"]
    slower = (1 - np.cumsum([0, *histogram["counts"]]) / total).tolist()
    pairs = zip(histogram["edges_ms"], slower, strict=True)
    known = [(edge, share) for edge, share in pairs if share > 0.5 / total and edge > 0]
    return [value for value, _ in known], [share for _, share in known]


def latency_figure(runs: Sequence[LabelledRun], tenant: str) -> go.Figure | None:
    """Share of a tenant's requests that took longer than a latency, one line per run.

    Both axes are logarithmic. Where a line crosses the deadline, its height is the violation rate. Runs
    without details are drawn through their percentiles. None if nothing completed.
    """
    deadlines: set[float] = set()
    lines: list[Line] = []
    for index, run in enumerate(runs):
        entry = next((found for found in run.tenants if found["name"] == tenant), None)
        tail = _tail(run, entry) if entry is not None else None
        if entry is None or tail is None:
            continue
        if deadline_ms := entry.get("deadline_ms"):
            deadlines.add(deadline_ms)
        lines.append((index, run.label, *tail, run.details is not None))
    return tail_figure(lines, deadlines, "latency, ms")


Line: TypeAlias = tuple[int, str, list[float], list[float], bool]
"""Place of a run, its label, times in ms, shares that took longer, whether a whole histogram is there."""


def tail_figure(lines: Sequence[Line], deadlines: set[float], x_title: str) -> go.Figure | None:
    """Shares that took longer, one line per run, with the limits; None without a line."""
    figure = go.Figure()
    every = [value for _, _, values, _, _ in lines for value in values]
    for index, label, values, shares, whole in lines:
        figure.add_scatter(
            x=values,
            y=shares,
            name=plain(label),
            mode="lines" if whole else "lines+markers",
            line={"color": colour(index), "dash": dash(index), "width": 2.2},
            hovertemplate="%{y:.3%} took longer than %{x:,.3r} ms<extra>" + plain(label) + "</extra>",
        )
    if not every:
        return None
    styled(figure, height=380, x_title=x_title, y_title="share of requests slower")
    for deadline in sorted(deadlines):
        mark_x(figure, deadline, f"deadline {deadline:g} ms", DANGER, log=True)
    figure.update_xaxes(type="log", **log_ticks(min(every), max(*every, *deadlines, min(every))))
    figure.update_yaxes(type="log", tickformat="~%", dtick=1)
    return figure
