"""Layers, tensors and the layer graph: what every other room speaks of."""

from layerweaver.ir.dtypes import DType, packed_bytes
from layerweaver.ir.errors import (
    ConfigError,
    LayerweaverError,
    ModelError,
    OutputError,
    PolicyError,
    ProfileError,
    ScenarioError,
    TrafficError,
)
from layerweaver.ir.files import atomic_write, write_text
from layerweaver.ir.graph import LayerGraph
from layerweaver.ir.layer import (
    BatchAxis,
    ConvGeometry,
    GatherWork,
    Layer,
    LayerKind,
    MatrixWork,
    TensorSpec,
    VectorCategory,
    VectorWork,
)
from layerweaver.ir.units import ceil_div, parse_quantity

__all__ = [
    "BatchAxis",
    "ConfigError",
    "ConvGeometry",
    "DType",
    "GatherWork",
    "Layer",
    "LayerGraph",
    "LayerKind",
    "LayerweaverError",
    "MatrixWork",
    "ModelError",
    "OutputError",
    "PolicyError",
    "ProfileError",
    "ScenarioError",
    "TensorSpec",
    "TrafficError",
    "VectorCategory",
    "VectorWork",
    "atomic_write",
    "ceil_div",
    "packed_bytes",
    "parse_quantity",
    "write_text",
]
