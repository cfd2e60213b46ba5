from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracles.random_inputs import FixedArrivals

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.traffic.source import OpenLoop
from layerweaver.scheduler.machine.view import HOLD, NEVER
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.policies import load_policy
from layerweaver.scheduler.policies.layerweaver_plus import POLICY as LAYERWEAVER_PLUS
from layerweaver.scheduler.policies.slackweave_plus import POLICY

Make = Callable[..., ModelProfile]


def test_whoever_would_be_late_by_waiting_goes_first(desk: Any) -> None:
    # Each head takes 100 cycles on both engines, so waiting for the other one costs 100. Head 0 has 50 cycles
    # to spare and would be late, head 1 has 400 and would not.
    heads = {0: {"deadline": 150}, 1: {"deadline": 500}}
    first = desk(POLICY, 2)
    assert first.decide(heads, one_kind=1) == 0
    assert first.mode == "most to lose"
    heads = {0: {"deadline": 500}, 1: {"deadline": 150}}
    assert desk(POLICY, 2).decide(heads, one_kind=1) == 1


def test_losing_more_requests_weighs_more_and_so_does_saving_them_with_less_work(desk: Any) -> None:
    # Both lose by waiting. Head 1 has three requests that came together, with room for all of them.
    heads = {0: {"deadline": 150}, 1: {"deadline": 350, "queued": 3, "left_compute_cycles": 50}}
    heads[1] |= {"left_fetch_cycles": 50, "remaining_cycles": 50, "full_compute_cycles": 50}
    heads[1] |= {"full_fetch_cycles": 50, "full_standalone_cycles": 50}
    # Waiting costs 100: it would lose those beyond 350 - 100 = 250, nobody: 50, 100, 150 are all in time.
    assert desk(POLICY, 2).decide(heads, one_kind=1) == 0
    # With a deadline of 160 it loses all three, worth 150 cycles; head 0 loses one, worth 100.
    heads[1]["deadline"] = 160
    assert desk(POLICY, 2).decide(heads, one_kind=1) == 1


def test_who_cannot_be_in_time_goes_last(desk: Any) -> None:
    heads = {0: {"deadline": 150, "hopeless": 1}, 1: {"deadline": 10_000}}
    assert desk(POLICY, 2).decide(heads, one_kind=1) == 1
    # A deadline below the standalone time can never be met.
    heads = {0: {"deadline": 99}, 1: {"deadline": 10_000}}
    assert desk(POLICY, 2).decide(heads, one_kind=1) == 1


def test_the_most_urgent_goes_first_if_who_has_most_to_lose_loses_nothing_by_that(desk: Any) -> None:
    # Head 0 has three short requests and would lose all of them by waiting for both others, head 1 its only
    # one. But head 0 can wait for head 1 alone, which cannot wait for head 0.
    short = {"left_compute_cycles": 50, "left_fetch_cycles": 50, "remaining_cycles": 50}
    short |= {"full_compute_cycles": 50, "full_fetch_cycles": 50, "full_standalone_cycles": 50}
    long = {"left_compute_cycles": 300, "left_fetch_cycles": 300, "remaining_cycles": 300}
    heads = {0: {"deadline": 400, "queued": 3} | short, 1: {"deadline": 120}, 2: {"deadline": 9000} | long}
    assert desk(POLICY, 3).decide(heads, one_kind=1) == 1
    heads[0]["deadline"] = 160
    assert desk(POLICY, 3).decide(heads, one_kind=1) == 0


def test_a_hopeless_request_that_has_begun_is_finished_for_those_behind_it(desk: Any) -> None:
    # Tenant 0 sends often and its head is late, but half done: whoever comes meanwhile would be late as well.
    late = {"deadline": 150, "hopeless": 1, "passed": 1, "queued": 2, "arrived": 100}
    heads = {0: late | {"row": 1}, 1: {"deadline": 10_000}}
    at = {"one_kind": 1, "now": 200, "start": 200, "compute_end": 200}
    assert desk(POLICY, 2).decide(heads, **at) == 0
    heads[0]["row"] = 0
    assert desk(POLICY, 2).decide(heads, **at) == 1


def test_a_late_request_goes_before_a_longer_row_where_nobody_loses_by_that(desk: Any) -> None:
    late = {"deadline": 250, "hopeless": 1, "passed": 1, "arrived": 1}
    row = {"deadline": 10_000, "compute_cycles": 101, "remaining_cycles": 1000, "left_compute_cycles": 1000}
    row |= {"full_compute_cycles": 1000, "full_standalone_cycles": 1000}
    at = {"one_kind": 1, "now": 200, "start": 200, "compute_end": 200}
    assert desk(POLICY, 2).decide({0: late, 1: row}, **at) == 0
    # Not before a row that takes no longer, nor if the other would lose by it,
    assert desk(POLICY, 2).decide({0: late, 1: row | {"compute_cycles": 100}}, **at) == 1
    assert desk(POLICY, 2).decide({0: late, 1: row | {"deadline": 1250}}, **at) == 1
    # nor if it keeps whoever comes to its own tenant next from being in time.
    assert desk(POLICY, 2).decide({0: late | {"limit_cycles": 150}, 1: row}, **at) == 1
    assert desk(POLICY, 2).decide({0: late | {"full": 2, "delay_cycles": 60}, 1: row}, **at) == 1
    # Whoever comes can wait for 150, and waits in vain where compute waits for the row for twice that.
    assert desk(POLICY, 2).decide({0: late, 1: row | {"fetch_cycles": 300}}, **at) == 0
    assert desk(POLICY, 2).decide({0: late, 1: row | {"fetch_cycles": 301}}, **at) == 1
    memory = {"fetch_cycles": 301, "compute_intensive": 0}
    assert desk(POLICY, 2).decide({0: late, 1: row | memory}, **at) == 0


def test_a_late_request_goes_before_a_longer_row_of_who_has_most_to_lose_but_can_wait(desk: Any) -> None:
    # Tenant 1 has 150 to spare: the others' heads take 300, so it has most to lose; the late one takes 100.
    late = {"deadline": 250, "hopeless": 1, "passed": 1, "arrived": 1}
    first = {"deadline": 1350, "compute_cycles": 101, "remaining_cycles": 1000, "left_compute_cycles": 1000}
    first |= {"full_compute_cycles": 1000, "full_standalone_cycles": 1000}
    other = {"deadline": 10_000, "remaining_cycles": 200, "left_compute_cycles": 200}
    at = {"one_kind": 1, "now": 200, "start": 200, "compute_end": 200}
    assert desk(POLICY, 3).decide({0: late, 1: first, 2: other}, **at) == 0
    # With 99 to spare it loses by that.
    assert desk(POLICY, 3).decide({0: late, 1: first | {"deadline": 1299}, 2: other}, **at) == 1


@pytest.mark.parametrize(("limit", "mode"), [(9000, "single"), (20, "most to lose")])
def test_a_late_request_is_woven_in_nowhere_while_another_can_be_served(
    desk: Any, limit: int, mode: str
) -> None:
    # The compute engine would idle while tenant 1's row is fetched, so weaving takes tenant 0's.
    late = {"deadline": 250, "limit_cycles": limit, "fetch_cycles": 1, "hopeless": 1, "passed": 1}
    other = {"deadline": 20_000, "limit_cycles": 9000, "compute_intensive": 0, "fetch_cycles": 50}
    other |= {"left_compute_cycles": 50, "full_compute_cycles": 50}
    at = {"now": 200, "start": 200, "compute_end": 200}
    served = desk(POLICY, 2)
    assert served.decide({0: late, 1: other}, **at) == 1
    assert served.mode == mode
    # One that has begun is in the way of those behind it, and whoever comes to a full queue is lost.
    assert desk(POLICY, 2).decide({0: late | {"row": 1}, 1: other}, **at) == 0
    assert desk(POLICY, 2).decide({0: late | {"queue_limit": 1}, 1: other}, **at) == 0
    # Where nobody can be in time, all are woven.
    assert desk(POLICY, 2).decide({0: late, 1: other | {"hopeless": 1, "passed": 1}}, **at) == 0


def test_a_full_queue_is_emptied_as_early_as_the_others_can_wait(desk: Any) -> None:
    head = {"deadline": 500, "limit_cycles": 500, "arrived": 10}
    other = {"limit_cycles": 500, "deadline": 900, "arrived": 10}
    at = {"one_kind": 1, "compute_end": 150, "ready_count": 1}
    held = desk(POLICY, 2)
    assert held.decide({0: head, 1: other}, **at) == HOLD
    # What it leaves to the other tenant is a quarter of what that can wait: (500 - 100) / 4.
    full = head | {"queue_limit": 1}
    assert held.decide({0: full, 1: other}, **at) == HOLD
    assert held.held_until == 50
    assert held.decide({0: full, 1: other}, **at | {"compute_end": 100}) == 0
    # Its own tenant's, and of those who send less than a tenth, do not count.
    assert held.decide({0: full, 1: other | {"limit_cycles": NEVER}}, **at) == 0
    assert held.decide({0: full, 1: other | {"arrived": 1}}, **at) == 0


def test_nothing_is_fetched_before_compute_needs_it(desk: Any) -> None:
    # The compute engine is busy for 100 cycles; alone the rest takes 110 cycles, 100 of them computing, so
    # its next row must be fetched 10 cycles before.
    only = {0: {"deadline": 1000, "remaining_cycles": 110}}
    held = desk(POLICY, 1)
    assert held.decide(only, compute_end=100) == HOLD
    assert held.held_until == 90
    assert desk(POLICY, 1, commit="early").decide(only, compute_end=100) == 0
    assert desk(POLICY, 1).decide(only, compute_end=10) == 0
    # A full queue loses whoever comes: it is emptied at once.
    full = {0: only[0] | {"queued": 2, "queue_limit": 2}}
    assert desk(POLICY, 1).decide(full, compute_end=100) == 0


def _late_share(make_model: Make, policy: str) -> list[float]:
    # a computes 500 of every 1,000 cycles, b 4,500 of every 4,000: 1.625 times what fits, all of it compute.
    short, long = make_model("a", [(250, 200)] * 2), make_model("b", [(450, 400)] * 10)
    tenants = (
        TenantLoad("a", (short,), OpenLoop(FixedArrivals(list(range(0, 800_000, 1000)))), deadline_ns=3000),
        TenantLoad("b", (long,), OpenLoop(FixedArrivals(list(range(0, 800_000, 4000)))), deadline_ns=45_000),
    )
    given = SimulationInput(short.table.machine, tenants)
    outcome = run(given, load_policy(policy), compiled=False)
    return [
        float(np.mean(result.latency_ns > (tenant.deadline_ns or 0)))
        for tenant, result in zip(tenants, outcome.tenants, strict=True)
    ]


def test_overload_saves_the_requests_that_take_the_least_work(make_model: Make) -> None:
    # There are four times as many short requests, and they need only half of the machine.
    assert min(_late_share(make_model, "edf")) > 0.9
    short, long = _late_share(make_model, "slackweave+")
    assert short < 0.05
    assert long < 0.95


def test_layerweaver_plus_decides_where_everybody_can_wait(desk: Any) -> None:
    # Both engines want a row: tenant 0 computes for long, tenant 1 fetches for long. By 1 the compute engine
    # would idle for 100 cycles; but 1 can be in time if it goes now, and not after 0.
    heads = {0: {"compute_intensive": 1}, 1: {"compute_intensive": 0}}
    heads[0] |= {"fetch_cycles": 10, "left_fetch_cycles": 10, "full_fetch_cycles": 10, "deadline": 100_000}
    heads[1] |= {"compute_cycles": 10, "left_compute_cycles": 10, "full_compute_cycles": 10}
    for deadline in (105, 100_000):
        heads[1]["deadline"] = deadline
        ours, theirs = desk(POLICY, 2), desk(LAYERWEAVER_PLUS, 2)
        assert ours.decide(heads) == theirs.decide(heads)
        assert ours.mode == theirs.mode
    # Nobody has a deadline at all, as in closed loops.
    for head in heads.values():
        head["deadline"] = NEVER
    woven = desk(POLICY, 2)
    assert woven.decide(heads) == desk(LAYERWEAVER_PLUS, 2).decide(heads)
    assert woven.mode == "starved compute"


@pytest.mark.parametrize(("longest", "mode"), [(400, "starved compute"), (404, "most to lose")])
def test_a_deadline_below_a_quarter_of_anothers_request_is_short(desk: Any, longest: int, mode: str) -> None:
    long = {"deadline": 100_000, "full_standalone_cycles": longest, "compute_intensive": 0}
    at = desk(POLICY, 2)
    at.decide({0: {"deadline": 100, "compute_intensive": 1}, 1: long})
    assert at.mode == mode


def test_late_commitment_is_that_of_layerweaver_plus_where_everybody_can_wait(desk: Any) -> None:
    # Two longest fetches of 100 cycles are the mark.
    heads = {0: {"deadline": 9_000, "compute_intensive": 1}, 1: {"deadline": 9_000, "compute_intensive": 1}}
    held = desk(POLICY, 2)
    assert held.decide(heads, compute_end=500, longest_fetch_cycles=100) == HOLD
    assert held.held_until == 300
    assert held.decide(heads, compute_end=200, longest_fetch_cycles=100) != HOLD
    heads[1]["compute_intensive"] = 0
    assert desk(POLICY, 2).decide(heads, compute_end=500, longest_fetch_cycles=100) == 1
    early = desk(POLICY, 2, commit="early")
    assert early.decide(heads, compute_end=500, longest_fetch_cycles=100) != HOLD


def test_the_most_urgent_is_not_held_where_others_compute_longer_meanwhile(desk: Any) -> None:
    # Held for 300 cycles, head 0 would be overtaken by rows that compute for 100: a third of what is fetched.
    # It has three eighths of the other's time.
    heads = {0: {"deadline": 3_600, "compute_cycles": 100}, 1: {"deadline": 9_600, "compute_intensive": 0}}
    heads[1] |= {"full_fetch_cycles": 400, "full_compute_cycles": 100}
    at = {"compute_end": 500, "longest_fetch_cycles": 100}
    assert desk(POLICY, 2).decide(heads, **at) == 0
    assert desk(POLICY, 2).decide({**heads, 0: heads[0] | {"compute_cycles": 101}}, **at) == 1
    assert desk(POLICY, 2).decide({**heads, 1: heads[1] | {"deadline": 9_599}}, **at) == 1
    waits = {"deadline": 9_599, "compute_cycles": 200}
    assert desk(POLICY, 3).decide({**heads, 2: waits}, **at) == 1
