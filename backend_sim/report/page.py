"""The report of runs and peak searches: which sections it has, and what its headline says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from layerweaver.backend_sim.report.charts.inside import run_charts
from layerweaver.backend_sim.report.charts.latency import latency_charts
from layerweaver.backend_sim.report.charts.load import load_charts
from layerweaver.backend_sim.report.charts.machine import machine_charts
from layerweaver.backend_sim.report.charts.tokens import token_charts, token_time_charts
from layerweaver.backend_sim.report.markup import Chart, chart_markup, table_markup
from layerweaver.backend_sim.report.ranking import DRAWN_TENANTS
from layerweaver.backend_sim.report.shell import packed, page_html
from layerweaver.backend_sim.report.tables import (
    changes_table,
    peak_tables,
    pool_table,
    repetition_tables,
    systems_table,
    tokens_table,
    verdicts_table,
)
from layerweaver.backend_sim.results.options import options_of_runs
from layerweaver.backend_sim.results.own_metrics import unknown_metrics
from layerweaver.backend_sim.results.reading import Documents, LabelledRun, ResultError, read_documents
from layerweaver.backend_sim.results.schema.peak import Peak
from layerweaver.backend_sim.results.schema.run import Run
from layerweaver.backend_sim.results.searches import peak_notes
from layerweaver.backend_sim.results.sentence import answer, peak_sentence, verdict_sentence
from layerweaver.backend_sim.results.spans import notes_beside_spans, span_notes
from layerweaver.backend_sim.results.told import told_by
from layerweaver.ir.given import check_given, given_list
from layerweaver.ir.text import first_of

__all__ = ["build_report", "headline"]

_MAX_DETAILED_RUNS = 6
_OPEN_RUNS = 3
"""The details of so many runs are open; those of later ones are packed."""
_MAX_NOTES = 20
_LONGEST_OPEN = 50_000
"""Characters of a configuration from which on it is packed."""
_FOOTER = (
    "Every number on this page is in the result documents; open “Numbers” under a chart for its values. "
    "Drag in a chart to zoom, double-click to zoom out."
)


def headline(documents: Documents) -> str:
    """What the runs say, in one sentence."""
    if not documents.runs:
        return " ".join(
            f"{label}: {peak_sentence(peak)}" if label else peak_sentence(peak)
            for label, peak in zip(documents.peak_labels, documents.peaks, strict=True)
        )
    runs = [run.document for run in documents.runs]
    labels = [run.label for run in documents.runs]
    return " ".join(filter(None, (answer(runs, labels), verdict_sentence(runs, labels))))


def _provenance(run: Run) -> dict[str, object]:
    """All that a document says beside its numbers: scenario, versions, hashes, seeds, times."""
    details = run.get("details")
    rest = {key: value for key, value in run.items() if key not in {"tenants", "system", "details"}}
    if details and "configuration" in details:
        rest["configuration"] = details["configuration"]
    return rest


def _section(identifier: str, title: str, body: str) -> tuple[str, str, str]:
    return identifier, title, body


def _cards(charts: Iterable[Chart]) -> str:
    return '<div class="cards">' + "".join(chart_markup(chart) for chart in charts) + "</div>"


def _run_section(run: LabelledRun, index: int, *, single: bool) -> tuple[str, str, str] | None:
    charts = [*run_charts(run, index), *token_charts(run, index)]
    if not charts:
        return None
    wide = [chart for chart in charts if chart.zoomable or "over time" in chart.title]
    small = [chart for chart in charts if chart not in wide]
    body = "".join(chart_markup(chart) for chart in wide) + (_cards(small) if small else "")
    return _section(f"run-{index}", "Inside the run" if single else f"Inside the run: {run.label}", body)


def _sections(documents: Documents) -> list[tuple[str, str, str]]:
    sections = []
    if documents.runs:
        body = table_markup(verdicts_table(documents), identifier="verdicts")
        if (changes := changes_table(documents)) is not None:
            body += table_markup(changes, identifier="changes")
        if (tokens := tokens_table(documents)) is not None:
            body += table_markup(tokens, identifier="tokens")
        body += table_markup(systems_table(documents), identifier="systems")
        if (pool := pool_table(documents)) is not None:
            body += table_markup(pool, identifier="npus")
        for index, table in enumerate(repetition_tables(documents)):
            body += table_markup(table, identifier=f"repetitions-{index}")
        if any(run.details is None for run in documents.runs):
            body += (
                '<p class="muted">Runs without details have no timeline, time series or histograms here: '
                "simulate or compare with --details to add them.</p>"
            )
        sections.append(_section("verdict", "Verdict", body + _notes(_said_of_runs(documents))))
    if documents.peaks:
        body = "".join(
            table_markup(table, identifier=f"peak-{index}")
            for index, table in enumerate(peak_tables(documents))
        )
        labels = [f"search {label}".rstrip() for label in documents.peak_labels]
        said = told_by(labels, [peak_notes(peak) for peak in documents.peaks])
        sections.append(_section("peaks", "Peak rates", body + _notes(said)))
    tenants = {tenant["name"] for run in documents.runs for tenant in run.tenants}
    many = len(tenants) > DRAWN_TENANTS
    for key, heading, charts in (
        ("latency", "Latency", [*latency_charts(documents), *token_time_charts(documents)]),
        ("load", "Over load", load_charts(documents)),
    ):
        if charts:
            sections.append(_section(key, heading, _folded(_cards(charts), many, many)))
    if documents.runs:
        machine = "".join(chart_markup(chart) for chart in machine_charts(documents))
        sections.append(_section("machine", "Where the time went", machine))
    single = len(documents.runs) == 1
    detailed = [index for index, run in enumerate(documents.runs) if run.details is not None]
    for place, index in enumerate(detailed[:_MAX_DETAILED_RUNS]):
        section = _run_section(documents.runs[index], index, single=single)
        if section is not None:
            key, heading, body = section
            sections.append(_section(key, heading, _folded(body, many, many or place >= _OPEN_RUNS)))
    if left := [documents.runs[index].label for index in detailed[_MAX_DETAILED_RUNS:]]:
        text = (
            f"The details of {_MAX_DETAILED_RUNS} runs are drawn, which keeps the page small; those of "
            f"{', '.join(left)} are in the result documents: make a page of these alone."
        )
        sections.append(_section("undrawn", "Inside other runs", f'<p class="muted">{escape(text)}</p>'))
    return sections


def _said_of_runs(documents: Documents) -> Iterator[str]:
    """What stands below the terminal's tables in words: spans of rates, warnings, notes."""
    runs = [run.document for run in documents.runs]
    labels = [run.label for run in documents.runs]
    yield from options_of_runs(labels, runs)
    yield from span_notes(labels, runs)
    yield from told_by(labels, [run.get("warnings", []) for run in runs])
    yield from told_by(labels, [notes_beside_spans(run) for run in runs])
    if unknown := unknown_metrics(part for run in runs for part in (*run["tenants"], run["system"])):
        yield f"not shown, as no installed package says how: {first_of(unknown, _MAX_NOTES)}"


def _notes(said: Iterable[str]) -> str:
    """Each of some sentences once, as a list."""
    lines = list(dict.fromkeys(said))
    items = [f"<li>{escape(line)}</li>" for line in lines[:_MAX_NOTES]]
    if (more := len(lines) - _MAX_NOTES) > 0:
        items.append(f"<li>{more:,} more stand in “Configuration and provenance”</li>")
    return f'<ul class="muted">{"".join(items)}</ul>' if items else ""


def _folded(body: str, many: bool, closed: bool) -> str:
    """A section's charts, of ``many`` tenants or all; if ``closed``, they are drawn when opened."""
    if not closed:
        return body
    said = f"Charts; of tenants, the {DRAWN_TENANTS} worst have some" if many else "Charts"
    return f'<details class="fold"><summary>{said}</summary>{_packed(body)}</details>'


def _packed(body: str) -> str:
    """What the page unpacks when the section around it is opened: a tenth of the size."""
    return f'<script type="text/plain" class="packed">{packed(body)}</script>'


def _of_search(peak: Peak) -> dict[str, object]:
    return {key: value for key, value in peak.items() if key not in {"bound_qps", "results"}}


def _configuration(documents: Documents) -> tuple[str, str, str]:
    parts: list[str] = []
    before: dict[str, object] = {}
    searches = zip(documents.peak_labels, documents.peaks, strict=True)
    for title, raw in (
        *((run.label, _provenance(run.document)) for run in documents.runs),
        *((f"peak search {label}".rstrip(), _of_search(peak)) for label, peak in searches),
    ):
        told = {key: value for key, value in raw.items() if key not in before or before[key] != value}
        before = raw
        text = json.dumps(told, indent=1, ensure_ascii=False, default=str)
        opened = " open" if not parts else ""
        body = f"<pre tabindex=0>{escape(text, quote=False)}</pre>"
        if len(body) > _LONGEST_OPEN:
            opened, body = "", _packed(body)
        parts.append(f"<details{opened}><summary>{escape(title)}</summary>{body}</details>")
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
    check_given(title, str, ResultError, "give the heading of the page as text")
    called = given_list("names", names, ResultError, "give a list of texts")
    for name in called:
        check_given(name, str, ResultError, "give the names of documents as texts")
    read = read_documents(documents, called)
    try:
        sections = [*_sections(read), _configuration(read)]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ResultError(  # details may be of any form: what they mean shows when they are drawn
            f"cannot be drawn ({type(error).__name__}: {error})",
            where=", ".join(called),
            accepted="give unchanged result documents",
        ) from error
    return page_html(title, headline(read), sections, _FOOTER, scripts=("page.js",))
