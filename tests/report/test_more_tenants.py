"""Results of which one has a tenant more: what they are called, and what changed for the others."""

from __future__ import annotations

import copy
from typing import Any

from layerweaver.backend_sim.report.page import build_report
from layerweaver.backend_sim.report.tables import changes_table
from layerweaver.backend_sim.results.mixes import mix_labels
from layerweaver.backend_sim.results.naming import run_names
from layerweaver.backend_sim.results.reading import read_documents
from layerweaver.backend_sim.results.sentence import verdict_sentence
from layerweaver.backend_sim.study.simulate import simulate


def _tenant(name: str, qps: float) -> dict[str, Any]:
    arrival = {"kind": "poisson", "qps": qps, "seed": 1}
    return {"name": name, "model": "zoo:ncf", "deadline_ms": 5, "arrival": arrival}


def _run(*names: str) -> Any:
    tenants = [_tenant(name, 300) for name in names]
    return simulate({"npu": "memory-centric", "duration_s": 0.2, "tenants": tenants}, "fcfs")


def test_a_tenant_that_only_one_run_has_is_one_fact_of_its_name() -> None:
    before, after = _run("a", "b"), _run("a", "b", "more")
    assert run_names([before, after]) == ["fcfs without more", "fcfs with more"]
    assert run_names([before, _run("a", "c")]) == [
        "fcfs with b without c",
        "fcfs without b with c",
    ]


def test_results_of_wholly_different_tenants_go_by_their_files() -> None:
    runs, files = [_run("a", "b"), _run("c", "d")], ["of/first.json", "of/second.json"]
    assert run_names(runs, files) == ["fcfs first.json", "fcfs second.json"]
    assert [run.label for run in read_documents(runs).runs] == ["fcfs result 1", "fcfs result 2"]
    in_one = ["fcfs with a with b without c +1 more", "fcfs without a without b with c +1 more"]
    assert run_names(runs, ["one.json"] * 2) == run_names(runs) == in_one
    keys = [run["scenario"] for run in runs]
    assert mix_labels(keys, files) == ["mix of first.json", "mix of second.json"]
    assert mix_labels([keys[0], keys[0]], files) == ["", ""]


def test_the_table_of_changes_has_tenants_that_only_one_run_has() -> None:
    for names in (("a",), ("a", "more")), (("a", "more"), ("a",)):
        table = changes_table(read_documents([_run(*some) for some in names]))
        assert table is not None
        rows = {str(row[0]): row[1:] for row in table.rows}
        assert list(rows) == ["a", "more"]
        assert [cell is None for cell in rows["a"]] == [False] * 7
        missing = names.index(("a",))
        shares, times, status = rows["more"][:2], rows["more"][2:4], rows["more"][5:]
        for pair in (shares, times, status):
            assert (pair[missing] is None, pair[1 - missing] is None) == (True, False)
        assert rows["more"][4] is None
    assert changes_table(read_documents([_run("a"), _run("b")])) is None
    assert "tenant by tenant" in build_report([_run("a"), _run("a", "more")])


def test_a_load_within_a_sentence_is_closed() -> None:
    one = _run("a")
    other = copy.deepcopy(one)
    other["system"]["offered_qps"] = 2 * one["system"]["offered_qps"]
    said = verdict_sentence([one, other], ["fcfs", "fcfs twice"])
    assert "per second, do not differ visibly." in said


def test_seeds_of_a_sentence_are_those_of_its_runs() -> None:
    one, other, elsewhere = _run("a"), _run("a"), _run("a", "more")
    elsewhere |= {"seeds": 4, "policy": "edf"}
    other["policy"] = "layerweaver+"
    assert verdict_sentence([elsewhere, one, other], ["x", "y", "z"]).startswith("At ")
    one["seeds"] = 4
    assert verdict_sentence([one, other], ["y", "z"]).startswith("On average over up to 4 seeds, at ")
