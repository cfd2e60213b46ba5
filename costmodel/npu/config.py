"""The NPU config: what a page of YAML may say about a machine, validated by pydantic.

Every quantity accepts a number in the unit that its key names, or text with a unit (``"68 GB/s"``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr, field_validator, model_validator

from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.npu.fields import (
    ActivationsInDram,
    ConvMapping,
    Depthwise,
    Evidence,
    Gigahertz,
    Megabytes,
    Megahertz,
    Microseconds,
    Natural,
    Number,
    Part,
    Split,
    Text,
    number,
)
from layerweaver.costmodel.npu.pins import is_path, pin_means
from layerweaver.costmodel.npu.sections import (
    ArrayConfig,
    CalibrationConfig,
    DramConfig,
    EnergyConfig,
    HostConfig,
    Precision,
    SramConfig,
    VectorConfig,
    registered,
)
from layerweaver.costmodel.plugins import COST_MODELS
from layerweaver.ir.files import at_home
from layerweaver.ir.limits import MAX_CLOCK_HZ
from layerweaver.ir.sections import Section, refusal
from layerweaver.ir.text import figure
from layerweaver.ir.units import ceil_div

__all__ = [
    "ActivationsInDram",
    "ArrayConfig",
    "ConvMapping",
    "Depthwise",
    "DramConfig",
    "EnergyConfig",
    "NpuConfig",
    "Precision",
    "Split",
    "SramConfig",
    "VectorConfig",
]

PEAK_TOLERANCE = 0.02


class NpuConfig(Section):
    """One NPU.

    Attributes:
        name: What reports call it.
        description: One sentence.
        clock_mhz: Clock (or ``clock_ghz``).
        precision_bytes: Bytes per element: a number or ``{weights, activations}``; omitted: as the model.
        array: The matrix unit.
        vector: The vector unit.
        dram: The DRAM channel.
        sram: On-chip buffers.
        overhead_cycles: Fixed cycles that every layer with work costs.
        shared_overheads: True: layers that do not wait for one another (those at one depth of the graph) are
            set up side by side and share one overhead; None: every layer pays its own.
        inference_overhead_us: Dispatch and transfer of one inference, charged after its last layer.
        overlap: Share of the shorter of a layer's compute and transfers that runs beside the longer; the
            layer occupies the compute engine until both are done. None: transfers run ahead as far as the
            weight buffer allows.
        overlap_from_mb: Of a layer with ``overlap``, the loads (10^6 bytes) that are in before it computes;
            only what follows them runs beside it. None: all of them may.
        shortest_load_us: Of a layer with ``overlap``, what its loads take however small they are; None: as
            the bandwidth says.
        stores_last: True: what a layer with ``overlap`` writes to DRAM follows its computation; None: it runs
            beside it as loads do.
        fits_activations: States that activations always fit, so nothing spills.
        activations_in_dram: What moves through DRAM even if it fits: ``spilled`` nothing, ``graph_io`` graph
            inputs and outputs, ``products`` operands and results of matrix products, ``all`` every layer's.
        activations_in_dram_share: Share of every layer's activations that moves through DRAM even if it fits;
            None: what ``activations_in_dram`` says.
        pipeline_mb: DRAM traffic (10^6 bytes) above which a layer is cut into pieces that overlap each other,
            each fetched while the one before computes; None: only weights beyond the buffer are cut.
        pipeline_from_mb: DRAM traffic up to which a layer is nevertheless fetched whole before it computes,
            because all of it fits on chip; None: layers are cut whatever their traffic.
        weight_compression: How many times smaller weights are in DRAM and buffer than uncompressed.
        pinned_models: Models whose weights stay on chip and are never fetched: ``zoo:NAME``, the path of a
            file (relative to the config's folder), or a name. All together must fit the weight buffer.
        host: Operators that fall back to the host, and what they cost there; None: none do.
        energy: Optional energy table.
        peak_tops: Stated peak in 10^12 operations per second; checked against the array.
        cost_model: Name of the cost model: ``analytical`` or a plug-in's.
        evidence: What the figures were held against: ``measured`` latencies of the chip, another model that
            they ``reproduced``, or nothing beyond a ``data-sheet``.
        calibration: What `npu calibrate` fitted the config to, and how right it then was.
        sources: Field name to where its figure comes from.
    """

    name: Annotated[str, Field(min_length=1, max_length=80)]
    description: Text | None = None
    clock_mhz: Megahertz | None = None
    clock_ghz: Gigahertz | None = None
    precision_bytes: Precision | None = None
    array: ArrayConfig
    vector: VectorConfig = VectorConfig()
    dram: DramConfig
    sram: SramConfig
    overhead_cycles: Natural = 0
    shared_overheads: bool | None = None
    inference_overhead_us: Microseconds | None = None
    overlap: Part | None = None
    overlap_from_mb: Megabytes | None = None
    shortest_load_us: Microseconds | None = None
    stores_last: bool | None = None
    fits_activations: bool = False
    activations_in_dram: ActivationsInDram = ActivationsInDram.SPILLED
    activations_in_dram_share: Part | None = None
    pipeline_mb: Megabytes | None = None
    pipeline_from_mb: Megabytes | None = None
    weight_compression: Annotated[float, Number, Field(ge=1, le=1000)] = 1.0
    pinned_models: tuple[Text, ...] = ()
    host: HostConfig | None = None
    energy: EnergyConfig | None = None
    peak_tops: Annotated[float, Number, Field(gt=0, le=1e9)] | None = None
    cost_model: str = "analytical"
    evidence: Evidence | None = None
    calibration: CalibrationConfig | None = None
    sources: dict[str, Text] = Field(default_factory=dict)
    _folder: Path | None = PrivateAttr(default=None)

    @field_validator("precision_bytes", mode="before", json_schema_input_type=float | Precision | None)
    @classmethod
    def _one_number(cls, value: Any) -> Any:
        number(value)
        if isinstance(value, (int, float)):
            return {"weights": value, "activations": value}
        if isinstance(value, str):
            raise refusal(
                f"{value[:40]!r} is no number of bytes; give 2, 0.5 or {{weights: 1, activations: 2}}"
            )
        return value

    @field_validator("cost_model")
    @classmethod
    def _known_cost_model(cls, value: str) -> str:
        return registered(value, COST_MODELS)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.clock_mhz is None) == (self.clock_ghz is None):
            raise refusal("give one of clock_mhz and clock_ghz", "clock_ghz")
        if self.clock_hz > MAX_CLOCK_HZ:
            key = "clock_mhz" if self.clock_ghz is None else "clock_ghz"
            raise refusal(
                f"the clock is {self.clock_hz / 1e9:g} GHz, more than any chip's; give up to 9 GHz", key
            )
        if self.pipeline_from_mb is not None and self.pipeline_mb is None:
            raise refusal("no size of a piece; give pipeline_mb, too", "pipeline_from_mb")
        for key in ("overlap_from_mb", "shortest_load_us", "stores_last"):
            if getattr(self, key) is not None and self.overlap is None:
                raise refusal("says how a layer waits for its own transfers; give overlap, too", key)
        if self.sram.activation_bytes is None and not self.fits_activations:
            what = "no activation buffer; give sram.activations_mb, or fits_activations: true"
            raise refusal(what, "sram")
        fold = self.array.rows * self.array.columns * (self.weight_bits or 8) // 8
        if self.sram.weight_bytes < fold:
            raise refusal(
                f"the weight buffer holds {self.sram.weight_bytes} bytes, less than one fold of "
                f"{self.array.rows} x {self.array.columns} weights; give at least {fold} bytes",
                "sram",
            )
        if self.peak_tops is not None:
            actual = self.computed_peak_tops
            if abs(actual - self.peak_tops) > PEAK_TOLERANCE * actual:
                raise refusal(
                    f"peak_tops is {self.peak_tops:g}, but the array makes {figure(actual, 4)} "
                    "(MACs per cycle x 2 x clock); leave it out or mend the array or the clock",
                    "peak_tops",
                )
        return self

    def in_folder(self, folder: Path) -> Self:
        """The same config with its paths relative to a folder."""
        if not any(map(is_path, self.pinned_models)):
            return self
        copy = self.model_copy()
        copy._folder = folder
        return copy

    def with_whole_paths(self) -> Self:
        """The same config with paths that mean the same from every folder."""
        if self._folder is None:
            return self
        home = self._folder.absolute()
        pins = tuple(str(home / at_home(pin)) if is_path(pin) else pin for pin in self.pinned_models)
        return self.model_copy(update={"pinned_models": pins})

    def pin_of(self, source: str) -> str | None:
        """The pin that means a model: ``zoo:NAME``, a path, or the name of a graph made by hand."""
        return next((pin for pin in self.pinned_models if self.means(pin, source)), None)

    def means(self, pin: str, source: str) -> bool:
        """Whether one pin means a model."""
        return pin_means(pin, source, self._folder)

    @property
    def clock_hz(self) -> int:
        """Cycles per second."""
        if self.clock_mhz is not None:
            return round(self.clock_mhz * 10**6)
        return round((self.clock_ghz or 0.0) * 10**9)

    @property
    def computed_peak_tops(self) -> float:
        """Peak in 10^12 operations per second: MACs per cycle x 2 x clock."""
        return self.array.macs_per_cycle * 2 * self.clock_hz / 1e12

    @property
    def ridge_ops_per_byte(self) -> float:
        """Intensity at which the peak and the share of the bandwidth that transfers reach are balanced."""
        return self.computed_peak_tops * 1e12 / self.effective_bandwidth_bytes_per_s

    @property
    def weight_bits(self) -> int | None:
        """Bits per weight, or None for the model's own types."""
        return None if self.precision_bytes is None else round(self.precision_bytes.weights * 8)

    @property
    def activation_bits(self) -> int | None:
        """Bits per activation, or None for the model's own types."""
        return None if self.precision_bytes is None else round(self.precision_bytes.activations * 8)

    @property
    def activation_buffer_bytes(self) -> int | None:
        """Capacity for activations, or None when the config states that they fit."""
        return None if self.fits_activations else self.sram.activation_bytes

    def overlapping_pieces(self, dram_bytes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pieces, each fetched while the one before computes, of layers with this DRAM traffic."""
        if self.pipeline_mb is None:
            return np.ones_like(dram_bytes)
        pieces = np.maximum(1, -(-dram_bytes // round(self.pipeline_mb * 10**6)))
        whole = round((self.pipeline_from_mb or 0.0) * 10**6)
        return np.where(dram_bytes > whole, pieces, 1)

    @property
    def inference_overhead_cycles(self) -> int:
        """Cycles of dispatch and transfer of one inference."""
        return round((self.inference_overhead_us or 0.0) * self.clock_hz / 1e6)

    @property
    def effective_bandwidth_bytes_per_s(self) -> int:
        """Bytes per second that long transfers reach: the peak times the DRAM efficiency."""
        return round(self.dram.bandwidth_gb_s * 1e9 * self.dram.efficiency)

    @property
    def request_bytes(self) -> int:
        """What the channel could move while one request waits for the DRAM's latency."""
        return ceil_div(round(self.dram.latency_ns * self.effective_bandwidth_bytes_per_s), 10**9)

    def machine(self) -> MachineSpec:
        """The machine as scheduler and engine see it; DRAM efficiency is in its bandwidth."""
        return MachineSpec.from_rates(
            self.name,
            self.clock_hz,
            self.effective_bandwidth_bytes_per_s,
            self.sram.weight_bytes,
            self.activation_buffer_bytes,
        )
