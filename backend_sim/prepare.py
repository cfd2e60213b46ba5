"""From a scenario to what the engine runs: NPUs, tenants with their profiles, and sources of requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from layerweaver.backend_sim.arrival_models import MultiStreamSpec
from layerweaver.backend_sim.cost_csv import read_cost_csv
from layerweaver.backend_sim.load import BatchRule, TenantLoad
from layerweaver.backend_sim.scenario import Scenario
from layerweaver.backend_sim.scenario_models import BatchSpec, CostsRef, ProfileRef, TenantSpec
from layerweaver.backend_sim.scenario_values import ns
from layerweaver.backend_sim.sources import TrafficRequest, make_source
from layerweaver.costmodel import NpuConfig, load_npu, npu_names, share_activation_buffer
from layerweaver.costmodel.table import CostTable, MachineSpec
from layerweaver.ir import ScenarioError
from layerweaver.scheduler.compiler import ModelRequest, compile_models
from layerweaver.scheduler.offline import ModelProfile, build_offline
from layerweaver.scheduler.profile import Profile, load_profile

__all__ = ["Npu", "PreparedScenario", "prepare"]

Menus = tuple[tuple[ModelProfile, ...], ...]
Tell = Callable[[float, str], None]


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


@dataclass(frozen=True, eq=False)
class PreparedScenario:
    """A scenario with all models compiled; runs with other seeds, rates or policies need nothing more.

    Attributes:
        scenario: The scenario.
        npus: Its NPUs by kind; one kind with count 1 unless it has a pool.
        warnings: What importing had to assume, and what the scenario probably does not mean.
    """

    scenario: Scenario
    npus: tuple[Npu, ...]
    warnings: tuple[str, ...] = ()

    @cached_property
    def machines(self) -> tuple[tuple[MachineSpec, Menus], ...]:
        """Every single NPU: its machine and the tenants' menus on it."""
        return tuple((npu.machine, npu.menus) for npu in self.npus for _ in range(npu.count))

    @property
    def npu_name(self) -> str:
        """Name of the NPU, or of all kinds in the pool with their numbers."""
        if len(self.machines) == 1:
            return self.npus[0].machine.name
        return " + ".join(f"{npu.count} x {npu.machine.name}" for npu in self.npus)

    def standalone_s(self, index: int) -> float:
        """Cold makespan of one request of a tenant alone, on the pool's fastest NPU for it, in seconds."""
        return min(npu.menus[index][0].standalone_cycles / npu.machine.clock_hz for npu in self.npus)

    def request_share(self, index: int) -> float:
        """How much of its smallest batch one request is: below 1 if the model only runs in larger ones."""
        return 1 / self.npus[0].menus[index][0].table.batch

    def tenant_load(self, index: int, menus: Menus, source: Any) -> TenantLoad:
        """One tenant as the engine sees it, with its requests from ``source``."""
        tenant = self.scenario.spec.tenants[index]
        return TenantLoad(
            name=tenant.name,
            profiles=menus[index],
            source=source,
            batching=_batch_rule(tenant, menus[index]),
            deadline_ns=self.scenario.deadline_ns(index),
            priority=tenant.priority,
            queue_limit=tenant.queue.limit,
            drop_hopeless=tenant.queue.drop_hopeless,
        )

    def sources(self, request: TrafficRequest) -> list[Any]:
        """A fresh source of requests per tenant: a stream of times, or a loop."""
        return [
            make_source(self.scenario, index, request) for index in range(len(self.scenario.spec.tenants))
        ]


def _batch_rule(tenant: TenantSpec, menu: tuple[ModelProfile, ...]) -> BatchRule:
    if not isinstance(tenant.batch, BatchSpec) or isinstance(tenant.arrival, MultiStreamSpec):
        return BatchRule(sizes=(menu[0].table.batch,))
    return BatchRule(
        sizes=tuple(profile.table.batch for profile in menu),
        delay_ns=ns(tenant.batch.delay_ms / 1e3),
        preferred=tuple(sorted(set(tenant.batch.preferred))),
    )


def prepare(scenario: Scenario, *, progress: Tell | None = None) -> PreparedScenario:
    """Compile or load every tenant's model for every NPU of the scenario.

    Args:
        scenario: The scenario.
        progress: Told the share done and what is being done.

    Raises:
        LayerweaverError: If an NPU, a model, a profile or a cost table is wrong.
    """
    profiles = _load_profiles(scenario)
    kinds = _npu_kinds(scenario, profiles)
    requests, keys = _model_requests(scenario)
    npus, warnings = [], dict.fromkeys(scenario.warnings)
    for config, machine, count in kinds:
        compiled = _compiled(scenario, requests, config, progress)
        if compiled is not None:
            warnings.update(dict.fromkeys(compiled.warnings))
        menus = _menus(scenario, machine, profiles, compiled, keys)
        npus.append(Npu(machine, count, _shared(menus)))
    return PreparedScenario(scenario, tuple(npus), tuple(warnings))


def _load_profiles(scenario: Scenario) -> dict[str, Profile]:
    paths = (
        ref.profile
        for ref in (tenant.model_ref() for tenant in scenario.spec.tenants)
        if isinstance(ref, ProfileRef)
    )
    return {path: load_profile(scenario.path_of(path)) for path in dict.fromkeys(paths)}


def _npu_kinds(
    scenario: Scenario, profiles: Mapping[str, Profile]
) -> list[tuple[NpuConfig | None, MachineSpec, int]]:
    spec = scenario.spec
    if spec.npu is None and spec.pool is None:
        return [(None, next(iter(profiles.values())).machine, 1)]
    wanted = (
        [(spec.npu, 1)]
        if spec.npu is not None
        else [(member.npu, member.count) for member in spec.pool or []]
    )
    kinds: list[tuple[NpuConfig | None, MachineSpec, int]] = []
    for npu, count in wanted:
        if isinstance(npu, str) and npu not in npu_names() and ("/" in npu or Path(npu).suffix):
            config = load_npu(scenario.path_of(npu))
        else:
            config = load_npu(npu or "")
        kinds.append((config, config.machine(), count))
    return kinds


def _sizes(tenant: TenantSpec) -> tuple[int, ...]:
    """Batch sizes that need a profile; an ordinary number is the one size that runs."""
    if isinstance(tenant.batch, BatchSpec):
        return tenant.batch.profile_sizes()
    return (tenant.batch,)


def _compiled(
    scenario: Scenario, requests: list[ModelRequest], config: NpuConfig | None, progress: Tell | None
) -> Profile | None:
    if not requests:
        return None
    if config is None:
        raise ScenarioError(
            "has models to compile but no NPU", where=scenario.source.source, accepted="give npu"
        )
    return compile_models(requests, config, progress=progress)


def _menus(
    scenario: Scenario,
    machine: MachineSpec,
    profiles: Mapping[str, Profile],
    compiled: Profile | None,
    keys: Mapping[int, str],
) -> list[tuple[ModelProfile, ...]]:
    menus = []
    for index, tenant in enumerate(scenario.spec.tenants):
        ref, sizes = tenant.model_ref(), _sizes(tenant)
        where = scenario.where("tenants", index, "model")
        if isinstance(ref, CostsRef):
            menu = _from_costs(scenario, tenant, ref, machine, where)
        elif isinstance(ref, ProfileRef):
            menu = _from_profile(profiles[ref.profile], ref, sizes, machine, where)
        else:
            menu = tuple(compiled.find(keys[index], size) for size in sizes) if compiled else ()
        menus.append(
            _multi_stream(menu, tenant.arrival) if isinstance(tenant.arrival, MultiStreamSpec) else menu
        )
    return menus


def _model_requests(scenario: Scenario) -> tuple[list[ModelRequest], dict[int, str]]:
    """One request per distinct (model, bindings), and each tenant's entry name."""
    entries: dict[tuple[Any, ...], str] = {}
    batches: dict[str, set[int]] = {}
    made: dict[str, tuple[str, TenantSpec]] = {}
    keys: dict[int, str] = {}
    for index, tenant in enumerate(scenario.spec.tenants):
        ref = tenant.model_ref()
        if not isinstance(ref, str):
            continue
        source = ref if ref.startswith("zoo:") else str(scenario.path_of(ref))
        shapes = tuple(sorted((name, tuple(shape)) for name, shape in tenant.shapes.items()))
        key = (source, tuple(sorted(tenant.dims.items())), shapes)
        entry = entries.setdefault(key, tenant.name)
        keys[index] = entry
        batches.setdefault(entry, set()).update(_sizes(tenant))
        made.setdefault(entry, (source, tenant))
    requests = [
        ModelRequest(
            entry=entry,
            source=source,
            batches=tuple(sorted(batches[entry])),
            dims=dict(tenant.dims),
            shapes={name: tuple(shape) for name, shape in tenant.shapes.items()},
        )
        for entry, (source, tenant) in made.items()
    ]
    return requests, keys


def _from_profile(
    profile: Profile, ref: ProfileRef, sizes: tuple[int, ...], machine: MachineSpec, where: str
) -> tuple[ModelProfile, ...]:
    if replace(profile.machine, name="") != replace(machine, name=""):
        raise ScenarioError(
            f"{ref.profile} was compiled for {profile.machine.name}, not for {machine.name}",
            where=where,
            accepted="compile it for the scenario's NPU",
        )
    entry = ref.entry
    if entry is None:
        if len(profile.names) != 1:
            raise ScenarioError(
                f"{ref.profile} has several entries",
                where=where,
                accepted=f"entry: {', '.join(profile.names)}",
            )
        entry = profile.names[0]
    return tuple(profile.find(entry, size) for size in sizes)


def _from_costs(
    scenario: Scenario, tenant: TenantSpec, ref: CostsRef, machine: MachineSpec, where: str
) -> tuple[ModelProfile, ...]:
    sizes = _sizes(tenant)
    files = {str(sizes[0]): ref.costs} if isinstance(ref.costs, str) else ref.costs
    menu = []
    for size in sizes:
        if str(size) not in files:
            raise ScenarioError(
                f"no cost table for batch {size}", where=where, accepted=f"costs: {{{size}: table.csv, ...}}"
            )
        table = read_cost_csv(scenario.path_of(files[str(size)]), machine, model=tenant.name, batch=size)
        menu.append(ModelProfile(tenant.name, table, build_offline(table)))
    return tuple(menu)


def _multi_stream(menu: tuple[ModelProfile, ...], arrival: MultiStreamSpec) -> tuple[ModelProfile, ...]:
    """A query of several samples as one request: its samples one batch after the other."""
    largest = menu[-1].table.batch
    rest = arrival.samples % largest
    parts = [menu[-1].table] * (arrival.samples // largest)
    if rest:
        parts.append(next(profile.table for profile in menu if profile.table.batch >= rest))
    table = _joined(parts)
    return (ModelProfile(menu[0].entry, table, build_offline(table)),)


def _joined(parts: list[CostTable]) -> CostTable:
    names = parts[0].layer_names
    layer_index = np.concatenate([part.layer_index + len(names) * place for place, part in enumerate(parts)])
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
        spills=None,
        energy_pj=None,
    )


def _shared(menus: list[tuple[ModelProfile, ...]]) -> Menus:
    """Divide the activation buffer among the tenants where it does not hold all their live activations."""
    largest = [
        max((profile.table for profile in menu), key=lambda table: table.peak_activation_bytes)
        for menu in menus
    ]
    shared = share_activation_buffer(largest)
    result = []
    for menu, before, after in zip(menus, largest, shared, strict=True):
        budget = after.activation_budget_bytes
        if after is before or budget is None:
            result.append(menu)
            continue
        tables = [profile.table.with_activation_budget(budget) for profile in menu]
        result.append(
            tuple(
                ModelProfile(profile.entry, table, build_offline(table))
                for profile, table in zip(menu, tables, strict=True)
            )
        )
    return tuple(result)
