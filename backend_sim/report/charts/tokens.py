"""Charts of language models: times to and between tokens by policy, and what happened over time."""

from __future__ import annotations

from itertools import pairwise

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from layerweaver.backend_sim.report.charts.latency import histogram_tail, tail_figure
from layerweaver.backend_sim.report.markup import Cell, Chart, Table
from layerweaver.backend_sim.report.palette import colour, plain, styled
from layerweaver.backend_sim.results.reading import Documents, LabelledRun
from layerweaver.backend_sim.results.schema.details import TokenSeries

__all__ = ["token_charts", "token_time_charts"]

_TIMES = (("ttft", "Time to first token"), ("tpot", "Time per output token"))


def _series(run: LabelledRun) -> list[TokenSeries]:
    return run.details.get("tokens", []) if run.details else []


def token_time_charts(documents: Documents) -> list[Chart]:
    """Per language model and kind of time a chart with a line per policy; none without details."""
    names = dict.fromkeys(entry["tenant"] for run in documents.runs for entry in _series(run))
    charts = []
    for number, tenant in enumerate(names):
        for key, title in _TIMES:
            lines, limits, rows = [], set[float](), list[list[Cell]]()
            for index, run in enumerate(documents.runs):
                for entry in _series(run):
                    histogram = entry["ttft"] if key == "ttft" else entry["tpot"]
                    if entry["tenant"] != tenant or not histogram["counts"]:
                        continue
                    limit = entry["ttft_limit_ms"] if key == "ttft" else entry["tpot_limit_ms"]
                    limits |= set() if limit is None else {limit}
                    lines.append((index, run.label, *histogram_tail(histogram), True))
                    pairs = zip(histogram["edges_ms"][1:], histogram["counts"], strict=True)
                    rows += [[run.label, edge, count] for edge, count in pairs if count]
            figure = tail_figure(lines, limits, f"{title.lower()}, ms")
            if figure is None:
                continue
            charts.append(
                Chart(
                    f"{key}-{number}",
                    f"{title} of {tenant}",
                    "The share of requests that took longer; where a line crosses the limit, its height is "
                    "the share that missed it.",
                    figure,
                    Table(f"{title} of {tenant}", ("policy", "up to ms", "requests"), rows),
                )
            )
    return charts


def token_charts(run: LabelledRun, index: int) -> list[Chart]:
    """Tokens per second, members of iterations and the cache over time, per language model of a run."""
    charts = []
    for number, entry in enumerate(_series(run)):
        over_time = entry["over_time"]
        steps = zip(over_time["edges_ms"], over_time["tokens_per_s"], over_time["cache_share"], strict=False)
        charts.append(
            Chart(
                f"tokens-{index}-{number}",
                f"Tokens of {entry['tenant']} over time",
                "Tokens per second and the share of the cache that emitting requests hold (tokens spread "
                "evenly between a request's first and last), and the members of recorded iterations.",
                _over_time_figure(entry),
                Table(
                    f"Tokens of {entry['tenant']} per step",
                    ("from ms", "tokens/s", "cache held"),
                    [list(step) for step in steps],
                    frozenset({2}),
                ),
            )
        )
    return charts


def _over_time_figure(entry: TokenSeries) -> go.Figure:
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.07)
    over_time, iterations = entry["over_time"], entry["iterations"]
    edges = over_time["edges_ms"]
    name, line = plain(entry["tenant"]), {"color": colour(0), "width": 2}
    figure.add_scatter(
        x=[(first + second) / 2 for first, second in pairwise(edges)],
        y=over_time["tokens_per_s"],
        name=f"{name}: tokens per second",
        line=line,
        hovertemplate="%{y:,.4r} tokens/s at %{x:,.4r} ms",
        row=1,
        col=1,
    )
    figure.add_scatter(
        x=iterations["end_ms"],
        y=iterations["members"],
        name=f"{name}: requests in an iteration",
        mode="markers",
        marker={"color": colour(1), "size": 4},
        hovertemplate="%{y} requests in the iteration until %{x:,.4r} ms",
        row=2,
        col=1,
    )
    figure.add_scatter(
        x=edges,
        y=over_time["cache_share"],
        name=f"{name}: cache held",
        line={**line, "color": colour(2)},
        hovertemplate="%{y:.1%} of the cache at %{x:,.4r} ms",
        row=3,
        col=1,
    )
    styled(figure, height=480, x_title="", y_title="")
    for row, title in enumerate(("tokens/s", "requests", "cache"), start=1):
        figure.update_yaxes(title_text=title, rangemode="tozero", row=row)
    figure.update_yaxes(tickformat=".0%", row=3)
    figure.update_xaxes(title_text="simulated time, ms", row=3)
    figure.update_layout(legend={"y": -0.16})
    return figure
