"""Charts over load: violations, tails and peak rates beside the bound."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import plotly.graph_objects as go

from layerweaver.backend_sim.report.charts.load_points import (
    LATENCY,
    TPOT,
    TTFT,
    LoadPoint,
    points_of_tenants,
)
from layerweaver.backend_sim.report.markup import Cell, Chart, Table, number
from layerweaver.backend_sim.report.palette import (
    DANGER,
    MARK,
    colour,
    dash,
    log_ticks,
    mark_x,
    mark_y,
    plain,
    styled,
)
from layerweaver.backend_sim.report.ranking import drawn_names
from layerweaver.backend_sim.results.reading import Documents
from layerweaver.backend_sim.results.schema.peak import Peak, PeakRow

__all__ = [
    "load_charts",
    "peak_figure",
    "tail_over_load_figure",
    "violations_over_load_figure",
]


_P99 = 99.0
"""The percentile that is drawn."""


def load_charts(documents: Documents) -> list[Chart]:
    """Violation rate and p99 over load per tenant, and the peak rates."""
    charts = []
    for index, (peak, label) in enumerate(zip(documents.peaks, documents.peak_labels, strict=True)):
        rows: list[list[Cell]] = [
            [
                row["policy"],
                row["peak_qps"],
                row.get("peak_qps_low"),
                row.get("peak_qps_high"),
                row.get("share_of_bound"),
                row.get("status"),
            ]
            for row in peak["results"]
        ]
        charts.append(
            Chart(
                f"peak-rates-{index}",
                f"Peak rate of every policy{label and f', {label}'}",
                "The highest load at which every tenant meets its deadline often enough. No policy can pass "
                "the bound, which one of the two engines sets when it never idles.",
                peak_figure(peak),
                Table(
                    f"Peak rates{label and f', {label}'}",
                    ("policy", "peak 1/s", "95% from", "to", "share of bound", "status"),
                    rows,
                    frozenset({4}),
                ),
            )
        )
    points = points_of_tenants(documents)
    for index, tenant in enumerate(drawn_names(documents.runs, points)):
        mine = points.get(tenant, [])
        table = _points_table(tenant, mine)
        violations = violations_over_load_figure(documents, mine)
        if violations is not None:
            charts.append(
                Chart(
                    f"violations-{index}",
                    f"Violations of {tenant} over load",
                    "Share of requests late or dropped. A point is one run; a policy that stays low further "
                    "to the right carries more load. Beyond the bound queues grow without end.",
                    violations,
                    table,
                )
            )
        for what in (LATENCY, TTFT, TPOT):
            tail = tail_over_load_figure(documents, mine, what)
            if tail is not None:
                of = "" if what == LATENCY else f" {what}"
                key = f"p99-{index}" if what == LATENCY else f"p99-{what.lower()}-{index}"
                caption = _tail_caption(mine, what)
                charts.append(Chart(key, f"p99{of} of {tenant} over load", caption, tail, table))
    return charts


def _points_table(tenant: str, points: Sequence[LoadPoint]) -> Table:
    """The points of a tenant, with their mixes where there are several."""
    several = any(point.mix for point in points)
    tokens = [what for what in (TTFT, TPOT) if any(what in point.tails for point in points)]
    columns = (
        *("policy", *(["of"] if several else []), "offered 1/s", "violation rate", "p99 ms"),
        *(f"p99 {what} ms" for what in tokens),
    )
    rows: list[list[Cell]] = [
        [
            point.policy,
            *([point.mix] if several else []),
            point.offered_qps,
            point.violation_rate,
            point.p99_ms,
            *(_tail_ms(point, what) for what in tokens),
        ]
        for point in points
    ]
    return Table(f"{tenant} over load", columns, rows, frozenset({columns.index("violation rate")}))


_APART = 1.03
"""Bounds closer than this are drawn as one: runs differ a little in what happened to arrive."""


def _bounds(documents: Documents) -> list[float]:
    found = {run.system.get("bound_qps") for run in documents.runs} | {
        peak["bound_qps"] for peak in documents.peaks
    }
    return sorted(bound for bound in found if bound)


def _bound_lines(figure: go.Figure, bounds: Sequence[float]) -> None:
    shown: list[float] = []
    for bound in bounds:
        if not shown or bound > _APART * shown[-1]:
            shown.append(bound)
    for bound in shown:
        mark_x(figure, bound, f"bound {number(bound)}/s", MARK)


def _over_load(
    documents: Documents,
    points: Sequence[LoadPoint],
    value_of: Callable[[LoadPoint], float | None],
    y_title: str,
) -> go.Figure | None:
    points = [point for point in points if value_of(point) is not None]
    if not points:
        return None
    figure = go.Figure()
    for index, (policy, mix) in enumerate(dict.fromkeys((point.policy, point.mix) for point in points)):
        mine = [point for point in points if (point.policy, point.mix) == (policy, mix)]
        name = f"{policy}, {mix}" if mix else policy
        figure.add_scatter(
            x=[point.offered_qps for point in mine],
            y=[value_of(point) for point in mine],
            name=plain(name),
            mode="lines+markers",
            line={"color": colour(index), "dash": dash(index), "width": 2.2},
            marker={"size": 8, "symbol": index},
        )
    styled(figure, height=360, x_title="offered load, requests/s over all tenants", y_title=y_title)
    _bound_lines(figure, _bounds(documents))
    figure.update_xaxes(rangemode="tozero")
    return figure


def violations_over_load_figure(documents: Documents, points: Sequence[LoadPoint]) -> go.Figure | None:
    """Violations of a tenant's points over offered load, with the mix's bound; None without a deadline."""
    figure = _over_load(documents, points, lambda point: point.violation_rate, "late or dropped")
    if figure is not None:
        late = {point.percentile for point in points if point.violation_rate is not None}
        _rate_axis(figure, sorted(round(1 - percentile / 100, 12) for percentile in late))
    return figure


def _rate_axis(figure: go.Figure, allowed: Sequence[float]) -> None:
    """Logarithmic, since the 1% that decides would be invisible; none late stands below the least rate.

    Args:
        figure: With rates on its lines, which are changed.
        allowed: Shares that percentiles allow to be late, ascending; at least one.
    """
    rates = [rate for line in figure.data for rate in line.y]
    least = min((rate for rate in rates if rate > 0), default=allowed[0])
    floor = 10.0 ** math.floor(math.log10(min(least, allowed[0])) - 0.3)
    for line in figure.data:
        line.customdata = list(line.y)
        line.y = [max(rate, floor) for rate in line.y]
        line.hovertemplate = "%{customdata:.3%} at %{x:,.4r}/s"
    ticks = [10.0**power for power in range(round(math.log10(floor)), 1)]
    names = ["none", *(f"{100 * tick:g}%" for tick in ticks[1:])]
    figure.update_yaxes(type="log", tickmode="array", tickvals=ticks, ticktext=names)
    figure.update_yaxes(range=[math.log10(floor) - 0.1, 0.05])
    for share in allowed:
        mark_y(figure, share, f"{100 * share:g}%", DANGER, log=True)


def tail_over_load_figure(documents: Documents, points: Sequence[LoadPoint], what: str) -> go.Figure | None:
    """99th percentile of a time of a tenant's points over offered load, with the bound and its limits.

    A limit that another percentile must keep is not drawn.
    """
    figure = _over_load(documents, points, lambda point: _tail_ms(point, what), f"p99 {what}, ms")
    if figure is None:
        return None
    limits = _limits_ms(points, what)
    found = [value for line in figure.data for value in line.y if value > 0] + limits
    if found:
        low, high = min(found), max(found)
        figure.update_yaxes(type="log", **log_ticks(low, high))
        figure.update_yaxes(range=[math.log10(low) - 0.1, math.log10(high) + 0.15])
    figure.update_traces(hovertemplate="%{y:,.4r} ms at %{x:,.4r}/s")
    for limit_ms in limits:
        mark_y(figure, limit_ms, f"deadline {limit_ms:g} ms", DANGER, log=True)
    return figure


def _tail_ms(point: LoadPoint, what: str) -> float | None:
    return point.tails[what].p99_ms if what in point.tails else None


def _limits_ms(points: Sequence[LoadPoint], what: str) -> list[float]:
    """The limits that the 99th percentile of a time must keep."""
    found = {
        point.tails[what].limit_ms for point in points if what in point.tails and point.percentile == _P99
    }
    return sorted(limit_ms for limit_ms in found if limit_ms is not None)


def _tail_caption(points: Sequence[LoadPoint], what: str) -> str:
    text = "99 of 100 completed requests were at least this fast."
    if _limits_ms(points, what):
        text += " Under the deadline line is fine where few were dropped, which the violations count."
    others = {point.percentile for point in points if what in point.tails and point.tails[what].limit_ms}
    for percentile in sorted(others - {_P99}):
        text += (
            f" The deadline is of the {percentile:g}th percentile, which is not drawn: the violations tell."
        )
    return text


def _peak_text(row: PeakRow) -> str:
    if row["peak_qps"] is None:
        return " no rate"
    share = f" ({row.get('share_of_bound'):.0%})" if row.get("share_of_bound") else ""
    unsure = ", too short" if row.get("status") == "too_short" else ""
    return f" {number(row['peak_qps'])}/s{share}{unsure}"


def _beyond(peak_qps: float | None, edge_qps: float | None) -> float:
    """How far an edge of the interval lies from the peak."""
    return 0.0 if peak_qps is None or edge_qps is None else edge_qps - peak_qps


def peak_figure(peak: Peak) -> go.Figure:
    """Peak rate of every policy with its 95% interval over seeds, and the bound."""
    rows = sorted(peak["results"], key=lambda row: row["peak_qps"] or 0.0)
    figure = go.Figure()
    figure.add_bar(
        y=[plain(row["policy"]) for row in rows],
        x=[row["peak_qps"] for row in rows],
        orientation="h",
        marker={"color": colour(0)},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [_beyond(row["peak_qps"], row.get("peak_qps_high")) for row in rows],
            "arrayminus": [-_beyond(row["peak_qps"], row.get("peak_qps_low")) for row in rows],
            "color": MARK,
        },
        text=[_peak_text(row) for row in rows],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{x:,.5r}/s<extra>%{y}</extra>",
        showlegend=False,
    )
    styled(figure, height=140 + 34 * len(rows), x_title="peak rate, requests/s over all tenants", y_title="")
    longest = max([row["peak_qps"] or 0.0 for row in rows] + [peak["bound_qps"] or 0.0])
    figure.update_xaxes(range=[0, 1.45 * longest or 1.0])
    if peak["bound_qps"]:
        _bound_lines(figure, [peak["bound_qps"]])
    figure.update_layout(bargap=0.3)
    return figure
