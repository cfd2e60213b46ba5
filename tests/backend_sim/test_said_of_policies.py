"""What is said of a policy: where it runs and is concerned, and by its name where others run beside it."""

from __future__ import annotations

from typing import Any

import pytest

from layerweaver.backend_sim.report.notebook import as_result
from layerweaver.backend_sim.report.page import build_report
from layerweaver.backend_sim.results.files import result_rows
from layerweaver.backend_sim.results.told import told_by
from layerweaver.backend_sim.study.peak.peak import peak
from layerweaver.backend_sim.study.simulate import compare, simulate


def _waiting(delay_ms: float, **queue: object) -> dict[str, object]:
    return {"batch": {"max": 4, "sizes": [4], "delay_ms": delay_ms}, "queue": queue}


@pytest.mark.parametrize(
    ("delay_ms", "queue", "policy", "said"),
    [
        (14.9, {}, "fcfs", "whoever waits so long is late"),
        (14.9, {}, "layerweaver+", ""),
        (14.9, {}, "slackweave+", ""),
        (14.9, {"drop_hopeless": True}, "layerweaver+", "whoever waits so long is dropped as hopeless"),
        (5, {}, "fcfs", ""),
    ],
)
def test_a_batch_that_waits_beyond_the_deadline_is_warned_of_where_it_does(
    make_scenario: Any, delay_ms: float, queue: Any, policy: str, said: str
) -> None:
    run = simulate(make_scenario(duration_s=0.1, tenants=[_waiting(delay_ms, **queue), {}]), policy)
    found = [warning for warning in run.get("warnings", []) if "batch.delay_ms" in warning]
    assert [warning.endswith(said) and "'vision'" in warning for warning in found] == [True] * bool(said)


def test_a_batch_that_is_not_hurried_for_the_sake_of_others_is_warned_of(make_scenario: Any) -> None:
    hasty = {"deadline_ms": 0.0001, "model": "zoo:ncf"}
    run = simulate(make_scenario(duration_s=0.1, tenants=[_waiting(14.9), hasty]), "layerweaver+")
    assert [text for text in run["warnings"] if "'vision'" in text and text.endswith("is late")]


def test_a_deadline_below_the_time_alone_is_warned_of_once(make_scenario: Any) -> None:
    keys = make_scenario(duration_s=0.1, tenants=[{**_waiting(14.9), "deadline_ms": 0.001}, {}])
    for policy in ("fcfs", "layerweaver+"):
        (said,) = simulate(keys, policy)["warnings"]
        assert said.startswith("tenant 'vision': one request alone takes ")
        assert said.endswith(" ms, its deadline is 0.001 ms: none can be in time")
    (alone,) = (text for text in peak(keys, ["fcfs"], queries=60)["warnings"] if "in time" in text)
    assert alone == said


@pytest.mark.parametrize(("policy", "heeds"), [("edf", False), ("layerweaver+", False), ("prema", True)])
def test_priorities_that_a_policy_does_not_heed_are_noted(
    make_scenario: Any, policy: str, heeds: bool
) -> None:
    def notes(priority: int) -> list[str]:
        keys = make_scenario(tenants=[{"priority": priority}, {}], duration_s=0.05)
        return [text for text in simulate(keys, policy).get("notes", ()) if "does not heed priority" in text]

    assert len(notes(9)) == (0 if heeds else 1)
    assert notes(1) == []


def test_a_peak_says_of_which_policies_its_words_are(make_scenario: Any) -> None:
    keys = make_scenario(tenants=[{"priority": 9, **_waiting(14.9)}, {}])
    document: Any = peak(keys, ["edf", "prema", "layerweaver+"], queries=60)
    told = [
        text for text in (*document["warnings"], *document["notes"]) if "heed" in text or "delay_ms" in text
    ]
    assert [text.partition(":")[0] for text in told] == ["edf, prema", "edf, layerweaver+"]
    alone: Any = peak(keys, ["edf"], queries=60)
    assert sum("edf" in text for text in (*alone["warnings"], *alone["notes"])) == 0


def test_a_peak_of_one_tenant_says_what_the_others_offer(make_scenario: Any) -> None:
    arrival = {"kind": "poisson", "qps": 120, "seed": 2}
    keys = make_scenario(tenants=[{}, {"arrival": arrival}])
    told = (
        "only the rate of vision is scaled, in the bound, too: of every rate here 120 q/s are of the others"
    )
    alone: Any = peak(keys, ["fcfs"], queries=60, tenant="vision")
    assert told in alone["notes"]
    assert told not in peak(keys, ["fcfs"], queries=60).get("notes", ())


def test_rows_of_a_peak_have_the_options_of_their_policies(make_scenario: Any) -> None:
    policies: list[Any] = [{"name": "layerweaver+", "margin_us": 200.0}, "fcfs"]
    document: Any = peak(make_scenario(), policies, queries=60)
    assert [row["policy_options"] for row in document["results"]] == [
        {key: value for key, value in stated.items() if key != "name"}
        for stated in document["search"]["policies"]
    ]
    assert result_rows(document)[0]["policy_options.margin_us"] == 200.0
    assert as_result(document).rows()[0]["policy_options.margin_us"] == 200.0


def test_a_page_says_of_which_runs_its_notes_are(make_scenario: Any) -> None:
    keys = make_scenario(tenants=[{"priority": 9}, {}], duration_s=0.05)
    page = build_report([compare(keys, ["edf", "prema", "fcfs"])])
    assert "<li>edf, fcfs: the policy does not heed priority (of vision)" in page


def test_what_all_say_needs_no_names() -> None:
    assert told_by(["a", "b"], [["x", "y", "x"], ["x", "z"]]) == ["x", "a: y", "b: z"]
    assert told_by(list("abcdefg"), [["x"]] * 6 + [[]]) == ["a, b, c, d, e and 1 more: x"]
