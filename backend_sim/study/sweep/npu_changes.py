"""What axes change in an NPU's config: what followed from a changed figure, or excludes it, is left out."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

__all__ = ["changed_npu"]

_PEAK = ("array", "clock_mhz", "clock_ghz")
"""What the stated ``peak_tops`` of a config follows from."""

_CLOCK = ("clock_mhz", "clock_ghz")
_PARTS = {"weights": ("weights_mb", "weights_mib"), "activations": ("activations_mb", "activations_mib")}
_UNIFIED = ("unified_mb", "unified_mib")
_UNIT = {"mb": 10**6, "mib": 1 << 20}

_PAIRS = (_CLOCK, *_PARTS.values())
_EXCLUDED = {name: {*pair} - {name} for pair in _PAIRS for name in pair} | {
    name: {*_UNIFIED, *_PARTS["weights"], *_PARTS["activations"]} - {name} for name in _UNIFIED
}
"""What a config cannot have beside a figure."""


def changed_npu(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A config's document with some keys changed; what followed from them is left out.

    Args:
        config: The document.
        changes: Dotted path within it to value.
    """
    if not changes:
        return dict(config)
    changed = copy.deepcopy(dict(config))
    _part_buffer(changed, changes)
    for name, value in changes.items():
        keys = name.split(".")
        section = changed
        for key in keys[:-1]:
            if not isinstance(section.get(key), dict):
                section[key] = {}
            section = section[key]
        for other in _EXCLUDED.get(keys[-1], ()):
            section.pop(other, None)
        section[keys[-1]] = value
        if keys[0] in _PEAK and "peak_tops" not in changes:
            changed.pop("peak_tops", None)
    return changed


def _part_buffer(config: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Where changes state a part of a unified buffer, give the rest to the other part."""
    sram = config.get("sram")
    stated = {
        kind: f"sram.{key}" for kind, keys in _PARTS.items() for key in keys if f"sram.{key}" in changes
    }
    unified = next((key for key in _UNIFIED if isinstance(sram, dict) and key in sram), None)
    if unified is None or not stated or not isinstance(sram, dict):
        return
    size = sram.pop(unified) * _UNIT[unified.rpartition("_")[2]]
    sram.pop("weight_share", None)
    for kind, name in stated.items():
        other = "activations" if kind == "weights" else "weights"
        part = changes[name]
        if other not in stated and isinstance(part, (int, float)):
            taken = part * _UNIT[name.rpartition("_")[2]]
            sram[f"{other}_mb"] = (round(size) - round(taken)) / 10**6
