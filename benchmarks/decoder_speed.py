"""Speed of language models on one core: set-up, and rows and iterations per second, in CPU time.

    python benchmarks/decoder_speed.py [--policy layerweaver+] [--trace FILE.csv]

The first line is the set-up of Llama 3.1 8B with nothing kept: import, probes, tables. The second is the
built-in scenario with a language model beside two tenants of vision, the third the same language model alone;
with ``--trace`` it is alone with a trace in the form of ``azure-llm``.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.run.prepare import prepare
from layerweaver.backend_sim.run.run import run_once
from layerweaver.backend_sim.scenario.reading import builtin_scenario, load_scenario
from layerweaver.costmodel import load_npu
from layerweaver.scheduler.compile.iterations import iteration_rows
from layerweaver.scheduler.compile.kept_graphs import GRAPHS
from layerweaver.scheduler.iterations.costs import iteration_costs
from layerweaver.scheduler.policies import Policy, load_policy

MODEL = "zoo:llama-3.1-8b"


def set_up() -> None:
    began = time.process_time()
    costs = iteration_costs(
        iteration_rows(MODEL, {}), load_npu("tpu-v6e"), tokens=2048, sequences=256, cache_bits=16
    )
    spent = time.process_time() - began
    print(f"set-up of {MODEL}: {spent:.2f} CPU s, {costs.distinct} distinct of {len(costs.row_index)} rows")


def measured(name: str, scenario: dict[str, Any] | None, policy: Policy) -> None:
    prepared = prepare(builtin_scenario("llm") if scenario is None else load_scenario(scenario))
    best = float("inf")
    for _ in range(2):  # the first run compiles
        began = time.process_time()
        outcome = run_once(prepared, policy).outcomes[0]
        best = min(best, time.process_time() - began)
    decoders = [tenant.decoder for tenant in outcome.tenants if tenant.decoder is not None]
    iterations = sum(decoder.counts["iterations"] for decoder in decoders)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(
        f"{name}: {best:.2f} CPU s, {outcome.layers_executed:,} rows, "
        f"{outcome.layers_executed / best / 1e6:.1f} M rows/s, {iterations:,} iterations, "
        f"{iterations / best:,.0f} iterations/s, peak {peak_mb:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policy", default="layerweaver+")
    parser.add_argument("--trace")
    arguments = parser.parse_args()
    policy = load_policy(arguments.policy)
    with tempfile.TemporaryDirectory() as folder:
        GRAPHS.folder = Path(folder)  # nothing is kept there yet
        set_up()
        measured("three tenants", None, policy)
        chat: dict[str, Any] = {
            "name": "chat",
            "model": MODEL,
            "llm": {},
            "deadline": {"ttft_ms": 2000, "tpot_ms": 100},
            "lengths": {"prompt": 1155, "output": 211},
            "arrival": {"kind": "poisson", "qps": 4, "seed": 1},
        }
        if arguments.trace:
            del chat["lengths"]
            chat["arrival"] = {"kind": "trace", "file": arguments.trace, "format": "azure-llm"}
        measured("alone", {"npu": "tpu-v6e", "min_queries": 200, "tenants": [chat]}, policy)


if __name__ == "__main__":
    main()
