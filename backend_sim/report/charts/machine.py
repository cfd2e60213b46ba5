"""Charts of where the time of both engines went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import plotly.graph_objects as go

from layerweaver.backend_sim.report.markup import Cell, Chart, Table
from layerweaver.backend_sim.report.palette import (
    BUSY,
    IDLE_COLOURS,
    IDLE_HATCHES,
    MARK,
    MOVING,
    Marker,
    Pattern,
    plain,
    styled,
)
from layerweaver.backend_sim.results.reading import Documents, LabelledRun

__all__ = ["IdleBar", "idle_bar", "idle_figure", "machine_charts"]


def machine_charts(documents: Documents) -> list[Chart]:
    """Utilisation and idle causes of all runs."""
    causes = list(dict.fromkeys(cause for run in documents.runs for cause in run.system.get("idle", {})))
    rows: list[list[Cell]] = [
        [run.label, run.system.get("compute_utilization"), run.system.get("dram_utilization")]
        + [run.system.get("idle", {}).get(cause) for cause in causes]
        for run in documents.runs
    ]
    columns = ("policy", "compute", "DRAM", *(f"idle: {cause}" for cause in causes))
    return [
        Chart(
            "idle",
            "Utilization and idle causes",
            "Each bar is the time of both engines, half and half. No work: nothing to do. Waiting for "
            "memory: compute waits for a fetch. Buffer full: a fetch waits for space; inherent: so it would "
            "in any order of layers.",
            idle_figure(documents.runs),
            Table("Shares of time", columns, rows, frozenset(range(1, len(columns)))),
        )
    ]


class IdleBar(TypedDict):
    """Name and look of a cause's bars."""

    name: str
    legendgroup: str
    marker: Marker


def idle_bar(cause: str) -> IdleBar:
    """How an idle cause is drawn everywhere."""
    pattern: Pattern = {"shape": IDLE_HATCHES.get(cause, ""), "size": 5, "solidity": 0.3}
    marker: Marker = {"color": IDLE_COLOURS.get(cause, MARK), "line": {"width": 0}, "pattern": pattern}
    return {"name": "idle: " + cause.replace("_", " "), "legendgroup": cause, "marker": marker}


class _Lying(TypedDict):
    y: list[str]
    orientation: str
    hovertemplate: str


def idle_figure(runs: Sequence[LabelledRun]) -> go.Figure:
    """Where the time of both engines went, one bar per run: each engine is half of a bar."""
    labels = [plain(run.label) for run in runs]
    figure = go.Figure()
    common: _Lying = {"y": labels, "orientation": "h", "hovertemplate": "%{x:.1%}"}
    busy = [
        (run.system.get("compute_utilization") or 0.0, run.system.get("dram_utilization") or 0.0)
        for run in runs
    ]
    figure.add_bar(x=[compute / 2 for compute, _ in busy], name="computing", marker={"color": BUSY}, **common)
    figure.add_bar(x=[dram / 2 for _, dram in busy], name="DRAM moving", marker={"color": MOVING}, **common)
    scale = []
    for run, (compute, dram) in zip(runs, busy, strict=True):
        idle = sum(share or 0.0 for share in run.system.get("idle", {}).values())
        scale.append(max(0.0, 1 - (compute + dram) / 2) / idle if idle else 0.0)
    for cause in IDLE_COLOURS:
        shares = [
            (run.system.get("idle", {}).get(cause) or 0.0) * factor
            for run, factor in zip(runs, scale, strict=True)
        ]
        if any(shares):
            figure.add_bar(**idle_bar(cause), x=shares, **common)
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
