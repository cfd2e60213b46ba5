"""Batches chosen by the scheduler; that the engine equals its naive twin is shown in oracles/."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from oracles.random_inputs import FixedArrivals, profile_of

from layerweaver.backend_sim.engine.input import BatchRule, SimulationInput, TenantLoad
from layerweaver.backend_sim.engine.loop import run
from layerweaver.backend_sim.engine.outcome import SimulationOutcome
from layerweaver.backend_sim.run.prepare import prepare
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.traffic.source import ClosedLoop, OpenLoop
from layerweaver.costmodel import load_npu
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.ir import ModelError, ScenarioError
from layerweaver.scheduler.compile.compiler import ModelRequest, compile_models
from layerweaver.scheduler.policies import load_policy
from layerweaver.scheduler.policies.contract import Policy
from layerweaver.scheduler.profile.file import save_profile

SIZES = (1, 2, 4, 8)
UNIT = MachineSpec.from_rates("unit", 10**9, 10**9, 1000)
"""A byte per cycle at 1 GHz: cycles, bytes and nanoseconds are the same."""


def _batches(
    rows: tuple[int, int], times: list[int], deadline_ns: int | None, **options: Any
) -> tuple[SimulationOutcome, dict[int, int]]:
    """Run one tenant whose row computes for ``rows[0]`` per request after a fetch of ``rows[1]`` for all."""
    compute, fetch = rows
    profiles = tuple(profile_of("m", UNIT, [(compute * size, fetch, fetch, 0)], size) for size in SIZES)
    source = options.pop("source", OpenLoop(FixedArrivals(times)))
    load = TenantLoad("m", profiles, source, BatchRule(SIZES, auto=True), deadline_ns, **options)
    outcome = run(SimulationInput(UNIT, (load,)), load_policy("edf"), compiled=False)
    sizes: dict[int, int] = {}
    for (_, size), count in np.ndenumerate(outcome.tenants[0].batch_counts):
        if count:
            sizes[int(size)] = sizes.get(int(size), 0) + int(count)
    return outcome, sizes


def test_whoever_waits_already_is_taken_together_when_fetches_are_dear() -> None:
    _, sizes = _batches((10, 900), [0] * 8, 100_000)
    assert sizes == {8: 1}


def test_without_anything_to_save_nobody_waits_for_others() -> None:
    # Twice the batch takes twice the time: one after the other, the first ends at 100.
    outcome, sizes = _batches((100, 0), [0] * 4, 100_000)
    assert sizes == {1: 4}
    assert outcome.tenants[0].latency_ns.tolist() == [100, 200, 300, 400]


def test_a_batch_never_takes_longer_than_the_oldest_has_time() -> None:
    # Alone 910 and 920, 940, 980 for more: all are hardly longer than one, and all of a burst keep 1,100.
    outcome, sizes = _batches((10, 900), [0] * 8, 1_100)
    assert sizes == {8: 1}
    assert (outcome.tenants[0].latency_ns == 980).all()
    # 8 take 1,700, 4 take 1,300, 2 take 1,100 and one 1,000: with 1,250 there is time for two. The others
    # are late then, whatever is done: they go together.
    outcome, sizes = _batches((100, 900), [0] * 8, 1_250)
    assert sizes == {2: 1, 6: 1}
    assert outcome.tenants[0].latency_ns[:2].tolist() == [1_100, 1_100]


def test_it_waits_for_company_but_not_for_those_who_do_not_come() -> None:
    # One a 200 cycles, fetch 900: an eighth each saves most of it, and the deadline is far.
    often = [200 * k for k in range(64)]
    outcome, sizes = _batches((10, 900), often, 50_000)
    assert max(sizes) == 8
    assert sum(size * count for size, count in sizes.items()) == 64
    assert sizes.get(8, 0) >= 6
    assert int(outcome.tenants[0].latency_ns.max()) < 50_000
    # The same gaps a thousand times longer: nobody is expected before the deadline is near.
    _, sizes = _batches((10, 900), [200_000 * k for k in range(1, 9)], 50_000)
    assert sizes == {1: 8}


def test_nobody_is_waited_for_who_cannot_come() -> None:
    # Two clients ask again at once: when both wait, no third will come, far as the deadline is.
    source = ClosedLoop(2, 0, min_queries=20, max_queries=20)
    outcome, sizes = _batches((10, 900), [], 50_000, source=source)
    assert sizes == {2: 10}
    assert outcome.end_cycles == 10 * 920
    # Nor will more than the queue holds, often as they ask.
    outcome, sizes = _batches((10, 900), [100 * k for k in range(1, 65)], 50_000, queue_limit=2)
    assert set(sizes) <= {1, 2}
    assert int(outcome.tenants[0].latency_ns.max()) < 3_000


def test_whoever_can_no_longer_be_in_time_lets_the_others_pass() -> None:
    # When the first is done at 1,000, the second cannot be done by 1,600; the third can by 2,100.
    outcome, sizes = _batches((1_000, 0), [0, 100, 600], 1_500)
    assert sizes == {1: 3}
    assert outcome.tenants[0].latency_ns.tolist() == [1_000, 2_900, 1_400]


def _sizes_beside(rival: tuple[int, int]) -> set[int]:
    """Batches of a tenant that computes and fetches for as long, after another one kept an engine busy."""
    (compute, fetch), busy = rival, OpenLoop(FixedArrivals([1_000 * k for k in range(100)]))
    other = TenantLoad("other", (profile_of("o", UNIT, [(compute, fetch, fetch, 0)]),), busy)
    profiles = tuple(profile_of("m", UNIT, [(300 * size, 300, 300, 0)], size) for size in (1, 2))
    pairs = OpenLoop(FixedArrivals([105_000 + 10_000 * (k // 2) for k in range(10)]))
    load = TenantLoad("m", profiles, pairs, BatchRule((1, 2), auto=True), 3_000)
    outcome = run(SimulationInput(UNIT, (load, other)), load_policy("edf"), compiled=False)
    return {int(size) for (_, size), count in np.ndenumerate(outcome.tenants[0].batch_counts) if count}


def test_work_counts_by_which_engine_is_short() -> None:
    # A pair fetches half as much per request and computes no less.
    assert _sizes_beside((10, 900)) == {2}
    assert _sizes_beside((900, 10)) == {1}


def _sizes_among(policy: Policy, *loads: TenantLoad) -> dict[int, int]:
    """Batches of the first tenant."""
    outcome = run(SimulationInput(UNIT, loads), policy, compiled=False)
    counts = outcome.tenants[0].batch_counts.sum(axis=0)
    return {size: int(count) for size, count in enumerate(counts) if count}


@pytest.mark.parametrize(
    ("rival", "sizes"), [((10, 900), {2: 8}), ((900, 10), {1: 16})], ids=["same engine", "other engine"]
)
def test_waiting_is_free_while_a_rival_keeps_the_engine_busy(
    rival: tuple[int, int], sizes: dict[int, int]
) -> None:
    # A pair fetches half as much per request, but who waits for the next one leaves the DMA idle for long.
    profiles = tuple(profile_of("m", UNIT, [(10 * size, 900, 900, 0)], size) for size in (1, 2))
    source = OpenLoop(FixedArrivals([5_000 * k for k in range(1, 17)]))
    load = TenantLoad("m", profiles, source, BatchRule((1, 2), auto=True), 20_000)
    (compute, fetch), backlog = rival, OpenLoop(FixedArrivals([0] * 200))
    other = TenantLoad("o", (profile_of("o", UNIT, [(compute, fetch, fetch, 0)]),), backlog)
    assert _sizes_among(load_policy("edf"), load, other) == sizes


def test_a_batch_ends_behind_what_is_committed() -> None:
    # The rival computes until 3,001: one ends at 4,001, in time, and both would end at 4,101.
    profiles = tuple(profile_of("m", UNIT, [(900 + 100 * size, 10, 10, 0)], size) for size in (1, 2))
    load = TenantLoad("m", profiles, OpenLoop(FixedArrivals([10] * 2)), BatchRule((1, 2), auto=True), 4_050)
    row = profile_of("o", UNIT, [(3_000, 1, 1, 0)])
    other = TenantLoad("o", (row,), OpenLoop(FixedArrivals([0])))
    assert _sizes_among(load_policy("edf:commit=early"), load, other) == {1: 2}


@pytest.mark.parametrize(("every", "sizes"), [(125, {1: 20}), (50_000, {2: 10})], ids=["often", "seldom"])
def test_rivals_count_by_the_share_of_the_engine_that_they_took(every: int, sizes: dict[int, int]) -> None:
    # One takes 310, both 510: four fifths of it come in between, where 100 cycles are asked for every 125.
    profiles = tuple(profile_of("m", UNIT, [(100 + 200 * size, 10, 10, 0)], size) for size in (1, 2))
    pairs = OpenLoop(FixedArrivals([50_150 + 5_000 * (k // 2) for k in range(20)]))
    load = TenantLoad("m", profiles, pairs, BatchRule((1, 2), auto=True), 800)
    times = OpenLoop(FixedArrivals([every * k for k in range(100_000 // every)]))
    other = TenantLoad("o", (profile_of("o", UNIT, [(100, 1, 1, 0)]),), times)
    assert _sizes_among(load_policy("edf"), load, other) == sizes


@pytest.mark.parametrize(("limit", "sizes"), [(10_000, {2: 5}), (100_000, {1: 4, 2: 3})], ids=["near", "far"])
def test_the_engine_counts_that_a_rival_near_its_limit_needs(limit: int, sizes: dict[int, int]) -> None:
    # Compute had more to do, but who fetches 8,000 cycles and has 10,000 is helped by fetching less.
    profiles = tuple(profile_of("m", UNIT, [(300 * size, 300, 300, 0)], size) for size in (1, 2))
    pairs = OpenLoop(FixedArrivals([105_000 + 10_000 * (k // 2) for k in range(10)]))
    load = TenantLoad("m", profiles, pairs, BatchRule((1, 2), auto=True), 2_000)
    busy = OpenLoop(FixedArrivals([1_000 * k for k in range(100)]))
    computes = TenantLoad("c", (profile_of("c", UNIT, [(900, 10, 10, 0)]),), busy)
    times = OpenLoop(FixedArrivals([4_000, *(104_900 + 10_000 * k for k in range(5))]))
    rows = profile_of("f", UNIT, [(1, 100, 100, 0)] * 80)
    fetches = TenantLoad("f", (rows,), times, deadline_ns=limit)
    assert _sizes_among(load_policy("edf"), load, computes, fetches) == sizes


@pytest.mark.parametrize(
    ("limit", "sizes"), [(14_000, {1: 6, 2: 5}), (200_000, {1: 16})], ids=["near", "far"]
)
def test_who_has_slack_waits_longer_beside_a_rival_near_its_limit(limit: int, sizes: dict[int, int]) -> None:
    # A pair fetches half as much per request; the rival fetches for 10,000 cycles, once every 14,000.
    profiles = tuple(profile_of("m", UNIT, [(10 * size, 900, 900, 0)], size) for size in (1, 2))
    source = OpenLoop(FixedArrivals([2_000 * k + 50 for k in range(1, 17)]))
    load = TenantLoad("m", profiles, source, BatchRule((1, 2), auto=True), 4_000)
    rows = profile_of("o", UNIT, [(10, 100, 100, 0)] * 100)
    times = OpenLoop(FixedArrivals([0, 14_000]))
    assert _sizes_among(load_policy("edf"), load, TenantLoad("o", (rows,), times, deadline_ns=limit)) == sizes


def test_who_would_be_left_behind_counts() -> None:
    # Up to four take 1,000, which is least per request, and five take 1,300: the fifth would take 1,000 more.
    sized = zip(SIZES, (1_000, 1_000, 1_000, 1_300), strict=True)
    profiles = tuple(profile_of("m", UNIT, [(time, 10, 10, 0)], size) for size, time in sized)
    load = TenantLoad("m", profiles, OpenLoop(FixedArrivals([0] * 5)), BatchRule(SIZES, auto=True), 100_000)
    assert _sizes_among(load_policy("edf"), load) == {5: 1}


@pytest.mark.parametrize(
    ("row", "sizes"), [(100, {1: 4, 2: 6}), (900, {1: 6, 2: 5})], ids=["short rows", "long rows"]
)
def test_who_waits_may_find_that_a_rival_has_begun_a_row(row: int, sizes: dict[int, int]) -> None:
    # A pair fetches half as much per request; the rival fetches for 9,000 cycles, once every 10,000.
    profiles = tuple(profile_of("m", UNIT, [(10 * size, 900, 900, 0)], size) for size in (1, 2))
    source = OpenLoop(FixedArrivals([1_500 * k + 50 for k in range(1, 17)]))
    load = TenantLoad("m", profiles, source, BatchRule((1, 2), auto=True), 4_000)
    rows = profile_of("o", UNIT, [(10, row, row, 0)] * (9_000 // row))
    other = TenantLoad("o", (rows,), OpenLoop(FixedArrivals([0, 10_000, 20_000])), deadline_ns=200_000)
    assert _sizes_among(load_policy("edf"), load, other) == sizes


@pytest.mark.parametrize(("policy", "late"), [("edf", 2), ("layerweaver+", 1)])
def test_whoever_is_late_behind_what_is_committed_lets_the_others_pass(policy: str, late: int) -> None:
    # The rival computes until 3,000: who has until 3,300 cannot be in time, who has until 4,050 can.
    profiles = tuple(profile_of("m", UNIT, [(900 + 100 * size, 10, 10, 0)], size) for size in (1, 2))
    load = TenantLoad("m", profiles, OpenLoop(FixedArrivals([100, 850])), BatchRule((1, 2), auto=True), 3_400)
    row = profile_of("o", UNIT, [(2_100, 900, 900, 0)])
    other = TenantLoad("o", (row,), OpenLoop(FixedArrivals([0])))
    outcome = run(SimulationInput(UNIT, (load, other)), load_policy(f"{policy}:commit=early"), compiled=False)
    assert (outcome.tenants[0].latency_ns > 3_200).sum() == late


def test_requests_without_a_deadline_are_taken_as_they_come() -> None:
    _, sizes = _batches((10, 900), [0, 0, 0, 5_000], None)
    assert sizes == {3: 1, 1: 1}


def test_a_deadline_of_less_than_a_cycle() -> None:
    slow = MachineSpec.from_rates("slow", 10**8, 10**8, 1000)
    free = profile_of("m", slow, [(0, 0, 0, 0)])
    load = TenantLoad("m", (free,), OpenLoop(FixedArrivals([0, 0])), BatchRule(auto=True), 1)
    outcome = run(SimulationInput(slow, (load,)), load_policy("edf"), compiled=False)
    assert outcome.tenants[0].latency_ns.tolist() == [0, 0]


def test_delay_and_preferred_sizes_are_for_rules() -> None:
    profile = profile_of("m", UNIT, [(1, 1, 1, 0)])
    rule = BatchRule(auto=True, delay_ns=5)
    load = TenantLoad("m", (profile,), OpenLoop(FixedArrivals([0])), rule)
    with pytest.raises(ScenarioError, match="no delay"):
        run(SimulationInput(UNIT, (load,)), load_policy("edf"), compiled=False)


def _with_batch(make: Callable[..., dict[str, Any]], model: object, batch: object) -> dict[str, Any]:
    return make(tenants=[{"model": model, "batch": batch}])


@pytest.fixture(scope="module")
def ncf(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("auto") / "ncf.lwp"
    request = ModelRequest(entry="a", source="zoo:ncf", batches=(1, 2))
    save_profile(compile_models([request], load_npu("memory-centric")), path)
    return str(path)


def test_a_profile_must_have_the_sizes(make_scenario: Any, ncf: str) -> None:
    model = {"profile": ncf, "entry": "a"}
    with pytest.raises(ScenarioError, match=r"lacks batch 4, 8, 16, 32, 64.*--batch 1,2,4,8,16,32,64"):
        prepare(load_scenario(_with_batch(make_scenario, model, "auto")))
    prepared = prepare(load_scenario(_with_batch(make_scenario, model, {"auto": True, "max": 2})))
    assert [profile.table.batch for profile in prepared.npus[0].menus[0]] == [1, 2]


def test_a_cost_table_must_be_of_one_of_the_sizes(make_scenario: Any, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(
        "layer,compute_cycles,dram_bytes,weight_bytes\na,10,40,40\n", encoding="utf-8"
    )
    costs = {"costs": {"128": str(tmp_path / "rows.csv")}}
    with pytest.raises(ScenarioError, match=r"no cost table for batch 64; costs: \{64: table.csv"):
        prepare(load_scenario(_with_batch(make_scenario, costs, "auto")))
    with pytest.raises(ScenarioError, match=r"one cost table is of one batch size.*sizes: \[64\]"):
        prepare(load_scenario(_with_batch(make_scenario, {"costs": str(tmp_path / "rows.csv")}, "auto")))


def test_a_model_must_have_a_batch_axis(make_scenario: Any, tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[tokens, 4] x) => (float[tokens, 4] y) { y = Relu(x) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "flat.onnx")
    keys = _with_batch(make_scenario, str(tmp_path / "flat.onnx"), "auto")
    keys["tenants"][0]["dims"] = {"tokens": 64}
    with pytest.raises(ModelError, match="batch axis is unknown: axis 0 of input x is tokens"):
        prepare(load_scenario(keys))
