"""The STP gains of the Layerweaver paper, computed again (LW V, Fig. 14).

Every pair is two streams that always have a request waiting, on one NPU: at batch 1 on the memory-centric
one (``single``), at batch 16 on the compute-centric one (``multi16``). The gain is STP minus the 1 that one
model at a time gives. Two sets of costs:

- ``paper-ratios``: layer sizes from the ONNX graphs at 16 bit (16 tokens), compute in proportion to the folds
  of a layer on the NPU's weight-stationary arrays (:func:`fold_cycles`, *ours*: the paper prints no cycles
  per layer), scaled per model so that total memory over compute time is the paper's (Fig. 15);
- ``own``: everything from our own cost model.

The published figures under ``data/`` were read off the paper's plots, to about half a point.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.engine.outcome import SimulationOutcome
from layerweaver.backend_sim.results.reproduced import GainErrors, Hpca21, PairGain
from layerweaver.backend_sim.traffic.source import Saturated
from layerweaver.costmodel import CostTable, MachineSpec, load_npu
from layerweaver.costmodel.npu.sections import ArrayConfig
from layerweaver.ir import Layer, LayerGraph
from layerweaver.ir.clock import cycles_to_ns_down
from layerweaver.scheduler.bounds import closed_loop_bound
from layerweaver.scheduler.compile.compiler import profile_graph
from layerweaver.scheduler.compile.sources import load_graph
from layerweaver.scheduler.offline import ModelProfile, build_offline
from layerweaver.scheduler.policies import Policy, load_policy

__all__ = [
    "MIXES_OF_FOUR",
    "MODELS",
    "Setup",
    "fold_cycles",
    "paper_ratio_profile",
    "published_gains",
    "published_memory_over_compute",
    "reproduce_hpca21",
    "weave_streams",
]

MODELS: Mapping[str, tuple[str, Mapping[str, int]]] = {
    "RN": ("zoo:resnet50", {}),
    "RX": ("zoo:resnext50", {}),
    "IC": ("zoo:inception-v3", {}),
    "MN": ("zoo:mobilenetv2", {}),
    "BB": ("zoo:bert-base", {"tokens": 16}),
    "BL": ("zoo:bert-large", {"tokens": 16}),
    "XL": ("zoo:xlnet-base", {"tokens": 16}),
    "NCF": ("zoo:ncf", {}),
}
"""The paper's abbreviations, as zoo models with their dimensions."""

MIXES_OF_FOUR = ("RN+MN+BB+BL", "RN+IC+BB+XL", "IC+RX+BL+NCF")
"""Mixes beyond the paper's pairs; their gains have no published value here."""

CORE_PAIRS = frozenset(f"{left}+{right}" for left in ("RN", "IC", "MN") for right in ("BB", "BL"))
"""The pairs whose per-layer work follows from published graphs."""

_PRECISION_BYTES = 2
_ROUNDS = 150
"""Length of a run, in standalone times of the slowest model."""


@dataclass(frozen=True, slots=True)
class Setup:
    """One of the paper's two scenarios.

    Attributes:
        name: ``single`` or ``multi16``.
        npu: Shipped NPU.
        batch: Batch size of every model.
    """

    name: str
    npu: str
    batch: int


SETUPS = (Setup("single", "memory-centric", 1), Setup("multi16", "compute-centric", 16))


def _published(name: str) -> list[dict[str, str]]:
    text = (
        resources.files("layerweaver.backend_sim.study.reproduce.data")
        .joinpath(name)
        .read_text(encoding="utf-8")
    )
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def published_gains() -> dict[tuple[str, str, str], float]:
    """STP gains of Fig. 14 in percent, by (scenario, policy, pair)."""
    return {
        (setup.name, policy, row["pair"]): float(row[f"{setup.name}_{policy}"])
        for row in _published("hpca21_fig14_stp_gain_pct.csv")
        for setup in SETUPS
        for policy in ("layerweaver", "aimt")
    }


def published_memory_over_compute(setup_name: str) -> dict[str, float]:
    """Total memory over total compute time per model (Fig. 15), for ``single`` or ``multi16``."""
    return {
        row["model"]: float(row[setup_name])
        if row["kind"] == "mem_over_comp"
        else 1.0 / float(row[setup_name])
        for row in _published("hpca21_time_ratios.csv")
    }


def fold_cycles(layer: Layer, array: ArrayConfig) -> int:
    """Cycles of a layer's products one after the other on weight-stationary arrays (*ours*).

    Blocks of output channels are divided among the arrays; a fold takes as long as its rows, and at least as
    long as the next one's weights need to move in. At batch 16 on the compute-centric NPU this gives
    ResNet-50 within 6% of the compute time that follows from the published ratio, with nothing fitted.
    """
    work = layer.matrix
    if work is None:
        return 0
    blocks = math.ceil(math.ceil(work.n / array.columns) / array.count)
    folds = work.steps * work.groups * math.ceil(work.k / array.rows) * blocks
    return folds * max(work.m, array.rows)


def paper_ratio_profile(
    name: str,
    graph: LayerGraph,
    machine: MachineSpec,
    memory_over_compute: float,
    batch: int,
    *,
    array: ArrayConfig | None = None,
) -> ModelProfile:
    """A model with the paper's ratio of memory to compute time.

    Args:
        name: Entry name.
        graph: The layers at batch 1.
        machine: The NPU.
        memory_over_compute: The published ratio of total times.
        batch: Batch size.
        array: Compute is spread over the layers by their folds on it; None spreads it by MACs.
    """
    layers = [layer for layer in graph if layer.macs or layer.parameters]
    weights = [sum(tensor.elements for tensor in layer.weights) for layer in layers]
    gathered = [batch * sum(gather.rows.elements for gather in layer.gathers) for layer in layers]
    batched = [layer.with_batch(batch, graph.batch) for layer in layers]
    spread = [layer.macs if array is None else fold_cycles(layer, array) for layer in batched]
    work = np.array(spread, dtype=np.float64)
    resident = np.array(weights, dtype=np.int64) * _PRECISION_BYTES
    traffic = resident + np.array(gathered, dtype=np.int64) * _PRECISION_BYTES
    total_cycles = int(machine.fetch_cycles(traffic).sum()) / memory_over_compute
    table = CostTable(
        model=name,
        batch=batch,
        machine=machine,
        compute_cycles=np.rint(work * (total_cycles / work.sum())).astype(np.int64),
        dram_bytes=traffic,
        weight_bytes=resident,
        live_bytes=np.zeros_like(traffic),
        layer_index=np.arange(len(layers), dtype=np.int64),
        layer_names=tuple(layer.name for layer in layers),
    )
    return ModelProfile(name, table, build_offline(table))


def _profiles(setup: Setup, costs: str) -> dict[str, ModelProfile]:
    config = load_npu(setup.npu)
    ratios = published_memory_over_compute(setup.name)
    profiles = {}
    for name, (source, dims) in MODELS.items():
        if costs == "own":
            graph = load_graph(source, dims=dims, batch=setup.batch)
            profiles[name] = profile_graph(graph, config, entry=name)
        else:
            graph = load_graph(source, dims=dims, batch=1)
            profiles[name] = paper_ratio_profile(
                name, graph, config.machine(), ratios[name], setup.batch, array=config.array
            )
    return profiles


def weave_streams(models: Sequence[ModelProfile], policy: Policy) -> SimulationOutcome:
    """Run saturated streams of these models for a fixed number of standalone times."""
    machine = models[0].table.machine
    slowest = max(model.standalone_cycles for model in models)
    duration_ns = cycles_to_ns_down(_ROUNDS * slowest, machine.clock_hz)
    return run(
        SimulationInput(
            machine,
            tuple(TenantLoad(model.entry, (model,), Saturated(duration_ns=duration_ns)) for model in models),
        ),
        policy,
    )


def _row(
    setup: Setup,
    costs: str,
    pair: str,
    models: Sequence[ModelProfile],
    policy: Policy,
    *,
    paper_pct: float | None,
) -> PairGain:
    outcome = weave_streams(models, policy)
    clock_hz = models[0].table.machine.clock_hz
    stp, slowdowns = 0.0, []
    for model, tenant in zip(models, outcome.tenants, strict=True):
        stp += len(tenant.latency_ns) * model.standalone_cycles / outcome.end_cycles
        standalone_ns = model.standalone_cycles * 1e9 / clock_hz
        slowdowns.append(float(tenant.latency_ns.mean()) / standalone_ns)
    standalone_s = [model.standalone_cycles / clock_hz / model.table.batch for model in models]
    bound = closed_loop_bound([[model] for model in models], weights=standalone_s).value
    return {
        "scenario": setup.name,
        "costs": costs,
        "policy": policy.name,
        "pair": pair,
        "stp_gain_pct": round(100 * (stp - 1), 2),
        "paper_pct": paper_pct,
        "bound_pct": round(100 * (bound - 1), 2),
        "compute_utilization": round(outcome.compute_busy_cycles / outcome.end_cycles, 4),
        "dram_utilization": round(outcome.dram_busy_cycles / outcome.end_cycles, 4),
        "antt": round(math.fsum(slowdowns) / len(slowdowns), 3),
    }


def _groups(rows: Sequence[PairGain]) -> list[GainErrors]:
    groups: list[GainErrors] = []
    keys = dict.fromkeys((row["scenario"], row["costs"], row["policy"]) for row in rows)
    for scenario, costs, policy in keys:
        errors = {
            row["pair"]: abs(row["stp_gain_pct"] - row["paper_pct"])
            for row in rows
            if (row["scenario"], row["costs"], row["policy"]) == (scenario, costs, policy)
            and row["paper_pct"] is not None
        }
        if not errors:
            continue
        core = [error for pair, error in errors.items() if pair in CORE_PAIRS]
        groups.append(
            {
                "scenario": scenario,
                "costs": costs,
                "policy": policy,
                "mean_abs_error_pct": round(math.fsum(errors.values()) / len(errors), 2),
                "mean_abs_error_core_pct": round(math.fsum(core) / len(core), 2),
            }
        )
    return groups


AS_PUBLISHED: tuple[str | Mapping[str, object], ...] = (
    "fcfs",
    "layerweaver",
    {"name": "aimt", "commit": "early"},
)
"""The policies of the figure; AI-MT fetches early, which is what it is about (our default is late)."""


def reproduce_hpca21(
    *,
    policies: Sequence[str | Mapping[str, object]] = AS_PUBLISHED,
    progress: Callable[[float, str], None] | None = None,
) -> Hpca21:
    """Compute Fig. 14 again, pair by pair.

    Args:
        policies: Policies to run; those with a column in the paper get an error.
        progress: Told the share done and what is being done.

    Returns:
        ``{"rows": [{"scenario", "costs", "policy", "pair", "stp_gain_pct", "paper_pct", ...}], "groups":
        [{"scenario", "costs", "policy", "mean_abs_error_pct", "mean_abs_error_core_pct"}]}``; the core pairs
        are RN, IC, MN x BB, BL.
    """
    gains = published_gains()
    pairs = [*dict.fromkeys(pair for _, _, pair in gains), *MIXES_OF_FOUR]
    configured = [load_policy(name) for name in policies]
    rows: list[PairGain] = []
    total = 2 * len(SETUPS) * len(pairs)
    done = 0
    for costs in ("paper-ratios", "own"):
        for setup in SETUPS:
            profiles = _profiles(setup, costs)
            for pair in pairs:
                if progress is not None:
                    progress(done / total, f"{costs}, {setup.name}, {pair}")
                done += 1
                models = [profiles[name] for name in pair.split("+")]
                for policy in configured:
                    known = gains.get((setup.name, policy.name, pair))
                    rows.append(_row(setup, costs, pair, models, policy, paper_pct=known))
    return {"rows": rows, "groups": _groups(rows)}
