"""What a decision costs on a small core: the tables of the page on firmware.

Run with ``python benchmarks/firmware_cost.py [POLICY ...]`` (extra ``firmware``). For 2, 4, 8 and 16 tenants
of the memory-centric NPU it prints instructions of a decision (mean / 99th percentile / largest) and bytes of
code on every core, and bytes of tables and state. Tenants are ResNet-50 and BERT-base at 16 tokens,
MobileNetV2 and NCF, once or several times, with equal shares of 0.8 of what rows one after the other would
allow; a deadline is three standalone times for each tenant that there is.
"""

from __future__ import annotations

import sys
from typing import Any

from layerweaver.backend_sim.firmware.export import costs_of, export_document, translated
from layerweaver.backend_sim.study.inputs import as_prepared, policy_of
from layerweaver.scheduler.compile.compiler import ModelRequest, compile_models

MODELS = (("zoo:resnet50", {}), ("zoo:bert-base", {"tokens": 16}), ("zoo:mobilenetv2", {}), ("zoo:ncf", {}))
POLICIES = ("fcfs", "edf", "llf", "sjf", "fair", "time-slice", "layerweaver", "layerweaver+", "slackweave+")
COUNTS = (2, 4, 8, 16)
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
    """Print the tables."""
    for count in COUNTS:
        prepared = as_prepared(scenario(count))
        for name in sys.argv[1:] or POLICIES:
            exported = translated(prepared, policy_of(prepared, name))
            costs = [cost.document(count) for cost in costs_of(prepared, exported)]
            for row in costs:
                print(
                    f"{count:2d} {row['core']:8s} {name:13s} "
                    f"{row['mean']:8,.0f} / {row['p99']:,} / {row['max']:,}"
                    f"   code {row['code_bytes']:,} of {row['decisions']:,} decisions",
                    flush=True,
                )
            document = export_document(exported)
            print(f"   tables {document['table_bytes']:,}, state {document['state_bytes']:,}", flush=True)


if __name__ == "__main__":
    main()
