"""What is to be said of a config beside its costs: what of it cannot have an effect, or was changed since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from layerweaver.costmodel.npu.calibrated import change_note
from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.costmodel.npu.fields import ActivationsInDram, Depthwise, Split
from layerweaver.costmodel.npu.sections import ArrayConfig

__all__ = ["config_notes", "moot_notes"]


def config_notes(config: NpuConfig) -> tuple[str, ...]:
    """That it was changed since it was calibrated, and what has no effect; a sentence each."""
    return tuple(note for note in (change_note(config), *moot_notes(config)) if note)


def moot_notes(config: NpuConfig) -> tuple[str, ...]:
    """One sentence per key that is stated and changes nothing, with the reason.

    What ``fold_losses: false`` rules out is left out: a calibrated config keeps the figures of its data
    sheet. Nothing is known of cost models that packages add.
    """
    if config.cost_model != "analytical":
        return ()
    return tuple(f"{config.name}: {key} has no effect: {why}" for key, why in _moot(config))


def _moot(config: NpuConfig) -> Iterator[tuple[str, str]]:
    array, vector = config.array, config.vector
    if array.dataflow == "mac_grid":
        yield from _stated(array, ("load_rows_per_cycle", "double_buffered"), "a mac_grid is not filled")
    if array.split is Split.TILES:
        keys = ("load_rows_per_cycle", "double_buffered", "pack_groups", "swap_operands")
        yield from _stated(array, keys, "split: tiles has rules of its own")
    if array.count == 1 and array.split not in {Split.FOLDS, Split.TILES}:
        yield "array.split", "there is one array"
    own = array.depthwise_macs_per_cycle is not None
    if own and array.depthwise is not Depthwise.CHEAPER:
        yield "array.depthwise", "depthwise_macs_per_cycle says how long depthwise convolutions take"
    if vector.mac_cycles != 1 and (own or array.depthwise is Depthwise.ARRAY):
        yield "vector.mac_cycles", "no depthwise convolution runs on the vector unit"
    if config.sram.weight_share != 0.5 and config.sram.unified_mb is None and config.sram.unified_mib is None:
        yield "sram.weight_share", "the buffers are not unified"
    if config.shared_overheads and not config.overhead_cycles:
        yield "shared_overheads", "overhead_cycles is 0"
    if config.activations_in_dram is ActivationsInDram.ALL and config.activations_in_dram_share is not None:
        yield "activations_in_dram_share", "activations_in_dram: all moves all of them"
    if config.pipeline_from_mb is not None and config.pipeline_from_mb <= (config.pipeline_mb or 0):
        yield "pipeline_from_mb", "layers with no more traffic than pipeline_mb are not cut anyway"
    if config.dram.utilization is not None and config.dram.capacity_gb is None:
        yield "dram.utilization", "capacity_gb is not stated"


def _stated(array: ArrayConfig, keys: Iterable[str], why: str) -> Iterator[tuple[str, str]]:
    """Those of the array's keys that are not at their defaults, with the reason."""
    for key in keys:
        if getattr(array, key) != ArrayConfig.model_fields[key].default:
            yield f"array.{key}", why
