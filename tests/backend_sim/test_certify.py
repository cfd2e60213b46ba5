"""The official LoadGen agrees, to the nanosecond."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.results.reading import ResultError
from layerweaver.backend_sim.study.certify import virtual_clock
from layerweaver.backend_sim.study.certify.certify import certify
from layerweaver.backend_sim.study.rerun import rerun_certificate
from layerweaver.ir import LayerweaverError, OutputError, ScenarioError
from layerweaver.ir.cache import Cache

needs_loadgen = pytest.mark.skipif(
    importlib.util.find_spec("mlperf_loadgen") is None or shutil.which("c++") is None,
    reason="needs mlcommons-loadgen and a C++ compiler",
)


@needs_loadgen
def test_server_verdicts_and_percentiles_agree(make_scenario: Any) -> None:
    tenants = [{"deadline_ms": 1.2, "arrival": {"kind": "poisson", "qps": 700, "seed": 3622009729038561421}}]
    found: Any = certify(make_scenario(tenants=tenants))
    late, valid = found["tenants"]
    assert (late["verdict"], late["loadgen_verdict"], late["agree"]) == ("INVALID", "INVALID", True)
    assert (valid["verdict"], valid["loadgen_verdict"], valid["agree"]) == ("VALID", "VALID", True)
    assert (late["status"], valid["status"]) == ("late", "met")
    assert late["p99_ns"] == late["loadgen_p99_ns"] > 1_200_000
    assert "99.00 percentile latency" in valid["loadgen_summary"]
    assert found["unofficial"] is True
    assert (found["policy"], found["seed"]) == (found["scenario"]["policy"]["name"], None)
    assert found["policy_options"].items() <= found["scenario"]["policy"].items()
    assert found["scenario"]["tenants"][0]["deadline_ms"] == 1.2


@needs_loadgen
def test_that_warm_up_and_cool_down_are_judged_too_is_said(make_scenario: Any) -> None:
    tenants = [{"deadline_ms": 9, "arrival": {"kind": "poisson", "qps": 300, "seed": 7}}]
    assert "warnings" not in certify(make_scenario(tenants=tenants))
    keys = {"warmup_s": 0.1, "cooldown_s": 0.1}
    found: Any = certify(make_scenario(tenants=tenants, **keys))
    assert found["warnings"] == ["LoadGen judges all requests: warmup_s, cooldown_s not used"]


@needs_loadgen
def test_seeds_and_what_a_run_notes_are_said(make_scenario: Any) -> None:
    loop = {"arrival": {"kind": "single_stream", "queries": 70}, "priority": 9}
    found: Any = certify(make_scenario(duration_s=None, tenants=[loop, loop]), "fcfs", seed=3)
    assert "seed 3 changes nothing: no tenant's arrivals are drawn" in found["warnings"]
    assert any("does not heed priority" in note for note in found["notes"])


@needs_loadgen
def test_a_certificate_is_made_again_from_what_it_says_of_itself(make_scenario: Any) -> None:
    tenants = [{"deadline_ms": 9, "arrival": {"kind": "poisson", "qps": 300}}]
    found: Any = certify(make_scenario(tenants=tenants), {"name": "layerweaver+", "margin_us": 50}, seed=7)
    assert rerun_certificate(found) == found
    with pytest.raises(ResultError, match="does not say how it was made"):
        rerun_certificate({"unofficial": True})


@needs_loadgen
def test_that_offline_queries_come_before_the_warm_up_concerns_no_certificate(make_scenario: Any) -> None:
    offline = {"arrival": {"kind": "offline", "samples": 300}, "deadline_ms": None}
    found: Any = certify(make_scenario(duration_s=None, tenants=[offline] * 2, warmup_s=0.1))
    assert found["warnings"] == ["LoadGen judges all requests: warmup_s not used"]


@needs_loadgen
def test_the_other_scenarios_agree(make_scenario: Any) -> None:
    arrivals = [
        {"kind": "single_stream", "queries": 70},
        {"kind": "multi_stream", "queries": 30, "samples": 2},
    ]
    found: Any = certify(
        make_scenario(duration_s=None, tenants=[{"arrival": arrival} for arrival in arrivals])
    )
    assert [tenant["agree"] for tenant in found["tenants"]] == [True, True]
    assert [tenant["verdict"] for tenant in found["tenants"]] == ["VALID", "INVALID"]
    assert [tenant["status"] for tenant in found["tenants"]] == ["met", "too_short"]
    met, short = found["tenants"]
    assert met["missing_queries"] is None
    assert f"{short['missing_queries']:,} missing" in short["reasons"][-1]
    until = certify(make_scenario(duration_s=1, tenants=[{"arrival": {"kind": "single_stream"}}]))
    assert [tenant["agree"] for tenant in until["tenants"]] == [True, True]
    assert until["tenants"][0]["verdict"] == "VALID"
    longer = certify(
        make_scenario(
            duration_s=None, tenants=[{"arrival": arrival | {"queries": 700}} for arrival in arrivals]
        )
    )
    assert [set(tenant["early_stopping_ns"]) for tenant in longer["tenants"]] == [{"p90", "p99"}, {"p99"}]
    assert all(
        tenant["agree"] and tenant["early_stopping_ns"] == tenant["loadgen_early_stopping_ns"]
        for tenant in longer["tenants"]
    )
    offline = certify(
        make_scenario(duration_s=None, tenants=[{"arrival": {"kind": "offline", "samples": 300}}] * 2)
    )
    assert all(tenant["agree"] for tenant in offline["tenants"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tenants": [{"arrival": {"kind": "gamma", "qps": 100}}]}, "LoadGen has no gamma arrivals"),
        ({"tenants": [{"deadline_ms": None}]}, "needs a latency limit"),
        ({"duration_s": 1.0000001}, "whole milliseconds"),
    ],
)
def test_what_loadgen_cannot_replay_is_refused_before_it_is_asked_for(
    make_scenario: Any, changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ScenarioError, match=message):
        certify(make_scenario(**changes))


def test_without_loadgen_or_compiler_one_line_says_so(
    make_scenario: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(virtual_clock, "CLOCK", Cache("virtual-clock", 1))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    message = "needs a C.. compiler" if importlib.util.find_spec("mlperf_loadgen") else "pip install"
    with pytest.raises(LayerweaverError, match=message):
        certify(make_scenario())
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(OutputError, match=r"pip install 'layerweaver\[mlperf\]'"):
        certify(make_scenario())
