"""Iterations of equal members against the decoder's graph bound to their sizes."""

from __future__ import annotations

import numpy as np

from layerweaver.backend_sim.llm.cold import iteration_sums
from layerweaver.backend_sim.llm.load import DecoderLoad, DecoderRules
from layerweaver.costmodel import NpuConfig, cost_graph
from layerweaver.scheduler.compile.iterations import iteration_rows
from layerweaver.scheduler.compile.sources import load_graph
from layerweaver.scheduler.iterations.costs import iteration_costs

__all__ = ["SIZES", "agrees"]

SIZES = ((1, 1, 16), (7, 1, 480), (2, 16, 32), (1, 64, 0), (3, 33, 64))
"""Sequences, new tokens and cached tokens of each, by whole blocks."""


def agrees(source: str, config: NpuConfig) -> None:
    """Compare compute and traffic of every row."""
    costs = iteration_costs(
        iteration_rows(source, {}),
        config,
        tokens=256,
        sequences=16,
        cache_bits=config.activation_bits or 32,
    )
    one = np.ones(1, np.int64)
    budget = config.activation_buffer_bytes
    rules = DecoderRules(blocks=1000, budget=256, max_num_seqs=16, activation_budget=budget)
    load = DecoderLoad(rules, costs, 0 * one, one, one)
    for batch, seq, past in SIZES:
        table = cost_graph(load_graph(source, dims={"seq": seq, "past": past}, batch=batch), config).table
        expected = np.zeros((2, len(table.layer_names)), np.int64)
        np.add.at(expected[0], table.layer_index, table.compute_cycles)
        np.add.at(expected[1], table.layer_index, table.dram_bytes)
        found = iteration_sums(load, config.machine(), [(seq, past, 1, batch)])[0]
        assert found[:2].tolist() == expected.tolist(), (config.name, batch, seq, past)
