"""How far every policy is from the true optimum in small random cases of two models.

Run with ``python benchmarks/optimality_gap.py makespans`` or ``in-time``. Makespans: 200 cases of up to eight
rows each, one request of each model at time 0; the optimum is the least makespan over all orders. In time:
100 cases of up to three rows, five requests of each model arriving at random, late after 2, 3 or 5 standalone
times; the optimum is the largest number in time of a solver that knows all arrivals beforehand
(``tests/oracles/optimum.py``), and the bound what the larger benchmarks use instead
(:mod:`layerweaver.scheduler.in_time`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mixes import entrants
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.traffic.source import ClosedLoop, OpenLoop
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.table import CostTable
from layerweaver.scheduler.in_time import Stream, in_time_bound
from layerweaver.scheduler.offline import ModelProfile, build_offline
from layerweaver.scheduler.policies import load_policy, policy_names

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from oracles.optimum import Request, best_makespan, most_in_time

CASES = 200
LATE_CASES = 100
REQUESTS = 5
"""Of each model."""
LOAD = 1.5
"""Standalone times asked for per unit of time."""
MACHINE = MachineSpec.from_rates("small", 10**9, 10**9, 1000)


def random_model(name: str, rng: np.random.Generator, compute_share: float, most: int = 8) -> ModelProfile:
    """Two to ``most`` rows; work is log-uniform, leaning to compute or to memory."""
    rows = int(rng.integers(2, most + 1))
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


@dataclass
class Listed:
    """Arrivals from a list, in nanoseconds."""

    times_ns: NDArray[np.int64]

    def take(self, count: int) -> NDArray[np.int64]:
        taken, self.times_ns = self.times_ns[:count], self.times_ns[count:]
        return taken


def makespans() -> Iterator[str]:
    """Gaps to the least makespan."""
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
    yield "| policy | mean gap | 90th percentile | worst | optimal in |"
    yield "|---|---|---|---|---|"
    for name, found in sorted(gaps.items(), key=lambda item: np.mean(item[1])):
        values = np.array(found)
        yield (
            f"| {name} | {values.mean():.2%} | {np.percentile(values, 90):.2%} | {values.max():.2%} "
            f"| {np.mean(values < 1e-12):.0%} |"
        )


def in_time() -> Iterator[str]:
    """Requests late under every policy, in the clairvoyant optimum, and as the bound has it."""
    rng = np.random.default_rng(2)
    policies = entrants()
    late: dict[str, list[int]] = {name: [] for name in policies}
    least, bounds = [], []
    for _ in range(LATE_CASES):
        models = [random_model("a", rng, 2.0, 3), random_model("b", rng, 0.5, 3)]
        deadlines = [int(rng.choice((2, 3, 5))) * model.standalone_cycles for model in models]
        gaps = [rng.exponential(2 * model.standalone_cycles / LOAD, REQUESTS) for model in models]
        arrivals = [np.cumsum(gap).astype(np.int64) for gap in gaps]
        asked = [
            Request(model, int(start), int(start) + deadline)
            for model, starts, deadline in zip(models, arrivals, deadlines, strict=True)
            for start in starts
        ]
        least.append(len(asked) - most_in_time(asked).value)
        given = zip(models, arrivals, deadlines, strict=True)
        bound = in_time_bound([Stream([model], starts, deadline) for model, starts, deadline in given])
        bounds.append(bound.requests - bound.in_time)
        for name, policy in policies.items():
            tenants = tuple(
                TenantLoad(model.entry, (model,), OpenLoop(Listed(starts)), deadline_ns=deadline)
                for model, starts, deadline in zip(models, arrivals, deadlines, strict=True)
            )
            outcome = run(SimulationInput(MACHINE, tenants), load_policy(policy))
            pairs = zip(outcome.tenants, deadlines, strict=True)
            late[name].append(sum(int(np.sum(tenant.latency_ns > limit)) for tenant, limit in pairs))
    total = 2 * REQUESTS * LATE_CASES
    yield "| policy | late | more than the optimum | as few as the optimum in |"
    yield "|---|---|---|---|"
    yield f"| the bound | {sum(bounds) / total:.1%} | | {np.mean(np.equal(bounds, least)):.0%} |"
    yield f"| the optimum | {sum(least) / total:.1%} | 0 | |"
    for name, found in sorted(late.items(), key=lambda item: sum(item[1])):
        over = (sum(found) - sum(least)) / total
        yield f"| {name} | {sum(found) / total:.1%} | {over:.1%} | {np.mean(np.equal(found, least)):.0%} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("makespans", "in-time"))
    what = parser.parse_args().what
    for line in makespans() if what == "makespans" else in_time():
        print(line)


if __name__ == "__main__":
    main()
