"""Fig. 14 of Layerweaver: the pairs whose costs follow from published graphs come out as published."""

from __future__ import annotations

import pytest

from layerweaver.backend_sim.study.reproduce.hpca21 import (
    AS_PUBLISHED,
    MIXES_OF_FOUR,
    MODELS,
    fold_cycles,
    paper_ratio_profile,
    published_gains,
    published_memory_over_compute,
    reproduce_hpca21,
    weave_streams,
)
from layerweaver.costmodel import load_npu
from layerweaver.costmodel.npu.sections import ArrayConfig
from layerweaver.ir import Layer, LayerKind, MatrixWork
from layerweaver.scheduler.compile.sources import load_graph
from layerweaver.scheduler.policies import load_policy


def test_published_figures_are_complete() -> None:
    gains = published_gains()
    assert len(gains) == 16 * 2 * 2
    assert gains["single", "layerweaver", "RN+BB"] == 54.0
    assert gains["multi16", "aimt", "MN+NCF"] == 47.2
    assert set(published_memory_over_compute("single")) == set(MODELS)
    assert published_memory_over_compute("multi16")["BB"] == pytest.approx(1 / 0.18)


@pytest.mark.parametrize(("name", "gain"), [("layerweaver", 54.7), ("aimt", 39.2)])
def test_the_page_of_reproductions_has_what_runs(name: str, gain: float) -> None:
    """RN+BB at batch 1 as ``docs/reproductions.md`` has it: AI-MT fetches early, as it was published."""
    npu, ratios = load_npu("memory-centric"), published_memory_over_compute("single")
    models = [
        paper_ratio_profile(
            model,
            load_graph(MODELS[model][0], dims=MODELS[model][1]),
            npu.machine(),
            ratios[model],
            1,
            array=npu.array,
        )
        for model in ("RN", "BB")
    ]
    policy = next(found for found in map(load_policy, AS_PUBLISHED) if found.name == name)
    outcome = weave_streams(models, policy)
    stp = sum(
        len(tenant.latency_ns) * model.standalone_cycles / outcome.end_cycles
        for model, tenant in zip(models, outcome.tenants, strict=True)
    )
    assert round(100 * (stp - 1), 1) == gain


@pytest.mark.parametrize("pair", ["RN+BB", "MN+BB"])
def test_pairs_reproduce_within_three_points(pair: str) -> None:
    machine, ratios = load_npu("memory-centric").machine(), published_memory_over_compute("single")
    models = []
    for name in pair.split("+"):
        source, dims = MODELS[name]
        models.append(paper_ratio_profile(name, load_graph(source, dims=dims), machine, ratios[name], 1))
    outcome = weave_streams(models, load_policy("layerweaver"))
    stp = sum(
        len(tenant.latency_ns) * model.standalone_cycles / outcome.end_cycles
        for model, tenant in zip(models, outcome.tenants, strict=True)
    )
    assert 100 * (stp - 1) == pytest.approx(published_gains()["single", "layerweaver", pair], abs=3.0)


@pytest.mark.slow
def test_the_whole_figure() -> None:
    shares: list[float] = []
    document = reproduce_hpca21(progress=lambda share, _: shares.append(share))
    assert shares == sorted(shares)
    assert len(document["rows"]) == 2 * 2 * 3 * (16 + len(MIXES_OF_FOUR))
    for row in document["rows"]:
        assert row["stp_gain_pct"] <= row["bound_pct"] + 0.5
        assert row["policy"] != "fcfs" or abs(row["stp_gain_pct"]) < 0.01
    group = next(
        group
        for group in document["groups"]
        if (group["scenario"], group["costs"], group["policy"]) == ("single", "paper-ratios", "layerweaver")
    )
    assert group["mean_abs_error_core_pct"] <= 3.0


def test_folds_are_counted_block_by_block() -> None:
    # 128 x 128 x 3 x 3 weights on two arrays of 64 x 64: K = 1152 takes 18 folds, N = 128 one block per
    # array, M = 100 pixels each. A depthwise layer of 96 channels: 96 products of one fold, each of at least
    # 64 cycles.
    array = ArrayConfig(rows=64, columns=64, count=2)
    layers = [
        Layer("conv", LayerKind.MATRIX, ("Conv",), matrix=MatrixWork(groups=1, m=100, n=128, k=1152)),
        Layer("depthwise", LayerKind.MATRIX, ("Conv",), matrix=MatrixWork(groups=96, m=49, n=1, k=9)),
        Layer("pool", LayerKind.VECTOR, ("MaxPool",)),
    ]
    assert [fold_cycles(layer, array) for layer in layers] == [1800, 96 * 64, 0]
