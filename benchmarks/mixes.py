"""The mixes of the comparison: models with the paper's cost ratios as Poisson tenants.

Costs are those of the paper: layer sizes from the ONNX graphs at 16 bit and 16 tokens, compute in proportion
to multiply-accumulates, scaled per model to the published ratio of memory to compute time, on the
memory-centric NPU. Tenants are Poisson streams with equal shares of standalone time; a deadline is a multiple
of the tenant's standalone time.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.study.reproduce.hpca21 import (
    MODELS,
    paper_ratio_profile,
    published_memory_over_compute,
)
from layerweaver.costmodel import load_npu
from layerweaver.scheduler.bounds import mix_bound
from layerweaver.scheduler.compile.sources import load_graph
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.policies import policy_names
from layerweaver.scheduler.policies.registry import load_spec

PAIRS = tuple(f"{left}+{right}" for left in ("RN", "MN", "IC", "RX") for right in ("BB", "BL"))
FOURS = ("RN+MN+BB+BL", "RN+IC+BB+BL", "IC+RX+BB+BL")
FACTORS = (3, 10, 30)
RIVALS = ("fcfs", "edf", "llf", "prema", "sjf")
NPU = "memory-centric"


def paper_models(names: Sequence[str]) -> dict[str, ModelProfile]:
    ratios, machine = published_memory_over_compute("single"), load_npu(NPU).machine()
    models = {}
    for name in names:
        source, dims = MODELS[name]
        models[name] = paper_ratio_profile(name, load_graph(source, dims=dims), machine, ratios[name], 1)
    return models


def write_costs(model: ModelProfile, folder: Path) -> str:
    table = model.table
    path = folder / f"{model.entry}.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("layer", "compute_cycles", "dram_bytes", "weight_bytes"))
        columns = (table.compute_cycles, table.dram_bytes, table.weight_bytes)
        writer.writerows(zip(table.layer_names, *(column.tolist() for column in columns), strict=True))
    return str(path)


def scenario(
    models: Sequence[ModelProfile], factors: Sequence[float], load: float, folder: Path
) -> dict[str, Any]:
    """Poisson tenants with equal shares of standalone time at a share of the bound."""
    standalone_s = [model.standalone_cycles / model.table.machine.clock_hz for model in models]
    shares = [1.0 / seconds for seconds in standalone_s]
    total_qps = load * mix_bound([[model] for model in models], shares)
    return {
        "npu": NPU,
        "min_queries": 1,
        "tenants": [
            {
                "name": f"{model.entry}{index}",
                "model": {"costs": write_costs(model, folder)},
                "deadline_ms": 1e3 * factor * seconds,
                "arrival": {"kind": "poisson", "qps": total_qps * share / sum(shares), "seed": 1 + index},
            }
            for index, (model, factor, seconds, share) in enumerate(
                zip(models, factors, standalone_s, shares, strict=True)
            )
        ],
    }


LEFT_OUT = {"static-weave"}


def every_policy() -> tuple[str, ...]:
    return tuple(name for name in policy_names() if name not in LEFT_OUT)


OURS = "slackweave+"


def entrants() -> dict[str, dict[str, Any]]:
    """Every shipped policy by its label; those that overlap requests with late and with early commitment."""
    found: dict[str, dict[str, Any]] = {}
    for name in every_policy():
        found[name] = {"name": name}
        spec = load_spec(name)
        if spec.overlap and name != OURS:
            other = "early" if spec.commit == "late" else "late"
            found[f"{name}, {other}"] = {"name": name, "commit": other}
    return found
