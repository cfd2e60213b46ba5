"""Layers, tensors and the layer graph: what every other room speaks of.

:class:`LayerGraph` loads on first use: networkx and NumPy take a quarter of a second, and most of the
program (errors, files, ``--help``) needs neither.
"""

from typing import TYPE_CHECKING, Any

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
from layerweaver.ir.files import atomic_write, check_writable, read_bounded, write_text
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

if TYPE_CHECKING:
    from layerweaver.ir.graph import LayerGraph

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
    "check_writable",
    "packed_bytes",
    "parse_quantity",
    "read_bounded",
    "write_text",
]


def __getattr__(name: str) -> Any:
    if name != "LayerGraph":
        raise AttributeError(f"module 'layerweaver.ir' has no attribute {name!r}")
    from layerweaver.ir.graph import LayerGraph  # noqa: PLC0415

    return LayerGraph
