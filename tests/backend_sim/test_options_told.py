"""Options that are not a policy's defaults are told where the name of a result has none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.table import Table

from layerweaver.backend_sim.report.page import build_report
from layerweaver.backend_sim.results.options import options_of_peaks, options_of_runs
from layerweaver.backend_sim.results.searches import peak_notes
from layerweaver.backend_sim.study.peak.peak import peak
from layerweaver.backend_sim.study.simulate import compare, simulate
from layerweaver.cli.rendering.results import certify_tables, comparison_tables, outcome_tables

TOLD = "options other than the default: "


def _lines(tables: Any) -> list[str]:
    return [text for text in tables if isinstance(text, str) and TOLD in text]


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("layerweaver+:margin_us=500:commit=early", ["margin_us=500, commit=early"]),
        ("static-weave:commit=late", ["commit=late"]),
        ("edf:commit=late", []),
        ({"name": "layerweaver+", "margin_us": 0}, []),
        ("slackweave+", []),
    ],
)
def test_of_one_run(make_scenario: Any, policy: Any, told: list[str]) -> None:
    run: Any = simulate(make_scenario(duration_s=0.1), policy)
    told = [f"{TOLD}{text}" for text in told]
    assert _lines(outcome_tables(run)) == told
    assert [text for text in told if text not in build_report([run])] == []
    assert (TOLD in build_report([run])) == bool(told)
    assert run["policy"] == (policy if isinstance(policy, dict) else {"name": policy.split(":")[0]})["name"]


def test_of_a_policy_that_stands_once_beside_others(make_scenario: Any) -> None:
    policies = ["layerweaver+", "slackweave+:commit=early"]
    document: Any = compare(make_scenario(duration_s=0.1, policies=policies))
    told = [f"slackweave+: {TOLD}commit=early"]
    assert _lines(comparison_tables(document)) == told
    assert told[0] in build_report([document])
    found = peak(make_scenario(), policies=policies, queries=200)
    assert options_of_peaks(found) == told
    assert told[0] in peak_notes(found)
    assert told[0] in build_report([found])


def test_what_names_have_is_not_told_again(make_scenario: Any) -> None:
    policies = ["edf", "edf:commit=early"]
    document: Any = compare(make_scenario(duration_s=0.1), policies=policies)
    assert _lines(comparison_tables(document)) == []
    assert options_of_peaks(peak(make_scenario(), policies=policies, queries=200)) == []


def test_what_all_have_is_told_once(make_scenario: Any) -> None:
    document: Any = compare(
        make_scenario(duration_s=0.1), policies=["edf:commit=early", "slackweave+:commit=early"]
    )
    assert _lines(comparison_tables(document)) == [f"{TOLD}commit=early"]


def test_of_certificates() -> None:
    certificate: Any = {
        "policy": "edf",
        "policy_options": {"commit": "early"},
        "scenario": {"policy": {"name": "edf", "commit": "early"}},
        "tenants": [],
    }
    shown = list(certify_tables(certificate))
    assert isinstance(shown[0], Table)
    assert shown[1:] == [f"{TOLD}commit=early"]


@pytest.mark.parametrize("policy", ["gone", None])
def test_nothing_is_told_of_policies_whose_defaults_are_unknown(policy: Any) -> None:
    run: Any = {"policy": "edf", "policy_options": {"commit": "early"}, "scenario": {"policy": policy}}
    run["policy"] = "gone" if policy == "gone" else "edf"
    assert options_of_runs([run["policy"]], [run]) == []


def test_of_a_policy_from_a_file_all_options_are_told(make_scenario: Any, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        "from dataclasses import dataclass\n"
        "from layerweaver.scheduler.policies import PolicySpec\n\n\n"
        "@dataclass(frozen=True)\nclass Options:\n    alarm_us: float = 300.0\n\n\n"
        "def choose(view, options, memory):\n    return view.ready[0]\n\n\n"
        'POLICY = PolicySpec("own", choose, "the first", options=Options)\n'
    )
    for policy, told in ((str(file), "alarm_us=300"), (f"{file}:alarm_us=50", "alarm_us=50")):
        run: Any = simulate(make_scenario(duration_s=0.1), policy)
        assert f"options: {told}" in list(outcome_tables(run))
        assert f"options: {told}" in build_report([run])
    document: Any = compare(make_scenario(duration_s=0.1), ["edf", f"{file}:alarm_us=50"])
    assert "own: options: alarm_us=50" in list(comparison_tables(document))
    found = peak(make_scenario(), ["edf", f"{file}:alarm_us=50"], queries=200)
    assert options_of_peaks(found) == ["own: options: alarm_us=50"]
