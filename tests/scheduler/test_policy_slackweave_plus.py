from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from oracles.random_inputs import FixedArrivals

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.traffic.source import OpenLoop
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.policies import load_policy
from layerweaver.scheduler.policies.slackweave_plus import POLICY

Make = Callable[..., ModelProfile]


def test_urgent_first_while_the_other_can_wait(desk: Any) -> None:
    # No load measured yet: the reserve is 2 x 100 / (1 - 0) = 200 cycles. Compute is busy until 30.
    # Head 1 leaves the engines least idle: it computes 50 after a fetch of 10, head 0 only 5 after 20. But
    # head 0 is the urgent one: slack 200 - 30 - 100 = 70. Its row would end later by head 1's compute, 50 of
    # 50 cycles: no filler. Serving head 0 first takes 100 cycles of head 1's slack.
    heads = {
        0: {"deadline": 200, "compute_cycles": 5, "compute_scaled": 5, "fetch_cycles": 20, "dram_scaled": 20},
        1: {"deadline": 1000, "compute_cycles": 50, "compute_scaled": 50, "longest_fetch_cycles": 100},
    }
    urgent = desk(POLICY, 2)
    # Slack of head 1: 1000 - 30 - 100 = 870; 870 - 100 >= 200.
    assert urgent.decide(heads, compute_end=30, longest_fetch_cycles=100) == 0
    assert urgent.mode == "urgent first"
    # With a deadline of 500 it is 370 - 100 = 270, enough; of 420 it is 190, not enough: weave.
    heads[1]["deadline"] = 500
    assert desk(POLICY, 2).decide(heads, compute_end=30, longest_fetch_cycles=100) == 0
    heads[1]["deadline"] = 420
    woven = desk(POLICY, 2)
    assert woven.decide(heads, compute_end=30, longest_fetch_cycles=100) == 1
    assert woven.mode == "throughput"
    # A second request of head 0 must go first as well: 270 - 100 is not enough any more.
    heads[1]["deadline"] = 500
    heads[0]["queued"] = 2
    assert desk(POLICY, 2).decide(heads, compute_end=30, longest_fetch_cycles=100) == 1


def test_a_row_that_delays_little_goes_before_the_urgent_one(desk: Any) -> None:
    # Head 0 is urgent and bound by memory: 100 cycles left, of which 10 compute. Head 1's row fetches for 10
    # and computes for 50, all of it under head 0's fetches: head 0 ends at 110 instead of 100. 10 < 0.5 x 50.
    heads = {
        0: {"deadline": 150, "model_compute_cycles": 10, "compute_cycles": 1, "compute_scaled": 1},
        1: {"deadline": 9000, "compute_cycles": 50, "compute_scaled": 50},
    }
    assert desk(POLICY, 2).decide(heads, longest_fetch_cycles=100) == 1
    assert desk(POLICY, 2, filler=0.2).decide(heads, longest_fetch_cycles=100) == 0


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


def test_overload_gives_up_the_tenant_with_the_longest_requests(make_model: Make) -> None:
    # There are four times as many short requests, and they need only half of the machine. Without triage
    # nearly everything is late; with it, the short ones that came before the overload was noticed.
    assert min(_late_share(make_model, "slackweave")) > 0.9
    short, long = _late_share(make_model, "slackweave+")
    assert short < 0.25
    assert long > 0.9
