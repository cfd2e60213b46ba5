"""The iteration loop in the engine against a naive server, and what must always hold."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from oracles.served_decoders import MACHINE, agree, random_timings, stand_in

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.llm.load import DecoderLoad, DecoderRules
from layerweaver.ir import ScenarioError
from layerweaver.ir.limits import MAX_END_SECONDS
from layerweaver.scheduler.iterations.timings import Timings
from layerweaver.scheduler.policies import load_policy


def test_equals_the_naive_server() -> None:
    for seed in range(400):
        agree(seed)


@pytest.mark.slow
def test_equals_the_naive_server_very_often() -> None:
    for seed in range(10_000, 30_000):
        agree(seed)


def _alone(rules: DecoderRules, timings: Timings, prompt: int, output: int) -> None:
    load = DecoderLoad(rules, timings, np.zeros(1, np.int64), np.array([prompt]), np.array([output]))
    tenant = TenantLoad("chat", (stand_in(),), None, decoder=load)
    run(SimulationInput(MACHINE, (tenant,)), load_policy("fcfs"), compiled=False)


def test_iterations_that_together_last_beyond_what_is_simulated_are_refused() -> None:
    rules = DecoderRules(blocks=1000, overhead_cycles=10**9 * MAX_END_SECONDS // 10)
    with pytest.raises(ScenarioError, match=r"tenant chat: its iterations last beyond 3e\+08 s"):
        _alone(rules, random_timings(random.Random(1)), 1, 40)


def test_times_of_an_iteration_that_nothing_can_count_are_refused() -> None:
    timings = replace(random_timings(random.Random(1)), coefficients=(0.0, 0.0, 0.0, 0.0, 1e12, 0.0))
    with pytest.raises(ScenarioError, match=r"tenant chat: iterations of .* cost more than is counted"):
        _alone(DecoderRules(blocks=1000), timings, 9000, 2)
