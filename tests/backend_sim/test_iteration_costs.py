"""Iterations of unequal members against the formulas."""

from __future__ import annotations

import random

import numpy as np
from oracles.naive_iteration import Member, NaiveArray, row_cost
from oracles.random_decoders import random_rows

from layerweaver.backend_sim.llm.iteration import count_members, price
from layerweaver.backend_sim.llm.load import DecoderLoad, DecoderRules, build_llm
from layerweaver.costmodel import load_npu
from layerweaver.scheduler.iterations.costs import iteration_costs
from layerweaver.scheduler.machine.rest import machine_at_rest

MOST_MEMBERS = 6


def _members(rng: random.Random) -> list[Member]:
    members = []
    for _ in range(rng.randint(1, MOST_MEMBERS)):
        new = rng.choice([1, 1, 1, rng.randint(1, 10)])
        members.append(Member(new, rng.randint(int(new == 1), 90), new == 1 or rng.random() < 0.5))
    return members


def test_unequal_members_cost_what_the_formulas_say() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        array = NaiveArray(
            *(rng.choice(sizes) for sizes in ([4, 16, 64], [4, 16, 64], [8, 128], [1, 64], [0, 300]))
        )
        config = load_npu(
            {
                "name": "random",
                "clock_mhz": 1000,
                "precision_bytes": 2,
                "array": {"rows": array.rows, "columns": array.columns},
                "vector": {"lanes": array.lanes},
                "dram": {
                    "bandwidth_gb_s": 10,
                    "burst_bytes": array.burst_bytes,
                    "latency_ns": array.waited_bytes / 10,
                },
                "sram": {"weights_mb": 8, "activations_mb": 8},
            }
        )
        rows = random_rows(rng)
        costs = iteration_costs(rows, config, tokens=64, sequences=MOST_MEMBERS, cache_bits=16)
        rules = DecoderRules(blocks=100, block=rng.choice([1, 4, 16]), max_num_seqs=MOST_MEMBERS, budget=64)
        one = np.full(MOST_MEMBERS, 60, np.int64)
        llm = build_llm([DecoderLoad(rules, costs, 0 * one, one, one)], compiled=False)
        decoder = llm.decoders[0]
        for _ in range(3):
            members = _members(rng)
            for place, member in enumerate(members):
                request = llm.requests[place]
                request.computed, request.output, request.generated = member.past, 1000, 0
                request.prompt = member.past + member.new + (0 if member.emits else 5)
                llm.line[place], llm.new[place] = place, member.new
            decoder.plan_running, decoder.plan_admitted = len(members), 0
            assert count_members(llm, decoder) == len(members)
            price(llm, decoder, machine_at_rest(config.machine(), compiled=False))
            for number, pair in enumerate(rows.distinct):
                shape = llm.shapes[number]
                found = (
                    shape.tiles * shape.compute_cycles + shape.rest_cycles,
                    shape.tiles * shape.dram_bytes + shape.rest_bytes,
                    shape.data_bytes,
                )
                assert found == row_cost(pair[0], members, array, rules.block), (seed, pair[0], members)
