"""Reproduce matrix products timed on a Cloud TPU with the config ``tpu-v4-measured``, or fit it again.

The prediction is the latency of a one-layer graph under the ordinary cost model: operands of four bytes come
from DRAM and the result goes back there. Five parameters of the config are fitted, one set for all products:
the fixed overhead of a layer, the shares of the arrays' peak and of the DRAM bandwidth that are reached, the
loads that are in before a product computes, and the time that the smallest loads take.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, differential_evolution

from layerweaver.backend_sim.results.reproduced import TpuProducts
from layerweaver.costmodel.model import cost_graph
from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.costmodel.npu.fields import ActivationsInDram
from layerweaver.costmodel.npu.reading import load_npu
from layerweaver.costmodel.npu.sections import Precision
from layerweaver.ir import ConfigError, Layer, LayerGraph, LayerKind, MatrixWork, TensorSpec
from layerweaver.ir.csv_table import CsvTable
from layerweaver.ir.limits import MAX_MACS
from layerweaver.ir.text import counted

__all__ = ["fit_parameters", "predict_us", "read_products", "reproduce_tpu_matmul"]

MAX_ROWS = 100_000
MAX_FILE_BYTES = 64 << 20
MAX_EXTENT = 1 << 20
TIMES_US = (1e-6, 1e12)
FEWEST = 4
OPERAND_BYTES = 4
COLUMNS = ("m", "n", "k", "time_us")
ACCEPTED = "columns m,n,k,time_us"

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def read_products(path: Path) -> tuple[IntArray, FloatArray]:
    """Read ``m,n,k,time_us`` (further columns are ignored).

    Returns:
        Extents of shape (rows, 3) and times in microseconds of shape (rows,).

    Raises:
        ConfigError: If the file cannot be read, lacks a column, or has a value out of range (with its line).
    """
    table = CsvTable(path, ConfigError, accepted=ACCEPTED, most_bytes=MAX_FILE_BYTES, most_rows=MAX_ROWS)
    table.require(COLUMNS)
    rows = [_product(row, where) for where, row in table.rows()]
    if not rows:
        raise ConfigError("has no rows", where=str(path), accepted=ACCEPTED)
    return np.array([row[:3] for row in rows], dtype=np.int64), np.array([row[3] for row in rows])


def _product(row: Mapping[str, str], where: str) -> tuple[int, int, int, float]:
    m, n, k = (int(_number(row, name, where, int, (1, MAX_EXTENT))) for name in COLUMNS[:3])
    if m * n * k > MAX_MACS:
        raise ConfigError(
            f"{m} x {n} x {k} is too large a product",
            where=where,
            accepted=f"at most {MAX_MACS:.4g} multiply-accumulates",
        )
    return m, n, k, _number(row, "time_us", where, float, TIMES_US)


def _number(
    row: Mapping[str, str],
    name: str,
    where: str,
    kind: type[int] | type[float],
    span: tuple[float, float],
) -> float:
    least, most = span
    try:
        value = kind(row[name])
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        number = "a whole number" if kind is int else "a number"
        raise ConfigError(
            f"{row[name][:40]!r} is not accepted",
            where=f"{where}: {name}",
            accepted=f"{number} from {least:.10g} to {most:.10g}",
        )
    return value


def _product_graph(m: int, n: int, k: int) -> LayerGraph:
    left, right, result = TensorSpec("a", m * k), TensorSpec("b", k * n), TensorSpec("c", m * n)
    layer = Layer(
        "matmul",
        LayerKind.MATRIX,
        ("MatMul",),
        inputs=(left,),
        outputs=(result,),
        weights=(right,),
        matrix=MatrixWork(1, m, n, k),
    )
    return LayerGraph("matmul", (layer,), inputs=(left,), outputs=(result,))


def _as_measured(config: NpuConfig) -> NpuConfig:
    return config.model_copy(
        update={
            "precision_bytes": Precision(weights=OPERAND_BYTES, activations=OPERAND_BYTES),
            "activations_in_dram": ActivationsInDram.GRAPH_IO,
        }
    )


def predict_us(config: NpuConfig, extents: IntArray) -> FloatArray:
    """Predicted times in microseconds of products of shape (rows, 3), one cost-model run each."""
    measured = _as_measured(config)
    cycles = [
        int(cost_graph(_product_graph(*map(int, row)), measured).layer_latency_cycles[0]) for row in extents
    ]
    return np.array(cycles) * 1e6 / config.clock_hz


def fit_parameters(config: NpuConfig, extents: IntArray, times_us: FloatArray, seed: int) -> NpuConfig:
    """The config with overhead, array and DRAM efficiency, head and least time of loads fitted to times.

    Minimises the mean absolute percentage error by differential evolution from ``seed``.
    """
    whole = config.array.model_copy(update={"efficiency": None})
    bare = _as_measured(config).model_copy(
        update={"overhead_cycles": 0, "array": whole, "overlap": None, "pipeline_mb": None}
    )
    costed = [cost_graph(_product_graph(*map(int, row)), bare) for row in extents]
    busy = np.array([int(model.compute.compute_cycles[0]) for model in costed])
    budget = config.activation_buffer_bytes
    stored = np.array([int(model.traffic.stored_bytes(budget)[0]) for model in costed])
    loaded = np.array([int(model.dram_bytes[0]) for model in costed]) - stored
    bytes_per_us = config.dram.bandwidth_gb_s * 1e3

    def error(parameters: FloatArray) -> float:
        overhead, reached, efficiency, from_mb, least_us = parameters
        rate = bytes_per_us * efficiency
        compute_us, load_us = busy / reached * 1e6 / config.clock_hz, np.maximum(loaded / rate, least_us)
        shorter = np.minimum(compute_us, load_us)
        found = np.maximum(compute_us, load_us) + np.minimum(shorter, from_mb * 1e6 / rate) + stored / rate
        return float(np.mean(np.abs((found + overhead * 1e6 / config.clock_hz) / times_us - 1)))

    found = differential_evolution(
        error,
        Bounds([0.0, 0.2, 0.2, 0.5, 0.0], [5000.0, 1.0, 1.0, 120.0, 2.0]),
        rng=np.random.default_rng(seed),
        tol=1e-8,
        polish=False,
    )
    overhead, reached, efficiency, from_mb, least_us = (float(value) for value in found.x)
    return config.model_copy(
        update={
            "overhead_cycles": round(overhead),
            "array": config.array.model_copy(update={"efficiency": round(reached, 4)}),
            "dram": config.dram.model_copy(update={"efficiency": round(efficiency, 4)}),
            "overlap_from_mb": round(from_mb, 2),
            "shortest_load_us": round(least_us, 4),
        }
    )


def _mape(predicted: FloatArray, measured: FloatArray) -> float:
    return float(np.mean(np.abs(predicted / measured - 1)))


def reproduce_tpu_matmul(csv: Path, *, fit: bool = False, seed: int = 0) -> TpuProducts:
    """Compare predicted with measured times.

    Args:
        csv: File with columns m, n, k, time_us.
        fit: Fit the parameters on a seeded half of the rows and report on the other, too.
        seed: Seed of the split and the search.

    Returns:
        ``count`` and ``mape`` of the shipped config; with ``fit`` instead ``count``, ``mape_fit``,
        ``mape_held_out`` and the ``parameters``. Errors are fractions.

    Raises:
        ConfigError: If the file is wrong, or has fewer than 4 rows to fit.
    """
    config = load_npu("tpu-v4-measured")
    extents, times = read_products(Path(csv))
    if not fit:
        return {"count": len(times), "mape": _mape(predict_us(config, extents), times)}
    if len(times) < FEWEST:
        raise ConfigError(
            f"has {counted(len(times), 'row')}",
            where=str(csv),
            accepted=f"give at least {FEWEST} to fit, or leave out --fit",
        )
    order = np.random.default_rng(seed).permutation(len(times))
    half, other = order[: len(order) // 2], order[len(order) // 2 :]
    fitted = fit_parameters(config, extents[half], times[half], seed)
    return {
        "count": len(times),
        "mape_fit": _mape(predict_us(fitted, extents[half]), times[half]),
        "mape_held_out": _mape(predict_us(fitted, extents[other]), times[other]),
        "parameters": {
            "overhead_cycles": fitted.overhead_cycles,
            "array_efficiency": fitted.array.efficiency,
            "dram_efficiency": fitted.dram.efficiency,
            "overlap_from_mb": fitted.overlap_from_mb,
            "shortest_load_us": fitted.shortest_load_us,
        },
    }
