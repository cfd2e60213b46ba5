"""Iterations of equal members against the decoder's graph bound to their sizes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from layerweaver.backend_sim.llm.cold import iteration_sums
from layerweaver.backend_sim.llm.load import DecoderLoad, DecoderRules
from layerweaver.costmodel import NpuConfig, cost_graph
from layerweaver.ir import LayerGraph
from layerweaver.scheduler.compile.iterations import iteration_rows
from layerweaver.scheduler.compile.sources import load_graph
from layerweaver.scheduler.iterations.costs import iteration_costs

__all__ = ["SIZES", "agrees"]

Bound = Callable[[int, int, int], LayerGraph]
SIZES = ((1, 1, 16), (7, 1, 480), (2, 16, 32), (1, 64, 0), (3, 33, 64))
"""Sequences, new tokens and cached tokens of each, by whole blocks."""


def agrees(source: str, config: NpuConfig, bound: Bound | None = None) -> None:
    """Compare compute, traffic and what of it is data of every row.

    Args:
        source: The decoder.
        config: The NPU.
        bound: Its graph at (batch, seq, past), where these have other names. Concatenations with an empty
            cache are rows of an iteration, but not of such a graph: it is bound behind a block at least.
    """
    rows = iteration_rows(source, {})
    costs = iteration_costs(rows, config, tokens=256, sequences=16, cache_bits=config.activation_bits or 32)
    one = np.ones(1, np.int64)
    budget = config.activation_buffer_bytes
    # The tokens in a window need not fill blocks, of which the graph knows nothing.
    block = 16 if costs.windows == (0,) else 1
    rules = DecoderRules(blocks=1000, block=block, budget=256, max_num_seqs=16, activation_budget=budget)
    load = DecoderLoad(rules, costs, 0 * one, one, one)
    heads = [index for index, row in enumerate(rows.row_index) if rows.distinct[row][0].by == "sequences"]
    assert len(heads) == 1
    last_only = any("one a sequence" in note for note in rows.notes)
    for batch, seq, cached in SIZES:
        past = cached if bound is None else max(cached, 16)
        if bound is None:
            graph = load_graph(source, dims={"seq": seq, "past": past}, batch=batch)
        else:
            graph = bound(batch, seq, past)
        costed = cost_graph(graph, config)
        table = costed.table
        # For one sequence alone a graph may lack layers, which then cost nothing.
        places = np.array([rows.layer_names.index(name) for name in table.layer_names])
        expected = np.zeros((3, len(rows.layer_names)), np.int64)
        np.add.at(expected[0], places[table.layer_index], table.compute_cycles)
        np.add.at(expected[1], places[table.layer_index], table.dram_bytes)
        np.add.at(expected[2], places, costed.moved_bytes)
        found = iteration_sums(load, config.machine(), [(seq, past, 1, batch)])[0][[0, 1, 5]]
        if seq > 1 and last_only:
            # The graph makes logits of every position, an iteration of the last ones.
            assert (found[:, heads[0]] <= expected[:, heads[0]]).all()
            found[:, heads[0]] = expected[:, heads[0]]
        assert found.tolist() == expected.tolist(), (config.name, batch, seq, past)
