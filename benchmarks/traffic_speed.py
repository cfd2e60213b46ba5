"""Speed and memory of simulations under traffic: ``python benchmarks/traffic_speed.py [--long]``.

Prints, after start-up and compilation: arrival generation per million queries, a two-tenant server run of
270,336 queries, cost per request from 10^4 requests up (to 10^7 with ``--long``, with the peak memory), and
the peak of two pairs (eight with ``--long``) under six policies, in seconds and as a ratio to a fixed
reference loop (10^7 additions in numba), so that noisy machines can be compared. ``--trace ROWS`` replays a
trace of so many rows instead, and prints the size of the file beside the peak memory.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.study.inputs import as_prepared
from layerweaver.backend_sim.study.peak.peak import peak
from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.backend_sim.traffic.poisson import LoadGenPoisson

POLICIES = ("fcfs", "fcfs-prefetch", "edf", "llf", "layerweaver", "layerweaver+")


@njit
def _reference(count: int) -> int:
    total = 0
    for number in range(count):
        total = (total * 31 + number) % 1_000_003
    return total


def reference_s() -> float:
    _reference(10)
    began = time.perf_counter()
    _reference(10_000_000)
    return time.perf_counter() - began


def scenario(qps: float, queries: int, models: tuple[str, str] = ("resnet50", "bert-base")) -> dict[str, Any]:
    tokens = [{"tokens": 16} if name.startswith("bert") else {} for name in models]
    return {
        "npu": "memory-centric",
        "min_queries": queries,
        "tenants": [
            {
                "name": name,
                "model": f"zoo:{name}",
                "dims": dims,
                "deadline_ms": 30,
                "arrival": {"kind": "poisson", "qps": qps, "seed": seed},
            }
            for seed, (name, dims) in enumerate(zip(models, tokens, strict=True), start=1)
        ],
    }


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def replay(rows: int) -> None:
    """Replay a CSV of Poisson arrivals at 700 per second, one tenant."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.csv"
        stream = LoadGenPoisson(700.0, 1, max_query_count=rows, min_query_count=rows)
        with path.open("w") as file:
            file.write("timestamp,tenant\n")
            while len(times := stream.take(8192)):
                file.writelines(f"{time_ns / 1e9:.6f},resnet50\n" for time_ns in times.tolist())
        keys = scenario(500, rows)
        keys["tenants"] = keys["tenants"][:1]
        keys["tenants"][0]["arrival"] = {"kind": "trace", "file": str(path)}
        ready = as_prepared(keys)
        before_mb, began = _memory_mb(), time.perf_counter()
        arrived = simulate(ready, "layerweaver+")["tenants"][0]["arrived"]
        took, size_mb = time.perf_counter() - began, path.stat().st_size / 1e6
    print(
        f"{arrived:,} rows, {size_mb:.0f} MB: {took:.1f} s, {1e6 * took / arrived:.2f} us each, "
        f"memory {before_mb:.0f} -> {_memory_mb():.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--long", action="store_true", help="go on to 10^7 requests, and take eight pairs")
    parser.add_argument("--trace", type=int, default=0, metavar="ROWS", help="replay a trace of so many rows")
    given = parser.parse_args()
    if given.trace:
        replay(given.trace)
        return
    unit = reference_s()
    print(f"reference loop {unit:.4f} s")

    began = time.perf_counter()
    stream = LoadGenPoisson(1000.0, 1, min_query_count=1_000_000)
    while len(stream.take(8192)):
        pass
    took = time.perf_counter() - began
    print(f"10^6 arrivals: {took:.3f} s ({took / unit:.2f} x reference)")

    prepared = as_prepared(load_scenario(scenario(500, 1000)))
    bound = simulate(prepared, "layerweaver+")["system"]["bound_qps"]
    rate = 0.85 * bound / 2
    counts = [10_000, 100_000, 270_336, 1_000_000]
    if given.long:
        counts.append(10_000_000)
    for total in counts:
        ready = as_prepared(load_scenario(scenario(rate, total // 2)))
        document = simulate(ready, "layerweaver+")
        took = document["run"]["simulation_s"]
        peak_mb = _memory_mb()
        layers = document["layers_executed"]
        print(
            f"{total:>10,} queries: {took:8.2f} s ({took / unit:8.1f} x), {1e6 * took / total:6.2f} us each, "
            f"{layers / took / 1e6:5.2f} M layers/s, peak memory {peak_mb:.0f} MB"
        )

    vision = ("resnet50", "inception-v3", "mobilenetv2", "resnext50")
    pairs = [(left, right) for right in ("bert-base", "bert-large") for left in vision]
    spent = 0.0
    for models in pairs if given.long else (pairs[0], pairs[2]):
        ready = as_prepared(load_scenario(scenario(300, 1000, models)))
        began = time.perf_counter()
        found = peak(ready, POLICIES, queries=20_000)
        took = time.perf_counter() - began
        spent += took
        shares = np.array([row["share_of_bound"] for row in found["results"]]).round(3).tolist()
        names = " + ".join(models)
        print(f"peak of {names}, 6 policies: {took:.1f} s ({took / unit:.1f} x), shares {shares}")
    print(f"all peaks: {spent:.1f} s")


if __name__ == "__main__":
    main()
