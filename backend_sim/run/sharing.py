"""The activation buffer among the tenants of one NPU: how it is divided, and what that costs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from layerweaver.backend_sim.run.variants import Menus, Npu, largest_table
from layerweaver.costmodel import NpuConfig, config_notes, room_notes, share_activation_buffer
from layerweaver.costmodel.table import CostTable
from layerweaver.ir.text import figure, first_of
from layerweaver.scheduler.offline import ModelProfile, build_offline

__all__ = ["share_activations", "sharing_notes", "unheard_notes"]

_NAMED = 3


def share_activations(menus: list[tuple[ModelProfile, ...]]) -> Menus:
    """Divide the activation buffer among the tenants where it does not hold all their live activations."""
    largest = [largest_table(menu) for menu in menus]
    shared = share_activation_buffer(largest)
    result = []
    for menu, before, after in zip(menus, largest, shared, strict=True):
        budget = after.activation_budget_bytes
        if after is before or budget is None:
            result.append(menu)
            continue
        tables = [profile.table.with_activation_budget(budget) for profile in menu]
        entry = menu[0].entry
        result.append(tuple(ModelProfile(entry, table, build_offline(table)) for table in tables))
    return tuple(result)


def sharing_notes(npus: Sequence[Npu], names: Sequence[str]) -> Iterator[str]:
    """On which NPUs tenants move more because they share the activation buffer, and who how much.

    Args:
        npus: The NPUs by kind.
        names: The tenants' names.
    """
    for npu in npus:
        buffer_bytes = npu.machine.activation_buffer_bytes
        tables = [largest_table(menu) for menu in npu.menus]
        more = [
            (_spilled_by_sharing(table, buffer_bytes), name)
            for table, name in zip(tables, names, strict=True)
            if buffer_bytes is not None
        ]
        told = sorted((found for found in more if found[0] > 0), reverse=True)
        if buffer_bytes is None or not told:
            continue
        parts = [f"{name} by {figure(spilled / 1e6)} MB" for spilled, name in told]
        peak = sum(table.peak_activation_bytes for table in tables)
        yield (
            f"the tenants' activations, {figure(peak / 1e6)} MB at their largest, exceed the "
            f"{figure(buffer_bytes / 1e6)} MB buffer of {npu.machine.name}, which they divide: that raises "
            f"DRAM traffic per batch of {first_of(parts, _NAMED, 'tenants')}, over what inspect and "
            "compile say of each model by itself"
        )


def unheard_notes(
    npus: Sequence[Npu], configs: Sequence[NpuConfig], names: Sequence[str], own: Sequence[str] = ()
) -> Iterator[str]:
    """What configs state or leave out and numbers do not show: too little room, energies that count as 0.

    Args:
        npus: The NPUs by kind.
        configs: Their configs, as far as there are any.
        names: The tenants' names.
        own: Those whose models are tables of own costs.
    """
    if own and len(npus) > 1:
        yield f"{first_of(own, _NAMED, 'tenants')}: own costs are the same cycles on every NPU of the pool"
    for config in configs:
        yield from config_notes(config)
        if own and config.inference_overhead_us:
            yield (
                f"{first_of(own, _NAMED, 'tenants')}: own costs are all that is charged, so the "
                f"inference_overhead_us of {config.name} is not added"
            )
        if config.energy is not None and config.energy.free:
            yield f"energy of {config.name}: {config.energy.free}"
        for npu in npus:
            if npu.machine.name != config.name:
                continue
            smallest = [menu[0].table for menu in npu.menus]
            yield from room_notes(config, smallest, "the weights that one request of every tenant fetches")
            tables = zip(names, smallest, strict=True)
            older = [name for name, table in tables if table.energy_pj is not None and table.latency is None]
            if older and config.request_bytes:
                whose = first_of(older, _NAMED, "tenants")
                yield (
                    f"the energy of {whose} counts the latency_ns of {config.name} as bytes: profiles of an "
                    "older version do not tell them apart; compile again"
                )


def _spilled_by_sharing(table: CostTable, buffer_bytes: int) -> int:
    """What a batch moves more with its part of the buffer than with all of it."""
    budget_bytes = table.activation_budget_bytes
    if table.spills is None or budget_bytes is None:
        return 0
    spilled = table.spills.spilled_bytes(budget_bytes) - table.spills.spilled_bytes(buffer_bytes)
    return int(spilled.sum())
