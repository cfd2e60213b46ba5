"""Array models, cost models and NPU libraries by entry point; the shipped ones register the same way.

Groups: ``layerweaver.array_models`` (name -> function ``(ArrayWork, ArrayConfig) -> cycles``),
``layerweaver.costmodels`` (name -> function ``(LayerColumns, NpuConfig) -> ComputeCosts``), and
``layerweaver.npus`` (any name -> an importable package with ``*.yaml`` files, whose stems are the names).
"""

from __future__ import annotations

from layerweaver.ir import ConfigError
from layerweaver.ir.plugins import PluginGroup

__all__ = ["ARRAY_MODELS", "COST_MODELS", "NPU_LIBRARIES"]

_COMPUTE = "layerweaver.costmodel.compute"
ARRAY_MODELS = PluginGroup(
    "layerweaver.array_models",
    "dataflow",
    ConfigError,
    {
        "ws": f"{_COMPUTE}.arrays:weight_stationary",
        "os": f"{_COMPUTE}.arrays:output_stationary",
        "is": f"{_COMPUTE}.arrays:input_stationary",
        "mac_grid": f"{_COMPUTE}.arrays:mac_grid",
    },
)
COST_MODELS = PluginGroup(
    "layerweaver.costmodels", "cost model", ConfigError, {"analytical": f"{_COMPUTE}.analytical:analytical"}
)
NPU_LIBRARIES = PluginGroup(
    "layerweaver.npus", "NPU library", ConfigError, {"shipped": "layerweaver.costmodel.npu.shipped"}
)
