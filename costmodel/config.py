"""The NPU config: what a page of YAML may say about a machine, validated by pydantic.

Every quantity accepts a number in the unit that its key names, or text with a unit (``"68 GB/s"``).
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from layerweaver.costmodel.plugins import ARRAY_MODEL_GROUP, COST_MODEL_GROUP, plugin_names
from layerweaver.costmodel.table import MachineSpec
from layerweaver.ir import parse_quantity
from layerweaver.ir.yaml_source import nearest

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
MAX_EXTENT = 1 << 20
SYSTOLIC = ("ws", "os", "is")


class Split(StrEnum):
    """How several identical arrays share a layer."""

    FOLDS = "folds"
    CHANNELS = "channels"
    ROWS = "rows"
    BEST = "best"
    TILES = "tiles"


class ConvMapping(StrEnum):
    """Where the kernel positions of a convolution go."""

    IM2COL = "im2col"
    KERNEL_PASSES = "kernel_passes"


class ActivationsInDram(StrEnum):
    """Which activations move through DRAM even if they fit on chip."""

    SPILLED = "spilled"
    GRAPH_IO = "graph_io"
    ALL = "all"


class Depthwise(StrEnum):
    """Which unit runs depthwise convolutions."""

    CHEAPER = "cheaper"
    ARRAY = "array"
    VECTOR = "vector"


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("true and false are not numbers")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("the number must be finite")
    return value


def _registered(name: str, group: str) -> str:
    known = plugin_names(group)
    if name not in known:
        raise ValueError(f"{name[:60]!r} is not known; {nearest(name, known)}")
    return name


def _quantity(dimension: str, unit: str) -> BeforeValidator:
    """Accept a number in ``unit``, or text with any unit of the dimension; the JSON Schema says so too."""

    def read(value: object) -> float:
        _number(value)
        if isinstance(value, int) and abs(value) > 10**30:
            raise ValueError("the number is too large")
        return parse_quantity(value, dimension, unit)  # type: ignore[arg-type]  # refuses other types itself

    return BeforeValidator(read, json_schema_input_type=float | str)


Count = Annotated[int, BeforeValidator(_number), Field(gt=0, le=MAX_EXTENT)]
Natural = Annotated[int, BeforeValidator(_number), Field(ge=0, le=1 << 40)]
Share = Annotated[float, BeforeValidator(_number), Field(gt=0, le=1)]
Cycles = Annotated[float, BeforeValidator(_number), Field(ge=0, le=1e6)]
Megahertz = Annotated[float, _quantity("frequency", "mhz"), Field(ge=1e-3, le=1e6)]
Gigahertz = Annotated[float, _quantity("frequency", "ghz"), Field(ge=1e-6, le=1e3)]
GigabytesPerSecond = Annotated[float, _quantity("bandwidth", "gb/s"), Field(gt=0, le=1e6)]
Megabytes = Annotated[float, _quantity("bytes", "mb"), Field(gt=0, le=1e9)]
Mebibytes = Annotated[float, _quantity("bytes", "mib"), Field(gt=0, le=1e9)]
Nanoseconds = Annotated[float, _quantity("time", "ns"), Field(ge=0, le=1e9)]
Picojoules = Annotated[float, _quantity("energy", "pj"), Field(ge=0, le=1e12)]
Text = Annotated[str, Field(max_length=2000)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Precision(_Section):
    """Bytes per element on the NPU; fractions of a byte are low-bit types (0.5 = 4 bit).

    Attributes:
        weights: Bytes per weight.
        activations: Bytes per activation.
    """

    weights: Annotated[float, BeforeValidator(_number), Field(gt=0, le=16)]
    activations: Annotated[float, BeforeValidator(_number), Field(gt=0, le=16)]

    @field_validator("weights", "activations")
    @classmethod
    def _whole_bits(cls, value: float) -> float:
        if not (value * 8).is_integer():
            raise ValueError("must be a whole number of bits, a multiple of 0.125 bytes")
        return value


class ArrayConfig(_Section):
    """The matrix unit.

    Attributes:
        rows: Rows of one array (inner extent K); input channels done in parallel by a MAC grid.
        columns: Columns of one array (output channels); output channels done in parallel by a MAC grid.
        count: Identical arrays.
        pixels: Output pixels done in parallel; a MAC grid only.
        dataflow: Name of the array model: ``ws``, ``os``, ``is``, ``mac_grid`` or a plug-in's.
        double_buffered: Whether the next fold loads under the current one.
        conv_mapping: ``im2col`` folds the kernel area into rows, ``kernel_passes`` runs a pass per position.
        pack_groups: Whether small groups share a fold block-diagonally.
        split: How several arrays share a layer.
        depthwise: Which unit runs depthwise convolutions.
        scratchpad_kib: Operand memory of one array in KiB, both halves (split ``tiles``).
        accumulator_kib: Accumulators of one array in KiB, both halves (split ``tiles``).
        swap_operands: Whether a product may run transposed where that is shorter.
    """

    rows: Count
    columns: Count
    count: Count = 1
    pixels: Count = 1
    dataflow: str = "ws"
    double_buffered: bool = True
    conv_mapping: ConvMapping = ConvMapping.IM2COL
    pack_groups: bool = False
    split: Split = Split.FOLDS
    depthwise: Depthwise = Depthwise.CHEAPER
    swap_operands: bool = False
    scratchpad_kib: Count | None = None
    accumulator_kib: Count | None = None

    @model_validator(mode="after")
    def _capacities(self) -> Self:
        if self.split is Split.TILES and (self.scratchpad_kib is None or self.accumulator_kib is None):
            raise ValueError("split: tiles needs scratchpad_kib and accumulator_kib")
        if self.pixels > 1 and self.dataflow in SYSTOLIC:
            raise ValueError(f"pixels is for a MAC grid, not for dataflow {self.dataflow}; leave it out")
        if self.split is Split.TILES and self.dataflow != "ws":
            raise ValueError("split: tiles is for dataflow ws; choose another split")
        return self

    @field_validator("dataflow")
    @classmethod
    def _known_dataflow(cls, value: str) -> str:
        return _registered(value, ARRAY_MODEL_GROUP)

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-accumulates per cycle of all arrays."""
        return self.rows * self.columns * self.count * self.pixels


class VectorConfig(_Section):
    """The vector unit: lanes, and what one element costs a lane.

    Attributes:
        lanes: Elements in parallel.
        elementwise_cycles: Add, multiply, compare, clip.
        transcendental_cycles: exp, erf, tanh, sigmoid, sqrt, division.
        softmax_passes: Passes of a softmax over its elements, beside one transcendental each.
        normalization_passes: Passes of a layer or instance normalisation.
        reduction_cycles: One operand of a reduction.
        pooling_cycles: One operand of a pooling window.
        move_cycles: One element moved (transpose, concatenation, padding).
        mac_cycles: One multiply-accumulate of a depthwise convolution.
    """

    lanes: Count = 128
    elementwise_cycles: Cycles = 1
    transcendental_cycles: Cycles = 4
    softmax_passes: Cycles = 3
    normalization_passes: Cycles = 3
    reduction_cycles: Cycles = 1
    pooling_cycles: Cycles = 1
    move_cycles: Cycles = 1
    mac_cycles: Cycles = 1


class DramConfig(_Section):
    """The DRAM channel.

    Attributes:
        bandwidth_gb_s: Peak, in 10^9 bytes per second.
        efficiency: Share of the peak that long transfers reach.
        burst_bytes: Every tensor's transfer is rounded up to whole bursts.
        latency_ns: Time a request waits before data flows; one request per tensor that moves.
    """

    bandwidth_gb_s: GigabytesPerSecond
    efficiency: Share = 1.0
    burst_bytes: Count = 1
    latency_ns: Nanoseconds = 0.0


class SramConfig(_Section):
    """On-chip buffers: separate (weights and activations) or one unified buffer with a fixed share.

    Attributes:
        weights_mb: Weight buffer, 10^6 bytes (``weights_mib``: 2^20).
        activations_mb: Activation buffer (``activations_mib``).
        unified_mb: One buffer for both (``unified_mib``).
        weight_share: Share of a unified buffer that holds weights.
    """

    weights_mb: Megabytes | None = None
    weights_mib: Mebibytes | None = None
    activations_mb: Megabytes | None = None
    activations_mib: Mebibytes | None = None
    unified_mb: Megabytes | None = None
    unified_mib: Mebibytes | None = None
    weight_share: Share = 0.5

    @staticmethod
    def _bytes(mb: float | None, mib: float | None) -> int | None:
        if mb is not None:
            return round(mb * 10**6)
        return None if mib is None else round(mib * 2**20)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for name in ("weights", "activations", "unified"):
            if getattr(self, f"{name}_mb") is not None and getattr(self, f"{name}_mib") is not None:
                raise ValueError(f"{name}_mb and {name}_mib are both given; give one of them")
        unified = self._bytes(self.unified_mb, self.unified_mib) is not None
        weights = self._bytes(self.weights_mb, self.weights_mib) is not None
        activations = self._bytes(self.activations_mb, self.activations_mib) is not None
        if unified and (weights or activations):
            raise ValueError("a unified buffer excludes weights_* and activations_*")
        if not unified and not weights:
            raise ValueError("no weight buffer; give weights_mb (and activations_mb), or unified_mb")
        return self

    @property
    def weight_bytes(self) -> int:
        """Capacity for weights, in bytes."""
        unified = self._bytes(self.unified_mb, self.unified_mib)
        if unified is not None:
            return int(unified * self.weight_share)
        return self._bytes(self.weights_mb, self.weights_mib) or 0

    @property
    def activation_bytes(self) -> int | None:
        """Capacity for activations, in bytes; None when the config names no activation buffer."""
        unified = self._bytes(self.unified_mb, self.unified_mib)
        if unified is not None:
            return unified - self.weight_bytes
        return self._bytes(self.activations_mb, self.activations_mib)


class EnergyConfig(_Section):
    """Energy per operation and byte, in picojoules.

    Attributes:
        mac_pj: One multiply-accumulate.
        vector_op_pj: One element operation of the vector unit.
        dram_byte_pj: One byte of DRAM traffic.
        sram_byte_pj: One byte of weights, inputs and outputs moved through on-chip buffers, once per layer.
    """

    mac_pj: Picojoules = 0.0
    vector_op_pj: Picojoules = 0.0
    dram_byte_pj: Picojoules = 0.0
    sram_byte_pj: Picojoules = 0.0


class NpuConfig(_Section):
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
        fits_activations: States that activations always fit, so nothing spills.
        activations_in_dram: What moves through DRAM even if it fits: ``spilled`` nothing, ``graph_io`` graph
            inputs and outputs, ``all`` every layer's inputs and outputs.
        pipeline_mb: DRAM traffic (10^6 bytes) above which a layer is cut into pieces that overlap each other,
            each fetched while the one before computes; None: only weights beyond the buffer are cut.
        weight_compression: How many times smaller weights are in DRAM and buffer than uncompressed.
        pinned_models: Models whose weights stay on chip beside the weight buffer and are never fetched.
        energy: Optional energy table.
        peak_tops: Stated peak in 10^12 operations per second; checked against the array.
        cost_model: Name of the cost model: ``analytical`` or a plug-in's.
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
    fits_activations: bool = False
    activations_in_dram: ActivationsInDram = ActivationsInDram.SPILLED
    pipeline_mb: Megabytes | None = None
    weight_compression: Annotated[float, BeforeValidator(_number), Field(ge=1, le=1000)] = 1.0
    pinned_models: tuple[Text, ...] = ()
    energy: EnergyConfig | None = None
    peak_tops: Annotated[float, BeforeValidator(_number), Field(gt=0, le=1e9)] | None = None
    cost_model: str = "analytical"
    sources: dict[str, Text] = Field(default_factory=dict)

    @field_validator("precision_bytes", mode="before", json_schema_input_type=float | Precision | None)
    @classmethod
    def _one_number(cls, value: Any) -> Any:
        _number(value)
        if isinstance(value, (int, float)):
            return {"weights": value, "activations": value}
        return value

    @field_validator("cost_model")
    @classmethod
    def _known_cost_model(cls, value: str) -> str:
        return _registered(value, COST_MODEL_GROUP)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.clock_mhz is None) == (self.clock_ghz is None):
            raise ValueError("give one of clock_mhz and clock_ghz")
        if self.sram.activation_bytes is None and not self.fits_activations:
            raise ValueError("no activation buffer; give sram.activations_mb, or fits_activations: true")
        fold = self.array.rows * self.array.columns * (self.weight_bits or 8) // 8
        if self.sram.weight_bytes < fold:
            raise ValueError(
                f"the weight buffer holds {self.sram.weight_bytes} bytes, less than one fold of "
                f"{self.array.rows} x {self.array.columns} weights ({fold} bytes)"
            )
        if self.peak_tops is not None:
            actual = self.computed_peak_tops
            if abs(actual - self.peak_tops) > PEAK_TOLERANCE * actual:
                raise ValueError(
                    f"peak_tops is {self.peak_tops:g}, but the array makes {actual:.4g} "
                    "(MACs per cycle x 2 x clock)"
                )
        return self

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
        """Arithmetic intensity at which compute and DRAM are balanced."""
        return self.computed_peak_tops * 1e12 / (self.dram.bandwidth_gb_s * 1e9)

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

    @property
    def effective_bandwidth_bytes_per_s(self) -> int:
        """Bytes per second that long transfers reach: the peak times the DRAM efficiency."""
        return round(self.dram.bandwidth_gb_s * 1e9 * self.dram.efficiency)

    def machine(self) -> MachineSpec:
        """The machine as scheduler and engine see it; DRAM efficiency is in its bandwidth."""
        return MachineSpec.from_rates(
            self.name,
            self.clock_hz,
            self.effective_bandwidth_bytes_per_s,
            self.sram.weight_bytes,
            self.activation_buffer_bytes,
        )
