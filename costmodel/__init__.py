"""NPU configs and the cost model: layer graph x NPU -> cycles and bytes.

>>> from layerweaver.costmodel import load_npu
>>> npu = load_npu("memory-centric")
>>> npu.machine().weight_buffer_bytes
48000000
"""

from layerweaver.costmodel.explain import CostedLayer, costed_document, roofline
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.measured import load_cost_csv, override_costs
from layerweaver.costmodel.model import CostedModel, cost_columns, cost_graph
from layerweaver.costmodel.npu.calibrated import change_note
from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.costmodel.npu.document import (
    npu_document,
    npu_json_schema,
    npu_rows,
    npu_template,
    npu_yaml,
)
from layerweaver.costmodel.npu.moot import config_notes
from layerweaver.costmodel.npu.reading import check_npu, load_npu, npu_names
from layerweaver.costmodel.room import room_notes
from layerweaver.costmodel.table import CostTable, share_activation_buffer

__all__ = [
    "CostTable",
    "CostedLayer",
    "CostedModel",
    "MachineSpec",
    "NpuConfig",
    "change_note",
    "check_npu",
    "config_notes",
    "cost_columns",
    "cost_graph",
    "costed_document",
    "load_cost_csv",
    "load_npu",
    "npu_document",
    "npu_json_schema",
    "npu_names",
    "npu_rows",
    "npu_template",
    "npu_yaml",
    "override_costs",
    "roofline",
    "room_notes",
    "share_activation_buffer",
]
