"""DRAM traffic of layers: weights, gathers, state and activations that do not fit on chip.

The decisions here are *ours*; no published text fixes them:

- Weights are fetched whenever a layer runs (other tenants evict them), unless the model is pinned.
- A layer spills when what is live while it runs exceeds the activation budget. It then reads its inputs and
  writes its outputs through DRAM, at least once, in the best of a few tilings: chunks of output channels
  (inputs read once per chunk of weights that fits the weight buffer), chunks of the inner extent (partial
  sums written and read back), tiles of activations (weights fetched again for every tile), or square tiles
  of outputs (both read again). Products of two activations hold one group's operand on chip and stream the
  other past it.
- Transfers are rounded up to bursts tensor by tensor, and a request's latency counts as the bytes the channel
  could have moved meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.columns import LayerColumns, TensorColumns
from layerweaver.costmodel.compute.analytical import Passes
from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.costmodel.npu.fields import ActivationsInDram
from layerweaver.costmodel.spills import LatencyColumns, SpillColumns
from layerweaver.ir import ConfigError, LayerGraph

__all__ = ["Traffic", "channel_bytes", "check_pinned", "pinned_bytes", "traffic"]
IntArray = NDArray[np.int64]

MODEL_TYPE_BITS = 32
"""Width of a product's operand when the model's own types are used."""


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """DRAM traffic per layer, int64 arrays of shape (layers,).

    Attributes:
        weight_bytes: Weights as they lie in the weight buffer; 0 when pinned.
        fixed_bytes: Traffic that any activation budget has: weights, gathers, state, in bursts.
        input_bytes: Activations read, without burst rounding.
        output_bytes: Activations written, without burst rounding.
        spills: What spills cost at other activation budgets.
        activation_bytes: Live activation bytes while the layer runs.
        resting_stores: Activations that a layer writes which does not spill, in bursts.
        latency: What of it is no data but the latency of the DRAM; None without latency.
    """

    weight_bytes: IntArray
    fixed_bytes: IntArray
    input_bytes: IntArray
    output_bytes: IntArray
    spills: SpillColumns
    activation_bytes: IntArray
    resting_stores: IntArray
    latency: LatencyColumns | None = None

    def waited_bytes(self, budget_bytes: int | None) -> IntArray | int:
        """Bytes per layer that stand for the DRAM's latency, at an activation budget."""
        return 0 if self.latency is None else self.latency.waited_bytes(self.spills, budget_bytes)

    def stored_bytes(self, budget_bytes: int | None) -> IntArray:
        """Activations written to DRAM at an activation budget (None: everything fits), once, in bursts."""
        if budget_bytes is None:
            return self.resting_stores
        return np.where(self.activation_bytes > budget_bytes, self.spills.output_bytes, self.resting_stores)


def compressed_bytes(raw_bytes: IntArray, ratio: float) -> IntArray:
    """Bytes after weight compression, rounded up."""
    if ratio == 1.0:
        return raw_bytes
    exact = Fraction(ratio).limit_denominator(10_000)
    return -((-raw_bytes * exact.denominator) // exact.numerator)


def pinned_bytes(graph: LayerGraph, config: NpuConfig) -> int:
    """Weight bytes that a model keeps on chip: those of every weight once if it is pinned, else 0."""
    if config.pin_of(graph.name) is None:
        return 0
    bits = config.weight_bits
    weights = {tensor.name: tensor.nbytes(bits) for layer in graph.layers for tensor in layer.weights}
    raw = np.array(list(weights.values()), np.int64)
    return int(compressed_bytes(raw, config.weight_compression).sum())


def check_pinned(pinned: Mapping[str, int], config: NpuConfig) -> None:
    """Refuse pins that do not fit the chip.

    Args:
        pinned: Model to its :func:`pinned_bytes`.
        config: The NPU.

    Raises:
        ConfigError: If all together exceed the weight buffer.
    """
    asked, there = sum(pinned.values()), config.sram.weight_bytes
    if asked > there:
        names = ", ".join(name for name, size in pinned.items() if size)
        raise ConfigError(
            f"pins {asked:,} bytes of weights ({names}), but the weight buffer holds {there:,}",
            where=f"{config.name}: pinned_models",
            accepted="pin fewer models, or give a larger weight buffer",
        )


def channel_bytes(config: NpuConfig, tensors: TensorColumns, size: IntArray) -> IntArray:
    """Bytes of channel time that moving each tensor once takes: whole bursts, plus latency."""
    burst = config.dram.burst_bytes
    moved = -(-size // burst) * burst
    return tensors.per_layer(moved + np.where(moved > 0, config.request_bytes, 0))


def _resting(
    columns: LayerColumns, config: NpuConfig, passes: Passes, read: IntArray, written: IntArray
) -> tuple[IntArray, IntArray]:
    """Activation traffic of layers that do not spill, and what of it is written."""
    reads, writes = _stated(columns, config, passes, read, written)
    stated = reads + writes
    if config.activations_in_dram_share is None:
        return stated, writes
    share, of_written = (
        np.ceil(config.activations_in_dram_share * moved).astype(np.int64)
        for moved in (read + written, written)
    )
    return np.where(share > stated, share, stated), np.where(share > stated, of_written, writes)


def _stated(
    columns: LayerColumns, config: NpuConfig, passes: Passes, read: IntArray, written: IntArray
) -> tuple[IntArray, IntArray]:
    """Activations read and written by layers that do not spill, by ``activations_in_dram`` alone."""
    if config.activations_in_dram is ActivationsInDram.SPILLED:
        return np.zeros_like(read), np.zeros_like(read)
    if config.activations_in_dram is ActivationsInDram.ALL:
        return read, written
    bits, of_products = config.activation_bits, config.activations_in_dram is ActivationsInDram.PRODUCTS
    operands = columns.operands if of_products else columns.graph_inputs
    size = operands.tensor_bytes(bits)
    reads = channel_bytes(config, operands, size) + (passes.inputs - 1) * operands.first_of_layer(size)
    if of_products:
        return np.where(columns.matrix, reads, 0), np.where(columns.matrix, written, 0)
    return reads, channel_bytes(config, columns.graph_outputs, columns.graph_outputs.tensor_bytes(bits))


def traffic(
    columns: LayerColumns, config: NpuConfig, passes: Passes | None = None, *, pinned: bool = False
) -> Traffic:
    """Traffic of every layer on one NPU.

    Args:
        columns: The graph's layers.
        config: The NPU.
        passes: How often the compute model loads inputs and weights; None: once each.
        pinned: Whether the model's weights stay on chip and are neither fetched nor kept in the buffer.
    """
    passes = passes or Passes.once(len(columns.graph))
    weight_bits, activation_bits = config.weight_bits, config.activation_bits
    weights = compressed_bytes(columns.weights.tensor_bytes(weight_bits), config.weight_compression)
    weight_bytes = columns.weights.per_layer(weights)
    fixed = channel_bytes(config, columns.gathers, columns.gathers.tensor_bytes(weight_bits))
    fixed = fixed + channel_bytes(config, columns.state, columns.state.tensor_bytes(activation_bits))
    if pinned:
        weight_bytes = np.zeros_like(weight_bytes)
    else:
        fixed = fixed + channel_bytes(config, columns.weights, weights) * passes.weights
    inputs = columns.inputs.tensor_bytes(activation_bits)
    outputs = columns.outputs.tensor_bytes(activation_bits)
    bits = activation_bits or MODEL_TYPE_BITS
    by_group = np.maximum(columns.groups, 1)
    products = columns.matrix & ~columns.weighted
    left = np.where(products, -(-columns.m * columns.k // 8) * bits, 0)
    right = np.where(products, -(-columns.k * columns.n // 8) * bits, 0)
    live = columns.live_bytes(activation_bits)
    buffer = config.sram.weight_bytes
    read = channel_bytes(config, columns.inputs, inputs)
    read = read + (passes.inputs - 1) * columns.inputs.first_of_layer(inputs)
    written = channel_bytes(config, columns.outputs, outputs)
    resting, stores = _resting(columns, config, passes, read, written)
    spills = SpillColumns(
        live_bytes=live,
        input_bytes=read,
        output_bytes=written,
        weight_bytes=np.where(columns.matrix & columns.weighted, weight_bytes, 0),
        weight_chunks=np.maximum(1, np.where(weight_bytes > buffer, -((-2 * weight_bytes) // buffer), 1)),
        left_bytes=left,
        right_bytes=right,
        groups=by_group,
        resting_bytes=resting,
    )
    moved = Traffic(
        weight_bytes,
        fixed,
        columns.inputs.per_layer(inputs),
        columns.outputs.per_layer(outputs),
        spills,
        live,
        stores,
    )
    if not config.request_bytes:
        return moved
    prompt = config.model_copy(update={"dram": config.dram.model_copy(update={"latency_ns": 0.0})})
    return replace(moved, latency=_beyond(moved, traffic(columns, prompt, passes, pinned=pinned)))


def _beyond(moved: Traffic, prompt: Traffic) -> LatencyColumns:
    """What some traffic has more than that of a DRAM that answers at once."""
    ours, theirs = moved.spills, prompt.spills
    return LatencyColumns(
        moved.fixed_bytes - prompt.fixed_bytes,
        ours.input_bytes - theirs.input_bytes,
        ours.output_bytes - theirs.output_bytes,
        ours.resting_bytes - theirs.resting_bytes,
    )
