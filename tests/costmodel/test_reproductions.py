"""Reproductions: TPU matrix products from a CSV, ONNXim's log, and the tiles behind it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from layerweaver.backend_sim.study.reproduce.onnxim import reproduce_onnxim
from layerweaver.backend_sim.study.reproduce.tpu_matmul import predict_us, reproduce_tpu_matmul
from layerweaver.costmodel import cost_graph, load_npu
from layerweaver.costmodel.compute.arrays import ArrayWork
from layerweaver.costmodel.compute.tiles import tile_costs
from layerweaver.costmodel.explain import explain
from layerweaver.costmodel.npu.fields import Depthwise
from layerweaver.ir import ConfigError
from layerweaver.scheduler.compile.sources import load_graph


def extents(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    sizes = np.random.default_rng(3).integers(1, 33, size=(count, 3)) * 64
    return sizes.astype(np.int64)


def write(path: Path, sizes: np.ndarray, times: np.ndarray) -> Path:
    lines = [f"{m},{n},{k},{time}" for (m, n, k), time in zip(sizes.tolist(), times.tolist(), strict=True)]
    path.write_text("m,n,k,time_us\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_shipped_parameters_applied_unchanged(tmp_path: Path) -> None:
    sizes = extents(20)
    times = predict_us(load_npu("tpu-v4-measured"), sizes)
    exact = reproduce_tpu_matmul(write(tmp_path / "a.csv", sizes, times))
    assert exact == {"count": 20, "mape": pytest.approx(0, abs=1e-9)}
    slower = reproduce_tpu_matmul(write(tmp_path / "b.csv", sizes, times * 2))
    assert slower["mape"] == pytest.approx(0.5)


def test_fit_recovers_the_machine_that_made_the_times(tmp_path: Path) -> None:
    shipped = load_npu("tpu-v4-measured")
    machine = shipped.model_copy(
        update={
            "overhead_cycles": 2000,
            "overlap_from_mb": 4.0,
            "shortest_load_us": 1.0,
            "array": shipped.array.model_copy(update={"efficiency": 0.8}),
            "dram": shipped.dram.model_copy(update={"efficiency": 0.6}),
        }
    )
    sizes = extents(120)
    file = write(tmp_path / "a.csv", sizes, predict_us(machine, sizes))
    document = reproduce_tpu_matmul(file, fit=True, seed=1)
    assert document["mape_held_out"] < 0.01
    assert document["parameters"]["overhead_cycles"] == pytest.approx(2000, rel=0.05)
    assert document["parameters"]["dram_efficiency"] == pytest.approx(0.6, rel=0.02)
    assert document["parameters"]["array_efficiency"] == pytest.approx(0.8, rel=0.05)
    assert document == reproduce_tpu_matmul(file, fit=True, seed=1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "bad.csv: column 'm' is missing"),
        ("m,n,k\n1,2,3\n", "bad.csv:1: column 'time_us' is missing"),
        ("m,n,k,time_us\n", "bad.csv: has no rows"),
        ("m,n,k,time_us\n1,2,x,4\n", "bad.csv:2: k: 'x' is not accepted; a whole number from 1 to 1048576"),
        ("m,n,k,time_us\n1,2,0,4\n", "bad.csv:2: k: '0'"),
        ("m,n,k,time_us\n1,2,3,nan\n", "bad.csv:2: time_us: 'nan' is not accepted; a number from 1e-06"),
        ("m,n,k,time_us\n" + "1048576," * 3 + "1\n", "bad.csv:2: 1048576 x 1048576 x 1048576 is too large"),
        ("m;n;k;time_us\n1;2;3;4,5\n", "bad.csv:1: cells are divided by semicolons; commas"),
        ("m\tn\tk\ttime_us\n1\t2\t3\t4\n", "bad.csv:1: cells are divided by tabs"),
    ],
)
def test_wrong_measurements_are_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(told)):
        reproduce_tpu_matmul(file)


def test_too_few_products_to_fit_are_refused(tmp_path: Path) -> None:
    sizes = extents(3)
    file = write(tmp_path / "few.csv", sizes, np.ones(3))
    with pytest.raises(ConfigError, match=r"few\.csv: has 3 rows; give at least 4 to fit"):
        reproduce_tpu_matmul(file, fit=True)


def test_onnxim_log() -> None:
    document = reproduce_onnxim()
    resnet, layer = document["networks"]
    assert resnet["onnxim_cycles"] == 459_507
    assert abs(resnet["error"]) < 0.01
    assert document["layer_mape"] < 0.05
    assert layer["onnxim_cycles"] == 105_907
    assert abs(layer["error"]) < 0.08


def convolution(mnk: tuple[int, int, int], kernel: int, rows: int, columns: int) -> ArrayWork:
    m, n, k = mnk
    one = np.array([1], dtype=np.int64)
    return ArrayWork(
        m=one * m,
        n=one * n,
        k=one * k,
        groups=one,
        kernel_passes=one * kernel * kernel,
        kernel_rows=one * kernel,
        out_rows=one * rows,
        out_columns=one * columns,
        weighted=one > 0,
    )


def test_tiles_fit_the_accumulators_and_go_round_the_cores() -> None:
    array = load_npu("onnxim-tpuv4").array
    # 112 x 112 pixels exceed 4096 accumulator rows: 36 rows fit, four tiles, one per core.
    first = tile_costs(convolution((112 * 112, 64, 3), 7, 112, 112), array)
    assert first.cycles.tolist() == [49 * 36 * 112 + 3 * 128 + 128 - 3]
    assert (first.weight_passes[0], first.input_passes[0]) == (4, 1)
    # 7 x 7 pixels are one tile, so one core runs all 144 folds, each as long as the array is high.
    last = tile_costs(convolution((49, 512, 512), 3, 7, 7), array)
    assert last.cycles.tolist() == [143 * 128 + 49 + 3 * 128 + 128 - 3]


def compute_ms(model: str, **array: object) -> float:
    """Compute time on the memory-centric NPU with another array."""
    npu = load_npu("memory-centric")
    changed = npu.model_copy(update={"array": npu.array.model_copy(update=array)})
    costed = cost_graph(load_graph(f"zoo:{model}"), changed)
    return int(costed.table.compute_cycles.sum()) / npu.clock_hz * 1e3


@pytest.mark.parametrize(
    ("model", "printed_ms"), [("resnet50", 0.589), ("inception-v3", 0.850), ("mobilenetv2", 0.268)]
)
def test_compute_times_of_the_layerweaver_paper(model: str, printed_ms: float) -> None:
    # One row of weights per cycle, and as shipped; the paper's own times are not exactly of one model.
    assert compute_ms(model, load_rows_per_cycle=1) == pytest.approx(printed_ms, rel=0.25)
    assert compute_ms(model) == pytest.approx(printed_ms, rel=0.4)


def test_mobilenet_needs_packing_or_the_vector_unit() -> None:
    on_array = {"pack_groups": False, "depthwise": Depthwise.ARRAY, "load_rows_per_cycle": 1}
    assert compute_ms("mobilenetv2", **on_array) == pytest.approx(3.83, rel=0.02)
    assert compute_ms("mobilenetv2") < 0.3
    chosen = cost_graph(load_graph("zoo:mobilenetv2"), load_npu("memory-centric"))
    assert {layer.unit for layer in explain(chosen)} == {"array", "vector"}


def test_planning_tiles_of_enormous_layers_takes_bounded_time() -> None:
    array = load_npu("onnxim-tpuv4").array
    side = 1 << 20
    costs = tile_costs(convolution((side * side, 4096, 4096), 3, side, side), array)
    assert int(costs.cycles[0]) * 4 * 128 * 128 >= side * side * 4096 * 4096 * 9
