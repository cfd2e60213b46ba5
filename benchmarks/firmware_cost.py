"""What a decision costs on a small core: the tables of the page on firmware.

Run with ``python benchmarks/firmware_cost.py [POLICY ...]`` (extra ``firmware``). For 2, 4, 8 and 16 tenants
of the memory-centric NPU it prints instructions of a decision (mean / 99th percentile / largest), for 4 also
bytes of code, tables and state and instructions of an arrival, a table for each core. Tenants are ResNet-50
and BERT-base at 16 tokens, MobileNetV2 and NCF, once or several times, with equal shares of 0.8 of what rows
one after the other would allow; a deadline is three standalone times for each tenant that there is. Last come
the means that ``decision: {core_mhz: N}`` charges, as ``backend_sim/run/decision_instructions.csv`` has them.
"""

from __future__ import annotations

import sys
from typing import Any

from layerweaver.backend_sim.firmware.cores import CORES
from layerweaver.backend_sim.firmware.export import costs_of, translated
from layerweaver.backend_sim.study.inputs import as_prepared, policy_of
from layerweaver.scheduler.compile.compiler import ModelRequest, compile_models

MODELS = (("zoo:resnet50", {}), ("zoo:bert-base", {"tokens": 16}), ("zoo:mobilenetv2", {}), ("zoo:ncf", {}))
POLICIES = ("fcfs", "edf", "llf", "sjf", "fair", "time-slice", "layerweaver", "layerweaver+", "slackweave+")
COUNTS, SHOWN = (2, 4, 8, 16), 4
LOAD, PATIENCE = 0.8, 3


def scenario(count: int) -> dict[str, Any]:
    """So many tenants at the load."""
    requests = [ModelRequest(f"m{k}", source, dims=dims) for k, (source, dims) in enumerate(MODELS)]
    entries = compile_models(requests, "memory-centric").entries
    tenants = []
    for index in range(count):
        source, dims = MODELS[index % len(MODELS)]
        profile = entries[index % len(MODELS)]
        alone_s = profile.standalone_cycles / profile.table.machine.clock_hz
        qps = LOAD / count / alone_s
        arrival = {"kind": "poisson", "qps": qps, "seed": index + 1}
        deadline_ms = 1e3 * PATIENCE * count * alone_s
        tenants.append(
            {
                "name": f"t{index}",
                "model": source,
                "dims": dims,
                "deadline_ms": deadline_ms,
                "arrival": arrival,
            }
        )
    return {"npu": "memory-centric", "duration_s": 1, "tenants": tenants}


def main() -> None:
    """Print the tables, and the means as CSV."""
    policies = sys.argv[1:] or POLICIES
    cells: dict[tuple[str, str], list[str]] = {}
    for count in COUNTS:
        prepared = as_prepared(scenario(count))
        for name in policies:
            exported = translated(prepared, policy_of(prepared, name))
            for cost in costs_of(prepared, exported):
                row = cost.document(count)
                cell = f"{row['mean']:,.0f} / {row['p99']:,} / {row['max']:,}"
                cells.setdefault((cost.core.name, name), []).append(cell)
                if count == SHOWN:
                    arrival = f"{row['arrival_mean']:,.0f} / {row['arrival_max']:,}"
                    sizes = f"{cost.code_bytes:,} | {exported.table_bytes:,} | {exported.state_bytes:,}"
                    cells[cost.core.name, f"{name}, sizes"] = [arrival, sizes]
    headings = ["policy", *map(str, COUNTS), "arrival", "code", "tables", "state"]
    for core in CORES:
        print(f"**{core.name}**\n\n| {' | '.join(headings)} |\n{'|---' * len(headings)}|")
        for name in policies:
            shown = [*cells[core.name, name], *cells[core.name, f"{name}, sizes"]]
            print(f"| `{name}` | {' | '.join(shown)} |")
        print()
    print("policy,tenants,instructions")
    for name in policies:
        for count, cell in zip(COUNTS, cells[CORES[0].name, name], strict=True):
            print(f"{name},{count},{cell.split(' ')[0].replace(',', '')}")


if __name__ == "__main__":
    main()
