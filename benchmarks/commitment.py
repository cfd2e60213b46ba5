"""What late commitment costs in throughput, and what it brings: early against late, by NPU.

Run with ``python benchmarks/commitment.py loops`` (the closed loops of the paper's Fig. 14), ``npus`` (such
loops on every shipped NPU), ``buffers`` (on one NPU with other buffers and DRAM channels), ``peaks`` (peak
rates on some NPUs) or ``request`` (one small request behind large batches).

In a closed loop every tenant always has a request waiting, so what a policy loses by holding the DMA shows as
throughput (STP, the sum of progress) and as nothing else. A peak is the largest rate at which at most 1% of
every tenant's requests are late.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any

from layerweaver.backend_sim.study.peak.peak import peak
from layerweaver.backend_sim.study.reproduce.hpca21 import MODELS, reproduce_hpca21, weave_streams
from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.costmodel import NpuConfig, load_npu, npu_names
from layerweaver.scheduler.compile.compiler import profile_graph
from layerweaver.scheduler.compile.sources import load_graph
from layerweaver.scheduler.offline import ModelKind, ModelProfile
from layerweaver.scheduler.policies import load_policy

POLICIES = ("layerweaver", "layerweaver+", "aimt", "fcfs-prefetch")
MIXES = tuple(f"{left}+{right}" for left in ("RN", "MN", "IC", "RX") for right in ("BB", "BL"))
PEAK_NPUS = (
    "memory-centric",
    "tpu-v5e",
    "tpu-v4i",
    "inferentia2",
    "nnp-t",
    "rngd",
    "planaria",
    "tpu-v1",
    "nvdla-large",
)
PEAK_MIXES = ("RN+BB", "MN+BL")
DEADLINE = 10
"""Of the peaks, in standalone times."""


def loops() -> Iterator[str]:
    """Gains of Fig. 14's mixes in points, policy by policy; slackweave+ decides by itself when to fetch."""
    found = {
        commit: reproduce_hpca21(policies=[f"{name}:commit={commit}" for name in POLICIES])["rows"]
        for commit in ("early", "late")
    }
    yield "| scenario | costs | policy | mean gain, early | late | largest loss | largest win |"
    yield "|---|---|---|---|---|---|---|"
    pairs = list(zip(found["early"], found["late"], strict=True))
    for key in dict.fromkeys((row["scenario"], row["costs"], row["policy"]) for row in found["early"]):
        chosen = [pair for pair in pairs if key == (pair[0]["scenario"], pair[0]["costs"], pair[0]["policy"])]
        means = [statistics.fmean(row["stp_gain_pct"] for row in side) for side in zip(*chosen, strict=True)]
        change = {late["pair"]: late["stp_gain_pct"] - early["stp_gain_pct"] for early, late in chosen}
        worst, best = min(change, key=change.__getitem__), max(change, key=change.__getitem__)
        yield (
            f"| {' | '.join(key)} | {means[0]:.1f} | {means[1]:.1f} "
            f"| {change[worst]:.1f} ({worst}) | {change[best]:+.1f} ({best}) |"
        )
    ours = reproduce_hpca21(policies=["slackweave+"])["rows"]
    for scenario, costs in dict.fromkeys((row["scenario"], row["costs"]) for row in ours):
        gains = [row["stp_gain_pct"] for row in ours if (scenario, costs) == (row["scenario"], row["costs"])]
        yield f"| {scenario} | {costs} | slackweave+ | | {statistics.fmean(gains):.1f} | | |"


def profiles_on(config: NpuConfig) -> dict[str, ModelProfile]:
    """The models of the mixes with our own costs, batch 1."""
    names = dict.fromkeys(name for mix in MIXES for name in mix.split("+"))
    return {
        name: profile_graph(load_graph(MODELS[name][0], dims=MODELS[name][1]), config, entry=name)
        for name in names
    }


def stp(models: list[ModelProfile], policy: str) -> float:
    """Sum of the tenants' progress in a closed loop; 1 is one model at a time."""
    outcome = weave_streams(models, load_policy(policy))
    return sum(
        len(tenant.latency_ns) * model.standalone_cycles / outcome.end_cycles
        for model, tenant in zip(models, outcome.tenants, strict=True)
    )


def buffer_in_fetches(models: Mapping[str, ModelProfile]) -> float:
    """How many times the longest fetch of any layer the weight buffer takes; the mark is 2."""
    machine = next(iter(models.values())).table.machine
    filled_cycles = machine.weight_buffer_bytes / float(machine.bytes_per_cycle)
    return filled_cycles / max(model.offline.longest_fetch_cycles for model in models.values())


LOOP_HEADINGS = (
    "buffer in longest fetches",
    "compute-intensive",
    "compute of the others",
    "layerweaver: STP early",
    "late",
    "worst mix",
    "best mix",
    "slackweave+: STP",
)


def loops_on(config: NpuConfig) -> tuple[str, ...] | None:
    """The columns of one NPU; None if its models are of one kind.

    The compute of the others is the largest ratio of compute to fetch time of a memory-intensive model.
    """
    models = profiles_on(config)
    busy = [name for name, model in models.items() if model.offline.kind is ModelKind.COMPUTE_INTENSIVE]
    if len(busy) in (0, len(models)):
        return None
    shares = [
        model.table.compute_cycles.sum() / model.table.memory_cycles.sum()
        for name, model in models.items()
        if name not in busy
    ]
    early, late, ours = (
        {mix: stp([models[name] for name in mix.split("+")], policy) for mix in MIXES}
        for policy in ("layerweaver", "layerweaver:commit=late", "slackweave+")
    )
    change = {mix: 100 * (late[mix] / early[mix] - 1) for mix in MIXES}
    least, most = min(change, key=change.__getitem__), max(change, key=change.__getitem__)
    return (
        f"{buffer_in_fetches(models):.1f}",
        ", ".join(busy),
        f"{max(shares):.2f}",
        f"{statistics.fmean(early.values()):.3f}",
        f"{statistics.fmean(late.values()):.3f}",
        f"{change[least]:+.1f}% ({least})",
        f"{change[most]:+.1f}% ({most})",
        f"{statistics.fmean(ours.values()):.3f}",
    )


def loop_table(configs: Mapping[str, NpuConfig]) -> Iterator[str]:
    """One line per NPU that has models of both kinds, and who has not."""
    yield f"| NPU | {' | '.join(LOOP_HEADINGS)} |"
    yield "|---" * (len(LOOP_HEADINGS) + 1) + "|"
    one_kind = []
    for name, config in configs.items():
        columns = loops_on(config)
        if columns is None:
            one_kind.append(name)
        else:
            yield f"| {name} | {' | '.join(columns)} |"
    yield f"\nModels of one kind only: {', '.join(one_kind) or 'none'}"


def npus() -> Iterator[str]:
    """Closed loops on every shipped NPU."""
    return loop_table({name: load_npu(name) for name in npu_names()})


def altered(config: NpuConfig, weights_mb: float, gb_s: float) -> NpuConfig:
    """The NPU with another weight buffer and DRAM channel."""
    sram = config.sram.model_copy(update={"weights_mb": weights_mb})
    dram = config.dram.model_copy(update={"bandwidth_gb_s": gb_s})
    return config.model_copy(update={"sram": sram, "dram": dram})


def buffers() -> Iterator[str]:
    """Closed loops on the memory-centric NPU with other buffers and DRAM channels."""
    config = load_npu("memory-centric")
    sizes = itertools.product((450.0, 225.0, 112.0, 56.0), (48.0, 12.0, 6.0, 3.0, 1.0))
    return loop_table({f"{mb:g} MB, {gb_s:g} GB/s": altered(config, mb, gb_s) for gb_s, mb in sizes})


def peak_scenario(npu: str, mix: str) -> dict[str, Any]:
    """Poisson tenants with equal shares of standalone time."""
    models = profiles_on(load_npu(npu))
    tenants = []
    for index, name in enumerate(mix.split("+")):
        source, dims = MODELS[name]
        alone_s = models[name].standalone_cycles / models[name].table.machine.clock_hz
        tenants.append(
            {
                "name": name,
                "model": source,
                "dims": dict(dims),
                "deadline_ms": 1e3 * DEADLINE * alone_s,
                "arrival": {"kind": "poisson", "qps": 0.4 / alone_s, "seed": 1 + index},
            }
        )
    return {"npu": npu, "min_queries": 1, "tenants": tenants}


def peaks(workers: int) -> Iterator[str]:
    """Peak rates as shares of the bound on some NPUs."""
    policies = [
        f"{name}:commit={commit}" for name in ("edf", "llf", "layerweaver+") for commit in ("early", "late")
    ]
    policies.append("slackweave+")
    headings = [policy.replace(":commit=", ", ") for policy in policies]
    yield f"| NPU | mix | {' | '.join(headings)} |"
    yield "|---" * (len(policies) + 2) + "|"
    for npu in PEAK_NPUS:
        for mix in PEAK_MIXES:
            found = peak(peak_scenario(npu, mix), policies, queries=10_000, workers=workers, resolution=0.01)
            shares = [f"{row['share_of_bound']:.3f}" for row in found["results"]]
            yield f"| {npu} | {mix} | {' | '.join(shares)} |"


SMALL_REQUEST = {
    "npu": "memory-centric",
    "duration_s": 20,
    "tenants": [
        {"name": "photos", "model": "zoo:resnext50", "batch": 8, "deadline_ms": 60, "arrival": {"qps": 240}},
        {"name": "camera", "model": "zoo:mobilenetv2", "deadline_ms": 2.2, "arrival": {"qps": 500}},
        {
            "name": "chat",
            "model": "zoo:bert-base",
            "dims": {"tokens": 16},
            "deadline_ms": 6,
            "arrival": {"qps": 300},
        },
    ],
}


def request() -> Iterator[str]:
    """A small request beside batches that compute long and fetch little."""
    given: dict[str, Any] = copy.deepcopy(SMALL_REQUEST)
    for seed, tenant in enumerate(given["tenants"], start=1):
        tenant["arrival"] |= {"kind": "poisson", "seed": seed}
    yield "| policy | 99th percentile of MobileNetV2 | late | requests done per second, all tenants |"
    yield "|---|---|---|---|"
    for policy in ("edf:commit=early", "edf", "llf", "sjf", "layerweaver", "layerweaver+", "slackweave+"):
        tenants = simulate(given, policy)["tenants"]
        camera = tenants[1]
        done = sum(tenant["qps"] for tenant in tenants)
        label = policy.replace(":commit=", ", ")
        yield (
            f"| {label} | {camera['latency_ms']['p99']:.2f} ms | {100 * camera['violation_rate']:.1f}% "
            f"| {done:.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("loops", "npus", "buffers", "peaks", "request"))
    parser.add_argument("--jobs", type=int, default=1, help="processes, for the peaks")
    args = parser.parse_args()
    started = time.monotonic()
    tables = {
        "loops": loops,
        "npus": npus,
        "buffers": buffers,
        "peaks": lambda: peaks(args.jobs),
        "request": request,
    }
    for line in tables[args.what]():
        print(line, flush=True)
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
