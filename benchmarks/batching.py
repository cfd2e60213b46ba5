"""Batches chosen by the scheduler against batches tuned by hand: peak rates of mixes, as shares of one bound.

Run with ``python benchmarks/batching.py --json FILE``. By hand, compute-bound tenants take batches of up to 1
or 8, memory-bound ones of up to 8 or 64, at once or after a tenth or a third of the slack: every combination,
and the best counts. A file given by ``--json`` is read first, and what it holds is not run again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.study.inputs import as_prepared
from layerweaver.backend_sim.study.peak.peak import search_one
from layerweaver.backend_sim.study.peak.plan import plan_peak
from layerweaver.costmodel import load_npu
from layerweaver.scheduler.compile.compiler import ModelRequest, compile_models
from layerweaver.scheduler.profile.file import load_profile, save_profile

SIZES = (1, 2, 4, 8, 16, 32, 64)
MODELS: dict[str, tuple[str, dict[str, int]]] = {
    "RN": ("zoo:resnet50", {}),
    "MN": ("zoo:mobilenetv2", {}),
    "IC": ("zoo:inception-v3", {}),
    "RX": ("zoo:resnext50", {}),
    "BB": ("zoo:bert-base", {"tokens": 16}),
    "BL": ("zoo:bert-large", {"tokens": 16}),
    "B384": ("zoo:bert-base", {"tokens": 384}),
    "G2": ("zoo:gpt2-decode", {"past": 512}),
}
Mix = tuple[str, tuple[tuple[str, int], ...], int]
"""NPU, models with their shares of standalone time, deadline in standalone times."""
MIXES: dict[str, Mix] = {
    "RN+BB 1:1 at 3": ("memory-centric", (("RN", 1), ("BB", 1)), 3),
    "RN+BB 1:1 at 10": ("memory-centric", (("RN", 1), ("BB", 1)), 10),
    "RN+G2 1:4 at 10": ("memory-centric", (("RN", 1), ("G2", 4)), 10),
    "RN+G2 1:4 at 30": ("memory-centric", (("RN", 1), ("G2", 4)), 30),
    "MN+BL 1:4 at 30": ("memory-centric", (("MN", 1), ("BL", 4)), 30),
    "RN+B384 4:1 at 10, cc": ("compute-centric", (("RN", 4), ("B384", 1)), 10),
    "RN+B384 4:1 at 30, cc": ("compute-centric", (("RN", 4), ("B384", 1)), 30),
    "RN+MN+BB+BL at 10": ("memory-centric", (("RN", 1), ("MN", 1), ("BB", 1), ("BL", 1)), 10),
    "IC+RX+BB+BL at 30": ("memory-centric", (("IC", 1), ("RX", 1), ("BB", 1), ("BL", 1)), 30),
    "MN+BB 2:1 at 5": ("memory-centric", (("MN", 2), ("BB", 1)), 5),
    "RX+MN 1:1 at 3, cc": ("compute-centric", (("RX", 1), ("MN", 1)), 3),
    "MN+B384 1:1 at 5, cc": ("compute-centric", (("MN", 1), ("B384", 1)), 5),
    "RN+BL 1:1 at 10, v5e": ("tpu-v5e", (("RN", 1), ("BL", 1)), 10),
    "RN+RX+BB+G2 at 10, v5e": ("tpu-v5e", (("RN", 1), ("RX", 1), ("BB", 1), ("G2", 1)), 10),
}
BATCHED_MOST = ("BB", "BL", "G2")
Setting = tuple[int, int, float]
"""Largest batch of compute-bound and of memory-bound tenants, share of the slack waited."""
BY_HAND: tuple[Setting, ...] = tuple(itertools.product((1, 8), (8, 64), (0.0, 0.1, 0.35)))
UNBATCHED: Setting = (1, 1, 0.0)
BRACKET = 0.0025
"""Share of the bound within which a peak is found."""
Job = tuple[str, Setting | None, str, int, int]


def profile_of(npu: str, folder: Path) -> Path:
    """Every model at every size, compiled once."""
    path = folder / f"{npu}.lwp"
    if not path.exists():
        requests = [
            ModelRequest(entry=name, source=source, batches=SIZES, dims=dims)
            for name, (source, dims) in MODELS.items()
        ]
        save_profile(compile_models(requests, load_npu(npu)), path)
    return path


def scenario(mix: str, setting: Setting | None, folder: Path) -> dict[str, Any]:
    """Poisson tenants; without a setting the scheduler chooses."""
    npu, models, factor = MIXES[mix]
    path = profile_of(npu, folder)
    profile = load_profile(path)
    tenants = []
    for index, (name, share) in enumerate(models):
        alone_s = profile.find(name).standalone_cycles / profile.machine.clock_hz
        batch: Any = "auto"
        if setting is not None:
            most = setting[1 if name in BATCHED_MOST else 0]
            wait_ms = 1e3 * setting[2] * (factor - 1) * alone_s if most > 1 else 0.0
            batch = {"max": most, "delay_ms": wait_ms}
        tenants.append(
            {
                "name": f"{name}{index}",
                "model": {"profile": str(path), "entry": name},
                "deadline_ms": 1e3 * factor * alone_s,
                "batch": batch,
                "arrival": {"kind": "poisson", "qps": 100 * share / alone_s, "seed": 1 + index},
            }
        )
    return {"npu": npu, "min_queries": 1, "tenants": tenants}


def peak_of(job: tuple[Job, Path]) -> float:
    """Peak rate as a share of the bound over all batch sizes, mean over the seeds."""
    (mix, setting, policy, queries, seeds), folder = job
    every = plan_peak(as_prepared(scenario(mix, (64, 64, 0.0), folder)), queries=queries, resolution=BRACKET)
    plan = plan_peak(as_prepared(scenario(mix, setting, folder)), queries=queries, resolution=BRACKET)
    peaks = [search_one(plan, policy, replica).low for replica in range(1, seeds + 1)]
    return statistics.fmean(peaks) * plan.bound_factor / every.bound_factor


def table(rows: list[dict[str, Any]], policy: str) -> Iterator[str]:
    """Markdown: unbatched, the best by hand and which one it is, auto, and auto over by hand."""
    yield "| mix | unbatched | best by hand | of it | auto | auto over by hand |"
    yield "|---|---|---|---|---|---|"
    ratios = []
    for mix in MIXES:
        shares = {
            str(row["setting"]): row["share"] for row in rows if (row["mix"], row["policy"]) == (mix, policy)
        }
        by_hand = {str(list(setting)): shares.get(str(list(setting)), 0.0) for setting in BY_HAND}
        best = max(by_hand, key=lambda setting: by_hand[setting])
        if "None" not in shares or not by_hand[best]:
            continue
        ratios.append(shares["None"] / by_hand[best])
        unbatched = shares.get(str(list(UNBATCHED)), 0.0)
        yield (
            f"| {mix} | {unbatched:.3f} | {by_hand[best]:.3f} | {best[1:-1]} | {shares['None']:.3f} "
            f"| {ratios[-1]:.3f} |"
        )
    if ratios:
        yield f"\nauto over by hand: mean {statistics.fmean(ratios):.3f}, least {min(ratios):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policy", default="layerweaver+")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--queries", type=int, default=6_000)
    parser.add_argument("--only-auto", action="store_true", help="run only what the scheduler chooses")
    parser.add_argument("--folder", type=Path, default=Path(), help="where compiled profiles are kept")
    parser.add_argument("--json", type=Path, required=True)
    args = parser.parse_args()
    rows = json.loads(args.json.read_text(encoding="utf-8")) if args.json.exists() else []
    known = {(row["mix"], str(row["setting"]), row["policy"]) for row in rows}
    settings: tuple[Setting | None, ...] = (None,) if args.only_auto else (None, UNBATCHED, *BY_HAND)
    todo: list[Job] = [
        (mix, setting, args.policy, args.queries, args.seeds)
        for mix, setting in itertools.product(MIXES, settings)
        if (mix, str(setting if setting is None else list(setting)), args.policy) not in known
    ]
    for npu in dict.fromkeys(MIXES[mix][0] for mix, *_ in todo):
        profile_of(npu, args.folder)
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        found = pool.map(peak_of, ((job, args.folder) for job in todo))
        for (mix, setting, policy, queries, seeds), share in zip(todo, found, strict=True):
            row = {"mix": mix, "setting": setting, "policy": policy, "queries": queries, "seeds": seeds}
            rows.append(json.loads(json.dumps(row)) | {"share": round(share, 5)})
            args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print("\n".join(table(rows, args.policy)))


if __name__ == "__main__":
    main()
