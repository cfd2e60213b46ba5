"""Chips whose parameters are known, and networks measured on them: the cost model itself is the chip."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from layerweaver.costmodel import NpuConfig, load_npu, npu_document
from layerweaver.costmodel.calibration.calibrate import Measured
from layerweaver.costmodel.calibration.measurements import Measurement, Measurements
from layerweaver.costmodel.columns import LayerColumns
from layerweaver.ir import Layer, LayerGraph, LayerKind, MatrixWork, TensorSpec, VectorCategory, VectorWork
from layerweaver.scheduler.compile.measured import latency_ms

__all__ = ["SHEET", "chip", "measured", "network", "product"]

CHIP = {"array": {"efficiency": 0.6}, "overhead_cycles": 20_000, "inference_overhead_us": 150, "overlap": 0.5}


def product(name: str, source: str, extents: tuple[int, int, int]) -> Layer:
    m, n, k = extents
    return Layer(
        name,
        LayerKind.MATRIX,
        ("MatMul",),
        inputs=(TensorSpec(source, m * k),),
        outputs=(TensorSpec(name, m * n),),
        weights=(TensorSpec(f"{name}.w", k * n),),
        matrix=MatrixWork(1, m, n, k),
    )


def network(number: int, operator: str = "Add") -> LayerColumns:
    """A chain of products and elementwise layers whose mix varies with the number."""
    random = np.random.default_rng(number)
    layers: list[Layer] = []
    source = "x"
    largest = int(random.integers(32, 500))
    for index in range(int(random.integers(4, 40))):
        m, n, k = (int(random.integers(16, largest)) for _ in range(3))
        layers.append(product(f"l{index}", source, (m, n, k)))
        source = f"l{index}"
        if random.random() < 0.4:
            elements = int(random.integers(1000, 200_000))
            layers.append(
                Layer(
                    f"v{index}",
                    LayerKind.VECTOR,
                    (operator,),
                    inputs=(TensorSpec(source, elements),),
                    outputs=(TensorSpec(f"v{index}", elements),),
                    vector=(VectorWork(operator, VectorCategory.ELEMENTWISE, elements),),
                )
            )
            source = f"v{index}"
    graph = LayerGraph(f"net{number}", layers, inputs=layers[0].inputs, outputs=layers[-1].outputs)
    return LayerColumns.from_graph(graph)


def measured(
    chip: NpuConfig, count: int, *, noise: float = 0.0, operators: tuple[str, ...] = ("Add",)
) -> tuple[Measurements, list[Measured]]:
    random = np.random.default_rng(0)
    items = []
    for number in range(count):
        columns = network(number, operators[number % len(operators)])
        ms = latency_ms(columns, chip) * float(np.exp(noise * random.standard_normal()))
        row = Measurement(f"n{number}.onnx", f"n{number}.onnx", 1, {}, ms, 0.0, 1.0, f"m.csv:{number + 2}")
        items.append(Measured(row, columns))
    rows = tuple(item.row for item in items)
    return Measurements(Path("m.csv"), "0" * 64, "2026-01-31", rows), items


SHEET = {
    "name": "sheet",
    "clock_mhz": 1000,
    "precision_bytes": 1,
    "array": {"rows": 16, "columns": 16},
    "vector": {"lanes": 16},
    "dram": {"bandwidth_gb_s": 8},
    "sram": {"weights_mb": 0.5, "activations_mb": 1},
}


def chip(sheet: NpuConfig) -> NpuConfig:
    document = npu_document(sheet)
    for key, value in CHIP.items():
        document[key] = {**document[key], **value} if isinstance(value, dict) else value
    return load_npu(document)
