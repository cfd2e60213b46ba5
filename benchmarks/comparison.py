"""The comparison: peak rates, mixed deadlines and the MLPerf grid, every policy beside its bound.

Run with ``python benchmarks/comparison.py quick`` (under ten minutes), or with ``peak``, ``mixed``, ``grid``
or ``all`` for the full tables (hours). Options: ``--jobs``, ``--seeds``, ``--queries``, ``--json FILE``.

Costs are those of the paper: layer sizes from the ONNX graphs at 16 bit and 16 tokens, compute in proportion
to multiply-accumulates, scaled per model to the published ratio of memory to compute time, on the
memory-centric NPU. Tenants are Poisson streams with equal shares of standalone time; a deadline is a multiple
of the tenant's standalone time; a rate is sustained when at most 1% of every tenant's requests are late. The
MLPerf grid takes our own costs and the real deadlines.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mixes import FACTORS, FOURS, PAIRS, RIVALS, every_policy, paper_models, scenario
from peaks import peak_rows, targets

from layerweaver.backend_sim.study.peak.peak import peak
from layerweaver.backend_sim.study.simulate import simulate

QUICK_POLICIES = (*RIVALS, "layerweaver", "layerweaver+", "slackweave+")
MIXED = (
    ("RN 3, BB 30", (("RN", 3), ("BB", 30))),
    ("RN 30, BB 3", (("RN", 30), ("BB", 3))),
    ("MN 10, BL 30", (("MN", 10), ("BL", 30))),
    ("RN 3, MN 10, BB 30, BL 30", (("RN", 3), ("MN", 10), ("BB", 30), ("BL", 30))),
    ("RN 30, MN 30, BB 10, BL 3", (("RN", 30), ("MN", 30), ("BB", 10), ("BL", 3))),
)
LOADS = (0.6, 0.8, 0.95, 1.1)


def peak_table(
    mixes: Sequence[str], factors: Sequence[int], policies: Sequence[str], args: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    return peak_rows(
        list(itertools.product(mixes, factors)),
        policies,
        queries=args.queries,
        seeds=args.seeds,
        resolution=args.resolution,
        jobs=args.jobs,
    )


def mixed_table(policies: Sequence[Any], args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    models = paper_models(("RN", "MN", "BB", "BL"))
    with tempfile.TemporaryDirectory() as folder:
        for (label, tenants), load in itertools.product(MIXED, LOADS):
            given = scenario([models[n] for n, _ in tenants], [f for _, f in tenants], load, Path(folder))
            total_qps = sum(tenant["arrival"]["qps"] for tenant in given["tenants"])
            given |= {"duration_s": args.queries / total_qps}
            for policy in policies:
                result = simulate(given, policy=policy)
                arrived = sum(tenant["arrived"] for tenant in result["tenants"])
                late = sum(tenant["violation_rate"] * tenant["arrived"] for tenant in result["tenants"])
                yield {
                    "table": "mixed",
                    "mix": label,
                    "load": load,
                    "policy": _label(policy),
                    "violations_pct": round(100 * late / arrived, 3),
                    "stp": round(result["system"]["stp"], 4),
                }


def _label(policy: Any) -> str:
    return policy if isinstance(policy, str) else " ".join(str(value) for value in policy.values())


GRID = (
    ("mobilenetv1", {}, 10.0),
    ("resnet50", {}, 15.0),
    ("bert-base", {"tokens": 384}, 130.0),
    ("bert-large", {"tokens": 384}, 130.0),
)


def grid_table(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """MLPerf deadlines on both NPUs of the paper, several shares; gains over fcfs and fcfs-prefetch."""
    for npu, (left, right) in itertools.product(
        ("memory-centric", "compute-centric"), itertools.combinations(range(len(GRID)), 2)
    ):
        for share in (0.2, 0.5, 0.8):
            tenants = []
            for index, part in ((left, share), (right, 1 - share)):
                name, dims, deadline_ms = GRID[index]
                tenants.append(
                    {
                        "name": name,
                        "model": f"zoo:{name}",
                        "dims": dims,
                        "deadline_ms": deadline_ms,
                        "arrival": {"kind": "poisson", "qps": 100 * part, "seed": 1 + index},
                    }
                )
            found = peak(
                {"npu": npu, "min_queries": 1, "tenants": tenants},
                ["fcfs", "fcfs-prefetch", "layerweaver+"],
                queries=args.queries,
                seeds=args.seeds,
                workers=args.jobs,
                resolution=args.resolution,
            )
            rates = {result["policy"]: result["peak_qps"] for result in found["results"]}
            yield {
                "table": "grid",
                "npu": npu,
                "mix": f"{GRID[left][0]} {share:.0%} + {GRID[right][0]}",
                "layerweaver+": round(rates["layerweaver+"], 2),
                "over_fcfs_pct": _gain(rates["layerweaver+"], rates["fcfs"]),
                "over_fcfs_prefetch_pct": _gain(rates["layerweaver+"], rates["fcfs-prefetch"]),
                "share_of_bound": round(rates["layerweaver+"] / found["bound_qps"], 3),
            }


def _gain(ours: float, theirs: float) -> float | None:
    return round(100 * (ours / theirs - 1), 1) if theirs > 0 else None


def winners(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Per cell of the mixed table: the winner, and how far every weaving rule is from it."""
    cells: dict[tuple[str, float], dict[str, float]] = {}
    for row in rows:
        if row["table"] == "mixed":
            cells.setdefault((row["mix"], row["load"]), {})[row["policy"]] = row["violations_pct"]
    for (mix, load), found in cells.items():
        best = min(found, key=lambda policy: (found[policy], policy))
        yield f"{mix} at {load}: {best} {found[best]}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("quick", "peak", "mixed", "grid", "all"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--queries", type=int)
    parser.add_argument("--resolution", type=float)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    quick = args.what == "quick"
    args.seeds = args.seeds or (1 if quick else 3)
    args.queries = args.queries or (6_000 if quick else 20_000)
    args.resolution = args.resolution or (0.01 if quick else 0.005)
    started = time.monotonic()
    tables: list[Iterator[dict[str, Any]]] = []
    if quick:
        tables.append(peak_table(("RN+BB", "MN+BL", "RN+MN+BB+BL"), (10, 30), QUICK_POLICIES, args))
    if args.what in ("peak", "all"):
        tables.append(peak_table((*PAIRS, *FOURS), FACTORS, every_policy(), args))
    if quick or args.what in ("mixed", "all"):
        tables.append(mixed_table(QUICK_POLICIES if quick else every_policy(), args))
    if args.what in ("grid", "all"):
        tables.append(grid_table(args))
    rows: list[dict[str, Any]] = []
    for row in itertools.chain(*tables):
        rows.append(row)
        print(", ".join(f"{key} {value}" for key, value in row.items() if key != "table"), flush=True)
    for line in itertools.chain(targets(rows), winners(rows)):
        print(line)
    print(f"{time.monotonic() - started:.0f} s")
    if args.json is not None:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
