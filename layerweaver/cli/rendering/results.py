"""Results of simulations as terminal tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from layerweaver.backend_sim.results.metrics import system_metrics, tenant_metrics
from layerweaver.backend_sim.results.options import options_of_runs
from layerweaver.backend_sim.results.schema.metric import Form, Metric, Shown, shown
from layerweaver.backend_sim.results.schema.token import limits_text
from layerweaver.backend_sim.results.searches import rate, span
from layerweaver.backend_sim.results.spreads import spread_tables
from layerweaver.cli.rendering.notes import comparison_notes, missing_queries, run_notes
from layerweaver.cli.rendering.tables import number, percent
from layerweaver.cli.rendering.tokens import token_tables
from layerweaver.cli.session import plain_terminal, table
from layerweaver.ir.text import figure

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from layerweaver.backend_sim.results.certified import Certificate
    from layerweaver.backend_sim.results.schema.peak import Peak
    from layerweaver.backend_sim.results.schema.run import Comparison, Difference, Run
    from layerweaver.backend_sim.results.schema.tenant import Tenant

__all__ = ["certify_tables", "comparison_tables", "outcome_tables", "peak_table", "policies_table"]

Document = Mapping[str, Any]


_COLOURS = {"met": "green", "late": "red", "too_short": "yellow"}
_SHAPE_WIDTH = 10
_SHAPE = ("latency\n(log)", "left")


def _cells(metrics: Sequence[Metric], document: Document) -> list[RenderableType]:
    """A document's values, the status in colour."""
    values = [(metric, metric.of(document)) for metric in metrics]
    return [_status(value) if metric.key == "status" else metric.text(value) for metric, value in values]


def _status(value: object) -> RenderableType:
    """A status in its colour."""
    from rich.text import Text

    word = "-" if value is None else str(value)
    return Text(word.replace("_", " "), style=_COLOURS.get(word, ""))


def _columns(metrics: Sequence[Metric]) -> list[tuple[str, str]]:
    return [
        (metric.heading.replace(" ", "\n"), "left" if metric.form is Form.TEXT else "right")
        for metric in metrics
    ]


def _tenant_table(title: str, names: Sequence[str]) -> tuple[Table, int]:
    """A table of tenants with the shape of their latencies before the deadline, and the place of that."""
    metrics = shown(tenant_metrics(), Shown.TERMINAL)
    place = next(number for number, metric in enumerate(metrics) if metric.key == "deadline_ms")
    columns = _columns(metrics)
    return table(
        title, [(name, "left") for name in names] + columns[:place] + [_SHAPE] + columns[place:]
    ), place


def _tenant_cells(tenant: Document, place: int, span_ms: tuple[float, float] | None) -> list[RenderableType]:
    from layerweaver.cli.rendering.sparkline import sparkline

    histogram = tenant.get("latency_histogram")
    shape = ""
    if histogram is not None and span_ms is not None:
        shape = sparkline(histogram, width=_SHAPE_WIDTH, ascii_only=plain_terminal(), span_ms=span_ms)
    cells = _cells(shown(tenant_metrics(), Shown.TERMINAL), tenant)
    if "deadline" in tenant:  # of a language model, whose tokens have limits
        cells[place] = "\n".join(limits_text(tenant["deadline"])) or "-"
    return [*cells[:place], shape, *cells[place:]]


def _span_ms(tenants: Iterable[Tenant]) -> tuple[float, float] | None:
    """Latencies that the distributions of one tenant under all policies are drawn over."""
    from layerweaver.cli.rendering.sparkline import common_range

    return common_range(tenant["latency_histogram"] for tenant in tenants if "latency_histogram" in tenant)


def _system_rows(names: Sequence[str], runs: Sequence[Run]) -> Table:
    metrics = shown(system_metrics(), Shown.TERMINAL)
    columns = [("policy", "left"), *_columns(metrics), ("rows run", "right"), ("rows/s", "right")]
    grid = table("system", columns)
    for name, run in zip(names, runs, strict=True):
        clock = run.get("run", {})
        speed = None if clock.get("compiled") else clock.get("layers_per_s")  # compiling takes seconds
        grid.add_row(
            name,
            *_cells(metrics, run["system"]),
            number(run.get("layers_executed", 0)),
            number(speed) if isinstance(speed, float) else "-",
        )
    return grid


def _npu_rows(runs: Sequence[Run], names: Sequence[str] = ()) -> Iterator[RenderableType]:
    """What each NPU of a pool did, under each policy if they are named; nothing without a pool."""
    if not runs[0].get("npus"):
        return
    columns = [(name, "left") for name in (["NPU", "policy"] if names else ["NPU"])]
    columns += [("requests", "right"), ("of all", "right"), ("dropped", "right")]
    grid = table("NPUs", [*columns, ("compute", "right"), ("DRAM", "right")])
    for index, first in enumerate(runs[0]["npus"]):
        for position, run in enumerate(runs):
            npu = run["npus"][index]
            shares = (npu["share_of_requests"], npu["compute_utilization"], npu["dram_utilization"])
            of_all, compute, dram = map(percent, shares)
            label = [first["name"] if position == 0 else "", *([names[position]] if names else [])]
            cells = (f"{npu['arrived']:,}", of_all, f"{npu['dropped']:,}", compute, dram)
            grid.add_row(*label, *cells, end_section=bool(names) and position == len(runs) - 1)
    yield grid
    yield ""


def _headline(runs: Sequence[Run]) -> str:
    """What was served where; where loops ask policies for different loads, from which to which."""
    run = runs[0]
    system, simulated_s = run["system"], run["simulated_s"]
    text = f"{run['npu']}, {figure(simulated_s)} s simulated"
    offered, share, bound = system.get("offered_qps"), system.get("offered_share"), system.get("bound_qps")
    rates = [offer for each in runs if (offer := each["system"].get("offered_qps")) is not None]
    if rates and rate(min(rates)) != rate(max(rates)):
        return f"{text}, offered {rate(min(rates))} to {rate(max(rates))} q/s by policy"
    if offered is not None and share is not None:
        return f"{text}, offered {rate(offered)} q/s, {share:.0%} of the bound of {rate(bound)} q/s"
    return f"{text}, bound {rate(bound)} q/s" if bound else text


def outcome_tables(run: Run) -> Iterator[RenderableType]:
    """One simulation."""
    grid, place = _tenant_table(f"{run['policy']} on {_headline([run])}", ["tenant"])
    for tenant in run["tenants"]:
        grid.add_row(tenant["name"], *_tenant_cells(tenant, place, _span_ms([tenant])))
    yield grid
    yield ""
    for tokens in token_tables([run]):
        yield tokens
        yield ""
    yield _system_rows([run["policy"]], [run])
    yield ""
    yield from _spread_rows([run], [run["policy"]])
    yield from _npu_rows([run])
    yield from run_notes(run)


def _spread_rows(
    runs: Sequence[Run], names: Sequence[str], differences: Sequence[Difference] = ()
) -> Iterator[RenderableType]:
    """Means with intervals where there are repetitions; the tables above are of the first."""
    for spreads in spread_tables(runs, names, differences):
        texts = sum(column in {"tenant", "policy"} for column in spreads.columns)
        columns = [(name, "left" if place < texts else "right") for place, name in enumerate(spreads.columns)]
        grid = table(spreads.title, columns)
        for row in spreads.rows:
            grid.add_row(*(cell.replace("±", "+-") if plain_terminal() else cell for cell in row))
        yield grid
        yield ""


def comparison_tables(document: Comparison) -> Iterator[RenderableType]:
    """Several policies under the same traffic, tenant by tenant, and what that says."""
    from layerweaver.backend_sim.results.naming import run_names
    from layerweaver.backend_sim.results.sentence import verdict_sentence

    runs = document["runs"]
    names = run_names(runs)
    grid, place = _tenant_table(_headline(runs), ["tenant", "policy"])
    for index, tenant in enumerate(runs[0]["tenants"]):
        span_ms = _span_ms(run["tenants"][index] for run in runs)
        for position, (name, run) in enumerate(zip(names, runs, strict=True)):
            grid.add_row(
                tenant["name"] if position == 0 else "",
                name,
                *_tenant_cells(run["tenants"][index], place, span_ms),
                end_section=position == len(runs) - 1,
            )
    yield grid
    yield ""
    for tokens in token_tables(runs, names):
        yield tokens
        yield ""
    yield _system_rows(names, runs)
    yield ""
    yield from _spread_rows(runs, names, document.get("differences", ()))
    yield from _npu_rows(runs, names)
    lines = list(comparison_notes(names, runs))
    yield from lines
    if lines:
        yield ""
    yield verdict_sentence(runs, names)


def peak_table(document: Peak) -> Table:
    """Peak rates with their brackets."""
    columns = [("policy", "left"), ("peak q/s", "right"), ("95% interval", "right"), ("of bound", "right")]
    columns += [("status", "left"), ("bracket q/s", "right"), ("trials", "right")]
    bound = rate(document["bound_qps"])
    only = document.get("search", {}).get("tenant")
    mix = "at the mix as stated" if only is None else f"with {only} scaled alone"
    grid = table(f"peak rate; bound {bound} q/s {mix} (of a run: as it arrived)", columns)
    for row in document["results"]:
        low, high = row["bracket_qps"] or (None, None)
        grid.add_row(
            row["policy"],
            "-" if row["peak_qps"] is None else rate(row["peak_qps"]),
            span(row["peak_qps_low"], row["peak_qps_high"]),
            percent(row["share_of_bound"]),
            _status(row.get("status")),
            span(low, high),
            str(row["trials"]),
        )
    return grid


def certify_tables(document: Certificate) -> Iterator[RenderableType]:
    """Our status and verdicts beside LoadGen's, and what is missing."""
    status = next(metric for metric in tenant_metrics() if metric.key == "status")
    columns = [("tenant", "left"), ("status", "left"), ("ours", "left"), ("LoadGen", "left")]
    columns += [("p99 ns", "right"), ("LoadGen\np99 ns", "right"), ("agree", "left")]
    grid = table(f"{document['policy']}, replayed through LoadGen (unofficial)", columns)
    for row in document["tenants"]:
        grid.add_row(
            row["name"],
            *_cells([status], row),
            row["verdict"],
            row["loadgen_verdict"],
            _whole_ns(row["p99_ns"]),
            _whole_ns(row["loadgen_p99_ns"]),
            "yes" if row["agree"] else "NO",
        )
    yield grid
    yield from options_of_runs([document["policy"]], [document])
    if any("ttft_p99_ns" in row for row in document["tenants"]):
        yield _certified_tokens(document)
    yield from missing_queries(document["tenants"])
    yield from document.get("notes", [])


def _certified_tokens(document: Certificate) -> Table:
    """Language models' times to the first and per further token, each beside LoadGen's."""
    columns = [("tenant", "left"), ("TTFT\np99 ns", "right"), ("LoadGen\nTTFT p99 ns", "right")]
    columns += [("TPOT\np99 ns", "right"), ("LoadGen\nTPOT p99 ns", "right")]
    grid = table("tokens", columns)
    for row in document["tenants"]:
        if "ttft_p99_ns" in row:
            ours, theirs = row["ttft_p99_ns"], row["loadgen_ttft_p99_ns"]
            rest, their_rest = row["tpot_p99_ns"], row["loadgen_tpot_p99_ns"]
            grid.add_row(row["name"], *map(_whole_ns, (ours, theirs, rest, their_rest)))
    return grid


def _whole_ns(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def policies_table(rows: Sequence[Document]) -> Table:
    """Policies with their options."""
    grid = table("policies", [("name", "left"), ("rule", "left"), ("options", "left")])
    for row in rows:
        options = ", ".join(f"{name}={option['default']}" for name, option in row["options"].items())
        grid.add_row(row["name"], row.get("summary", ""), options)
    return grid
