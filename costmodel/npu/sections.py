"""Sections of the NPU config: precision, array, vector unit, DRAM, buffers, energy."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from layerweaver.costmodel.npu.fields import (
    ConvMapping,
    Count,
    Cycles,
    Depthwise,
    GigabytesPerSecond,
    Mebibytes,
    Megabytes,
    Microseconds,
    Nanoseconds,
    Natural,
    Number,
    Picojoules,
    Rate,
    Share,
    Split,
)
from layerweaver.costmodel.plugins import ARRAY_MODELS
from layerweaver.ir.plugins import PluginGroup
from layerweaver.ir.sections import Section, refusal
from layerweaver.ir.spelling import nearest
from layerweaver.ir.units import ENERGY_COUNTS

__all__ = [
    "ArrayConfig",
    "CalibrationConfig",
    "DramConfig",
    "EnergyConfig",
    "HostConfig",
    "Precision",
    "SramConfig",
    "VectorConfig",
    "registered",
]

SYSTOLIC = ("ws", "os", "is")


def registered(name: str, group: PluginGroup) -> str:
    """The name, if a package registers it in the group.

    Raises:
        ValueError: If none does.
    """
    if name not in group.names:
        raise refusal(f"{name[:60]!r} is not known; {nearest(name, group.names)}")
    return name


class Precision(Section):
    """Bytes per element on the NPU; fractions of a byte are low-bit types (0.5 = 4 bit).

    Attributes:
        weights: Bytes per weight.
        activations: Bytes per activation.
    """

    weights: Annotated[float, Number, Field(gt=0, le=16)]
    activations: Annotated[float, Number, Field(gt=0, le=16)]

    @field_validator("weights", "activations")
    @classmethod
    def _whole_bits(cls, value: float) -> float:
        if not (value * 8).is_integer():
            raise refusal("must be a whole number of bits, a multiple of 0.125 bytes")
        return value


class ArrayConfig(Section):
    """The matrix unit.

    Attributes:
        rows: Rows of one array (inner extent K); input channels done in parallel by a MAC grid.
        columns: Columns of one array (output channels); output channels done in parallel by a MAC grid.
        count: Identical arrays.
        pixels: Output pixels done in parallel; a MAC grid only.
        dataflow: Name of the array model: ``ws``, ``os``, ``is``, ``mac_grid`` or a plug-in's.
        double_buffered: Whether the next fold loads under the current one.
        load_rows_per_cycle: Rows of the held operand that are filled per cycle; 1 in a plain systolic array.
        conv_mapping: ``im2col`` folds the kernel area into rows, ``kernel_passes`` runs a pass per position.
        pack_groups: Whether small groups share a fold block-diagonally.
        split: How several arrays share a layer.
        cores: Cores that the arrays belong to: of a product with weights each core fetches its part of the
            larger operand and all of the smaller; None: one.
        depthwise: Which unit runs depthwise convolutions.
        scratchpad_kib: Operand memory of one array in KiB, both halves (split ``tiles``).
        accumulator_kib: Accumulators of one array in KiB, both halves (split ``tiles``).
        port_bytes_per_cycle: What one array's scratchpad takes from or gives to DRAM per cycle (split
            ``tiles``); None: as much as the DRAM.
        swap_operands: Whether a product may run transposed where that is shorter.
        efficiency: Share of the peak that products reach beyond what folds lose; None: all of it.
        fold_losses: False: products take their multiply-accumulates over the peak, however they fold (a
            machine whose mapping is unknown); None: as the dataflow says.
        depthwise_macs_per_cycle: Multiply-accumulates per cycle of depthwise convolutions, on a unit that
            works beside the vector unit; None: as ``depthwise`` says.
    """

    rows: Count
    columns: Count
    count: Count = 1
    pixels: Count = 1
    dataflow: str = "ws"
    double_buffered: bool = True
    load_rows_per_cycle: Count = 1
    conv_mapping: ConvMapping = ConvMapping.IM2COL
    pack_groups: bool = False
    split: Split = Split.FOLDS
    cores: Count | None = None
    depthwise: Depthwise = Depthwise.CHEAPER
    swap_operands: bool = False
    scratchpad_kib: Count | None = None
    accumulator_kib: Count | None = None
    port_bytes_per_cycle: Count | None = None
    efficiency: Share | None = None
    fold_losses: bool | None = None
    depthwise_macs_per_cycle: Rate | None = None

    @model_validator(mode="after")
    def _capacities(self) -> Self:
        if self.split is Split.TILES and (self.scratchpad_kib is None or self.accumulator_kib is None):
            raise refusal("split: tiles needs scratchpad_kib and accumulator_kib", "split")
        for key in ("scratchpad_kib", "accumulator_kib", "port_bytes_per_cycle"):
            if self.split is not Split.TILES and getattr(self, key) is not None:
                raise refusal("is for split tiles; leave it out", key)
        if self.cores is not None and self.split is Split.TILES:
            raise refusal("is not for split tiles, which says what each array fetches; leave it out", "cores")
        if self.cores is not None and self.count % self.cores:
            raise refusal(f"do not divide {self.count} arrays; give a divisor of count", "cores")
        if self.pixels > 1 and self.dataflow in SYSTOLIC:
            what = f"pixels is for a MAC grid, not for dataflow {self.dataflow}; leave it out"
            raise refusal(what, "pixels")
        if self.split is Split.TILES and self.dataflow != "ws":
            raise refusal("split: tiles is for dataflow ws; choose another split", "split")
        return self

    @field_validator("dataflow")
    @classmethod
    def _known_dataflow(cls, value: str) -> str:
        return registered(value, ARRAY_MODELS)

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-accumulates per cycle of all arrays."""
        return self.rows * self.columns * self.count * self.pixels


class VectorConfig(Section):
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
        speed: How many times as fast the unit is as its lanes and cycles say; None: once.
        beside_array: False: a layer's vector work follows its products; None: it hides under them.
        free_clips: True: Relu, LeakyRelu and Clip cost nothing, since outputs pass a clipping stage on their
            way to the buffer; None: they cost what other element operations do.
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
    speed: Rate | None = None
    beside_array: bool | None = None
    free_clips: bool | None = None


class DramConfig(Section):
    """The DRAM channel.

    Attributes:
        bandwidth_gb_s: Peak, in 10^9 bytes per second.
        efficiency: Share of the peak that long transfers reach.
        burst_bytes: Every tensor's transfer is rounded up to whole bursts.
        latency_ns: Time a request waits before data flows; one request per tensor that moves.
        capacity_gb: Size, in 10^9 bytes; None: unknown.
        utilization: Share of it that weights, activations and caches of language models may take; None: 0.9.
    """

    bandwidth_gb_s: GigabytesPerSecond
    efficiency: Share = 1.0
    burst_bytes: Count = 1
    latency_ns: Nanoseconds = 0.0
    capacity_gb: Annotated[float, Number, Field(gt=0, le=1e6)] | None = None
    utilization: Share | None = None

    @property
    def usable_bytes(self) -> int | None:
        """Bytes that weights, activations and caches may take; None where the size is unknown."""
        if self.capacity_gb is None:
            return None
        return int(self.capacity_gb * 1e9 * (0.9 if self.utilization is None else self.utilization))


class SramConfig(Section):
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
                what = f"{name}_mb and {name}_mib are both given; give one of them"
                raise refusal(what, f"{name}_mib")
        unified = self._bytes(self.unified_mb, self.unified_mib) is not None
        weights = self._bytes(self.weights_mb, self.weights_mib) is not None
        activations = self._bytes(self.activations_mb, self.activations_mib) is not None
        if unified and (weights or activations):
            key = "unified_mb" if self.unified_mb is not None else "unified_mib"
            raise refusal("a unified buffer excludes weights_* and activations_*", key)
        if not unified and not weights:
            raise refusal("no weight buffer; give weights_mb (and activations_mb), or unified_mb")
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


class HostConfig(Section):
    """What the NPU leaves to its host, which works while the NPU waits.

    Attributes:
        operators: ONNX operator types whose element work falls back.
        ns_per_element: What an operand costs there, in nanoseconds.
        overhead_us: What each call costs besides.
    """

    operators: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=100)], ...], Field(min_length=1)]
    ns_per_element: Nanoseconds
    overhead_us: Microseconds = 0.0


class EnergyConfig(Section):
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

    @property
    def free(self) -> str:
        """What the section does not state and counts as nothing, in words; empty where it states all."""
        missing = [name for name in type(self).model_fields if name not in self.model_fields_set]
        return f"{', '.join(missing)} not stated, counted as 0" if missing else ""

    @property
    def counts(self) -> str:
        """What an energy by these figures counts, in words."""
        return f"{ENERGY_COUNTS}; {self.free}" if self.free else ENERGY_COUNTS


class CalibrationConfig(Section):
    """What a config was fitted to, and how right it is on networks that the fit did not see.

    Attributes:
        sha256: Hash of the file of measurements.
        date: Date of that file, year-month-day.
        networks: Networks in it that were timed whole; 0: all errors are of layers.
        layers: Layers in it that were timed alone; None: none.
        held_out_mape: Mean absolute error of predictions in cross-validation, as a fraction.
        low_ratio: Where the 80% interval of a prediction begins, as a share of it.
        high_ratio: Where it ends.
        figures_sha256: Hash of the figures that were fitted, which tells a later change; None: not recorded.
    """

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    networks: Natural
    layers: Count | None = None
    held_out_mape: Annotated[float, Number, Field(ge=0, le=1e6)]
    low_ratio: Share
    high_ratio: Annotated[float, Number, Field(ge=1, le=1e6)]
    figures_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
