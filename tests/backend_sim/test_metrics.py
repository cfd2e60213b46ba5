"""Percentiles, verdicts and files of results."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc

from layerweaver.backend_sim.results.confidence import confidence
from layerweaver.backend_sim.results.files import result_csv, save_result
from layerweaver.backend_sim.results.latency import SKETCH_ERROR, summarise
from layerweaver.backend_sim.results.repetitions import judge_by_worst
from layerweaver.backend_sim.results.sentence import answer, peak_sentence, verdict_sentence
from layerweaver.backend_sim.results.verdict import (
    RunFacts,
    early_stopping_estimates,
    early_stopping_queries,
    judge,
    may_stop_early,
)
from layerweaver.ir import OutputError


@given(st.lists(st.integers(0, 2**50), min_size=1, max_size=300), st.floats(0.001, 0.999))
def test_percentiles_are_exact_and_the_sketch_is_near(values: list[int], share: float) -> None:
    latency = np.array(values, np.int64)
    exact = sorted(values)[min(len(values) - 1, int(len(values) * share))]
    assert summarise(latency, [share]).percentiles_ns[share] == exact
    rough = summarise(latency, [share], exact_limit=0)
    near = rough.percentiles_ns[share]
    assert not rough.exact
    assert near is not None
    assert exact <= near <= exact * (1 + SKETCH_ERROR)
    assert rough.max_ns == max(values)


@pytest.mark.parametrize(("over", "queries"), [(0, 459), (1, 662), (10, 2010), (100, 12571)])
def test_early_stopping_asks_for_as_many_queries_as_loadgen(over: int, queries: int) -> None:
    assert early_stopping_queries(over, 0.99) + over == queries


@given(st.sampled_from([0.5, 0.9, 0.99, 0.999]), st.integers(1, 10**7), st.floats(-4, 4))
def test_the_chance_of_so_few_late_queries_is_that_of_the_beta_function(
    share: float, queries: int, deviations: float
) -> None:
    mean, spread = queries * (1 - share), math.sqrt(queries * share * (1 - share))
    over = min(queries - 1, max(0, round(mean + deviations * spread)))
    expected = bool(betainc(queries - over, over + 1, share) < 0.01)
    assert may_stop_early(queries, over, share) == expected


@pytest.mark.parametrize(
    ("queries", "late"), [(458, None), (662, 1), (663, 1), (2010, 10), (12570, 99), (12571, 100)]
)
def test_the_estimate_of_a_stream_is_loadgens(queries: int, late: int | None) -> None:
    # At 99% so many of so many queries may be late; fewer than 662 prove nothing. LoadGen takes the latency
    # of the first of them, the best that is still sure.
    latency = np.random.Generator(np.random.PCG64(1)).permutation(np.arange(queries, dtype=np.int64))
    found = early_stopping_estimates(latency, "multi_stream", 0.99)
    assert found == {"p99": None if late is None else queries - late}
    assert set(early_stopping_estimates(latency, "single_stream", 0.9)) == {"p90", "p99"}
    assert early_stopping_estimates(latency, "poisson", 0.99) == {}


def _facts(**changes: Any) -> RunFacts:
    facts: dict[str, Any] = {
        "kind": "poisson",
        "share": 0.99,
        "target_ns": 100,
        "lasted_ns": 10**9,
        "min_duration_ns": 10**9,
        "min_queries": 100,
        "dropped": 0,
    }
    return RunFacts(**{**facts, **changes})


NEVER_SERVED = "p99 latency is above 0.0001 ms: 100 of 1000 were late, 100 of them as they were never served"


@pytest.mark.parametrize(
    ("late", "count", "changes", "reasons"),
    [
        (0, 459, {}, []),
        (0, 458, {}, ["early stopping: 458 queries with 0 late, needs 459"]),
        (1, 662, {}, []),
        (10, 2010, {}, []),
        (10, 2009, {}, ["early stopping"]),
        (0, 458, {"dropped": 1}, ["early stopping: 459 queries with 1 late, needs 662"]),
        (50, 1000, {}, ["p99 latency is above"]),
        (0, 900, {"dropped": 100}, [NEVER_SERVED]),
        (1, 3, {"min_queries": 3}, ["p99 latency is above 0.0001 ms: 1 of 3 was late"]),
        (
            0,
            3,
            {"min_queries": 3, "dropped": 1},
            ["p99 latency is above 0.0001 ms: 1 of 4 was late, 1 of"],
        ),
        (0, 1000, {"lasted_ns": 5}, ["too short"]),
        (0, 1000, {"min_queries": 2000}, ["too few queries: 1000 of 2000"]),
    ],
)
def test_verdicts_have_their_reasons(
    late: int, count: int, changes: dict[str, Any], reasons: list[str]
) -> None:
    latency = np.full(count, 100, np.int64)
    latency[:late] = 101
    judgement = judge(latency, _facts(**changes))
    found = judgement.reasons
    assert judgement.verdict == ("INVALID" if reasons else "VALID")
    assert len(found) == len(reasons)
    for one, start in zip(found, reasons, strict=True):
        assert one.startswith(start)


def test_without_a_deadline_there_is_no_verdict() -> None:
    judgement = judge(np.zeros(5, np.int64), _facts(target_ns=None))
    assert (judgement.verdict, judgement.status, judgement.reasons) == (None, None, [])


def _run(policy: str, rate: float, p99: float) -> Any:
    latency = {"mean": 1.0, "p50": 1.0, "p90": 2.0, "p99": p99, "p999": 9.0, "max": 9.0}
    tenant = {
        "name": "v",
        "arrived": 100,
        "qps": 10.0,
        "violation_rate": rate,
        "latency_ms": latency,
        "reasons": [],
    }
    return {
        "policy": policy,
        "npu": "n",
        "simulated_s": 1.0,
        "layers_executed": 3,
        "tenants": [tenant],
        "system": {"stp": 0.5, "bound_qps": 20.0, "idle": {"no_work": 0.1}},
    }


def test_the_sentence_speaks_of_what_changed() -> None:
    better = verdict_sentence([_run("fcfs", 0.2, 20.0), _run("layerweaver+", 0.01, 5.0)])
    assert "from 20% to 1%" in better
    assert "0.50 of the bound" in better
    assert "from 20 to 5 ms against fcfs" in better
    same = verdict_sentence([_run("fcfs", 0.0, 5.0), _run("layerweaver+", 0.0, 5.0)])
    assert "do not differ visibly" in same
    worse = verdict_sentence([_run("fcfs", 0.0, 5.0), _run("layerweaver+", 0.2, 9.0)])
    assert "raised missed deadlines" in worse


def _repeated(
    policy: str, rates: tuple[float, ...], tails: tuple[float, ...], statuses: tuple[str, ...]
) -> Any:
    documents = [_run(policy, rate, tail) for rate, tail in zip(rates, tails, strict=True)]
    for number, (document, status) in enumerate(zip(documents, statuses, strict=True)):
        reasons = [f"{status}, {number}"] if status != "met" else []
        document["tenants"][0] |= {"status": status, "reasons": reasons, "deadline_ms": 40.0}
        document["tenants"][0]["percentile_ms"] = tails[number]
    document = documents[0] | {"tenants": [dict(documents[0]["tenants"][0])], "seeds": len(documents)}
    document["confidence"] = confidence(documents)
    judge_by_worst(documents, document)
    return document


def test_of_repetitions_the_worst_decides_and_the_sentence_speaks_of_the_mean() -> None:
    fcfs = _repeated("fcfs", (0.5, 0.4, 0.6), (400.0, 500.0, 600.0), ("late", "late", "late"))
    woven = _repeated(
        "layerweaver+", (0.0, 0.009, 0.06), (30.0, 36.0, 114.0), ("too_short", "too_short", "late")
    )
    tenant = woven["tenants"][0]
    assert (tenant["status"], tenant["violation_rate"]) == ("late", 0.0)
    assert tenant["reasons"] == ["seed 3 of 3: late, 2"]
    assert woven["confidence"]["tenants"][0]["status"] == ["too_short", "too_short", "late"]
    said = verdict_sentence([fcfs, woven])
    assert said.startswith(
        "On average over 3 seeds, at 10 queries per second (0.50 of the bound), layerweaver+ cut"
    )
    assert "missed deadlines from 50% to 2.3% of all requests" in said
    assert "from 500 to 60 ms against fcfs" in said
    assert "fcfs and layerweaver+ lose v." in answer([fcfs, woven], ["fcfs", "layerweaver+"])


def test_headroom_is_that_of_the_slowest_repetition() -> None:
    met = _repeated("edf", (0.0, 0.0), (20.0, 30.0), ("met", "met"))
    assert answer([met], ["edf"]) == (
        "By the worst of 2 seeds, at 10 queries per second every tenant keeps its limit under edf "
        "(least headroom: v, 25% of its limit left)."
    )
    short = _repeated("edf", (0.0, 0.0), (20.0, 30.0), ("met", "too_short"))
    assert (short["tenants"][0]["status"], short["tenants"][0]["reasons"]) == (
        "too_short",
        ["seed 2 of 2: too_short, 1"],
    )


def test_the_sentence_says_who_lost_and_which_setting_is_meant() -> None:
    base, other = _run("edf", 0.0, 5.0), _run("layerweaver+", 0.0, 4.0)
    for run, tail_ms in ((base, 7.0), (other, 9.0)):
        tenant = run["tenants"][0]
        late = {"name": "chat", "latency_ms": {**tenant["latency_ms"], "p99": tail_ms}}
        run["tenants"].append({**tenant, **late})
    said = verdict_sentence([base, other])
    assert "cut the 99th percentile of " in said
    assert "raised the 99th percentile of chat from 7 to 9 ms against edf" in said
    settings: list[Any] = [
        {**_run("edf", 0.0, tail_ms), "policy_options": {"us": tail_ms}} for tail_ms in (5.0, 2.5)
    ]
    assert "edf us=2.5 cut the 99th" in verdict_sentence(settings)
    assert "against edf us=5." in verdict_sentence(settings)


def test_the_sentence_says_whose_requests_became_late_and_not_only_slower() -> None:
    base, other = _run("edf", 0.2, 5.0), _run("layerweaver+", 0.05, 4.0)
    for run, late, tail_ms in ((base, 0.18, 7.0), (other, 0.52, 9.0)):
        tenant = run["tenants"][0]
        changes = {"name": "chat", "violation_rate": late, "arrived": 1}
        run["tenants"].append({**tenant, **changes, "latency_ms": {**tenant["latency_ms"], "p99": tail_ms}})
    assert "raised missed deadlines of chat from 18% to 52% against edf" in verdict_sentence([base, other])
    # Percentiles are of completed requests, which says nothing where half of them were dropped.
    for run in (base, other):
        for tenant in run["tenants"]:
            tenant |= {"arrived": 100, "dropped": 50}
    assert "99th percentile of " not in verdict_sentence([base, other])


def _at_load(run: Any, factor: float) -> Any:
    return run | {"tenants": [tenant | {"qps": factor * tenant["qps"]} for tenant in run["tenants"]]}


def test_the_sentence_compares_equal_loads_only() -> None:
    runs = [_run("fcfs", 0.0, 5.0), _run("layerweaver+", 0.0, 5.0)]
    runs += [_at_load(_run("layerweaver+", 0.03, 8.0), 2), _at_load(_run("fcfs", 0.6, 80.0), 2)]
    swept = verdict_sentence(runs)
    assert swept.startswith("At 20 queries")
    assert "from 60% to 3%" in swept
    unlike = verdict_sentence(runs[:3])
    assert (
        unlike
        == "At 20 queries per second (1.00 of the bound), layerweaver+ #2 misses the deadlines of "
        + ("3% of all requests.")
    )


def test_the_sentence_says_where_the_other_run_was_another_than_the_policy() -> None:
    before, after = _at_load(_run("fcfs", 0.2, 20.0), 2), _run("layerweaver+", 0.01, 5.0)
    assert verdict_sentence([before, after]).endswith("against fcfs, at 20 queries per second.")
    before["scenario"], after["scenario"] = {"npu": "a", "policy": "fcfs"}, {"npu": "b", "policy": "edf"}
    said = verdict_sentence([before, after])
    assert ", layerweaver+ scenario.npu=b cut missed" in said
    assert said.endswith("against fcfs scenario.npu=a, at 20 queries per second.")
    after["scenario"] = {"npu": "a", "policy": "edf"}
    assert "scenario" not in verdict_sentence([before, after])


def test_before_and_after_of_one_policy_are_compared_at_any_load() -> None:
    before, after = _run("edf", 0.01, 5.0), _at_load(_run("edf", 0.2, 20.0), 2)
    before["scenario"], after["scenario"] = {"npu": "a"}, {"npu": "b"}
    said = verdict_sentence([before, after])
    assert said.startswith(
        "At 20 queries per second (1.00 of the bound), edf scenario.npu=b raised missed deadlines"
    )
    assert said.endswith("against edf scenario.npu=a, at 10 queries per second.")
    assert "against" not in verdict_sentence([before, after, _at_load(_run("edf", 0.3, 30.0), 3)])


def test_runs_that_lose_the_same_are_named_together() -> None:
    runs = [_run(policy, 0.2, 20.0) for policy in ("fcfs", "edf", "llf")]
    for run, status in zip(runs, ("late", "late", "too_short"), strict=True):
        run["tenants"][0]["status"] = status
    said = answer(runs, ["fcfs", "edf", "llf"])
    name = runs[0]["tenants"][0]["name"]
    assert f"fcfs and edf lose {name}; llf ran too short to tell of {name}." in said


def test_one_run_and_other_tenants_speak_for_themselves() -> None:
    alone = verdict_sentence([_run("fcfs", 0.25, 20.0)])
    assert "fcfs misses the deadlines of 25% of all requests" in alone
    other = _run("fcfs", 0.5, 20.0)
    other["tenants"][0] = other["tenants"][0] | {"name": "another"}
    assert "layerweaver+ misses" in verdict_sentence([other, _run("layerweaver+", 0.0, 5.0)])


def test_the_sentence_of_a_peak_search() -> None:
    rows: Any = [
        {"policy": "fcfs", "peak_qps": 120.0, "share_of_bound": 0.3},
        {"policy": "edf", "peak_qps": 33_000.0, "share_of_bound": 0.8},
    ]
    said = peak_sentence({"bound_qps": 40_000.0, "results": rows})
    assert said == "edf carries the highest load: 33,000 queries per second, 80% of the bound."
    nothing = peak_sentence({"bound_qps": 1.0, "results": [rows[0] | {"peak_qps": 0.0}]})
    assert nothing == "No policy meets its deadlines at any rate tried."
    assert peak_sentence({"bound_qps": 1.0, "results": []}) == "No search has ended."


def test_results_are_saved_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = {"runs": [_run("fcfs", 0.2, 20.0), _run("edf", 0.1, 10.0)]}
    save_result(document, tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == document
    save_result(document, tmp_path / "out.csv")
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0].startswith("policy,npu,simulated_s,layers_executed,name")
    assert len(lines) == 3
    assert result_csv(document).splitlines() == lines
    parquet = pytest.importorskip("pyarrow.parquet")
    save_result(document, tmp_path / "out.parquet")
    table = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["latency_ms.p99"] for row in table] == [20.0, 10.0]
    with pytest.raises(OutputError, match=r"give \.json, \.csv or \.parquet"):
        save_result(document, tmp_path / "out.txt")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(OutputError, match=r"needs pyarrow.*pip install"):
        save_result(document, tmp_path / "out.parquet")
    assert parquet.read_table(tmp_path / "out.parquet").num_rows == 2
