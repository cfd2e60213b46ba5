"""Whether a config is still what ``npu calibrate`` wrote: what it says of its error is of those figures."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.costmodel.npu.sections import CalibrationConfig

__all__ = ["calibration_of", "change_note", "figures_sha256"]

_BESIDE_LATENCY: dict[str, Any] = {
    **dict.fromkeys(("name", "description", "evidence", "calibration", "sources"), True),
    **dict.fromkeys(("clock_mhz", "clock_ghz", "sram", "energy", "peak_tops"), True),
    "dram": {"capacity_gb", "utilization"},
}
"""What no latency depends on, and what is said in the same unit however it is stated."""


def figures_sha256(config: NpuConfig) -> str:
    """Hash of all figures that latencies depend on; the same however they are written."""
    figures = config.model_dump(mode="json", exclude=_BESIDE_LATENCY, exclude_defaults=True)
    figures["clock"] = config.clock_hz
    figures["buffers"] = [config.sram.weight_bytes, config.sram.activation_bytes]
    return hashlib.sha256(json.dumps(figures, sort_keys=True).encode()).hexdigest()


def calibration_of(config: NpuConfig) -> CalibrationConfig | None:
    """How right the config is; None where it was never calibrated, or was changed since."""
    return None if change_note(config) else config.calibration


def change_note(config: NpuConfig) -> str:
    """That a config was changed since it was calibrated, in words; empty where nothing tells that."""
    record = config.calibration
    if record is None or record.figures_sha256 in {None, figures_sha256(config)}:
        return ""
    return f"{config.name} was changed since it was calibrated: its error is not known (npu score tells it)"
