"""Fig. 14 of Layerweaver: the pairs whose costs follow from published graphs come out as published."""

from __future__ import annotations

import pytest

from layerweaver.backend_sim.reproduce_hpca21 import (
    MIXES_OF_FOUR,
    MODELS,
    paper_ratio_profile,
    published_gains,
    published_memory_over_compute,
    reproduce_hpca21,
    weave_streams,
)
from layerweaver.costmodel import load_npu
from layerweaver.scheduler.compiler import load_graph
from layerweaver.scheduler.policies import load_policy


def test_published_figures_are_complete() -> None:
    gains = published_gains()
    assert len(gains) == 16 * 2 * 2
    assert gains["single", "layerweaver", "RN+BB"] == 54.0
    assert gains["multi16", "aimt", "MN+NCF"] == 47.2
    assert set(published_memory_over_compute("single")) == set(MODELS)
    assert published_memory_over_compute("multi16")["BB"] == pytest.approx(1 / 0.18)


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
