"""What a decision costs: Layerweaver's rule, for 2, 4, 8 and 16 tenants.

Run with ``python benchmarks/decision_cost.py``. Tenants always have work, so every decision is contested by
all of them. It prints CPU time per scheduled row, engine included; the engine's own work is seen by replaying
the same schedule without deciding (``static-weave``), and the difference to the direct rule is what deciding
alone costs. Both runs execute the same rows at the same times. The order is prepared before the clock starts.
The paper reports 15 layers per microsecond for two models on one core.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.engine.outcome import SimulationOutcome
from layerweaver.backend_sim.study.reproduce.hpca21 import (
    MODELS,
    paper_ratio_profile,
    published_memory_over_compute,
)
from layerweaver.backend_sim.traffic.source import Saturated
from layerweaver.costmodel import load_npu
from layerweaver.scheduler.compile.sources import load_graph
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.policies import Policy, load_policy

NAMES = ("RN", "BB", "MN", "BL")
COUNTS = (2, 4, 8, 16)
REPEATS = 5
ROUNDS = 1500


def timed(policy: Policy, models: Sequence[ModelProfile]) -> tuple[float, SimulationOutcome]:
    """Least CPU time of several runs, and the outcome."""
    machine = models[0].table.machine
    duration_ns = ROUNDS * models[0].standalone_cycles * 10**9 // machine.clock_hz
    best, outcomes = np.inf, []
    for _ in range(REPEATS + 1):
        tenants = tuple(
            TenantLoad(f"{model.entry}{index}", (model,), Saturated(duration_ns=duration_ns))
            for index, model in enumerate(models)
        )
        started = time.process_time()
        outcomes.append(run(SimulationInput(machine, tenants), policy))
        best = min(best, time.process_time() - started)
    return best, outcomes[-1]


def prepared(name: str, models: Sequence[ModelProfile]) -> Policy:
    """A policy whose tables exist already."""
    policy = load_policy(name)
    if policy.spec.prepare is None:
        return policy
    tables = policy.spec.prepare([[model] for model in models])
    return replace(policy, spec=replace(policy.spec, prepare=lambda *_: tables))


def main() -> None:
    machine, ratios = load_npu("memory-centric").machine(), published_memory_over_compute("single")
    models = [
        paper_ratio_profile(name, load_graph(MODELS[name][0], dims=MODELS[name][1]), machine, ratios[name], 1)
        for name in NAMES
    ]
    print("tenants  direct ns/row  replayed ns/row  deciding alone")
    for count in COUNTS:
        chosen = [models[index % len(models)] for index in range(count)]
        ways = [prepared(name, chosen) for name in ("layerweaver", "static-weave")]
        (direct_s, direct), (replay_s, replay) = [timed(way, chosen) for way in ways]
        if direct.end_cycles != replay.end_cycles:
            raise SystemExit("the two runs differ")
        rows = direct.layers_executed
        costs = [f"{1e9 * seconds / rows:13.1f}" for seconds in (direct_s, replay_s)]
        alone = 1e9 * (direct_s - replay_s) / rows
        print(f"{count:7d}  {'  '.join(costs)}  {alone:14.1f}")


if __name__ == "__main__":
    main()
