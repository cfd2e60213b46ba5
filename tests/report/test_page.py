from __future__ import annotations

import base64
import copy
import gzip
import json
import re
import time
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest

from layerweaver.backend_sim.report.charts.latency import latency_figure
from layerweaver.backend_sim.report.charts.load import violations_over_load_figure
from layerweaver.backend_sim.report.charts.load_points import points_of_tenants
from layerweaver.backend_sim.report.markup import Table, table_markup
from layerweaver.backend_sim.report.page import build_report
from layerweaver.backend_sim.results.reading import ResultError, read_documents

Make = Callable[..., dict[str, Any]]


def table_cells(page: str, identifier: str) -> list[list[float | str]]:
    """Exact values of a table of the page, row by row, without the heading."""
    table = re.search(rf'<table id="{identifier}">(.*?)</table>', page, re.DOTALL)
    assert table is not None
    rows = []
    for row in re.findall(r"<tr>(.*?)</tr>", table.group(1).split("<tbody>")[1], re.DOTALL):
        cells = re.findall(r"<t[hd]([^>]*)>(.*?)</t[hd]>", row, re.DOTALL)
        values = [re.search(r'data-value="([^"]*)"', attributes) for attributes, _ in cells]
        rows.append(
            [
                float(value.group(1)) if value else unescape(text)
                for value, (_, text) in zip(values, cells, strict=True)
            ]
        )
    return rows


def test_the_verdict_table_holds_the_documents_numbers(make_document: Make) -> None:
    runs = [make_document("fcfs", details=False), make_document("layerweaver+", details=False)]
    rows = table_cells(build_report([{"runs": runs}]), "verdicts")
    wanted = [
        [run["policy"], tenant["name"], tenant["deadline_ms"], tenant["violation_rate"]]
        + ["late" if tenant["deadline_ms"] else "met", tenant["qps"]]
        + [tenant["latency_ms"][key] for key in ("p50", "p99", "p999", "max")]
        + [tenant["verdict"], tenant["arrived"], tenant["completed"], tenant["dropped"]]
        + [tenant.get("timed_out")]
        + ["; ".join(tenant["reasons"]) or None]
        for run in runs
        for tenant in run["tenants"]
    ]
    assert rows == [["–" if value is None else value for value in row] for row in wanted]


def test_peak_rates_are_listed(peak_document: dict[str, Any]) -> None:
    page = build_report([peak_document])
    assert table_cells(page, "peak-0") == [
        ["fcfs", 12000.0, 11600.0, 12400.0, 0.3, 12000.0, 12240.0, 12.0],
        ["layerweaver+", 33000.0, 32600.0, 33400.0, 0.825, 33000.0, 33660.0, 12.0],
    ]
    assert "layerweaver+ carries the highest load: 33,000 queries per second, 82% of the bound." in page


def test_the_page_asks_the_network_for_nothing(make_document: Make) -> None:
    page = build_report([make_document()])
    own = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(src|href|action)\s*=\s*["']?(https?:)?//""", own)
    assert "default-src 'none'" in own
    assert page.count("<script>") == 1


def test_one_page_is_the_same_every_time(make_document: Make) -> None:
    assert build_report([make_document()]) == build_report([make_document()])


def test_names_from_the_documents_are_text_and_nothing_else(make_document: Make) -> None:
    names = ('<img src=x onerror="alert(1)">', "</script><script>alert(2)</script>")
    document = make_document("<b>bold</b>", names=names)
    page = build_report([document], title="<i>title</i>")
    own = re.sub(r"<script>.*?</script>\n", "", page, count=1, flags=re.DOTALL)
    assert "<img" not in own
    assert "<b>bold" not in own
    assert "<i>title" not in own
    assert "<script>alert" not in page


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"runs": []},
        {"runs": "x"},
        {"runs": [{"policy": "a"}]},
        {"tenants": [], "system": {}},
        {"results": [], "bound_qps": 1.0},
        {"results": [{"policy": "a"}], "bound_qps": "many"},
    ],
)
def test_what_is_no_result_is_refused_in_one_line(broken: dict[str, Any]) -> None:
    with pytest.raises(ResultError) as refusal:
        build_report([broken])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("tenants", 0, "latency_ms", "p99"), "slow"),
        (("tenants", 0, "arrived"), -1),
        (("details", "latency", 0, "counts"), [1, 2]),
        (("details", "over_time", "edges_ms"), [0.0]),
        (("details", "timeline", "layer"), ["only one"]),
        (("details", "utilization", "compute", "busy"), []),
        (("details", "timeline", "requests", "late"), []),
        (("system", "idle"), {"no_work": float("nan")}),
    ],
)
def test_damaged_documents_are_refused_with_the_place(
    make_document: Make, path: tuple[Any, ...], value: Any
) -> None:
    document = copy.deepcopy(make_document())
    spot = document
    for part in path[:-1]:
        spot = spot[part]
    spot[path[-1]] = value
    with pytest.raises(ResultError) as refusal:
        build_report([document])
    assert "result 1" in str(refusal.value)
    assert str(path[0]) in str(refusal.value)


def test_errors_name_the_file_and_plain_runs_say_what_they_lack(make_document: Make) -> None:
    with pytest.raises(ResultError, match=r"^b\.json: is not a result"):
        build_report([make_document(), {}], names=["a.json", "b.json"])
    assert "--details to add them" in build_report([make_document(details=False)])
    assert "--details to add them" not in build_report([make_document()])


def test_configuration_and_provenance_are_shown(make_document: Make) -> None:
    document = make_document() | {"npu": "memory-centric", "seeds": 3}
    shown = re.search(r"<pre tabindex=0>(.*?)</pre>", build_report([document]), re.DOTALL)
    assert shown is not None
    configuration = json.loads(unescape(shown.group(1)))
    assert configuration["npu"] == "memory-centric"
    assert configuration["seeds"] == 3
    assert configuration["run"]["version"] == "0.1.0"


def _three_runs_of(count: int, make_document: Make) -> list[dict[str, Any]]:
    runs = []
    for policy in ("fcfs", "edf", "layerweaver+"):
        run = copy.deepcopy(make_document(policy))
        for place in range(2, count):
            late = place % 7 == 0
            tenant = run["tenants"][0] | {"name": f"tenant-{place:03d}", "status": "late" if late else "met"}
            run["tenants"].append(tenant | {"violation_rate": place / 1000 if late else 0.0})
        for key in ("latency", "in_system", "batches"):
            entry = run["details"][key][0]
            run["details"][key] += [entry | {"tenant": f"tenant-{place:03d}"} for place in range(2, count)]
        series = run["details"]["over_time"]["tenants"]
        series += [series[0] | {"tenant": f"tenant-{place:03d}"} for place in range(2, count)]
        runs.append(run)
    return runs


def test_many_tenants_make_a_small_page_with_every_row(make_document: Make) -> None:
    count = 300
    runs = _three_runs_of(count, make_document)
    began = time.process_time()
    page = build_report([{"runs": runs}])
    assert len(page.encode()) < 3_000_000
    assert time.process_time() - began < 10  # 2 s where nothing else runs
    rows = table_cells(page, "verdicts")
    assert len(rows) == 3 * count
    assert [row[1] for row in rows[:6]] == ["vision"] * 3 + ["tenant-294"] * 3
    assert {row[0] for row in rows} == {"fcfs", "edf", "layerweaver+"}
    assert 'data-filter="verdicts"' in page
    assert page.count("data-plot=") < 100
    assert page.count('<details class="fold">') == 5
    folded = [_unpacked(text) for text in re.findall(r'class="packed">([^<]*)<', page)]
    for key in ("latency-0", "latency-11", "timeline-0", "timeline-2", "activity-1"):
        assert sum(f'data-plot="{key}"' in text for text in folded) == 1
    assert sum("<summary>Numbers</summary>" in text for text in folded) == 5


def _unpacked(text: str) -> str:
    return gzip.decompress(base64.b64decode(text)).decode()


def test_a_long_configuration_is_packed_and_complete(make_document: Make) -> None:
    run = make_document("fcfs")
    run["scenario"] = {"tenants": [{"name": f"tenant <{place}>"} for place in range(4000)]}
    page = build_report([run])
    assert "tenant &lt;3999&gt;" not in page
    (text,) = (_unpacked(found) for found in re.findall(r'class="packed">([^<]*)<', page))
    assert text.startswith("<pre")
    assert "tenant &lt;3999&gt;" in text


def test_the_first_screen_is_an_answer(make_document: Make) -> None:
    def run(policy: str, status: str, tail: float) -> dict[str, Any]:
        made = copy.deepcopy(make_document(policy, details=False))
        made["tenants"][0] |= {"status": status, "percentile_ms": tail, "deadline_ms": 10.0}
        made["tenants"][0] |= {"violation_rate": 0.5 if status == "late" else 0.0}
        made["tenants"][0]["latency_ms"]["p99"] = tail
        made["system"]["offered_qps"] = 902.0
        return made

    page = build_report([{"runs": [run("fcfs", "late", 20.0), run("layerweaver+", "met", 6.0)]}])
    assert (
        "At 902 queries per second every tenant keeps its limit under layerweaver+ "
        "(least headroom: vision, 40% of its limit left); fcfs loses vision."
    ) in unescape(page)
    rows = table_cells(page, "changes")
    assert rows[0][0] == "vision"
    assert rows[0][3:6] == [20.0, 6.0, pytest.approx(-0.7)]
    dropping = run("layerweaver+", "late", 6.0)
    dropping["tenants"][0] |= {"arrived": 100, "completed": 60, "dropped": 40}
    page = build_report([{"runs": [run("fcfs", "late", 20.0), dropping]}])
    assert table_cells(page, "changes")[0][3:6] == [20.0, 6.0, "–"]
    short = build_report([run("fcfs", "too_short", 6.0)])
    assert "fcfs ran too short to tell of vision." in unescape(short)


def test_the_one_percent_that_decides_is_visible(make_document: Make) -> None:
    runs = []
    for policy, rate in (("fcfs", 0.4), ("layerweaver+", 0.0)):
        made = copy.deepcopy(make_document(policy, details=False))
        made["tenants"][0]["violation_rate"] = rate
        runs.append(made)
    read = read_documents([{"runs": runs}])
    figure = violations_over_load_figure(read, points_of_tenants(read)["vision"])
    assert figure is not None
    assert figure.layout.yaxis.type == "log"
    assert [line.customdata for line in figure.data] == [(0.4,), (0.0,)]
    assert "1%" in [note.text for note in figure.layout.annotations]
    assert "none" in figure.layout.yaxis.ticktext


def test_dropped_requests_are_the_slowest_of_a_line_without_details(make_document: Make) -> None:
    run = copy.deepcopy(make_document("fcfs", details=False))
    run["tenants"][0] |= {"arrived": 200, "dropped": 100}
    figure = latency_figure(read_documents([run]).runs, "vision")
    assert figure is not None
    assert list(figure.data[0].y) == pytest.approx([0.75, 0.55, 0.505, 0.5005])


def test_runs_whose_details_are_not_drawn_are_named(make_document: Make) -> None:
    runs = [make_document(f"policy-{number}") for number in range(8)]
    page = build_report([{"runs": runs}])
    assert "Inside the run: policy-5" in page
    assert "Inside the run: policy-6" not in page
    assert "those of policy-6, policy-7 are in the result documents" in page
    assert "are in the result documents: make a page" not in build_report([{"runs": runs[:6]}])


def test_notes_and_warnings_of_results_stand_on_the_page(
    make_document: Make, peak_document: dict[str, Any]
) -> None:
    runs = [{**make_document(policy, details=False), "notes": ["a & b"]} for policy in ("fcfs", "edf")]
    runs[1]["warnings"] = [f"warning {number}" for number in range(30)]
    page = build_report([{"runs": runs}, {**peak_document, "notes": ["of a search"]}])
    said = [re.findall("<li>(.*?)</li>", part) for part in re.findall(r'<ul class="muted">(.*?)</ul>', page)]
    assert said == [
        [
            *(f"edf: warning {number}" for number in range(20)),
            "11 more stand in “Configuration and provenance”",
        ],
        ["of a search"],
    ]
    assert "<li>a &amp; b</li>" in build_report([{"runs": runs[:1]}])


def test_moments_that_differ_little_are_told_apart() -> None:
    rows: list[list[Any]] = [["conv", 53.21371, 53.21374], ["pool", 53.21412, None]]
    page = table_markup(Table("Layers", ("layer", "from ms", "to ms"), rows, moments=frozenset({1, 2})))
    assert ">53.2137<" in page
    assert ">53.2141<" in page
    assert ">–<" in page


def test_metrics_of_packages_that_are_not_installed_are_named(make_document: Make) -> None:
    run = make_document("fcfs", details=False)
    run["tenants"][0]["own"] = {"spread_ms": 3.0}
    run["system"]["own"] = {"<jain>": 0.5}
    assert "not shown, as no installed package says how: &lt;jain&gt;, spread_ms" in build_report([run])
    assert "not shown" not in build_report([make_document("fcfs", details=False)])


def test_what_a_search_does_not_tell_stands_on_its_page(peak_document: dict[str, Any]) -> None:
    document = copy.deepcopy(peak_document)
    first, second = document["results"]
    second |= {"monotone": False, "peak_qps_low": 9000.0, "peak_qps_high": 40000.0}
    spread = {"mean": 21000.0, "sd": 1.0, "low": -5.0, "high": 42000.0, "values": [1.0, 2.0]}
    document["differences"] = [
        {"policy": second["policy"], "against": first["policy"], "level": 0.95, "peak_qps": spread}
    ]
    page = unescape(build_report([document]))
    assert "bound. The seeds do not tell it from fcfs (95% interval 9,000 to 40,000)." in page
    assert "layerweaver+ less fcfs, seed by seed: 21,000 q/s, 95% interval -5 .. 42,000" in page
    assert "layerweaver+: not monotone: a load below 33,000 q/s failed too" in page
    document["differences"][0]["peak_qps"]["low"] = 5.0
    assert "seeds do not tell it" not in build_report([document])


def test_details_of_many_runs_are_packed(make_document: Make) -> None:
    def page(count: int) -> str:
        return build_report([{"runs": [make_document(f"policy-{number}") for number in range(count)]}])

    assert page(3).count('class="packed"') == 0
    assert page(6).count('class="packed"') == 3
    assert len(page(6)) - len(page(3)) < len(page(3)) - len(page(1))
    folded = [_unpacked(text) for text in re.findall(r'class="packed">([^<]*)<', page(6))]
    assert [
        f'data-plot="timeline-{place}"' in text for place, text in zip((3, 4, 5), folded, strict=True)
    ] == [True] * 3
