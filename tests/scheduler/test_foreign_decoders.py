"""Decoders in the forms of other exporters: their iterations cost what the bound graph costs, row by row."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import onnx
import pytest
from oracles.bound_decoders import agrees
from oracles.foreign_decoders import FORMS, HEADS, WIDTH, Form, build, graph_of

from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.costmodel import load_npu
from layerweaver.ir import LayerweaverError
from layerweaver.scheduler.compile.iterations import iteration_rows


def _saved(form: Form, folder: Path) -> str:
    path = folder / "decoder.onnx"
    onnx.save(build(form), path)
    return str(path)


@pytest.mark.parametrize("name", FORMS)
def test_iterations_cost_what_the_bound_graph_costs(name: str, tmp_path: Path) -> None:
    form = FORMS[name]
    source = _saved(form, tmp_path)
    assert iteration_rows(source, {}).cache_elements == 2 * form.layers * form.kv_heads * WIDTH
    agrees(source, load_npu("tpu-v6e"), partial(graph_of, form, source))


@pytest.mark.parametrize("npu", ["memory-centric", "hexagon-8gen3-fp16", "dpu-b4096-kv260", "neural-art-14"])
@pytest.mark.parametrize("name", ["products", "gqa", "crossed-window"])
def test_on_packing_arrays_and_where_overheads_are_shared(npu: str, name: str, tmp_path: Path) -> None:
    form = FORMS[name]
    source = _saved(form, tmp_path)
    agrees(source, load_npu(npu), partial(graph_of, form, source))


def test_fused_and_spelled_out_attention_attend_alike(tmp_path: Path) -> None:
    macs = set()
    for name in ("products", "gqa", "attention-23"):
        graph = graph_of(FORMS[name], _saved(FORMS[name], tmp_path), 2, 3, 5)
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


@pytest.mark.parametrize(
    ("form", "longest"),
    [
        (Form(known=701), 700),
        (Form(kept=600), 600),
        (Form(positions=True), 4096),
        (Form(positions=True, kept=600), 600),
    ],
)
def test_contexts_for_which_counts_do_not_hold(form: Form, longest: int, tmp_path: Path) -> None:
    source = _saved(form, tmp_path)
    rows = iteration_rows(source, {})
    assert (rows.longest, rows.ends) == (longest, not form.kept)
    chat = {
        "name": "chat",
        "model": source,
        "llm": {"kv": {"blocks": 700}},
        "lengths": {"prompt": longest - 10, "output": 11},
        "deadline": {"ttft_ms": 100, "tpot_ms": 20},
        "arrival": {"kind": "poisson", "qps": 3, "seed": 3},
    }
    scenario = {"npu": "tpu-v6e", "min_queries": 2, "tenants": [chat]}
    assert not any("contexts" in line for line in simulate(scenario, "edf")["warnings"])
    chat["lengths"] = {"prompt": longest - 10, "output": 12}
    if not form.kept:
        assert any(
            f"contexts of {longest} tokens at most" in line for line in simulate(scenario, "edf")["warnings"]
        )
        return
    with pytest.raises(LayerweaverError, match="counts hold for contexts of 600 tokens at most") as refused:
        simulate(scenario, "edf")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["N", "S", "T"])
def test_what_counts_tokens_is_not_bound(name: str, tmp_path: Path) -> None:
    source = _saved(Form(mask=True, sizes=("N", "S", "P", "T")), tmp_path)
    with pytest.raises(LayerweaverError, match=f"dimension '{name}' is bound; leave batch, seq and past"):
        iteration_rows(source, {name: 5})
    with pytest.raises(LayerweaverError, match=r"fixed length .N x 2 x P=5 x 16."):
        iteration_rows(source, {"P": 5})
