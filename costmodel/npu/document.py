"""NPU configs as documents: lists, YAML, a commented template and the JSON Schema for editors."""

from __future__ import annotations

from typing import Any

import yaml

from layerweaver.costmodel.npu.calibrated import calibration_of, change_note
from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.costmodel.npu.fields import Evidence
from layerweaver.costmodel.npu.reading import load_npu, npu_names

__all__ = ["npu_document", "npu_json_schema", "npu_rows", "npu_template", "npu_yaml"]


def npu_rows() -> list[dict[str, Any]]:
    """Name, peak, bandwidth, ridge point and evidence of every NPU that is shipped or plugged in.

    The ridge is where the peak meets the bandwidth that transfers reach, as in the roofline of ``inspect``.
    """
    rows = []
    for name in npu_names():
        config = load_npu(name)
        record, changed = calibration_of(config), bool(change_note(config))
        rows.append(
            {
                "name": name,
                "peak_tops": round(config.computed_peak_tops, 4),
                "dram_gb_s": config.dram.bandwidth_gb_s,
                "dram_reached_gb_s": round(config.effective_bandwidth_bytes_per_s / 1e9, 4),
                "ridge_ops_per_byte": round(config.ridge_ops_per_byte, 3),
                "evidence": f"{config.evidence or Evidence.DATA_SHEET}{', changed since' * changed}",
                "held_out_mape": record.held_out_mape if record is not None and record.networks else None,
            }
        )
    return rows


def npu_document(config: NpuConfig) -> dict[str, Any]:
    """The config as plain data, as it would be written in YAML; :func:`load_npu` accepts it.

    Energies that the config does not state stay unstated: a 0 would say that they are known to be nothing.
    """
    document = config.model_dump(mode="json", exclude_none=True)
    if config.energy is not None:
        document["energy"] = config.energy.model_dump(mode="json", exclude_unset=True)
    return document


def npu_yaml(config: NpuConfig) -> str:
    """The config as YAML text that :func:`check_npu` accepts."""
    return yaml.safe_dump(npu_document(config), sort_keys=False, width=100, allow_unicode=True)


def npu_json_schema() -> dict[str, Any]:
    """JSON Schema of the config file, for editors that complete and check YAML."""
    schema = NpuConfig.model_json_schema(mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Layerweaver NPU config"
    return schema


def npu_template() -> str:
    """A commented config of a small imaginary NPU, to start one's own from."""
    return _TEMPLATE


_TEMPLATE = """\
# An NPU config. Quantities are numbers in the unit that the key names, or text with a unit ("68 GB/s").
# Only name, a clock, array, dram and sram are required; every other value shown is its default, unless its
# line says otherwise.
name: my-npu
description: One sentence about the machine.
clock_mhz: 700                  # or clock_ghz: 0.7, or clock_mhz: "700 MHz"

# Bytes per element: a number, or {weights: 1, activations: 2}; 0.5 is 4 bit. Default: the model's own types.
precision_bytes: 2

array:
  rows: 128                     # take the inner extent (input channels); 1 to 1048576
  columns: 128                  # take output channels
  count: 1                      # identical arrays
  pixels: 1                     # output pixels in parallel (dataflow mac_grid only)
  dataflow: ws                  # ws, os, is: systolic; mac_grid: a grid of MACs without fill and drain
  double_buffered: true         # the next fold loads under the current one
  load_rows_per_cycle: 1        # rows of the held operand filled per cycle
  conv_mapping: im2col          # im2col: kernel area folded into rows; kernel_passes: one pass per position
  pack_groups: false            # small groups share a fold block-diagonally
  split: folds                  # how several arrays share a layer: folds, even, channels, rows, best, tiles
  # cores: 2                    # a core fetches its part of a product's larger operand, all of the smaller
  depthwise: cheaper            # depthwise convolutions run on: array, vector, or the cheaper
  swap_operands: false          # a product may run transposed where that is shorter
  # scratchpad_kib: 32768       # operand memory of one array, both halves (split: tiles)
  # accumulator_kib: 4096       # accumulators of one array, both halves (split: tiles)
  # port_bytes_per_cycle: 256   # between DRAM and the scratchpad of one array (split: tiles)
  # efficiency: 0.75            # share of the peak that products reach beyond what folds lose
  # fold_losses: false          # false: products take their MACs over the peak (the mapping is unknown)
  # depthwise_macs_per_cycle: 96  # a rate of its own for depthwise convolutions

vector:
  lanes: 1024                   # elements in parallel; default: 128
  elementwise_cycles: 1         # lane cycles per element: add, multiply, compare
  transcendental_cycles: 4      # exp, erf, tanh, division
  softmax_passes: 3             # passes of a softmax, beside one transcendental per element
  normalization_passes: 3
  reduction_cycles: 1
  pooling_cycles: 1             # per operand of the window
  move_cycles: 1
  mac_cycles: 1                 # per multiply-accumulate of a depthwise convolution
  # speed: 0.5                  # how many times as fast the unit is as lanes and cycles say
  # beside_array: false         # false: a layer's vector work follows its products, nothing hides
  # free_clips: true            # true: Relu, LeakyRelu and Clip cost nothing (outputs pass a clipping stage)

dram:
  bandwidth_gb_s: 225           # 10^9 bytes per second, or "225 GB/s"
  efficiency: 1.0               # share of the peak that long transfers reach
  burst_bytes: 1                # transfers are rounded up to whole bursts
  latency_ns: 0                 # per request, one request per tensor that moves

sram:
  weights_mb: 48                # 10^6 bytes; weights_mib for 2^20, or text such as "512 KiB"
  activations_mb: 60
  # unified_mb: 108             # instead of both: one buffer ...
  # weight_share: 0.5           # ... of which this share holds weights

overhead_cycles: 0              # fixed cycles of every layer with work
# shared_overheads: true        # true: layers that do not wait for one another share one overhead
# inference_overhead_us: 200    # dispatch and transfer of one inference, after its last layer
# overlap: 0.6                  # share of a layer's shorter part (compute, transfers) beside the longer
# overlap_from_mb: 16           # ... of what follows the loads that are in before a layer computes
# shortest_load_us: 0.2         # ... what the loads of a layer take however small
# stores_last: true             # ... true: what a layer writes to DRAM follows its computation
fits_activations: false         # true: activations never spill to DRAM
activations_in_dram: spilled    # what moves even if it fits: spilled (nothing), graph_io, products, all
# activations_in_dram_share: 0.2  # share of activations that moves through DRAM even if it fits
# pipeline_mb: 12               # cut layers with more DRAM traffic into pieces that overlap each other
# pipeline_from_mb: 32           # ... but fetch layers with no more traffic than this whole
weight_compression: 1.0         # how many times smaller weights are in DRAM and buffer
# pinned_models: [zoo:ncf]      # models whose weights stay on chip: zoo:NAME, a path from here, or a name

# host:                         # operators that the NPU leaves to its host, and waits for
#   operators: [HardSwish]
#   ns_per_element: 20
#   overhead_us: 0
# energy:                       # picojoules; omit to leave energy out
#   mac_pj: 0.5
#   vector_op_pj: 0.3
#   dram_byte_pj: 30
#   sram_byte_pj: 1.5

# evidence: data-sheet          # measured (npu calibrate writes that), reproduced, data-sheet
# peak_tops: 22.9               # checked against rows x columns x count x pixels x 2 x clock
# sources:                      # where a figure comes from, by field
#   dram.bandwidth_gb_s: data sheet, page 3
"""
