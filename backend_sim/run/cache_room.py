"""Room for the caches of language models: what the DRAM has left, and their share of the on-chip buffers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from layerweaver.backend_sim.run.decoders import DecoderModel
from layerweaver.backend_sim.run.mean_request import stand_in
from layerweaver.backend_sim.run.variants import Menus, largest_table
from layerweaver.backend_sim.scenario.llm_schema import LlmSpec
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.costmodel import NpuConfig
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.ir import ScenarioError
from layerweaver.scheduler.iterations.costed import CostedRows

__all__ = ["with_room"]


def with_room(
    scenario: Scenario, models: Sequence[DecoderModel | None], menus: Menus, config: NpuConfig | None
) -> tuple[DecoderModel | None, ...]:
    """The language models with room for their caches and their share of the activation buffer.

    The DRAM holds the weights of all tenants, the largest live activations of any, and the caches, which
    language models without ``kv.blocks`` share equally.

    Raises:
        ScenarioError: If the DRAM's size is unknown or does not suffice.
    """
    budget = _activation_budgets(menus)
    wanted = [
        index for index, model in enumerate(models) if model is not None and _needs_room(scenario, index)
    ]
    free = _free_bytes(scenario, wanted[0], models, menus, config) // len(wanted) if wanted else 0
    result: list[DecoderModel | None] = []
    for index, model in enumerate(models):
        if model is None:
            result.append(None)
            continue
        spec = scenario.spec.tenants[index].llm or LlmSpec()
        blocks = spec.kv.blocks or _blocks_in(free, scenario, index, model, spec)
        rules = replace(
            model.rules,
            blocks=blocks,
            watermark=int(np.ceil(spec.kv.watermark * blocks)),
            activation_budget=budget[index],
            tile_bytes=_tile_bytes(spec, model.machine),
        )
        roomy = replace(model, rules=rules)
        usual = stand_in(model.stand_in.entry, model.machine, roomy.mean)
        result.append(replace(roomy, stand_in=usual))
    return tuple(result)


def _tile_bytes(spec: LlmSpec, machine: MachineSpec) -> int:
    """A tile of the cache: as stated, or an eighth of the weight buffer; two always fit."""
    most = max(1, machine.weight_buffer_bytes // 2)
    wanted = most // 4 if spec.kv.tile_mb is None else round(spec.kv.tile_mb * 1e6)
    return max(1, min(most, wanted))


def _activation_budgets(menus: Menus) -> list[int | None]:
    """Per tenant, its share of the activation buffer, in proportion where not all fits."""
    tables = [largest_table(menu) for menu in menus]
    total = tables[0].machine.activation_buffer_bytes
    if total is None:
        return [None] * len(tables)
    peaks = [table.peak_activation_bytes for table in tables]
    if sum(peaks) <= total:
        return [total] * len(tables)
    return [total * peak // sum(peaks) for peak in peaks]


def _needs_room(scenario: Scenario, index: int) -> bool:
    spec = scenario.spec.tenants[index].llm
    return spec is None or spec.kv.blocks is None


def _free_bytes(
    scenario: Scenario,
    index: int,
    models: Sequence[DecoderModel | None],
    menus: Menus,
    config: NpuConfig | None,
) -> int:
    """Bytes of DRAM that weights and activations leave."""
    usable = None if config is None else config.dram.usable_bytes
    if usable is None:
        raise ScenarioError(
            "the room for the cache is unknown: the NPU does not state the size of its DRAM",
            where=scenario.where("tenants", index, "llm"),
            accepted="give dram.capacity_gb in the NPU config, or kv: {blocks: ...}",
        )
    weights, live = 0, 0
    for model, menu in zip(models, menus, strict=True):
        costs = None if model is None else model.costs
        live = max(live, largest_table(menu).peak_activation_bytes)
        if isinstance(costs, CostedRows):
            weights += costs.parameter_bytes
        else:
            weights += int(menu[0].table.weight_bytes.sum())
    free = usable - weights - live
    if free <= 0:
        raise ScenarioError(
            f"the models do not fit the DRAM: weights take {weights / 1e9:.4g} GB and activations "
            f"{live / 1e9:.4g} GB of {usable / 1e9:.4g} GB, {-free / 1e9:.4g} GB too much",
            where=scenario.where("tenants", index, "model"),
            accepted="give a larger dram.capacity_gb, smaller weights or fewer tenants",
        )
    return free


def _blocks_in(free: int, scenario: Scenario, index: int, model: DecoderModel, spec: LlmSpec) -> int:
    assert isinstance(model.costs, CostedRows)
    blocks = free * 8 // (spec.kv.block * model.costs.cache_bits)
    if blocks < 1:
        raise ScenarioError(
            f"the DRAM has {free / 1e6:.4g} MB left for the cache, less than one block",
            where=scenario.where("tenants", index, "llm"),
            accepted="give a larger dram.capacity_gb, or smaller blocks",
        )
    return blocks
