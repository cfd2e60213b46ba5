"""The parameters that calibration may free: config fields with log-normal (or logit-normal) priors.

A prior's middle is the value in the config file where it states one, else what such a field usually is on
chips that were measured; its spread says how far a fit may go without evidence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.ir import ConfigError
from layerweaver.ir.spelling import nearest

__all__ = [
    "BASE",
    "EXTRAS",
    "HOST",
    "Parameter",
    "free_parameters",
    "parameters_of",
    "rounded",
    "with_values",
]

BASE = (
    "array.efficiency",
    "array.depthwise_macs_per_cycle",
    "vector.speed",
    "dram.efficiency",
    "overlap",
    "overhead_cycles",
    "inference_overhead_us",
    "vector.pooling_cycles",
    "vector.move_cycles",
)
"""Freed unless told otherwise."""
EXTRAS = (
    "vector.transcendental_cycles",
    "vector.softmax_passes",
    "vector.normalization_passes",
    "activations_in_dram_share",
)
"""Freed where the networks ask for them."""
HOST = ("host.ns_per_element", "host.overhead_us")
"""Freed where the config says which operators fall back to a host."""
SMALLEST_SHARE = 1e-3
PER_LAYER_US = 0.5
"""Middle of the prior of a layer's overhead where the file states none."""
PER_CALL_US = 10.0
"""Middle of the prior of a call of the host, likewise."""
PER_INFERENCE = 0.05
"""Middle of the prior of an inference's overhead, as a share of the median latency, likewise."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter with its prior.

    Attributes:
        name: Field of the config, with its section.
        share: Whether it lies between 0 and 1 (the prior is then normal in its logit, else in its logarithm).
        start: What the file says; None where it says nothing.
        middle: Middle of the prior.
        spread: Standard deviation of the prior, in logit or logarithm.
    """

    name: str
    share: bool
    start: float | None
    middle: float
    spread: float

    def value(self, position: float) -> float:
        """The value at a position on the axis on which the prior is normal."""
        if self.share:
            return 1.0 / (1.0 + math.exp(-min(40.0, max(-40.0, position))))
        return math.exp(min(40.0, max(-40.0, position)))

    def position(self, value: float) -> float:
        """The position of a value."""
        if self.share:
            inside = min(1.0 - SMALLEST_SHARE, max(SMALLEST_SHARE, value))
            return math.log(inside / (1.0 - inside))
        return math.log(max(value, 1e-12))


def _stated(config: NpuConfig, name: str) -> Any:
    found: Any = config
    for part in name.split("."):
        found = getattr(found, part)
    return found


def parameters_of(config: NpuConfig, median_ms: float) -> dict[str, Parameter]:
    """Every parameter of a config, by name.

    Args:
        config: The config as it is before the fit.
        median_ms: Median of the measured latencies.
    """
    vector = config.vector
    depthwise = vector.lanes * (vector.speed or 1.0) / max(vector.mac_cycles, 1e-6)
    cycles_per_us = config.clock_hz / 1e6
    usual = {
        "array.efficiency": (True, 0.75, 2.0),
        "array.depthwise_macs_per_cycle": (False, depthwise, 1.0),
        "vector.speed": (False, 1.0, 3.0),
        "dram.efficiency": (True, 0.7, 1.0),
        "overlap": (True, 0.7, 0.5),
        "overhead_cycles": (False, PER_LAYER_US * cycles_per_us, 2.0),
        "inference_overhead_us": (False, PER_INFERENCE * median_ms * 1e3, 2.0),
        "vector.pooling_cycles": (False, vector.pooling_cycles, 1.0),
        "vector.transcendental_cycles": (False, vector.transcendental_cycles, 1.0),
        "vector.softmax_passes": (False, vector.softmax_passes, 1.0),
        "vector.normalization_passes": (False, vector.normalization_passes, 1.0),
        "vector.move_cycles": (False, vector.move_cycles, 0.5),
        "activations_in_dram_share": (True, 0.2, 1.0),
    }
    if config.host is not None:
        usual["host.ns_per_element"] = (False, max(config.host.ns_per_element, 1.0), 1.5)
        usual["host.overhead_us"] = (False, PER_CALL_US, 1.5)
    found = {}
    for name, (share, middle, spread) in usual.items():
        stated = _stated(config, name)
        start = None if stated is None else float(stated)
        # 0, or all of a share, is the model without the mechanism and no evidence that the chip has none.
        told = start is not None and start > 0 and not (share and start >= 1.0)
        found[name] = Parameter(name, share, start, start if told and start else max(middle, 1e-6), spread)
    return found


def free_parameters(asked: str | None) -> tuple[str, ...] | None:
    """The names in the text of ``--free``; None where nothing was asked.

    Raises:
        ConfigError: If a name is no parameter, or none is named.
    """
    if asked is None:
        return None
    names = tuple(dict.fromkeys(part.strip() for part in asked.split(",") if part.strip()))
    known = BASE + EXTRAS + HOST
    for name in names:
        if name not in known:
            raise ConfigError(f"{name[:60]!r} is no parameter", where="--free", accepted=nearest(name, known))
    if not names:
        raise ConfigError("names no parameter", where="--free", accepted=f"such as {','.join(BASE[:2])}")
    return names


def with_values(config: NpuConfig, values: Mapping[str, float], changes: Mapping[str, Any]) -> NpuConfig:
    """The config with fitted values, rounded to four digits, and with other fields changed.

    Args:
        config: The config.
        values: Parameters by name.
        changes: Further fields by name, with their section.
    """
    fitted: dict[str, Any] = {name: rounded(name, value) for name, value in values.items()}
    updates: dict[str, Any] = {}
    sections: dict[str, dict[str, Any]] = {}
    for name, value in {**fitted, **changes}.items():
        *section, field = name.split(".")
        if section:
            sections.setdefault(section[0], {})[field] = value
        else:
            updates[field] = value
    for name, fields in sections.items():
        updates[name] = getattr(config, name).model_copy(update=fields)
    return config.model_copy(update=updates)


def rounded(name: str, value: float) -> float | int:
    """A fitted value as the config states it."""
    if name == "overhead_cycles":
        return round(value)
    if name.startswith("vector.") and name != "vector.speed":
        # Costs of elements are fractions over one denominator.
        return max(0.001, round(value, 3))
    return float(f"{value:.4g}")
