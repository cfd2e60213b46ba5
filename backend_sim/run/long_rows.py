"""Rows of language models that take longer than another tenant can wait: computes are never interrupted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from layerweaver.backend_sim.llm.cold import iteration_sums
from layerweaver.backend_sim.run.decoders import DecoderModel
from layerweaver.backend_sim.run.mean_request import sizes_of
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.ir.text import figure
from layerweaver.scheduler.iterations.timings import Timings
from layerweaver.scheduler.offline import ModelProfile

__all__ = ["long_row_warnings"]


def long_row_warnings(
    scenario: Scenario, models: Sequence[DecoderModel | None], menus: Sequence[tuple[ModelProfile, ...]]
) -> Iterator[str]:
    """One sentence per language model whose longest row exceeds what some tenant has to spare.

    The row is that of an iteration full of prompts as long as the mean; what a tenant has to spare is its
    deadline less its time alone.
    """
    spare = [
        (deadline_ns - menu[0].standalone_cycles * 1e9 / menu[0].table.machine.clock_hz, tenant.name)
        for index, (tenant, menu) in enumerate(zip(scenario.spec.tenants, menus, strict=True))
        if not tenant.is_llm and (deadline_ns := scenario.deadline_ns(index)) is not None
    ]
    if not spare:
        return
    spare_ns, waiting = min(spare)
    for model, tenant in zip(models, scenario.spec.tenants, strict=True):
        if model is None:
            continue
        mean = model.mean
        _, _, _, chunk, beside, _ = sizes_of(mean)
        tiles = iteration_sums(mean, model.machine, [(chunk, 0, 1, beside)])[0, 4]
        row_ns = int(tiles.max()) * 1e9 / model.machine.clock_hz
        if row_ns <= spare_ns:
            continue
        what = "an iteration"
        if not isinstance(model.costs, Timings):
            what = f"row {model.costs.layer_names[int(np.argmax(tiles))]}"
        yield (
            f"{tenant.name}: {what} takes {figure(row_ns / 1e6)} ms with {chunk * beside:,} tokens, and "
            f"{waiting} can wait {figure(max(0.0, spare_ns) / 1e6)} ms; a smaller llm.max_batched_tokens or "
            "llm.long_prefill_threshold makes rows shorter"
        )
