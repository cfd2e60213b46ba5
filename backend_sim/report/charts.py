"""Which charts a report has, with the words and the table of each."""

from __future__ import annotations

from collections.abc import Sequence

from layerweaver.backend_sim.report.documents import Documents, Run
from layerweaver.backend_sim.report.load_figures import (
    load_points,
    p99_over_load_figure,
    peak_figure,
    violations_over_load_figure,
)
from layerweaver.backend_sim.report.markup import Cell, Chart, Table
from layerweaver.backend_sim.report.run_figures import (
    activity_figure,
    batch_figure,
    idle_figure,
    in_system_figure,
    latency_figure,
    lateness_figure,
)
from layerweaver.backend_sim.report.timeline_figure import timeline_figure

__all__ = ["latency_charts", "load_charts", "machine_charts", "run_charts"]


def _tenants(documents: Documents) -> list[str]:
    names = [tenant.name for run in documents.runs for tenant in run.tenants]
    names += [point.tenant for point in load_points(documents)]
    return list(dict.fromkeys(names))


def latency_charts(documents: Documents) -> list[Chart]:
    """One chart per tenant with a line per policy."""
    charts = []
    for index, tenant in enumerate(_tenants(documents)):
        figure = latency_figure(documents.runs, tenant)
        if figure is None:
            continue
        rows: list[list[Cell]] = [
            [
                run.label,
                entry.latency_ms.mean,
                entry.latency_ms.p50,
                entry.latency_ms.p90,
                entry.latency_ms.p99,
                entry.latency_ms.p999,
                entry.latency_ms.max,
                entry.deadline_ms,
            ]
            for run in documents.runs
            for entry in run.tenants
            if entry.name == tenant
        ]
        columns = ("policy", "mean ms", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "deadline ms")
        charts.append(
            Chart(
                f"latency-{index}",
                f"Latency of {tenant}",
                "A line falls from all requests to the slowest few; lower and further left is better. Where "
                "it crosses the deadline, its height is the share of requests that missed it.",
                figure,
                Table(f"Latency of {tenant}", columns, rows),
            )
        )
    return charts


def load_charts(documents: Documents) -> list[Chart]:
    """Violation rate and p99 over load per tenant, and the peak rates."""
    charts = []
    for index, peak in enumerate(documents.peaks):
        rows: list[list[Cell]] = [
            [row.policy, row.peak_qps, row.peak_qps_sd, row.share_of_bound] for row in peak.results
        ]
        charts.append(
            Chart(
                f"peak-rates-{index}",
                "Peak rate of every policy",
                "The highest load at which every tenant meets its deadline often enough. No policy can pass "
                "the bound, which one of the two engines sets when it never idles.",
                peak_figure(peak),
                Table(
                    "Peak rates",
                    ("policy", "peak 1/s", "± over seeds", "share of bound"),
                    rows,
                    frozenset({3}),
                ),
            )
        )
    points = load_points(documents)
    for index, tenant in enumerate(_tenants(documents)):
        mine = [point for point in points if point.tenant == tenant]
        table = Table(
            f"{tenant} over load",
            ("policy", "offered 1/s", "violation rate", "p99 ms"),
            [(point.policy, point.offered_qps, point.violation_rate, point.p99_ms) for point in mine],
            frozenset({2}),
        )
        violations = violations_over_load_figure(documents, tenant)
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
        tail = p99_over_load_figure(documents, tenant)
        if tail is not None:
            charts.append(
                Chart(
                    f"p99-{index}",
                    f"p99 of {tenant} over load",
                    "99 of 100 requests were at least this fast. Under the deadline line is fine.",
                    tail,
                    table,
                )
            )
    return charts


def machine_charts(documents: Documents) -> list[Chart]:
    """Utilisation and idle causes of all runs."""
    causes = list(dict.fromkeys(cause for run in documents.runs for cause in run.system.idle))
    rows: list[list[Cell]] = [
        [run.label, run.system.compute_utilization, run.system.dram_utilization]
        + [run.system.idle.get(cause) for cause in causes]
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


def run_charts(run: Run, index: int) -> list[Chart]:
    """What happened inside one run, as far as its details tell."""
    if run.details is None:
        return []
    charts = []
    timeline, figure = run.details["timeline"], timeline_figure(run)
    if timeline is not None and figure is not None:
        shown = len(timeline["layer"])
        cut = "" if shown == timeline["rows_in_window"] else f" The last {shown} layers are drawn."
        names = [tenant.name for tenant in run.tenants]
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
                Table("Layers in the window", columns, rows),
                zoomable=True,
            )
        )
    charts += _series_charts(run, index)
    return charts


def _series_charts(run: Run, index: int) -> list[Chart]:
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
        names = [entry["tenant"] for entry in over_time["tenants"]]
        rows = [
            [edge, *(entry["in_system"][step] for entry in over_time["tenants"])]
            + [entry["late"][step] + entry["dropped"][step] for entry in over_time["tenants"]]
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


def _histogram_charts(run: Run, index: int) -> list[Chart]:
    details = run.details
    if details is None:
        return []
    charts = []
    figure = in_system_figure(run)
    if figure is not None:
        rows: list[list[Cell]] = [
            [entry["tenant"], count, share]
            for entry in details["in_system"]
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
            for entry in details["batches"]
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
