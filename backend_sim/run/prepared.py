"""A scenario whose models are compiled: NPUs, tenants with their profiles, and sources of requests."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from layerweaver.backend_sim.engine.input import BatchRule, TenantLoad
from layerweaver.backend_sim.run.decoders import DecoderModel
from layerweaver.backend_sim.run.groups import Group, group_documents
from layerweaver.backend_sim.run.mean_request import least_work
from layerweaver.backend_sim.run.sharing import sharing_notes, unheard_notes
from layerweaver.backend_sim.run.token_requests import TokenRequests, token_requests
from layerweaver.backend_sim.run.variants import Menus, Npu
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest, make_source
from layerweaver.backend_sim.scenario.model_refs import CostsRef
from layerweaver.backend_sim.scenario.provenance import (
    HASHES,
    PLUGINS,
    SKIPPING,
    file_hash,
    scenario_record,
)
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.scenario.schema import BatchSpec, TenantSpec
from layerweaver.backend_sim.traffic.loops import MultiStreamSpec
from layerweaver.backend_sim.traffic.source import Source
from layerweaver.costmodel import NpuConfig
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.ir.clock import seconds_to_ns_nearest
from layerweaver.ir.plugin_hashes import plugin_record
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.policies.contract import Policy
from layerweaver.scheduler.policies.registry import ENTRY_POINT_GROUP as POLICIES

__all__ = ["PreparedScenario"]


@dataclass(frozen=True, eq=False)
class PreparedScenario:
    """A scenario with all models compiled; runs with other seeds, rates or policies need nothing more.

    Attributes:
        scenario: The scenario.
        npus: Its NPUs by kind; one kind with count 1 unless it has a pool.
        warnings: What importing had to assume, and what the scenario probably does not mean.
        decoders: Per tenant, the language model that it is; None for others.
        configs: The configs of its NPUs, as far as there are any.
        chosen: What was chosen where the scenario leaves it open.
    """

    scenario: Scenario
    npus: tuple[Npu, ...]
    warnings: tuple[str, ...] = ()
    decoders: tuple[DecoderModel | None, ...] = ()
    configs: tuple[NpuConfig, ...] = ()
    chosen: tuple[str, ...] = ()

    @cached_property
    def machines(self) -> tuple[tuple[MachineSpec, Menus], ...]:
        """Every single NPU: its machine and the tenants' menus on it."""
        return tuple((npu.machine, npu.menus) for npu in self.npus for _ in range(npu.count))

    @cached_property
    def bound_menus(self) -> list[Menus]:
        """By kind of NPU, the menus that bound rates: language models by the least work of a request."""
        least = {
            index: (least_work(model.stand_in, model.mean),)
            for index, model in enumerate(self.decoders)
            if model is not None
        }
        return [tuple(least.get(index, menu) for index, menu in enumerate(npu.menus)) for npu in self.npus]

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What was asked for and does not show in the numbers, or shows in them unexplained."""
        names = [tenant.name for tenant in self.scenario.spec.tenants]
        own = [one.name for one in self.scenario.spec.tenants if isinstance(one.model, CostsRef)]
        unheard = unheard_notes(self.npus, self.configs, names, own)
        stated = (
            f"tenant {name!r} has the lengths that the scenario states: its trace's tokens are ignored"
            for name, model in zip(names, self.decoders, strict=False)
            if model is not None and model.first_requests.ignored
        )
        return (*self.scenario.notes, *self.chosen, *stated, *sharing_notes(self.npus, names), *unheard)

    @property
    def npu_name(self) -> str:
        """Name of the NPU, or of all kinds in the pool with their numbers."""
        if len(self.machines) == 1:
            return self.npus[0].machine.name
        return " + ".join(f"{npu.count} x {npu.machine.name}" for npu in self.npus)

    @cached_property
    def groups(self) -> list[Group]:
        """The static woven schedules of the declared groups (:func:`group_documents`)."""
        names = [tenant.name for tenant in self.scenario.spec.tenants]
        return group_documents(self.npus, self.scenario.group_indices, names)

    @cached_property
    def stated(self) -> dict[str, object]:
        """The scenario as results state it, whatever policy runs (:func:`scenario_record`)."""
        return scenario_record(self.scenario, self.configs)

    def record(self, policy: Policy) -> dict[str, object]:
        """The scenario as results state it, with the policy that ran (:func:`scenario_record`)."""
        record, name = self.stated, policy.name
        files = {os.path.relpath(file, self.scenario.folder): file_hash(file) for file in policy.files}
        if files:
            name = next(iter(files))
        hashes = {**cast("dict[str, object]", record[HASHES]), **files}
        skipping = {SKIPPING: True} if self.scenario.skip_bad_rows else {}
        added = plugin_record({POLICIES: (policy.name,)}) if policy.file is None else {}
        plugins = {**cast("dict[str, object]", record.get(PLUGINS, {})), **added}
        return {
            **record,
            "policy": {"name": name, **policy.as_options()},
            **skipping,
            HASHES: hashes,
            **({PLUGINS: plugins} if plugins else {}),
        }

    def standalone_s(self, index: int) -> float:
        """Cold makespan of one request of a tenant alone, on the pool's fastest NPU for it, in seconds."""
        return min(npu.menus[index][0].standalone_cycles / npu.machine.clock_hz for npu in self.npus)

    def request_share(self, index: int) -> float:
        """How much of its smallest batch one request is: below 1 if the model only runs in larger ones."""
        return 1 / self.npus[0].menus[index][0].table.batch

    def tenant_load(self, index: int, menus: Menus, source: Any) -> TenantLoad:
        """One tenant as the engine sees it, with its requests from ``source``."""
        tenant = self.scenario.spec.tenants[index]
        decoder = self.decoders[index]
        if decoder is not None:
            return TenantLoad(
                name=tenant.name,
                profiles=menus[index],
                source=None,
                priority=tenant.priority,
                decoder=decoder.load(source),
            )
        return TenantLoad(
            name=tenant.name,
            profiles=menus[index],
            source=source,
            batching=_batch_rule(tenant, menus[index]),
            deadline_ns=self.scenario.deadline_ns(index),
            priority=tenant.priority,
            queue_limit=tenant.queue.limit,
            drop_hopeless=tenant.queue.drop_hopeless,
            timeout_ns=None if tenant.queue.timeout_ms is None else round(tenant.queue.timeout_ms * 1e6),
        )

    def warmup_ns(self, request: TrafficRequest) -> int:
        """How long the warm-up is; 0 if the number of queries is set instead, all of which count."""
        return 0 if request.queries is not None else seconds_to_ns_nearest(self.scenario.spec.warmup_s)

    def cooldown_ns(self, request: TrafficRequest) -> int | None:
        """When the cool-down begins; None if there is none, or the number of queries is set instead."""
        spec = self.scenario.spec
        if not spec.cooldown_s or spec.duration_s is None or request.queries is not None:
            return None
        return seconds_to_ns_nearest(spec.duration_s) - seconds_to_ns_nearest(spec.cooldown_s)

    def sources(self, request: TrafficRequest) -> list[Source | TokenRequests]:
        """A fresh source of requests per tenant: a stream of times, a loop, or requests with lengths."""
        return [
            self._token_requests(index, decoder, request)
            if decoder is not None
            else make_source(self.scenario, index, request)
            for index, decoder in enumerate(self.decoders)
        ]

    def _token_requests(self, index: int, decoder: DecoderModel, request: TrafficRequest) -> TokenRequests:
        if request == TrafficRequest():
            return decoder.first_requests
        return token_requests(self.scenario, index, request)


def _batch_rule(tenant: TenantSpec, menu: tuple[ModelProfile, ...]) -> BatchRule:
    if not isinstance(tenant.batch, BatchSpec) or isinstance(tenant.arrival, MultiStreamSpec):
        return BatchRule(sizes=(menu[0].table.batch,))
    return BatchRule(
        sizes=tuple(profile.table.batch for profile in menu),
        delay_ns=seconds_to_ns_nearest(tenant.batch.delay_ms / 1e3),
        preferred=tuple(sorted(set(tenant.batch.preferred))),
        auto=tenant.batch.auto,
    )
