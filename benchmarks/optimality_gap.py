"""How far every policy is from the true optimum: 200 random cases of two models with up to eight rows each.

Run with ``python benchmarks/optimality_gap.py``. One request of each model arrives at time 0; the optimum is
the least makespan over all orders (:mod:`layerweaver.scheduler.optimum`).
"""

from __future__ import annotations

import numpy as np

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.traffic.source import ClosedLoop
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.table import CostTable
from layerweaver.scheduler.offline import ModelProfile, build_offline
from layerweaver.scheduler.optimum import best_makespan
from layerweaver.scheduler.policies import load_policy, policy_names

CASES = 200
MACHINE = MachineSpec.from_rates("small", 10**9, 10**9, 1000)


def random_model(name: str, rng: np.random.Generator, compute_share: float) -> ModelProfile:
    """Up to eight rows; work is log-uniform, leaning to compute or to memory."""
    rows = int(rng.integers(2, 9))
    compute = np.exp(rng.uniform(0, np.log(600), rows) + np.log(compute_share)).astype(np.int64)
    memory = np.minimum(1000, np.exp(rng.uniform(0, np.log(600), rows) - np.log(compute_share))).astype(
        np.int64
    )
    table = CostTable(
        model=name,
        batch=1,
        machine=MACHINE,
        compute_cycles=compute,
        dram_bytes=memory,
        weight_bytes=memory,
        live_bytes=np.zeros(rows, np.int64),
        layer_index=np.arange(rows),
        layer_names=tuple(str(row) for row in range(rows)),
    )
    return ModelProfile(name, table, build_offline(table))


def main() -> None:
    rng = np.random.default_rng(1)
    gaps: dict[str, list[float]] = {name: [] for name in policy_names()}
    for _ in range(CASES):
        models = [random_model("a", rng, 2.0), random_model("b", rng, 0.5)]
        best = best_makespan(models).value
        for name, found in gaps.items():
            tenants = tuple(
                TenantLoad(
                    model.entry,
                    (model,),
                    ClosedLoop(1, max_queries=1, min_queries=1),
                    deadline_ns=10 * model.standalone_cycles,
                )
                for model in models
            )
            outcome = run(SimulationInput(MACHINE, tenants), load_policy(name))
            found.append(outcome.end_cycles / best - 1)
    print("policy, mean gap, 90th percentile, worst, optimal in")
    for name, found in sorted(gaps.items(), key=lambda item: np.mean(item[1])):
        values = np.array(found)
        print(
            f"{name:20s} {values.mean():7.2%} {np.percentile(values, 90):7.2%} {values.max():7.2%} "
            f"{np.mean(values < 1e-12):5.0%}"
        )


if __name__ == "__main__":
    main()
