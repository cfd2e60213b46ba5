"""What every tenant runs on one NPU: its model at each batch size, compiled, loaded or from own costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from layerweaver.backend_sim.scenario.model_refs import CostsRef, ProfileRef
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.scenario.schema import BatchSpec, TenantSpec
from layerweaver.backend_sim.traffic.loops import MultiStreamSpec
from layerweaver.costmodel import load_cost_csv
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.spills import one_behind_the_other
from layerweaver.costmodel.table import CostTable
from layerweaver.ir import ScenarioError
from layerweaver.ir.limits import MAX_ROWS
from layerweaver.scheduler.offline import ModelProfile, build_offline
from layerweaver.scheduler.profile.profile import Profile

__all__ = ["Menus", "Npu", "RowRoom", "largest_table", "tenant_menus"]


@dataclass(frozen=True, slots=True, eq=False)
class Npu:
    """One kind of NPU of the scenario.

    Attributes:
        machine: As the engine sees it.
        count: How many there are.
        menus: Per tenant, its model at every batch size, ascending.
    """

    machine: MachineSpec
    count: int
    menus: Menus


class RowRoom:
    """Counts the rows of all tenants' models, at every batch size and on every NPU, while they are made."""

    def __init__(self) -> None:
        self._left = MAX_ROWS

    def take(self, rows: int, where: str) -> None:
        """Count some rows.

        Raises:
            ScenarioError: If there is no more room for them.
        """
        self._left -= rows
        if self._left < 0:
            raise ScenarioError(
                f"the models of all tenants have more than {MAX_ROWS:,} rows, batch sizes and NPUs counted",
                where=where,
                accepted="give fewer or smaller models, batch sizes or kinds of NPUs",
            )


Menus = tuple[tuple[ModelProfile, ...], ...]
"""Per tenant, its model at every batch size, ascending."""


def largest_table(menu: Sequence[ModelProfile]) -> CostTable:
    """A tenant's model at the batch size that needs most of the activation buffer."""
    return max((profile.table for profile in menu), key=lambda table: table.peak_activation_bytes)


def tenant_menus(
    scenario: Scenario,
    machine: MachineSpec,
    profiles: Mapping[str, Profile],
    compiled: Profile | None,
    *,
    keys: Mapping[int, str],
    stand_ins: Mapping[int, ModelProfile],
    room: RowRoom,
) -> list[tuple[ModelProfile, ...]]:
    """Every tenant's models on one NPU, before the activation buffer is divided.

    Args:
        scenario: The scenario.
        machine: The NPU.
        profiles: Loaded schedule profiles by the path that the scenario gives.
        compiled: What was compiled for this NPU, if anything had to be.
        keys: Per tenant index, its entry in ``compiled``.
        stand_ins: What stands for a request of those tenants that are language models.
        room: Room for rows, of which they take theirs.

    Raises:
        ScenarioError: If an entry, batch size or cost table is missing, or
            there are more rows than there is room for.
    """
    menus: list[tuple[ModelProfile, ...]] = []
    for index, tenant in enumerate(scenario.spec.tenants):
        ref, sizes = tenant.model, tenant.batch_sizes()
        where = scenario.where("tenants", index, "model")
        if index in stand_ins:
            menus.append((stand_ins[index],))
            continue
        if isinstance(ref, CostsRef):
            menu = _from_costs(scenario, tenant, machine, where, room)
        elif isinstance(ref, ProfileRef):
            with scenario.place("tenants", index, "model", file=ref.profile):
                menu = _from_profile(profiles[ref.profile], ref, tenant, where)
        else:
            sizes = tenant.batch_sizes()
            menu = tuple(compiled.find(keys[index], size) for size in sizes) if compiled else ()
        if not isinstance(ref, CostsRef):
            room.take(sum(profile.table.rows for profile in menu), where)
        if isinstance(tenant.arrival, MultiStreamSpec):
            menu = _multi_stream(menu, tenant.arrival, where, room)
        menus.append(menu)
    return menus


def _from_profile(
    profile: Profile, ref: ProfileRef, tenant: TenantSpec, where: str
) -> tuple[ModelProfile, ...]:
    entry = ref.entry
    if entry is None:
        if len(profile.names) != 1:
            raise ScenarioError(
                f"{ref.profile} has several entries",
                where=where,
                accepted=f"entry: {', '.join(profile.names)}",
            )
        entry = profile.names[0]
    sizes, compiled = tenant.batch_sizes(), profile.batches(entry)
    if isinstance(tenant.batch, BatchSpec) and not tenant.auto_batch and tenant.batch.sizes is None:
        sizes = (*(size for size in compiled if size < tenant.batch.max), tenant.batch.max)
    missing = sorted(set(sizes) - set(compiled))
    if missing and tenant.auto_batch:
        raise ScenarioError(
            f"entry {entry!r} of {ref.profile} lacks batch {', '.join(map(str, missing))}, which auto wants",
            where=where,
            accepted=f"compile it with --batch {','.join(map(str, sizes))}, or give a smaller max",
        )
    return tuple(profile.find(entry, size) for size in sizes)


def _from_costs(
    scenario: Scenario, tenant: TenantSpec, machine: MachineSpec, where: str, room: RowRoom
) -> tuple[ModelProfile, ...]:
    ref, sizes = tenant.model, tenant.batch_sizes()
    assert isinstance(ref, CostsRef)
    if isinstance(ref.costs, str) and len(sizes) > 1:
        tables = ", ".join(f"{size}: FILE" for size in sizes)
        raise ScenarioError(
            f"one cost table is of one batch size, and this batch runs at {', '.join(map(str, sizes))}",
            where=where,
            accepted=f"costs: {{{tables}}}, or sizes: [{sizes[-1]}] in batch if the table is of {sizes[-1]}",
        )
    files = {str(sizes[0]): ref.costs} if isinstance(ref.costs, str) else ref.costs
    menu = []
    for size in sizes:
        if str(size) not in files:
            raise ScenarioError(
                f"no cost table for batch {size}", where=where, accepted=f"costs: {{{size}: table.csv, ...}}"
            )
        table = load_cost_csv(scenario.path_of(files[str(size)]), machine, model=tenant.name, batch=size)
        room.take(table.rows, where)
        menu.append(ModelProfile(tenant.name, table, build_offline(table)))
    return tuple(menu)


def _multi_stream(
    menu: tuple[ModelProfile, ...], arrival: MultiStreamSpec, where: str, room: RowRoom
) -> tuple[ModelProfile, ...]:
    """A query of several samples as one request: its samples one batch after the other."""
    largest = menu[-1].table.batch
    rest = arrival.samples % largest
    parts = [menu[-1].table] * (arrival.samples // largest)
    if rest:
        parts.append(next(profile.table for profile in menu if profile.table.batch >= rest))
    room.take(sum(part.rows for part in parts), where)
    table = _joined(parts)
    return (ModelProfile(menu[0].entry, table, build_offline(table)),)


def _joined(parts: list[CostTable]) -> CostTable:
    names = parts[0].layer_names
    layer_index = np.concatenate([part.layer_index + len(names) * place for place, part in enumerate(parts)])
    energy = [part.energy_pj for part in parts]
    every_name = tuple(f"{name}#{place}" for place, part in enumerate(parts) for name in part.layer_names)
    return replace(
        parts[0],
        batch=1,
        compute_cycles=np.concatenate([part.compute_cycles for part in parts]),
        dram_bytes=np.concatenate([part.dram_bytes for part in parts]),
        weight_bytes=np.concatenate([part.weight_bytes for part in parts]),
        live_bytes=np.concatenate([part.live_bytes for part in parts]),
        layer_index=layer_index,
        layer_names=every_name,
        spills=one_behind_the_other([part.spills for part in parts]),
        latency=one_behind_the_other([part.latency for part in parts]),
        energy_pj=None if None in energy else sum(part or 0 for part in energy),
    )
