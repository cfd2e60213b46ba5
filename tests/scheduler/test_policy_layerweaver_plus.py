from __future__ import annotations

from typing import Any

from layerweaver.scheduler.policies.layerweaver_plus import POLICY

SHORT = {"remaining_cycles": 20, "left_compute_cycles": 20, "left_fetch_cycles": 20}


def test_a_head_that_may_not_be_committed_yet_is_heeded(desk: Any) -> None:
    # The compute engine is busy for 100 cycles, head 1 may not be committed yet and takes 100 more. A row of
    # head 0 computes for 10: head 1 can wait for that with 20 cycles to spare, but not with 5.
    heads = {0: {"compute_intensive": 0}, 1: {"deadline": 220}}
    at = {"compute_end": 100, "ready_count": 1, "hidden_count": 1}
    assert desk(POLICY, 2).decide(heads, **at) == 0
    heads[1]["deadline"] = 205
    guarded = desk(POLICY, 2)
    assert guarded.decide(heads, **at) == 1
    assert guarded.mode == "deadline"


def test_what_is_fetched_under_the_backlog_costs_no_slack(desk: Any) -> None:
    # Head 1 takes 100 cycles alone, of which it computes 80: behind a backlog of 100 it ends at 180.
    heads = {0: {}, 1: {"deadline": 185, "left_compute_cycles": 80}}
    assert desk(POLICY, 2).decide(heads, compute_end=100) == 1
    heads[1]["deadline"] = 179
    assert desk(POLICY, 2).decide(heads, compute_end=100) == 0


def test_of_two_that_cannot_both_be_in_time_the_longer_one_is_given_up(desk: Any) -> None:
    heads = {0: {"deadline": 104}, 1: {"deadline": 28} | SHORT}
    assert desk(POLICY, 2).decide(heads) == 1
    # Nothing is gained by giving up one of two that are equally long.
    heads[1] = {"deadline": 108}
    assert desk(POLICY, 2).decide(heads) == 0


def test_what_is_nearly_done_goes_before_a_long_row(desk: Any) -> None:
    heads = {0: {"compute_cycles": 50, "deadline": 10_000}, 1: SHORT | {"row": 1}}
    assert desk(POLICY, 2).decide(heads) == 1
    assert desk(POLICY, 2, sees="heads").decide(heads) == 0
    heads[0]["compute_cycles"] = 20
    assert desk(POLICY, 2).decide(heads) == 0
    heads[0]["compute_cycles"], heads[1]["row"] = 50, 0
    assert desk(POLICY, 2).decide(heads) == 0


def test_a_hopeless_request_that_has_begun_is_finished_for_the_newest(desk: Any) -> None:
    # The newest came at 160, must end at 310 and takes 100: the 45 cycles left before it can wait for 5.
    behind = {"hopeless": 1, "passed": 1, "queued": 2, "row": 1, "newest": 160}
    heads = {0: {}, 1: behind | {"deadline": 150, "remaining_cycles": 45, "left_compute_cycles": 45}}
    at = {"now": 160, "start": 160, "compute_end": 160}
    assert desk(POLICY, 2).decide(heads, **at) == 1
    heads[1]["queued"] = 1
    assert desk(POLICY, 2).decide(heads, **at) == 0


def test_of_one_kind_the_earlier_deadline_goes_first(desk: Any) -> None:
    # By slack, head 1, which has more left to do, would overtake, and be overtaken in turn.
    heads = {0: {"deadline": 1_000} | SHORT, 1: {"deadline": 1_050}}
    assert desk(POLICY, 2).decide(heads, one_kind=1) == 0
    # Who cannot be in time goes last, and between equal deadlines the order of arrival decides.
    heads[0]["deadline"] = 15
    assert desk(POLICY, 2).decide(heads, one_kind=1) == 1
    heads = {0: {"deadline": 1_000, "arrival": 2}, 1: {"deadline": 1_000, "arrival": 1}}
    assert desk(POLICY, 2).decide(heads, one_kind=1) == 1


def test_where_kinds_go_by_size_it_is_the_heads_that_count(desk: Any) -> None:
    # Woven, head 1 goes first, as compute waits for its row for 10 cycles, for that of head 0 for 90. Nor do
    # deadlines decide while anybody is late.
    heads = {0: {"deadline": 1_000, "fetch_cycles": 90}, 1: {"deadline": 1_050}}
    assert desk(POLICY, 2).decide(heads) == 1
    assert desk(POLICY, 2).decide(heads, kinds_by_size=1) == 0
    assert desk(POLICY, 2, sees="heads").decide(heads, kinds_by_size=1) == 1
    for differs in ({"compute_intensive": 0}, {"passed": 1, "queued": 2}):
        assert desk(POLICY, 2).decide({0: heads[0] | differs, 1: heads[1]}, kinds_by_size=1) == 1


def test_a_request_is_given_up_that_would_cost_all_that_come_meanwhile(desk: Any) -> None:
    # Head 1 cannot wait for a row of head 0, and whoever comes to tenant 0 during its 100 cycles has 120.
    heads = {0: SHORT | {"deadline": 500, "limit_cycles": 120}, 1: {"deadline": 105, "compute_cycles": 5}}
    assert desk(POLICY, 2).decide(heads) == 1
    heads[0]["limit_cycles"] = 80
    assert desk(POLICY, 2).decide(heads) == 0
    assert desk(POLICY, 2, sees="heads").decide(heads) == 1
