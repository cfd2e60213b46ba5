"""The report in a real browser; skipped where there is no chromium (``scripts/install-chromium``)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.report.page import build_report

Make = Callable[..., dict[str, Any]]
READY = "document.documentElement.dataset.charts"


@pytest.fixture(scope="module")
def page(
    make_document: Make, peak_document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, Any]]]:
    documents = [{"runs": [make_document("fcfs"), make_document("layerweaver+")]}, peak_document]
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(build_report(documents, title="Two tenants"), encoding="utf-8")
    return path, documents


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (390, False)])
def test_every_chart_is_drawn_without_complaint(browser: Any, page: Any, width: int, dark: bool) -> None:
    browser.view(width, 900, dark=dark)
    browser.open(page[0], until=READY)
    assert browser.complaints == []
    assert browser.requests == []
    drawn = browser.ask(
        "Array.from(document.querySelectorAll('.plot')).map(p => [p.id, "
        "p.querySelectorAll('.trace path, .trace .point, .bars path, .scatterlayer path').length])"
    )
    names = [name for name, _ in drawn]
    assert all(count > 0 for _, count in drawn), drawn
    wanted = {"latency-0", "latency-1", "peak-rates-0", "violations-0", "p99-0", "p99-1", "idle"}
    for run in (0, 1):
        wanted |= {f"{chart}-{run}" for chart in ("timeline", "activity", "lateness", "queue", "batches")}
    assert set(names) == {f"plot-{name}" for name in wanted}
    assert browser.ask("document.documentElement.scrollWidth <= window.innerWidth"), (
        "the page scrolls sideways"
    )
    ground = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(18, 22, 27)" if dark else "rgb(255, 255, 255)")
    text = browser.ask("getComputedStyle(document.querySelector('.ytick text')).fill")
    assert text == ("rgb(230, 235, 240)" if dark else "rgb(27, 36, 48)")


def test_what_is_drawn_is_what_the_documents_say(browser: Any, page: Any) -> None:
    browser.view(1200, 900)
    browser.open(page[0], until=READY)
    runs, peak = page[1][0]["runs"], page[1][1]
    bars = browser.ask("document.getElementById('plot-peak-rates-0').data[0].x")
    assert sorted(bars) == sorted(row["peak_qps"] for row in peak["results"])
    lines = browser.ask("document.getElementById('plot-latency-0').data.map(d => [d.name, d.x, d.y])")
    assert [name for name, _, _ in lines] == [run["policy"] for run in runs]
    histogram = runs[0]["details"]["latency"][0]
    assert lines[0][1] == histogram["edges_ms"][: len(lines[0][1])]
    missed = max(share for edge, share in zip(lines[0][1], lines[0][2], strict=True) if edge >= 0.4)
    assert missed == pytest.approx(runs[0]["tenants"][0]["violation_rate"], abs=0.05)
    points = browser.ask("document.getElementById('plot-violations-0').data.map(d => d.y[0])")
    assert points == [run["tenants"][0]["violation_rate"] for run in runs]
    lines_at = browser.ask("document.getElementById('plot-latency-0').layout.shapes.map(s => s.x0)")
    assert lines_at == [0.4]
    bounds = browser.ask(
        "document.getElementById('plot-violations-0').layout.shapes.filter(s => s.x0 == s.x1).map(s => s.x0)"
    )
    assert bounds == [40000]
    layers = browser.ask(
        "document.getElementById('plot-timeline-0').data.filter(d => d.type === 'bar')"
        ".reduce((n, d) => n + d.x.length, 0)"
    )
    timeline = runs[0]["details"]["timeline"]
    assert layers == len(timeline["layer"]) + sum(size > 0 for size in timeline["dram_bytes"])
    cells = browser.ask(
        "Array.from(document.querySelectorAll('#verdicts td[data-value]')).map(c => Number(c.dataset.value))"
    )
    assert runs[1]["tenants"][1]["latency_ms"]["p99"] in cells


def test_the_timeline_is_moved_from_the_keyboard(browser: Any, page: Any) -> None:
    browser.view(1200, 900)
    browser.open(page[0], until=READY)
    ask_range = "document.getElementById('plot-timeline-0').layout.xaxis.range.map(Number)"
    low, high = browser.ask(ask_range)
    browser.ask("document.querySelector('button[data-zoom=in]').focus()")
    browser.press("Enter", 13, "\r")
    inner_low, inner_high = browser.ask(ask_range)
    assert low < inner_low < inner_high < high
    browser.ask("document.querySelector('button[data-zoom=all]').focus()")
    browser.press("Enter", 13, "\r")
    assert browser.ask(ask_range) == [low, high]
    assert browser.complaints == []


def test_charts_have_names_and_numbers_behind_them(browser: Any, page: Any) -> None:
    browser.view(1200, 900)
    browser.open(page[0], until=READY)
    nameless = browser.ask(
        "Array.from(document.querySelectorAll('.plot')).filter(p => !p.getAttribute('aria-label')).length"
    )
    assert nameless == 0
    rows = browser.ask(
        "Array.from(document.querySelectorAll('figure.chart'), f => f.querySelectorAll('tbody tr').length)"
    )
    assert all(count > 0 for count in rows)
    order = browser.ask("Array.from(document.querySelectorAll('h1,h2,h3')).map(h => Number(h.tagName[1]))")
    assert order[0] == 1
    assert all(second - first <= 1 for first, second in itertools.pairwise(order))


def test_hostile_names_stay_text(browser: Any, make_document: Make, tmp_path: Path) -> None:
    names = ('<img src=x onerror="window.broken=1">', "</script><script>window.broken=1</script>")
    path = tmp_path / "hostile.html"
    path.write_text(build_report([make_document("<b>x</b>", names=names)]), encoding="utf-8")
    browser.view(1200, 900)
    browser.open(path, until=READY)
    assert browser.ask("window.broken === undefined")
    assert browser.complaints == []
    assert browser.ask("document.querySelectorAll('main img').length") == 0


def test_what_is_folded_is_unpacked_and_drawn_when_it_is_opened(
    browser: Any, make_document: Make, tmp_path: Path
) -> None:
    run = make_document("fcfs")
    run["tenants"] += [run["tenants"][0] | {"name": f"tenant-{place:03d}"} for place in range(2, 20)]
    run["scenario"] = {"tenants": [{"name": f"tenant <b>{place}</b>"} for place in range(4000)]}
    path = tmp_path / "many.html"
    path.write_text(build_report([run]), encoding="utf-8")
    browser.view(1200, 900)
    browser.open(path, until=READY)
    assert browser.ask("document.getElementById('plot-timeline-0')") is None
    browser.ask("document.querySelectorAll('details:has(> .packed)').forEach(d => { d.open = true; })")
    browser.wait("document.getElementById('plot-timeline-0')?.layout && document.querySelector('pre')")
    assert browser.ask("document.querySelectorAll('#plot-timeline-0 .bars path').length") > 0
    assert browser.ask("document.querySelector('pre').textContent.includes('tenant <b>3999</b>')")
    low, high = browser.ask("document.getElementById('plot-timeline-0').layout.xaxis.range.map(Number)")
    browser.ask("document.querySelector('button[data-zoom=in]').click()")
    inner = browser.ask("document.getElementById('plot-timeline-0').layout.xaxis.range.map(Number)")
    assert low < inner[0] < inner[1] < high
    assert browser.complaints == []


@pytest.mark.slow
def test_the_page_prints(browser: Any, page: Any, tmp_path: Path) -> None:
    browser.view(1200, 900, dark=True, media="print")
    browser.open(page[0], until=READY)
    assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.ask("getComputedStyle(document.querySelector('.tools')).display") == "none"
    browser.print_pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def test_many_blocks_print_without_hatches(browser: Any, page: Any) -> None:
    browser.view(1200, 900)
    browser.open(page[0], until=READY)
    shape = "document.querySelector('.plot').data[0].marker.pattern.shape"
    browser.ask(
        "Plotly.newPlot(document.querySelector('.plot'), [{type: 'bar', "
        "y: Array.from({length: 300}, (_, i) => i), marker: {pattern: {shape: '/'}}}], {}).then(() => 1)"
    )
    browser.ask("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.ask(shape) == ""
    browser.ask("window.dispatchEvent(new Event('afterprint'))")
    assert browser.ask(shape) == "/"


def test_a_run_without_details_still_has_its_charts(
    browser: Any, make_document: Make, tmp_path: Path
) -> None:
    path = tmp_path / "plain.html"
    document = json.loads(json.dumps(make_document(details=False)))
    path.write_text(build_report([document]), encoding="utf-8")
    browser.view(1200, 900)
    browser.open(path, until=READY)
    assert browser.complaints == []
    line = browser.ask("document.getElementById('plot-latency-0').data[0]")
    latency = document["tenants"][0]["latency_ms"]
    assert line["x"] == [latency[key] for key in ("p50", "p90", "p99", "p999")]
