"""What is to be said of costs that need more room than a config states, in DRAM or on chip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.costmodel.table import CostTable
from layerweaver.ir.text import figure

__all__ = ["room_notes"]


def room_notes(config: NpuConfig, tables: Sequence[CostTable], which: str) -> Iterator[str]:
    """That weights exceed the DRAM, or live activations a buffer that is said to hold them; a sentence each.

    Args:
        config: The NPU.
        tables: What is on it at once.
        which: Which weights these are, in words.
    """
    held_bytes = sum(int(table.weight_bytes.sum()) for table in tables)
    capacity_gb = config.dram.capacity_gb
    if capacity_gb is not None and held_bytes > capacity_gb * 1e9:
        yield (
            f"{which}, {figure(held_bytes / 1e9)} GB, exceed the {figure(capacity_gb)} GB of {config.name}'s "
            "DRAM (dram.capacity_gb)"
        )
    live_bytes = sum(table.peak_activation_bytes for table in tables)
    stated_bytes = config.sram.activation_bytes
    if config.fits_activations and stated_bytes is not None and live_bytes > stated_bytes:
        yield (
            f"live activations, {figure(live_bytes / 1e6)} MB at their largest, exceed the "
            f"{figure(stated_bytes / 1e6)} MB buffer of {config.name}, but fits_activations says that they "
            "fit: nothing spills"
        )
