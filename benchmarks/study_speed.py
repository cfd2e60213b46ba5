"""Speed of studies: two workers against one, what a point costs besides its run, going on with many points.

Run with ``python benchmarks/study_speed.py [--points N] [--queries N]`` on a machine with nothing else to do:
ratios hold under load, seconds do not.
"""

from __future__ import annotations

import argparse
import resource
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import layerweaver


def _tenants() -> list[dict[str, Any]]:
    return [
        {
            "name": model,
            "model": f"zoo:{model}",
            "deadline_ms": 10,
            "arrival": {"kind": "poisson", "qps": 100, "seed": seed},
        }
        for seed, model in enumerate(("resnet50", "ncf"), start=1)
    ]


def _timed(study: dict[str, Any], folder: Path, **options: Any) -> float:
    begun = time.perf_counter()
    layerweaver.sweep(study, folder, **options)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=100_000, help="of the study that is gone on with")
    parser.add_argument("--queries", type=int, default=40_000, help="per simulated point, of two tenants")
    asked = parser.parse_args()
    scenario = {"npu": "memory-centric", "min_queries": asked.queries // 2, "tenants": _tenants()}
    runs = {"scenario": scenario, "axes": {"load": [0.5, 0.9], "seed": {"count": 20}}}
    costs = {
        "scenario": {"npu": "memory-centric", "tenants": _tenants()},
        "axes": {"npu.dram.bandwidth_gb_s": {"from": 100, "to": 800, "points": asked.points}},
        "measure": "cost",
        "objectives": {"minimise": ["models.resnet50.standalone_ms", "npu.dram.bandwidth_gb_s"]},
    }
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _timed({**runs, "axes": {"seed": [1]}}, folder / "warm")
        one, two = (_timed(runs, folder / f"workers-{n}", workers=n) for n in (1, 2))
        print(
            f"40 points of {asked.queries:,} queries: {one:.1f} s, two workers {one / two:.2f} times as quick"
        )
        all_s = _timed(costs, folder / "costs")
        print(f"{asked.points:,} points under cost, two models: {1e3 * all_s / asked.points:.2f} ms each")
        with closing(sqlite3.connect(folder / "costs" / "study.sqlite")) as store, store:
            store.execute("DELETE FROM points WHERE number = ?", (asked.points // 2,))
            store.execute("DELETE FROM meta WHERE key IN ('summary', 'tables')")
        print(f"gone on with, one point missing: {_timed(costs, folder / 'costs'):.1f} s")
        print(f"and none missing: {_timed(costs, folder / 'costs'):.1f} s")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"most memory of this process: {memory:.0f} MB")


if __name__ == "__main__":
    main()
