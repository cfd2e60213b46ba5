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
from layerweaver.ir.text import figure
from layerweaver.scheduler.iterations.costed import CostedRows

__all__ = ["with_room"]


def with_room(
    scenario: Scenario, models: Sequence[DecoderModel | None], menus: Menus, config: NpuConfig | None
) -> tuple[DecoderModel | None, ...]:
    """The language models with room for their caches and their share of the activation buffer.

    The DRAM holds the weights of all tenants, the largest live activations of any, and the caches, which
    language models without ``kv.blocks`` share equally after the stated ones. Where all blocks are stated,
    weights and caches must fit the whole DRAM, whatever share ``dram.utilization`` leaves to them.

    Raises:
        ScenarioError: If the DRAM's size is unknown, where blocks are not stated, or does not suffice.
    """
    _check_stated(scenario, models, menus, config)
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


def _check_stated(
    scenario: Scenario, models: Sequence[DecoderModel | None], menus: Menus, config: NpuConfig | None
) -> None:
    """Refuse weights and stated caches that a DRAM of known size cannot hold."""
    if config is None or config.dram.capacity_gb is None:
        return
    weights, stated = _weight_bytes(models, menus), _stated_bytes(scenario, models)
    lacks = weights + stated - int(config.dram.capacity_gb * 1e9)
    if stated and lacks > 0:
        first = next(index for index, model in enumerate(models) if _cache_bytes(scenario, index, model))
        raise ScenarioError(
            f"the stated blocks do not fit the DRAM: they take {_gb(stated)} and all weights "
            f"{_gb(weights)} of {_gb(config.dram.capacity_gb * 1e9)}, {_gb(lacks)} too much",
            where=scenario.where("tenants", first, "llm"),
            accepted="give fewer kv.blocks, a larger dram.capacity_gb or a smaller model",
        )


def _weight_bytes(models: Sequence[DecoderModel | None], menus: Menus) -> int:
    """Bytes of all tenants' weights."""
    return sum(
        model.costs.parameter_bytes
        if model is not None and isinstance(model.costs, CostedRows)
        else int(menu[0].table.weight_bytes.sum())
        for model, menu in zip(models, menus, strict=True)
    )


def _stated_bytes(scenario: Scenario, models: Sequence[DecoderModel | None]) -> int:
    """Bytes of all caches whose blocks are stated."""
    return sum(_cache_bytes(scenario, index, model) for index, model in enumerate(models))


def _cache_bytes(scenario: Scenario, index: int, model: DecoderModel | None) -> int:
    """Bytes of a cache whose blocks are stated; 0 for others, and for models of times, which have no rows."""
    spec = scenario.spec.tenants[index].llm
    if model is None or spec is None or spec.kv.blocks is None or not isinstance(model.costs, CostedRows):
        return 0
    return -(-spec.kv.blocks * spec.kv.block * model.costs.cache_bits // 8)


def _free_bytes(
    scenario: Scenario,
    index: int,
    models: Sequence[DecoderModel | None],
    menus: Menus,
    config: NpuConfig | None,
) -> int:
    """Bytes of DRAM that weights, activations and stated caches leave."""
    usable = None if config is None else config.dram.usable_bytes
    if usable is None:
        raise ScenarioError(
            "the room for the cache is unknown: the NPU does not state the size of its DRAM",
            where=scenario.where("tenants", index, "llm"),
            accepted="give dram.capacity_gb in the NPU config, or kv: {blocks: ...}",
        )
    weights, stated = _weight_bytes(models, menus), _stated_bytes(scenario, models)
    live = max(largest_table(menu).peak_activation_bytes for menu in menus)
    free = usable - weights - live - stated
    if free <= 0:
        raise ScenarioError(
            f"the models do not fit the DRAM: weights take {_gb(weights)}, activations "
            f"{_gb(live)} and stated caches {_gb(stated)} of {_gb(usable)}, "
            f"{_gb(-free)} too much",
            where=scenario.where("tenants", index, "model"),
            accepted="give a larger dram.capacity_gb, smaller weights or fewer tenants",
        )
    return free


def _blocks_in(free: int, scenario: Scenario, index: int, model: DecoderModel, spec: LlmSpec) -> int:
    assert isinstance(model.costs, CostedRows)
    blocks = free * 8 // (spec.kv.block * model.costs.cache_bits)
    if blocks < 1:
        raise ScenarioError(
            f"the DRAM has {figure(free / 1e6, 4)} MB left for the cache, less than one block",
            where=scenario.where("tenants", index, "llm"),
            accepted="give a larger dram.capacity_gb, or smaller blocks",
        )
    return blocks


def _gb(held_bytes: float) -> str:
    return f"{figure(held_bytes / 1e9, 4)} GB"
