"""The page's tables: tenants, changes, machine and peak rates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from layerweaver.backend_sim.report.markup import Cell, Table
from layerweaver.backend_sim.report.ranking import DRAWN_TENANTS, worst_first
from layerweaver.backend_sim.results.confidence import differences
from layerweaver.backend_sim.results.gains import tails_tell, untold_tails
from layerweaver.backend_sim.results.limits import judged_tails
from layerweaver.backend_sim.results.metrics import RUN_METRICS, TOKEN_METRICS, system_metrics, tenant_metrics
from layerweaver.backend_sim.results.reading import Documents
from layerweaver.backend_sim.results.repetitions import averaged
from layerweaver.backend_sim.results.schema.metric import Form, Metric, Shown, shown
from layerweaver.backend_sim.results.schema.run import Run
from layerweaver.backend_sim.results.schema.token import limits_text
from layerweaver.backend_sim.results.sentence import compared
from layerweaver.backend_sim.results.spreads import spread_tables
from layerweaver.backend_sim.scenario.provenance import HASHES, PLUGINS
from layerweaver.ir.text import first_of

__all__ = [
    "changes_table",
    "peak_tables",
    "pool_table",
    "repetition_tables",
    "systems_table",
    "verdicts_table",
]

_NAMED = 6
_BEFORE_AND_AFTER = 2
_FIRST = ("status", "deadline_ms", "violation_rate")


def _metrics_table(
    caption: str, metrics: Sequence[Metric], rows: Iterable[tuple[tuple[str, ...], Mapping[str, object]]]
) -> Table:
    """A table of all metrics that pages show; a row is its names and its document."""
    filled = [(*names, *(metric.of(document) for metric in metrics)) for names, document in rows]
    of_tenants = metrics[0] in (*tenant_metrics(), *TOKEN_METRICS)
    names = ("policy", "tenant") if of_tenants else ("policy",)
    columns = (*names, *(metric.heading for metric in metrics))
    shares = {place + len(names) for place, metric in enumerate(metrics) if metric.form is Form.SHARE}
    titles = {metric.heading: metric.definition for metric in metrics}
    return Table(caption, columns, filled, frozenset(shares), titles)


def verdicts_table(documents: Documents) -> Table:
    """Every tenant of every run; of many tenants, the worst first."""
    rows = [((run.label, tenant["name"]), tenant) for run in documents.runs for tenant in run.tenants]
    place = {name: number for number, name in enumerate(worst_first(documents.runs))}
    if len(place) > DRAWN_TENANTS:
        rows.sort(key=lambda row: place[row[0][1]])
    metrics = sorted(shown(tenant_metrics(), Shown.PAGE), key=lambda metric: metric.key not in _FIRST)
    table = replace(_metrics_table("Every tenant under every policy", metrics, rows), whole=True)
    due = table.columns.index(next(metric.heading for metric in metrics if metric.key == "deadline_ms"))
    filled = [list(cells) for cells in table.rows]
    for cells, (_, tenant) in zip(filled, rows, strict=True):
        if "deadline" in tenant:  # of a language model, whose tokens have limits
            cells[due] = ", ".join(limits_text(tenant["deadline"])) or None
    return replace(table, rows=filled)


def tokens_table(documents: Documents) -> Table | None:
    """The language models of every run; None without any."""
    rows = [
        ((run.label, tenant["name"]), tenant)
        for run in documents.runs
        for tenant in run.tenants
        if "llm" in tenant
    ]
    metrics = shown(TOKEN_METRICS, Shown.PAGE)
    return _metrics_table("Language models", metrics, rows) if rows else None


def changes_table(documents: Documents) -> Table | None:
    """What changes for each tenant between the two runs that the headline compares, of seeds the means.

    Of two runs that share some tenants, others have the figures of the run that has them. A language model
    has a row for each of the times that judge it. Where many requests were dropped the change of p99 is left
    out: those that completed may be faster for it. So is one that the seeds do not tell.
    """
    runs = [run.document for run in documents.runs]
    before, after = compared(runs)
    if before is after and len(runs) == _BEFORE_AND_AFTER:
        before, after = runs
    served = [{tenant["name"]: tenant for tenant in averaged(run)["tenants"]} for run in (before, after)]
    if before is after or not served[0].keys() & served[1].keys():
        return None
    names = {id(run.document): run.label for run in documents.runs}
    first, second = names[id(before)], names[id(after)]
    untold = untold_tails(before, after)
    rows: list[list[Cell]] = []
    for name in (name for name in worst_first(documents.runs) if name in served[0] or name in served[1]):
        both = one, two = served[0].get(name), served[1].get(name)
        told = one is not None and two is not None and tails_tell(one, two)
        was, now = (dict(judged_tails(tenant)) if tenant else {} for tenant in both)
        for what in was | now:
            was_ms, is_ms = was.get(what), now.get(what)
            sure = told and what not in untold
            change = is_ms / was_ms - 1 if was_ms and is_ms is not None and sure else None
            late = [tenant and tenant["violation_rate"] for tenant in both]
            status = [tenant and tenant.get("status") for tenant in both]
            rows.append([what, *late, was_ms, is_ms, change, *status])
    columns = (
        "tenant",
        f"late, {first}",
        f"late, {second}",
        f"p99 ms, {first}",
        f"p99 ms, {second}",
        "p99 change",
        f"status, {first}",
        f"status, {second}",
    )
    seeds = min(run.get("seeds", 1) for run in (before, after))
    means = f", means over {seeds} seeds (a change that these do not tell is left out)" if seeds > 1 else ""
    title = f"From {first} to {second}, tenant by tenant{means}"
    return Table(title, columns, rows, frozenset({1, 2, 5}), whole=True)


def systems_table(documents: Documents) -> Table:
    """The machine in every run."""
    rows = (((run.label,), {**run.document, **run.system}) for run in documents.runs)
    metrics = (*shown(system_metrics(), Shown.PAGE), *shown(RUN_METRICS, Shown.PAGE))
    return _metrics_table("The machine under every policy", metrics, rows)


def pool_table(documents: Documents) -> Table | None:
    """The NPUs of every run with a pool, beside each other by place; None without any."""
    pools = [(run.label, run.document["npus"]) for run in documents.runs if run.document.get("npus")]
    if not pools:
        return None
    places = range(max(len(npus) for _, npus in pools))
    rows: list[list[Cell]] = [
        [
            label,
            npu["name"],
            npu["share_of_requests"],
            npu["compute_utilization"],
            npu["dram_utilization"],
            npu["arrived"],
            npu["completed"],
            npu["dropped"],
            npu.get("timed_out"),
            first_of([f"{tenant} {count:,}" for tenant, count in npu["requests"].items()], _NAMED, "tenants"),
        ]
        for place in places
        for label, npus in pools
        for npu in npus[place : place + 1]
    ]
    columns = ("policy", "NPU", "of all requests", "compute", "DRAM", "arrived", "completed", "dropped")
    return Table(
        "The NPUs of the pool",
        (*columns, "timed out", "requests by tenant"),
        rows,
        frozenset({2, 3, 4}),
        whole=True,
    )


def repetition_tables(documents: Documents) -> list[Table]:
    """Means with intervals over seeds, and what policies differ by; none without repetitions."""
    runs, names = [run.document for run in documents.runs], [run.label for run in documents.runs]
    same_traffic = len({_traffic(run) for run in runs}) == 1
    apart = differences(runs) if same_traffic else []
    return [Table(found.title, found.columns, found.rows) for found in spread_tables(runs, names, apart)]


def _traffic(run: Run) -> str:
    """What a run's requests follow from."""
    own = {"policy", "policies", HASHES, PLUGINS}
    scenario = {key: value for key, value in run.get("scenario", {}).items() if key not in own}
    return json.dumps([run.get("seed"), run.get("seeds"), scenario], sort_keys=True, default=str)


def peak_tables(documents: Documents) -> list[Table]:
    """Peak rates, one table per search."""
    tables = []
    for peak, label in zip(documents.peaks, documents.peak_labels, strict=True):
        rows = []
        told = any("status" in row for row in peak["results"])  # results of before have none
        for row in peak["results"]:
            bracket = (*(row.get("bracket_qps") or ()), None, None)[:2]
            trials = row.get("trials", 0)
            count = trials if isinstance(trials, int) else len(trials)
            rows.append(
                (
                    row["policy"],
                    row["peak_qps"],
                    row.get("peak_qps_low"),
                    row.get("peak_qps_high"),
                    row.get("share_of_bound"),
                    *([row.get("status")] if told else []),
                    *bracket,
                    count,
                )
            )
        columns = (
            "policy",
            "peak 1/s",
            "95% from",
            "to",
            "share of bound",
            *(["status"] if told else []),
            "met at 1/s",
            "lost at 1/s",
            "trials",
        )
        tables.append(Table(f"Peak rates{label and f', {label}'}", columns, rows, frozenset({4})))
    return tables
