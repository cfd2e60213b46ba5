"""A language model alone on the machine: the rest of an iteration at once, or row by row, is the same."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import pytest
from oracles.random_decoders import random_rows

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.layout import build_state
from layerweaver.backend_sim.engine.loop import Progress, run
from layerweaver.backend_sim.engine.outcome import SimulationOutcome
from layerweaver.backend_sim.llm.blocks import repeated_blocks
from layerweaver.backend_sim.llm.decoder import PREFILL_FIRST, STATIC, VLLM
from layerweaver.backend_sim.llm.load import DecoderLoad, DecoderRules
from layerweaver.costmodel import NpuConfig, load_npu
from layerweaver.costmodel.table import CostTable
from layerweaver.scheduler.iterations.costs import iteration_costs
from layerweaver.scheduler.machine.view import NEVER
from layerweaver.scheduler.offline import ModelProfile, build_offline
from layerweaver.scheduler.policies import load_policy, policy_names

NOT_LOGGED = (NEVER - 2, NEVER - 1)
"""A part of the run to log that never comes: every row is decided about."""


def _npu(rng: random.Random) -> NpuConfig:
    document: dict[str, Any] = {
        "name": "random",
        "clock_mhz": 1000,
        "array": {"rows": 16, "columns": 16, "count": rng.randint(1, 4)},
        "vector": {"lanes": rng.choice([16, 128])},
        "dram": {"bandwidth_gb_s": rng.choice([3.3, 20, 100]), "burst_bytes": 32},
        "sram": {"weights_mb": rng.choice([0.004, 0.05, 0.4, 8]), "activations_mb": 0.01},
    }
    return load_npu(document)


def _requests(rng: random.Random, room: int) -> list[tuple[int, int, int]]:
    requests, now = [], 0
    for _ in range(rng.randint(1, 9)):
        now += rng.choice([0, rng.randint(0, 50), rng.randint(0, 3_000_000)])
        prompt = rng.randint(1, max(1, room * 2 // 3))
        requests.append((now, prompt, rng.randint(1, max(1, min(12, room + 1 - prompt)))))
    return requests


def _given(rng: random.Random) -> SimulationInput:
    config, blocks, block = _npu(rng), rng.randint(2, 30), rng.choice([1, 4, 16])
    rules = DecoderRules(
        blocks=blocks,
        block=block,
        scheduling=rng.choice([VLLM, PREFILL_FIRST, STATIC]),
        max_num_seqs=rng.randint(1, 6),
        budget=rng.choice([1, 7, 64]),
        sync=rng.random() < 0.5,
        overhead_cycles=rng.choice([0, 0, 5000]),
        ttft_ns=rng.choice([None, 10**6]),
        tpot_ns=rng.choice([None, 10**5]),
        activation_budget=rng.choice([None, 10**4, 10**6]),
        tile_bytes=rng.choice([700, 10**4, 10**6]),
    )
    costs = iteration_costs(random_rows(rng), config, tokens=64, sequences=6, cache_bits=16)
    scheduled, prompt, output = zip(*_requests(rng, blocks * block), strict=True)
    load = DecoderLoad(rules, costs, np.array(scheduled), np.array(prompt), np.array(output))
    one, machine = np.ones(1, np.int64), config.machine()
    table = CostTable("chat", 1, machine, one, 0 * one, 0 * one, 0 * one, 0 * one, ("request",))
    tenant = TenantLoad("chat", (ModelProfile("chat", table, build_offline(table)),), None, decoder=load)
    warmup = rng.choice([0, 0, 10**6])
    return SimulationInput(
        machine, (tenant,), warmup_ns=warmup, cooldown_ns=rng.choice([None, warmup + 2 * 10**6])
    )


def _facts(outcome: Any) -> Any:
    """Everything of an outcome but its log."""
    if isinstance(outcome, SimulationOutcome):
        outcome = dataclasses.replace(outcome, log=None)
    if dataclasses.is_dataclass(outcome):
        return {item.name: _facts(getattr(outcome, item.name)) for item in dataclasses.fields(outcome)}
    if isinstance(outcome, tuple):
        return [_facts(item) for item in outcome]
    return outcome.tolist() if isinstance(outcome, np.ndarray) else outcome


def _alone() -> list[str]:
    return [name for name in policy_names() if load_policy(name).spec.lone_mode is not None]


def _agree(seed: int, policy: str) -> None:
    rng = random.Random(seed)
    given, configured, stops_after = _given(rng), load_policy(policy), rng.choice([None, None, 1, 3])
    pause = rng.choice([7, 300, 10**6]) if stops_after else rng.choice([1000, 10**6])

    def documents(record: tuple[int, int] | None) -> tuple[Any, list[Progress]]:
        seen: list[Progress] = []

        def watch(progress: Progress) -> bool:
            seen.append(progress)
            return stops_after is not None and len(seen) >= stops_after

        outcome = run(given, configured, record_cycles=record, progress=watch, decisions_per_slice=pause)
        return _facts(outcome), seen

    assert documents(None) == documents(NOT_LOGGED), f"seed {seed}, {policy}"


def test_both_roads_agree() -> None:
    for seed in range(300):
        _agree(seed, "layerweaver+")


@pytest.mark.slow
@pytest.mark.parametrize("policy", _alone())
def test_both_roads_agree_under_every_policy(policy: str) -> None:
    for seed in range(1000, 2000):
        _agree(seed, policy)


def test_only_a_lone_language_model_goes_on_by_itself() -> None:
    given = _given(random.Random(5))
    policy = load_policy("layerweaver+")
    ways = {
        "alone": build_state(given, policy, None, 0, compiled=True),
        "logged": build_state(given, policy, NOT_LOGGED, 8, compiled=True),
        "slackweave+": build_state(given, load_policy("slackweave+"), None, 0, compiled=True),
        "ahead": build_state(dataclasses.replace(given, dispatch_ahead=1), policy, None, 0, compiled=True),
        "slow": build_state(dataclasses.replace(given, decision_cycles=9), policy, None, 0, compiled=True),
        "two": build_state(
            dataclasses.replace(
                given, tenants=(*given.tenants, dataclasses.replace(given.tenants[0], name="b"))
            ),
            policy,
            None,
            0,
            compiled=True,
        ),
    }
    assert [name for name, state in ways.items() if state.totals.lone_mode >= 0] == ["alone"]


def test_waiting_for_weights_is_waiting_for_memory() -> None:
    given = _given(random.Random(12))
    decoder = given.tenants[0].decoder
    assert decoder is not None
    rules = dataclasses.replace(decoder.rules, sync=False, overhead_cycles=0)
    one = dataclasses.replace(
        decoder, rules=rules, scheduled_ns=np.zeros(1, np.int64), prompt=np.array([5]), output=np.array([2])
    )
    tenant = dataclasses.replace(given.tenants[0], decoder=one)
    alone = dataclasses.replace(given, tenants=(tenant,), warmup_ns=0, cooldown_ns=None)
    outcome = run(alone, load_policy("layerweaver+"))
    waited = outcome.end_cycles - outcome.compute_busy_cycles
    assert outcome.idle_cycles["waiting_for_memory"] == waited > 0


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([0, 1, 2, 3, 1, 2, 3, 1, 2, 3, 4], (1, 3, 10)),
        ([7, 7, 7, 7], (1, 1, 4)),
        ([5, 1, 2, 1, 2, 9, 9, 9, 9, 9], (5, 1, 10)),
        ([0, 1, 2, 3], (1, 1, 1)),
        ([0], (1, 1, 1)),
    ],
)
def test_blocks_that_are_repeated_are_found(rows: list[int], found: tuple[int, int, int]) -> None:
    assert repeated_blocks(np.array(rows)) == found
