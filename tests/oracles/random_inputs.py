"""Random machines, models and traffic for property tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.input import BatchRule, SimulationInput, TenantLoad
from layerweaver.backend_sim.traffic.source import ClosedLoop, OpenLoop, Saturated
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.table import CostTable
from layerweaver.scheduler.offline import ModelProfile, build_offline

__all__ = ["FixedArrivals", "Recipe", "profile_of", "recipes"]


class FixedArrivals:
    """Scheduled times from a list."""

    def __init__(self, times_ns: list[int] | NDArray[np.int64]) -> None:
        self._times = np.asarray(times_ns, dtype=np.int64)

    def take(self, count: int) -> NDArray[np.int64]:
        taken, self._times = self._times[:count], self._times[count:]
        return taken


def profile_of(
    name: str, machine: MachineSpec, rows: list[tuple[int, int, int, int]], batch: int = 1
) -> ModelProfile:
    """A profile from rows of (compute cycles, dram bytes, weight bytes, live bytes)."""
    compute, dram, weight, live = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    index = np.arange(len(rows), dtype=np.int64)
    names = tuple(str(k) for k in range(len(rows)))
    table = CostTable(name, batch, machine, compute, dram, weight, live, index, names)
    return ModelProfile(name, table, build_offline(table))


@dataclass(frozen=True)
class Recipe:
    """A simulation that can be made again: open-loop sources are consumed by a run."""

    machine: MachineSpec
    tenants: tuple[TenantLoad, ...]
    times_ns: tuple[list[int], ...]
    dispatch_ahead: int
    decision_cycles: int
    warmup_ns: int = 0
    cooldown_ns: int | None = None

    def make(self) -> SimulationInput:
        tenants = [
            TenantLoad(
                load.name,
                load.profiles,
                OpenLoop(FixedArrivals(times)) if isinstance(load.source, OpenLoop) else load.source,
                load.batching,
                load.deadline_ns,
                load.priority,
                load.queue_limit,
                load.drop_hopeless,
                timeout_ns=load.timeout_ns,
            )
            for load, times in zip(self.tenants, self.times_ns, strict=True)
        ]
        return SimulationInput(
            self.machine,
            tuple(tenants),
            self.dispatch_ahead,
            self.decision_cycles,
            warmup_ns=self.warmup_ns,
            cooldown_ns=self.cooldown_ns,
        )


@st.composite
def _machines(draw: st.DrawFn) -> MachineSpec:
    clock_hz = draw(st.sampled_from([10**9, 700_000_000, 927_000_000, 3_000_000_019]))
    numerator, denominator = draw(st.sampled_from([(1, 1), (2250, 7), (3, 7), (5, 2), (13, 16), (1, 9)]))
    return MachineSpec("random", clock_hz, numerator, denominator, draw(st.integers(1, 300)))


@st.composite
def _rows(draw: st.DrawFn, machine: MachineSpec) -> list[tuple[int, int, int, int]]:
    buffer = machine.weight_buffer_bytes
    per_cycle = max(1, int(machine.bytes_per_cycle))
    rows = []
    for _ in range(draw(st.integers(1, 7))):
        weight = draw(
            st.one_of(st.just(0), st.integers(0, buffer), st.just(buffer), st.integers(0, buffer // 4))
        )
        extra = draw(st.one_of(st.just(0), st.integers(0, 100 * per_cycle)))
        compute = draw(st.one_of(st.just(0), st.integers(0, 20), st.integers(0, 300)))
        rows.append((compute, weight + extra, weight, draw(st.integers(0, 50))))
    return rows


@st.composite
def recipes(draw: st.DrawFn, *, least_tenants: int = 1, most_tenants: int = 4) -> Recipe:
    """Anything the engine accepts, small."""
    machine = draw(_machines())
    tenants, times = [], []
    for index in range(draw(st.integers(least_tenants, most_tenants))):
        sizes = draw(st.sampled_from([(1,), (1,), (2,), (1, 2, 4), (2, 3)]))
        rows = draw(_rows(machine))
        profiles = tuple(
            profile_of(f"m{index}", machine, [(c * b, d, w, a * b) for c, d, w, a in rows], b) for b in sizes
        )
        alone = profiles[0].standalone_cycles * 10**9 // machine.clock_hz + 1
        queries = draw(st.integers(0, 8))
        gaps = draw(st.lists(st.integers(0, 2 * alone), min_size=queries, max_size=queries))
        end = {"duration_ns": draw(st.integers(0, 5 * alone)), "min_queries": queries, "max_queries": 10}
        kind = draw(st.sampled_from(["open", "open", "closed", "saturated"]))
        if profiles[0].standalone_cycles == 0:
            kind = "open"
        source: OpenLoop | ClosedLoop | Saturated
        if kind == "open":
            source = OpenLoop(FixedArrivals([]))
        elif kind == "closed":
            source = ClosedLoop(
                draw(st.integers(1, 3)), draw(st.integers(0, alone)), past_the_end=draw(st.booleans()), **end
            )
        else:
            source = Saturated(**end)
        batching = BatchRule(
            sizes,
            draw(st.sampled_from([0, 0, alone // 2])),
            draw(st.sampled_from([(), (), (sizes[-1] // 2 or 1,)])),
        )
        if draw(st.sampled_from([False, False, True])):
            batching = BatchRule(sizes, auto=True)
        tenants.append(
            TenantLoad(
                f"t{index}",
                profiles,
                source,
                batching,
                draw(st.sampled_from([None, max(1, alone // 2), alone, 3 * alone])),
                draw(st.sampled_from([1, 3, 9])),
                draw(st.sampled_from([None, None, 1, 3])),
                draw(st.booleans()),
                timeout_ns=draw(st.sampled_from([None, None, 1, alone // 3 + 1, 2 * alone])),
            )
        )
        times.append(np.cumsum(np.array(gaps, dtype=np.int64)).tolist() if kind == "open" else [])
    return Recipe(
        machine,
        tuple(tenants),
        tuple(times),
        draw(st.sampled_from([0, 0, 1, 3])),
        draw(st.sampled_from([0, 0, 5])),
    )
