"""What the terminal says of a run, its document, its tables and the page say, too, and of which seed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import yaml
from small_study import point_rows

from layerweaver.backend_sim.report.page import build_report
from layerweaver.backend_sim.results.files import save_result
from layerweaver.backend_sim.results.told import told_of_seeds
from layerweaver.backend_sim.study.rerun import differences, rerun
from layerweaver.backend_sim.study.simulate import compare, simulate
from layerweaver.backend_sim.study.sweep.again import rerun_point
from layerweaver.backend_sim.study.sweep.sweep import sweep
from layerweaver.cli.rendering.notes import comparison_notes, run_notes
from layerweaver.ir.text import figure

EARLY = {"arrival": {"kind": "closed_loop", "concurrency": 1, "queries": 20}}
LONG = {"duration_s": 3, "cooldown_s": 1}
BUSY = {"arrival": {"kind": "poisson", "qps": 2500, "seed": 2}}


def _spans(lines: Any) -> list[str]:
    return [line for line in lines if "rates are over the whole" in line or "is over the time until" in line]


def test_what_rates_are_over_is_in_the_document_and_once_on_terminal_and_page(make_scenario: Any) -> None:
    run: Any = simulate(make_scenario(tenants=[EARLY, BUSY]), "fcfs")
    early, longer = _spans(run["notes"])
    assert early.startswith("requests end early: vision after ")
    assert longer.startswith("q/s is over the time until the last completion (")
    assert _spans(run_notes(run)) == [early, longer]
    page = build_report([run])
    assert page.count("requests end early: vision after") == 2  # in words, and in the document
    runs = list(compare(make_scenario(tenants=[EARLY, BUSY]), ["fcfs", "edf"])["runs"])
    both = _spans(comparison_notes(["fcfs", "edf"], runs))
    assert len([line for line in both if "q/s is over the" in line]) == 1
    assert all(len(_spans(each["notes"])) == 2 for each in runs)


def test_points_of_a_study_say_what_rates_are_over(make_scenario: Any, tmp_path: Path) -> None:
    (tmp_path / "mix.yaml").write_text(yaml.safe_dump(make_scenario(tenants=[EARLY, {}], policy="fcfs")))
    study = {"scenario": "mix.yaml", "axes": {"dispatch_ahead": [0, 1]}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    sweep(tmp_path / "study.yaml", tmp_path / "out")
    assert all("requests end early: vision after" in row["notes"] for row in point_rows(tmp_path / "out"))


def test_tables_have_notes_and_warnings_beside_how_they_were_made(make_scenario: Any, tmp_path: Path) -> None:
    loop = {**EARLY, "queue": {"limit": 4}}
    document: Any = compare(make_scenario(tenants=[loop, BUSY]), ["fcfs", "edf"])
    save_result(document, tmp_path / "found.csv")
    with (tmp_path / "found.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for row, run in zip(rows[::2], document["runs"], strict=True):
        assert row["notes"] == "; ".join(run["notes"])
        assert row["warnings"] == "; ".join(run["warnings"])
        assert "queue.limit changes nothing" in row["warnings"]
    assert {row["notes"] for row in rows[1::2]} == {""}


def test_a_duration_that_nobody_reaches_is_told(make_scenario: Any, tmp_path: Path) -> None:
    rows = "".join(f"{row * 0.01:.2f},vision\n" for row in range(100))
    (tmp_path / "log.csv").write_text("timestamp,tenant\n" + rows)
    both = make_scenario(tenants=[{"arrival": {"kind": "trace", "file": str(tmp_path / "log.csv")}}, {}])
    alone = both | {"tenants": both["tenants"][:1]}
    short: Any = simulate(alone | {"duration_s": 10}, "edf")
    assert "all requests end after 0.99 of duration_s 10" in short["notes"]
    cooled: Any = simulate(alone | {"duration_s": 10, "cooldown_s": 1}, "edf")
    assert "all requests end after 0.99 of duration_s 10: cooldown_s leaves nothing out" in cooled["notes"]
    slow = both["tenants"][0] | {"arrival": {"kind": "offline", "samples": 8000}}
    cut: Any = simulate(both | {"tenants": [*alone["tenants"], slow | {"name": "slow"}], **LONG}, "edf")
    assert "all requests end after 0.99 of duration_s 3" in cut["notes"]
    assert any(note.startswith("q/s is over the time until cooldown_s begins (2 s)") for note in cut["notes"])
    enough: Any = simulate(alone | {"duration_s": 1}, "edf")
    late: Any = simulate(alone | {"duration_s": 10, "warmup_s": 2}, "edf")
    assert "tenant 'vision': no query is measured: all come before warmup_s 2 is over" in late["warnings"]
    loop = {"arrival": {"kind": "saturated", "queries": 500}}
    longer: Any = simulate(make_scenario(tenants=[loop, {}], duration_s=0.1), "edf")
    assert any(note.endswith("past duration_s 0.1: queries ends those of vision") for note in longer["notes"])
    busy: Any = simulate(both | {"duration_s": 10}, "edf")
    assert not [note for run in (enough, busy) for note in run.get("notes", ()) if "duration_s" in note]


def test_lines_of_one_seed_say_of_which() -> None:
    said = [["all", "of 1.5 ms", "one"], ["all", "of 2,000 ms"], ["all", "of 3 ms", "late"]]
    first = ["first seed (and all others): of 1.5 ms", "first seed: one"]
    assert told_of_seeds(said) == ["all", *first, "seed 3 of 3: late"]
    assert told_of_seeds([["a", "b"]]) == ["a", "b"]
    assert told_of_seeds([[], []]) == []
    late = [[], ["cam1 waits 5 ms"], ["cam2 waits 7 ms"], ["cam1 waits 6 ms"]]
    assert told_of_seeds(late, ["cam1", "cam2"]) == [
        "seed 2 of 4 (and 1 more): cam1 waits 5 ms",
        "seed 3 of 4: cam2 waits 7 ms",
    ]
    counted = [["x after 1 of 1.5 s"], ["x after 1.01 of 1.5 s"], ["1 after 1 of 2 s", "2 after 1 of 2 s"]]
    assert told_of_seeds(counted, ["x", "1", "2"]) == [
        "first seed (and 1 more): x after 1 of 1.5 s",
        "seed 3 of 3: 1 after 1 of 2 s",
        "seed 3 of 3: 2 after 1 of 2 s",
    ]


def test_notes_of_repetitions_are_of_the_first_seed_unless_all_have_them(make_scenario: Any) -> None:
    run: Any = simulate(make_scenario(tenants=[EARLY, BUSY]), "fcfs", seeds=2)
    assert all(line.startswith("first seed (and all others): ") for line in _spans(run["notes"]))
    early, longer = _spans(run_notes(run))
    assert early.startswith("first seed (and all others): requests end early: ")
    assert longer.startswith("q/s (first seed) is over")


def test_a_point_that_offers_another_load_than_its_axis_says_runs_again_alone(
    make_scenario: Any, tmp_path: Path
) -> None:
    bursts = {"arrival": {"kind": "bursts", "qps": [100, 2000], "period_s": 4, "burst_s": 1, "seed": 1}}
    scenario = make_scenario(tenants=[bursts, {}], policy="fcfs", duration_s=0.5)
    (tmp_path / "mix.yaml").write_text(yaml.safe_dump(scenario))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"scenario": "mix.yaml", "axes": {"load": [0.1]}}))
    sweep(tmp_path / "study.yaml", tmp_path / "out")
    assert point_rows(tmp_path / "out")[0]["warnings"].startswith("load 0.1 offers ")
    point = rerun_point(tmp_path / "out", 0)
    assert point.apart == []
    assert point.document is not None
    assert list(differences(point.document, rerun(point.document)[0])) == []


def test_rates_over_less_than_the_time_of_requests_say_so(make_scenario: Any) -> None:
    loop = {"arrival": {"kind": "closed_loop", "concurrency": 6, "queries": 20}}
    never = {"queue": {"timeout_ms": 3}, "batch": {"max": 64, "sizes": [64], "delay_ms": 5}}
    run: Any = simulate(make_scenario(tenants=[loop, never]), "edf")
    system = run["system"]
    assert system["measured_s"] < 0.9 * system["offered_s"]
    early, shorter = run["notes"][:2]
    assert early.startswith("requests end early: vision after ")
    assert "of 2 s of requests (" in early
    assert "whole" not in early
    assert shorter == (
        f"q/s is over the time until the last completion ({figure(system['measured_s'])} s), shorter than "
        "the 2 s in which requests are offered"
    )
