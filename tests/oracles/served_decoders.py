"""The iteration loop in the engine against the naive server, on cases drawn at random."""

from __future__ import annotations

import random

import numpy as np

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.llm.decoder import PREFILL_FIRST, STATIC, VLLM
from layerweaver.backend_sim.llm.load import DecoderLoad, DecoderRules
from layerweaver.backend_sim.llm.outcome import DecoderRun
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.table import CostTable
from layerweaver.scheduler.iterations.timings import Timings
from layerweaver.scheduler.offline import ModelProfile, build_offline
from layerweaver.scheduler.policies import load_policy
from oracles.naive_decoder import NaiveRequest, NaiveRules, serve

__all__ = ["MACHINE", "POLICIES", "agree", "random_timings", "stand_in"]

POLICIES = ("fcfs-prefetch", "layerweaver+")
"""A policy that runs iterations row by row, and one that lets a lone language model go on by itself."""

MACHINE = MachineSpec.from_rates("test", 1_000_000_000, 10**9, 10**6)
WAYS = {"vllm-v1": VLLM, "prefill-first": PREFILL_FIRST, "static": STATIC}


def stand_in() -> ModelProfile:
    """What the engine is given of a language model besides its iterations."""
    one = np.ones(1, np.int64)
    table = CostTable("chat", 1, MACHINE, one, 0 * one, 0 * one, 0 * one, 0 * one, ("request",))
    return ModelProfile("chat", table, build_offline(table))


def random_timings(rng: random.Random) -> Timings:
    """A chip known by its times."""
    return Timings(
        "test",
        1_000_000_000,
        np.array([1, 8, 64]),
        np.array([float(rng.randint(1, 50)), 60.0, 200.0]),
        np.array([1, 2]),
        np.array([3.0, float(rng.randint(3, 9))]),
        (float(rng.randint(0, 5)), 1.0, float(rng.randint(0, 2)), 2.0, 1.0, 1.0),
    )


def _case(seed: int) -> tuple[NaiveRules, Timings, list[NaiveRequest]]:
    rng = random.Random(seed)
    block = rng.choice([1, 2, 4, 16])
    blocks = rng.randint(2, 40)
    rules = NaiveRules(
        blocks=blocks,
        block=block,
        max_num_seqs=rng.randint(1, 8),
        budget=rng.choice([1, 2, 5, 16, 64]),
        scheduling=rng.choice(list(WAYS)),
        long_prefill=rng.choice([0, 0, 1, 3, 8]),
        watermark=rng.choice([0, 0, 1, 2]),
        reserve_full=rng.random() < 0.6,
        sync=rng.random() < 0.5,
    )
    requests, now = [], 0
    for _ in range(rng.randint(1, 12)):
        now += rng.choice([0, 0, rng.randint(0, 50), rng.randint(0, 1000)])
        prompt = rng.randint(1, max(1, blocks * block * 2 // 3))
        output = rng.randint(1, max(1, min(20, blocks * block + 1 - prompt)))
        requests.append(NaiveRequest(now, prompt, output))
    return rules, random_timings(rng), requests


def _simulated(rules: NaiveRules, timings: Timings, requests: list[NaiveRequest], policy: str) -> DecoderRun:
    load = DecoderLoad(
        DecoderRules(
            blocks=rules.blocks,
            block=rules.block,
            scheduling=WAYS[rules.scheduling],
            max_num_seqs=rules.max_num_seqs,
            budget=rules.budget,
            long_prefill=rules.long_prefill,
            watermark=rules.watermark,
            reserve_full=rules.reserve_full,
            sync=rules.sync,
        ),
        timings,
        np.array([request.arrival for request in requests]),
        np.array([request.prompt for request in requests]),
        np.array([request.output for request in requests]),
    )
    tenant = TenantLoad("chat", (stand_in(),), None, decoder=load)
    outcome = run(SimulationInput(MACHINE, (tenant,)), load_policy(policy))
    served = outcome.tenants[0].decoder
    assert served is not None
    return served


def _naive(rules: NaiveRules, timings: Timings, requests: list[NaiveRequest]) -> int:
    tokens = timings.by_tokens(max(rules.budget, rules.max_num_seqs))
    sequences = timings.by_sequences(rules.max_num_seqs)
    fixed, sequence, context, prefill, pair, square = timings.coefficients

    def cost(members: list[tuple[int, int, bool, bool]]) -> int:
        cycles = tokens[sum(new for new, *_ in members)]
        cycles += sequences[sum(emits for *_, emits in members)] + fixed
        for new, computed, decoding, _ in members:
            if decoding:
                cycles += sequence + context * (computed + 1)
            else:
                cycles += prefill * new + pair * new * computed + square * new * new
        return int(cycles)

    return serve(rules, cost, requests)


def agree(seed: int) -> None:
    """Compare times, preemptions and totals of one case; see that nothing is lost."""
    rules, timings, requests = _case(seed)
    served = _simulated(rules, timings, requests, POLICIES[seed % len(POLICIES)])
    iterations = _naive(rules, timings, requests)
    message = f"seed {seed}: {rules}"
    assert served.counts["iterations"] == iterations, message
    assert served.first_ns.tolist() == [request.stamps[0] for request in requests], message
    assert served.last_ns.tolist() == [request.stamps[-1] for request in requests], message
    assert served.preemptions.tolist() == [request.preemptions for request in requests], message
    _conserved(served, requests)


def _conserved(served: DecoderRun, requests: list[NaiveRequest]) -> None:
    counts = served.counts
    outputs = [request.output for request in requests]
    assert served.tokens.tolist() == outputs
    assert counts["tokens_out"] == sum(outputs)
    assert counts["tokens_in"] == sum(request.prompt for request in requests)
    needed = sum(request.prompt + request.output - 1 for request in requests)
    assert counts["tokens_computed"] == needed + counts["recomputed"]
    assert counts["preemptions"] == sum(served.preemptions.tolist())
    assert int(served.itl_counts.sum()) == sum(outputs) - len(outputs)
    assert counts["most_used"] <= counts["blocks"]
