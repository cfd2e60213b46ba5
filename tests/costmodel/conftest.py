"""Small graphs made by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from layerweaver.costmodel import NpuConfig, load_npu
from layerweaver.ir import (
    ConvGeometry,
    DType,
    Layer,
    LayerGraph,
    LayerKind,
    MatrixWork,
    TensorSpec,
    VectorCategory,
    VectorWork,
)

MakeNpu = Callable[..., NpuConfig]
GraphOf = Callable[..., LayerGraph]


@pytest.fixture(name="npu")
def npu_fixture() -> MakeNpu:
    """An NPU of round numbers; keywords replace whole sections."""

    def make(**changes: Any) -> NpuConfig:
        document: dict[str, Any] = {
            "name": "test",
            "clock_mhz": 1000,
            "precision_bytes": 2,
            "array": {"rows": 8, "columns": 8},
            "vector": {"lanes": 8},
            "dram": {"bandwidth_gb_s": 4},
            "sram": {"weights_mb": 1, "activations_mb": 1},
        }
        for key, value in changes.items():
            if isinstance(value, dict) and isinstance(document.get(key), dict):
                document[key] = {**document[key], **value}
            else:
                document[key] = value
        return load_npu(document)

    return make


def product(
    name: str, m: int, n: int, k: int, *, source: str, groups: int = 1, weights: bool = True, **options: Any
) -> Layer:
    """A matrix layer reading ``source`` and writing ``name``."""
    return Layer(
        name,
        LayerKind.MATRIX,
        ("MatMul",),
        inputs=(TensorSpec(source, m * k * groups),),
        outputs=(TensorSpec(name, m * n * groups),),
        weights=(TensorSpec(f"{name}.w", k * n * groups),) if weights else (),
        matrix=MatrixWork(groups, m, n, k, weights=weights, **options),
    )


@pytest.fixture(name="chain")
def chain_fixture() -> GraphOf:
    """A chain of square matrix layers of the given extent."""

    def build(count: int = 3, extent: int = 64) -> LayerGraph:
        layers = [
            product(f"l{index}", extent, extent, extent, source=f"l{index - 1}" if index else "x")
            for index in range(count)
        ]
        return LayerGraph("chain", layers, inputs=layers[0].inputs, outputs=layers[-1].outputs)

    return build


@pytest.fixture(name="one")
def one_fixture() -> GraphOf:
    """A graph of one layer."""

    def build(layer: Layer) -> LayerGraph:
        return LayerGraph("one", (layer,), inputs=layer.inputs, outputs=layer.outputs)

    return build


@pytest.fixture(name="matmul")
def matmul_fixture() -> Callable[..., Layer]:
    """Makes a matrix layer that reads ``x``."""

    def build(m: int, n: int, k: int, **options: Any) -> Layer:
        return product("y", m, n, k, source="x", **options)

    return build


@pytest.fixture(name="depthwise")
def depthwise_fixture() -> Layer:
    """A depthwise 3 x 3 convolution of 64 channels over 14 x 14."""
    conv = ConvGeometry((3, 3), (1, 1), (1, 1), (14, 14), (14, 14), 1, 1)
    return Layer(
        "dw",
        LayerKind.MATRIX,
        ("Conv",),
        inputs=(TensorSpec("x", 64 * 196),),
        outputs=(TensorSpec("dw", 64 * 196),),
        weights=(TensorSpec("dw.w", 64 * 9),),
        matrix=MatrixWork(64, 196, 1, 9, conv=conv),
    )


@pytest.fixture(name="single_vector")
def single_vector_fixture() -> GraphOf:
    """A graph of one vector layer of one category."""

    def build(category: VectorCategory, elements: int, window: int = 1) -> LayerGraph:
        layer = Layer(
            "v",
            LayerKind.VECTOR,
            ("Any",),
            inputs=(TensorSpec("x", elements, DType.FLOAT16),),
            outputs=(TensorSpec("v", elements, DType.FLOAT16),),
            vector=(VectorWork("Any", category, elements, window),),
        )
        return LayerGraph("one", (layer,), inputs=layer.inputs, outputs=layer.outputs)

    return build
