"""Layers cut to measure: pieces are costed as layers of their extents, and nothing is lost between them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from layerweaver.costmodel import NpuConfig, cost_graph, load_npu
from layerweaver.costmodel.table import CostTable
from layerweaver.frontend.options import ImportOptions
from layerweaver.ir import Layer, LayerGraph, LayerKind, MatrixWork, ModelError, TensorSpec
from layerweaver.scheduler.compile.compiler import ModelRequest, compile_models
from layerweaver.scheduler.compile.sources import ModelSource
from layerweaver.scheduler.offline import build_offline
from layerweaver.scheduler.profile.file import load_profile, save_profile

MakeNpu = Callable[..., NpuConfig]
COLUMNS = ("compute_cycles", "dram_bytes", "weight_bytes", "live_bytes", "layer_index")


def plain(npu: MakeNpu) -> NpuConfig:
    """Every fold fills and drains the array."""
    return npu(array={"rows": 8, "columns": 8, "double_buffered": False})


def product(m: int, n: int, k: int, *, groups: int = 1) -> LayerGraph:
    layer = Layer(
        "product",
        LayerKind.MATRIX,
        ("MatMul",),
        inputs=(TensorSpec("x", groups * m * k),),
        outputs=(TensorSpec("y", groups * m * n),),
        weights=(TensorSpec("w", groups * k * n),),
        matrix=MatrixWork(groups, m, n, k, weights=True),
    )
    return LayerGraph("g", (layer,), inputs=layer.inputs, outputs=layer.outputs)


def folds(m: int, n: int, k: int) -> int:
    """Weight stationary on 8 x 8, by hand."""
    return -(-k // 8) * -(-n // 8) * (m + 2 * 8 + 8 - 2)


def zoo(name: str, batch: int = 1, **dims: int) -> LayerGraph:
    return ModelSource(f"zoo:{name}").imported(ImportOptions(batch=batch, dims=dims)).graph


def assert_same(a: CostTable, b: CostTable) -> None:
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_with_nothing_to_cut_nothing_changes(npu: MakeNpu) -> None:
    whole = cost_graph(product(64, 64, 64), npu()).table
    assert_same(whole, cost_graph(product(64, 64, 64), npu(), longest_us=1000).table)


def test_pieces_along_channels_have_their_own_weights(npu: MakeNpu) -> None:
    """64 channels are 8 folds, which no cut at whole folds makes longer."""
    whole = cost_graph(product(64, 64, 64), plain(npu)).table
    assert whole.compute_cycles.tolist() == [folds(64, 64, 64)]
    table = cost_graph(product(64, 64, 64), plain(npu), longest_us=whole.compute_cycles[0] / 4 / 1000).table
    assert table.compute_cycles.tolist() == [folds(64, 16, 64)] * 4
    assert table.compute_cycles.sum() == whole.compute_cycles.sum()
    assert table.weight_bytes.tolist() == [64 * 16 * 2] * 4
    assert table.dram_bytes.tolist() == [64 * 16 * 2] * 4


def test_channels_that_do_not_divide_pay_for_their_folds(npu: MakeNpu) -> None:
    table = cost_graph(product(64, 20, 64), plain(npu), longest_us=folds(64, 8, 64) / 1000).table
    assert table.compute_cycles.tolist() == [folds(64, 7, 64)] * 3
    assert table.weight_bytes.sum() == 64 * 20 * 2


def test_pieces_along_rows_keep_the_weights_of_the_first(npu: MakeNpu) -> None:
    """8 channels are one fold: only rows can be divided, and each piece fills and drains the array."""
    whole = cost_graph(product(1000, 8, 64), plain(npu)).table
    table = cost_graph(product(1000, 8, 64), plain(npu), longest_us=3).table
    pieces = len(table.compute_cycles)
    assert pieces > 1
    parts = [-(-1000 // pieces)] * (1000 % pieces) + [1000 // pieces] * (pieces - 1000 % pieces)
    assert table.compute_cycles.tolist() == [folds(part, 8, 64) for part in parts]
    assert table.compute_cycles.max() <= 3000
    assert table.weight_bytes.tolist() == [64 * 8 * 2] + [0] * (pieces - 1)
    assert table.dram_bytes.sum() == whole.dram_bytes.sum()
    fewer = folds(-(-1000 // (pieces - 1)), 8, 64)
    assert fewer > 3000


def test_groups_are_channels_too(npu: MakeNpu) -> None:
    whole = cost_graph(product(64, 8, 8, groups=32), plain(npu)).table
    table = cost_graph(product(64, 8, 8, groups=32), plain(npu), longest_us=1).table
    assert table.compute_cycles.max() <= 1000
    assert table.compute_cycles.sum() == whole.compute_cycles.sum()
    assert table.weight_bytes.sum() == whole.weight_bytes.sum()


def test_too_short_is_refused_with_what_is_possible(npu: MakeNpu) -> None:
    what = r"layer 'product': no row of it can be shorter than [\d.]+ us"
    with pytest.raises(ModelError, match=what) as refused:
        cost_graph(product(1000, 64, 64), npu(), longest_us=0.01)
    least_us = float(refused.value.accepted.split()[2])
    table = cost_graph(product(1000, 64, 64), npu(), longest_us=least_us).table
    assert np.maximum(table.compute_cycles, table.memory_cycles).max() <= least_us * 1000


@pytest.mark.parametrize(
    ("name", "batch", "dims", "longest_us"),
    [
        ("resnext50", 8, {}, 100),
        ("resnet50", 1, {}, 20),
        ("mobilenetv2", 1, {}, 10),
        ("bert-base", 1, {"tokens": 384}, 40),
    ],
)
def test_networks_of_the_zoo(name: str, batch: int, dims: dict[str, int], longest_us: float) -> None:
    config = load_npu("memory-centric")
    graph = zoo(name, batch, **dims)
    whole, table = cost_graph(graph, config).table, cost_graph(graph, config, longest_us=longest_us).table
    limit = longest_us * table.machine.clock_hz / 1e6
    long, before = (np.maximum(item.compute_cycles, item.memory_cycles).max() for item in (table, whole))
    assert long <= limit < before
    assert table.dram_bytes.sum() == whole.dram_bytes.sum()
    assert table.weight_bytes.sum() == whole.weight_bytes.sum()
    assert (table.weight_bytes <= table.dram_bytes).all()
    assert whole.compute_cycles.sum() <= table.compute_cycles.sum() <= 1.03 * whole.compute_cycles.sum()
    assert table.layer_names == whole.layer_names
    assert (np.diff(table.layer_index) >= 0).all()
    build_offline(table)


def test_another_activation_budget_leaves_weights_where_they_are(npu: MakeNpu) -> None:
    table = cost_graph(product(1000, 8, 64), npu(), longest_us=3).table
    assert table.activation_budget_bytes is not None
    tight = table.with_activation_budget(1000)
    assert tight.dram_bytes.sum() > table.dram_bytes.sum()
    assert (tight.dram_bytes >= tight.weight_bytes).all()
    assert_same(table, tight.with_activation_budget(table.activation_budget_bytes))


def test_a_profile_holds_pieces(tmp_path: Path) -> None:
    request = ModelRequest("resnet18", "zoo:resnet18", longest_us=15)
    profile = compile_models([request], load_npu("memory-centric"))
    save_profile(profile, tmp_path / "cut.lwp")
    table = load_profile(tmp_path / "cut.lwp").entries[0].table
    assert_same(table, profile.entries[0].table)
    assert table.rows > len(table.layer_names)
