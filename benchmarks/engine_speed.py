"""Rows per second of the engine on one core, beside a fixed reference loop.

    python benchmarks/engine_speed.py [--policy layerweaver+] [--tenants 2,4,8,16,64,256] [--rows 4000000]
    python benchmarks/engine_speed.py --requests 10000,100000,1000000,10000000

The first form prints, per number of tenants, rows per second, the ratio to the reference loop (steps of a
xorshift generator per second, so that noisy machines can be compared), the ratio to the rate with 8 tenants
(total load is the same, so it says what tenants cost beside their work), candidates per decision and entries
in the fetch list. The second prints the cost per request and the peak memory of growing runs. Tenants are
half compute-intensive (54 rows) and half memory-intensive (75 rows) on the memory-centric NPU of LW Table I,
Poisson arrivals with equal shares of standalone time at 0.85 of the two-resource bound.
"""

from __future__ import annotations

import argparse
import resource
import time

import numba
import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.engine.outcome import ScheduleLog
from layerweaver.backend_sim.traffic.source import OpenLoop
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.table import CostTable
from layerweaver.scheduler.offline import ModelProfile, build_offline
from layerweaver.scheduler.policies import Policy, load_policy

COMMON = 8
"""Tenants whose rate the others are compared with; measured first."""

MACHINE = MachineSpec.from_rates("memory-centric", 700_000_000, 225 * 10**9, 48 * 10**6)


class PoissonPieces:
    """Exponential gaps, generated piece by piece: ten million requests need no array."""

    def __init__(self, seed: int, rate_per_s: float, requests: int) -> None:
        self._random, self._gap_ns = np.random.default_rng(seed), 1e9 / rate_per_s
        self._left, self._last_ns = requests, 0.0

    def take(self, count: int) -> NDArray[np.int64]:
        count = min(count, self._left)
        if count == 0:
            return np.zeros(0, np.int64)
        times = self._last_ns + np.cumsum(self._random.exponential(self._gap_ns, count))
        self._left, self._last_ns = self._left - count, float(times[-1])
        return times.astype(np.int64)


def model(name: str, rows: int, compute_cycles: int, memory_cycles: int, seed: int) -> ModelProfile:
    random = np.random.default_rng(seed)
    compute, traffic = random.exponential(1.0, rows), random.exponential(1.0, rows)
    cycles = (compute / compute.sum() * compute_cycles).astype(np.int64)
    fetched = (traffic / traffic.sum() * memory_cycles * float(MACHINE.bytes_per_cycle)).astype(np.int64)
    fetched = np.minimum(fetched, MACHINE.weight_buffer_bytes)
    index = np.arange(rows)
    table = CostTable(
        name, 1, MACHINE, cycles, fetched, fetched, np.zeros(rows, np.int64), index, tuple(map(str, index))
    )
    return ModelProfile(name, table, build_offline(table))


def tenants(count: int, requests: int, load: float = 0.85) -> SimulationInput:
    profiles = [
        model(f"c{k}", 54, 400_000, 160_000, k) if k % 2 == 0 else model(f"m{k}", 75, 250_000, 550_000, k)
        for k in range(count)
    ]
    share = [1 / profile.standalone_cycles for profile in profiles]
    compute = sum(s * int(p.table.compute_cycles.sum()) for s, p in zip(share, profiles, strict=True))
    memory = sum(s * int(p.table.memory_cycles.sum()) for s, p in zip(share, profiles, strict=True))
    scale = load * MACHINE.clock_hz / max(compute, memory)
    loads = []
    for k, (profile, part) in enumerate(zip(profiles, share, strict=True)):
        source = OpenLoop(PoissonPieces(100 + k, part * scale, requests // count))
        deadline_ns = 30 * profile.standalone_cycles * 10**9 // MACHINE.clock_hz
        loads.append(TenantLoad(profile.entry, (profile,), source, deadline_ns=deadline_ns))
    return SimulationInput(MACHINE, tuple(loads))


@numba.njit
def reference_loop(steps: int) -> int:
    state, odd = np.int64(88172645463325252), 0
    for _ in range(steps):
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        odd += state & 1
    return odd


def reference_speed() -> float:
    reference_loop(10)
    begin = time.process_time()
    reference_loop(20_000_000)
    return 20_000_000 / (time.process_time() - begin)


def fetch_list_length(log: ScheduleLog) -> float:
    """Entries whose compute is not done when a fetch starts, on average."""
    done = np.searchsorted(log.compute_end, log.fetch_start, side="right")
    return float(np.mean(np.arange(len(done)) - done))


def by_tenants(policy: Policy, counts: list[int], rows: int) -> None:
    headings = f"{'tenants':>7} {'M rows/s':>9} {'of reference':>12} {'of 8 tenants':>12}"
    print(f"{headings} {'candidates':>10} {'fetch list':>10}")
    speeds: dict[int, float] = {}
    for count in sorted(counts, key=lambda count: (count != COMMON, count)):
        run(tenants(count, 20 * count), policy)
        log = run(tenants(count, 2000), policy, record_cycles=(0, 2**62)).log
        assert log is not None
        best, ratio = 0.0, 0.0
        for _ in range(3):
            given, reference = tenants(count, rows // 65), reference_speed()
            begin = time.process_time()
            outcome = run(given, policy)
            speed = outcome.layers_executed / (time.process_time() - begin)
            best, ratio = max(best, speed), max(ratio, speed / reference)
        speeds[count] = best
        of_common = f"{best / speeds[COMMON]:12.2f}" if COMMON in speeds else f"{'-':>12}"
        print(
            f"{count:7d} {best / 1e6:9.2f} {ratio:12.4f} {of_common} {float(np.mean(log.candidates)):10.2f} "
            f"{fetch_list_length(log):10.1f}",
            flush=True,
        )


def by_requests(policy: Policy, counts: list[int]) -> None:
    run(tenants(2, 40), policy)
    print(f"{'requests':>9} {'us/request':>10} {'peak MB':>8}")
    for count in counts:
        given = tenants(2, count)
        begin = time.process_time()
        run(given, policy)
        cost = (time.process_time() - begin) / count * 1e6
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{count:9d} {cost:10.3f} {peak:8.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--policy", default="layerweaver+")
    parser.add_argument("--tenants", default="2,4,8,16,64,256")
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--requests", default="")
    given = parser.parse_args()
    policy = load_policy(given.policy)
    if given.requests:
        by_requests(policy, [int(part) for part in given.requests.split(",")])
    else:
        by_tenants(policy, [int(part) for part in given.tenants.split(",")], given.rows)


if __name__ == "__main__":
    main()
