"""Decoders in the forms of other exporters: their iterations cost what the bound graph costs, row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from oracles.foreign_decoders import HEADS, KV_HEADS, WIDTH, Form, build

from layerweaver.backend_sim.llm.cold import iteration_sums
from layerweaver.backend_sim.llm.load import DecoderLoad, DecoderRules
from layerweaver.costmodel import cost_graph, load_npu
from layerweaver.ir import LayerweaverError
from layerweaver.scheduler.compile.iterations import iteration_rows
from layerweaver.scheduler.compile.sources import load_graph
from layerweaver.scheduler.iterations.costs import iteration_costs

FORMS = {
    "products": Form(),
    "positions": Form(positions=True, mask=True),
    "gqa": Form(attention="gqa", mask=True),
    "gqa-positions": Form(attention="gqa", mask=True, positions=True),
    "attention-23": Form(attention="attention"),
    "int8": Form(weights="int8"),
    "int4": Form(weights="int4"),
    "blocked-int4": Form(weights="blocked"),
    "fp8": Form(weights="fp8"),
    "gqa-int4": Form(attention="gqa", mask=True, weights="blocked"),
    "other-names": Form(past="kv_{}_{}_in", present="kv_{}_{}_out", sizes=("N", "S", "P", "T")),
    "no-names": Form(past="a{}{}", present="b{}{}", sizes=("batch", "seq", "past", "past + seq")),
    "stacked": Form(cache="stacked", past="past_{}", present="present_{}"),
    "stacked-gqa": Form(cache="stacked", past="past_{}", present="present_{}", attention="gqa", mask=True),
    "merged": Form(merged=True),
    "merged-gqa": Form(merged=True, attention="gqa", mask=True),
}
SIZES = ((1, 1, 16), (7, 1, 480), (2, 16, 32), (1, 64, 16), (3, 33, 64))
"""Sequences, new tokens and cached tokens of each, by whole blocks."""


def _saved(form: Form, folder: Path) -> str:
    path = folder / "decoder.onnx"
    onnx.save(build(form), path)
    return str(path)


@pytest.mark.parametrize("name", FORMS)
def test_iterations_cost_what_the_bound_graph_costs(name: str, tmp_path: Path) -> None:
    form, config = FORMS[name], load_npu("tpu-v6e")
    source = _saved(form, tmp_path)
    rows = iteration_rows(source, {})
    assert rows.cache_elements == 2 * form.layers * KV_HEADS * WIDTH
    costs = iteration_costs(rows, config, tokens=256, sequences=16, cache_bits=config.activation_bits or 32)
    one = np.ones(1, np.int64)
    budget = config.activation_buffer_bytes
    rules = DecoderRules(blocks=1000, budget=256, max_num_seqs=16, activation_budget=budget)
    load = DecoderLoad(rules, costs, 0 * one, one, one)
    heads = [index for index, row in enumerate(rows.row_index) if rows.distinct[row][0].by == "sequences"]
    assert len(heads) == 1
    batch, new, cached, every = form.sizes
    for sequences, seq, past in SIZES:
        dims = {batch: sequences, new: seq, cached: past}
        if form.mask:
            dims[every] = past + seq
        values = {"use_cache_branch": (1.0,)} if form.merged else {}
        table = cost_graph(load_graph(source, dims=dims, values=values), config).table
        expected = np.zeros((2, len(table.layer_names)), np.int64)
        np.add.at(expected[0], table.layer_index, table.compute_cycles)
        np.add.at(expected[1], table.layer_index, table.dram_bytes)
        found = iteration_sums(load, config.machine(), [(seq, past, 1, sequences)])[0][:2]
        if seq > 1:
            # The graph makes logits of every position, an iteration of the last ones.
            assert found[0, heads[0]] <= expected[0, heads[0]]
            found[:, heads[0]] = expected[:, heads[0]]
        assert found.tolist() == expected.tolist(), (sequences, seq, past)


def test_fused_and_spelled_out_attention_attend_alike(tmp_path: Path) -> None:
    macs = set()
    for name in ("products", "gqa", "attention-23"):
        dims = dict(zip(FORMS[name].sizes, (2, 3, 5, 8), strict=True))
        if not FORMS[name].mask:
            del dims[FORMS[name].sizes[3]]
        graph = load_graph(_saved(FORMS[name], tmp_path), dims=dims)
        attention = [layer.matrix for layer in graph.layers if layer.matrix and not layer.matrix.weights]
        macs.add(sum(work.macs for work in attention))
    assert macs == {2 * 2 * HEADS * 2 * 3 * 8 * WIDTH}


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (Form(sizes=("batch", "seq", "seq", "total")), "cached tokens"),
        (Form(cache="layers", past="p{}{}", present="q{}{}", layers=0), "cached tokens"),
    ],
)
def test_what_has_no_cache_is_refused(form: Form, message: str, tmp_path: Path) -> None:
    with pytest.raises(LayerweaverError, match=message) as refused:
        iteration_rows(_saved(form, tmp_path), {})
    assert "\n" not in str(refused.value)
