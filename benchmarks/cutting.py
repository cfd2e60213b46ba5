"""What cutting long rows does to the mixes of the comparison, on our own costs.

Run with ``python benchmarks/cutting.py [POLICY ...]``: for every mix and deadline the peak rate with whole
rows and with ``longest_us: auto`` for every tenant, over the same traffic. Tenants are the mixes' models
by our cost model on the memory-centric NPU; nothing cuts the stated costs of the mixes on the paper's ratios.
"""

from __future__ import annotations

import itertools
import statistics
import sys
from typing import Any

from mixes import FACTORS, FOURS, NPU, PAIRS

from layerweaver.backend_sim.study.peak.peak import search_one
from layerweaver.backend_sim.study.peak.plan import plan_peak
from layerweaver.backend_sim.study.reproduce.hpca21 import MODELS
from layerweaver.scheduler.bounds import mix_bound
from layerweaver.scheduler.compile.compiler import ModelRequest, compile_models

POLICIES = ("edf", "layerweaver+", "slackweave+")
QUERIES, SEEDS, RESOLUTION = 20_000, 3, 0.001


def scenario(mix: str, factor: int, longest_us: str | None) -> dict[str, Any]:
    """Poisson tenants with equal shares of standalone time at half the bound of whole rows."""
    names = mix.split("+")
    requests = [ModelRequest(name, MODELS[name][0], dims=MODELS[name][1]) for name in names]
    models = compile_models(requests, NPU).entries
    standalone_s = [model.standalone_cycles / model.table.machine.clock_hz for model in models]
    shares = [1.0 / seconds for seconds in standalone_s]
    total_qps = mix_bound([[model] for model in models], shares) / 2
    tenants = []
    for index, (name, seconds, share) in enumerate(zip(names, standalone_s, shares, strict=True)):
        arrival = {"kind": "poisson", "qps": total_qps * share / sum(shares), "seed": 1 + index}
        keys = {"name": f"{name}{index}", "model": MODELS[name][0], "dims": dict(MODELS[name][1])}
        keys |= {"deadline_ms": 1e3 * factor * seconds, "arrival": arrival}
        tenants.append(keys | ({"longest_us": longest_us} if longest_us else {}))
    return {"npu": NPU, "min_queries": 1, "tenants": tenants}


def main() -> None:
    """Print one line for each mix, deadline and policy."""
    for mix, factor in itertools.product((*PAIRS, *FOURS), FACTORS):
        plans = {
            name: plan_peak(scenario(mix, factor, longest), queries=QUERIES, resolution=RESOLUTION)
            for name, longest in (("whole", None), ("cut", "auto"))
        }
        rows = {
            name: sum(menu[0].table.rows for menu in plan.prepared.npus[0].menus)
            for name, plan in plans.items()
        }
        if rows["whole"] == rows["cut"]:
            print(f"| {mix} | {factor} | nothing is cut |", flush=True)
            continue
        for policy in sys.argv[1:] or POLICIES:
            peaks = {
                name: [plan.total_qps(search_one(plan, policy, seed).low) for seed in range(SEEDS)]
                for name, plan in plans.items()
            }
            whole, cut = (statistics.fmean(peaks[name]) for name in ("whole", "cut"))
            ratio = cut / whole if whole else float("nan")
            pairs = zip(peaks["whole"], peaks["cut"], strict=True)
            each = " ".join(f"{after / before:.3f}" for before, after in pairs if before)
            print(
                f"| {mix} | {factor} | {policy} | {rows['whole']} | {rows['cut']} | {whole:,.0f} |"
                f" {cut:,.0f} | {ratio:.3f} | {each} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
