"""What two NPU configs say differently about the costs of layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.costmodel.npu.pins import is_path

__all__ = ["cost_differences"]

_BESIDE_COSTS: dict[str, Any] = {
    **dict.fromkeys(("name", "description", "evidence", "calibration", "sources", "peak_tops"), True),
    **dict.fromkeys(("clock_mhz", "clock_ghz", "sram", "pinned_models"), True),
    "dram": {"capacity_gb", "utilization", "bandwidth_gb_s", "efficiency"},
}
"""What no cost depends on, and what is compared in one unit however it is stated."""


def cost_differences(first: NpuConfig, second: NpuConfig) -> Iterator[tuple[str, Any, Any]]:
    """Keys by their dotted paths with the values of both, of all that rows and energies depend on."""
    documents = [_figures(config) for config in (first, second)]
    for key in dict.fromkeys([*documents[0], *documents[1]]):
        values = [document.get(key) for document in documents]
        if values[0] != values[1]:
            told = ["not stated" if value is None else value for value in values]
            yield key, told[0], told[1]


def _figures(config: NpuConfig) -> dict[str, Any]:
    machine = config.machine()
    return {
        "clock_mhz": config.clock_hz / 1e6,
        "dram.bandwidth_gb_s x efficiency": round(
            machine.bandwidth_numerator / machine.bandwidth_denominator * config.clock_hz / 1e9, 6
        ),
        "pinned_models": sorted(Path(pin).name if is_path(pin) else pin for pin in config.pinned_models),
        "sram weight bytes": config.sram.weight_bytes,
        "sram activation bytes": config.sram.activation_bytes,
        **_flat(config.model_dump(mode="json", exclude=_BESIDE_COSTS)),
    }


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
