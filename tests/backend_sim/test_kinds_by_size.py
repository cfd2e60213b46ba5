"""Tenants whose models need one engine more in small batches, and the other one in large ones."""

from __future__ import annotations

from oracles.random_inputs import FixedArrivals, profile_of

from layerweaver.backend_sim.engine.input import BatchRule, SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.traffic.source import OpenLoop
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.scheduler.policies import load_policy

UNIT = MachineSpec.from_rates("unit", 10**9, 10**9, 1000)


def test_a_size_that_nobody_comes_for_makes_no_difference() -> None:
    # Of single requests all need the DMA, and the earlier deadline goes first. Sixteen would need compute.
    def latencies(sizes: tuple[int, ...]) -> list[list[int]]:
        times = [0, 1_000, 2_000, 3_000]
        profiles = tuple(profile_of("m", UNIT, [(10 * size, 90, 90, 0)] * 2, size) for size in sizes)
        tight = TenantLoad(
            "m", profiles, OpenLoop(FixedArrivals(times)), BatchRule(sizes, auto=True), deadline_ns=600
        )
        short_rows = (profile_of("o", UNIT, [(10, 20, 20, 0)] * 10),)
        other = TenantLoad("o", short_rows, OpenLoop(FixedArrivals(times)), deadline_ns=800)
        outcome = run(SimulationInput(UNIT, (tight, other)), load_policy("layerweaver+"), compiled=False)
        return [tenant.latency_ns.tolist() for tenant in outcome.tenants]

    assert latencies((1,)) == [[190] * 4, [390] * 4]
    assert latencies((1, 16)) == [[190] * 4, [390] * 4]
