"""The report: one page that carries everything it needs and asks the network for nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from layerweaver.backend_sim.report.charts.inside import run_charts
from layerweaver.backend_sim.report.charts.latency import latency_charts
from layerweaver.backend_sim.report.charts.load import load_charts
from layerweaver.backend_sim.report.charts.machine import machine_charts
from layerweaver.backend_sim.report.markup import Chart, Table, chart_markup, table_markup
from layerweaver.backend_sim.results.schema import Documents, Run, read_documents
from layerweaver.backend_sim.results.sentence import peak_sentence, verdict_sentence

__all__ = ["build_report", "headline"]

_MAX_DETAILED_RUNS = 6
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def headline(documents: Documents) -> str:
    """What the runs say, in one sentence."""
    if not documents.runs:
        return peak_sentence(documents.peaks[0].model_dump())
    return verdict_sentence({"runs": [run.raw for run in documents.runs]})


def _verdicts(documents: Documents) -> Table:
    rows = [
        (
            run.label,
            tenant.name,
            tenant.verdict or "–",
            tenant.deadline_ms,
            tenant.violation_rate,
            tenant.latency_ms.p50,
            tenant.latency_ms.p99,
            tenant.latency_ms.p999,
            tenant.latency_ms.max,
            tenant.qps,
            tenant.arrived,
            tenant.completed,
            tenant.dropped,
            "; ".join(tenant.reasons) or "–",
        )
        for run in documents.runs
        for tenant in run.tenants
    ]
    columns = (
        "policy",
        "tenant",
        "verdict",
        "deadline ms",
        "violation rate",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
        "completed/s",
        "arrived",
        "completed",
        "dropped",
        "reasons",
    )
    return Table("Verdict of every tenant under every policy", columns, rows, frozenset({4}))


def _systems(documents: Documents) -> Table:
    rows = [
        (
            run.label,
            run.system.stp,
            run.system.antt,
            run.system.fairness,
            run.system.compute_utilization,
            run.system.dram_utilization,
            run.system.bound_qps,
            run.system.deadline_mode_share,
            run.simulated_s,
        )
        for run in documents.runs
    ]
    columns = (
        "policy",
        "STP",
        "ANTT",
        "fairness",
        "compute utilization",
        "DRAM utilization",
        "bound 1/s",
        "deadline mode share",
        "simulated s",
    )
    return Table("The machine under every policy", columns, rows, frozenset({4, 5, 7}))


def _peaks(documents: Documents) -> list[Table]:
    return [
        Table(
            "Peak rates",
            ("policy", "peak 1/s", "± over seeds", "share of bound", "met at 1/s", "lost at 1/s", "trials"),
            [
                (
                    row.policy,
                    row.peak_qps,
                    row.peak_qps_sd,
                    row.share_of_bound,
                    *((*(row.bracket_qps or ()), None, None)[:2]),
                    row.trials if isinstance(row.trials, int) else len(row.trials),
                )
                for row in peak.results
            ],
            frozenset({3}),
        )
        for peak in documents.peaks
    ]


def _provenance(run: Mapping[str, Any]) -> dict[str, Any]:
    """All that a document says beside its numbers: scenario, versions, hashes, seeds, times."""
    details = run.get("details") or {}
    shown = {key: value for key, value in run.items() if key not in {"tenants", "system", "details"}}
    return shown | {"configuration": details["configuration"]} if "configuration" in details else shown


def _section(identifier: str, title: str, body: str) -> tuple[str, str, str]:
    return identifier, title, body


def _cards(charts: Iterable[Chart]) -> str:
    return '<div class="cards">' + "".join(chart_markup(chart) for chart in charts) + "</div>"


def _run_section(run: Run, index: int, *, single: bool) -> tuple[str, str, str] | None:
    charts = run_charts(run, index)
    if not charts:
        return None
    wide = [chart for chart in charts if chart.zoomable or "over time" in chart.title]
    small = [chart for chart in charts if chart not in wide]
    body = "".join(chart_markup(chart) for chart in wide) + (_cards(small) if small else "")
    return _section(f"run-{index}", "Inside the run" if single else f"Inside the run: {run.label}", body)


def _sections(documents: Documents) -> list[tuple[str, str, str]]:
    sections = []
    if documents.runs:
        body = table_markup(_verdicts(documents), identifier="verdicts")
        body += table_markup(_systems(documents), identifier="systems")
        if any(run.details is None for run in documents.runs):
            body += (
                '<p class="muted">Runs without details have no timeline, time series or histograms here: '
                "simulate or compare with --details to add them.</p>"
            )
        sections.append(_section("verdict", "Verdict", body))
    if documents.peaks:
        body = "".join(
            table_markup(table, identifier=f"peak-{index}") for index, table in enumerate(_peaks(documents))
        )
        sections.append(_section("peaks", "Peak rates", body))
    if latencies := latency_charts(documents):
        sections.append(_section("latency", "Latency", _cards(latencies)))
    if loads := load_charts(documents):
        sections.append(_section("load", "Over load", _cards(loads)))
    if documents.runs:
        machine = "".join(chart_markup(chart) for chart in machine_charts(documents))
        sections.append(_section("machine", "Where the time went", machine))
    single = len(documents.runs) == 1
    for index, run in enumerate(documents.runs[:_MAX_DETAILED_RUNS]):
        section = _run_section(run, index, single=single)
        if section is not None:
            sections.append(section)
    return sections


def _configuration(documents: Documents) -> tuple[str, str, str]:
    parts: list[str] = []
    for title, raw in (
        *((run.label, _provenance(run.raw)) for run in documents.runs),
        *((f"peak search {index + 1}", peak.model_extra or {}) for index, peak in enumerate(documents.peaks)),
    ):
        text = json.dumps(raw, indent=2, ensure_ascii=False, default=str)
        opened = " open" if not parts else ""
        shown = f"<summary>{escape(title)}</summary><pre tabindex=0>{escape(text)}</pre>"
        parts.append(f"<details{opened}>{shown}</details>")
    return _section("configuration", "Configuration and provenance", "".join(parts))


def build_report(
    documents: Iterable[Mapping[str, Any]], *, title: str = "layerweaver report", names: Sequence[str] = ()
) -> str:
    """Build the page from documents of ``simulate``, ``compare`` and ``peak``, in any mixture.

    The page holds its style, its script, plotly and the data; a content security policy forbids everything
    else. Runs that carry ``details`` get distributions, time series and a timeline.

    Args:
        documents: Parsed JSON documents.
        title: Heading of the page.
        names: What errors call the documents, such as their files.

    Returns:
        The HTML text.

    Raises:
        ResultError: If a document is not a result or is damaged.
    """
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - large, and only needed here

    read = read_documents(documents, names)
    sections = [*_sections(read), _configuration(read)]
    here = files("layerweaver.backend_sim.report")
    style = here.joinpath("page.css").read_text(encoding="utf-8")
    script = here.joinpath("page.js").read_text(encoding="utf-8")
    links = "".join(f'<li><a href="#{key}">{escape(name)}</a></li>' for key, name, _ in sections)
    body = "".join(
        f'<section aria-labelledby="{key}"><h2 id="{key}">{escape(name)}</h2>\n{content}</section>\n'
        for key, name, content in sections
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
<h1>{escape(title)}</h1>
<p class="lead">{escape(headline(read))}</p>
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main id="content">
{body}</main>
<footer>Made by layerweaver. Every number on this page is in the result documents; open
“Numbers” under a chart for its values. Drag in a chart to zoom, double-click to zoom out.</footer>
<script>{get_plotlyjs()}</script>
<script>
{script}</script>
</body>
</html>
"""
