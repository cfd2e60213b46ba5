"""No product of accepted values leaves 64 bits: every key of arrivals at its largest and its least."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from layerweaver.backend_sim.scenario.arrivals import TrafficRequest, make_source
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.backend_sim.traffic.source import Arrivals
from layerweaver.backend_sim.traffic.stream import running_sums
from layerweaver.ir import LayerweaverError, TrafficError
from layerweaver.ir.limits import MAX_ARRIVAL_NS

Keys = dict[str, Any]
Path_ = tuple[str | int, ...]

KINDS: dict[str, Keys] = {
    "poisson": {"qps": 10.0},
    "gamma": {"qps": 10.0, "cv": 1.0},
    "mmpp": {"qps": [1.0, 20.0], "mean_s": [1.0, 2.0]},
    "ramp": {"qps": [1.0, 20.0], "over_s": 5.0},
    "bursts": {"qps": [1.0, 20.0], "period_s": 2.0, "burst_s": 1.0},
    "periodic": {"period_ms": 100.0, "jitter_ms": 10.0},
    "offline": {"qps": 10.0},
    "trace": {"time_scale": 1.0, "loop": True},
}


def _paths(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Where the numbers stand."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _paths(item, (*path, key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _paths(item, (*path, place))
    elif isinstance(value, float):
        yield path


def _with(keys: Keys, path: Path_, value: float) -> Keys:
    changed = copy.deepcopy(keys)
    part: Any = changed
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    return changed


def _extreme(accepted: Callable[[float], bool], factor: float) -> float:
    """The last value of a geometric search that is accepted, to one part in a thousand."""
    value = 1.0
    while factor > 1.0001:
        while accepted(value * factor):
            value *= factor
        factor = math.sqrt(factor)
    return value


def _scenario(kind: str, arrival: Keys, tmp_path: Path) -> Keys:
    trace = tmp_path / "trace.csv"
    trace.write_text("tenant,query,arrival_ns\na,0,0\na,1,86400000000000\na,2,799999999999999999\n")
    extra = {"file": str(trace)} if kind == "trace" else {}
    tenant = {"name": "a", "model": "zoo:resnet50", "arrival": {"kind": kind, **arrival, **extra}}
    return {"npu": "memory-centric", "duration_s": 20.0, "tenants": [tenant]}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("up", [True, False], ids=["largest", "least"])
def test_arrivals_ascend_whatever_is_accepted(kind: str, up: bool, tmp_path: Path) -> None:
    base = _scenario(kind, KINDS[kind], tmp_path)
    swept = list(_paths(base))
    for path in swept:
        for companion in (None, *(other for other in swept if other != path)):

            def keys(value: float, path: Path_ = path, companion: Path_ | None = companion) -> Keys:
                changed = _with(base, path, value)
                return changed if companion is None else _with(changed, companion, value)

            def accepted(value: float, keys: Callable[[float], Keys] = keys) -> bool:
                try:
                    load_scenario(keys(value))
                except LayerweaverError:
                    return False
                return True

            if accepted(1.0):
                _check(keys(_extreme(accepted, 1e8 if up else 1e-8)))


def _check(keys: Keys) -> None:
    """The first 40,000 arrivals ascend within what is allowed, or the source says that they would not."""
    before, taken = 0, 0
    source = make_source(load_scenario(keys), 0, TrafficRequest())
    assert isinstance(source, Arrivals)
    while taken < 40_000 and len(times := _take(source, 10_000)):
        assert times[0] >= before, keys
        assert (np.diff(times) >= 0).all(), keys
        assert times[-1] < MAX_ARRIVAL_NS, keys
        before, taken = int(times[-1]), taken + len(times)


def _take(source: Arrivals, count: int) -> NDArray[np.int64]:
    try:
        return source.take(count)
    except TrafficError as error:
        if "would come later" not in str(error) and "spans more" not in str(error):
            raise
        return np.empty(0, np.int64)


def test_a_weekly_job_comes_five_times_in_thirty_days() -> None:
    day_s = 86_400
    tenant = {
        "name": "weekly",
        "model": "zoo:resnet50",
        "arrival": {"kind": "periodic", "period_ms": 7 * day_s * 1000},
    }
    scenario = load_scenario({"npu": "memory-centric", "duration_s": 30 * day_s, "tenants": [tenant]})
    source = make_source(scenario, 0, TrafficRequest())
    assert isinstance(source, Arrivals)
    assert source.take(10).tolist() == [week * 7 * day_s * 10**9 for week in range(5)]


@pytest.mark.parametrize("most", [100, MAX_ARRIVAL_NS, 2**62])
def test_running_sums_stop_at_the_most(most: int) -> None:
    steps = [0, 3, most // 3, 0, most // 2, most, most, 1, most]
    sums, total = [5], 5
    for step in steps:
        total = min(most, total + step)
        sums.append(total)
    assert running_sums(5, np.array(steps, np.int64), most).tolist() == sums


def test_what_takes_thousands_of_seconds_is_said_in_full(make_scenario: Any, tmp_path: Path) -> None:
    loop = {"kind": "closed_loop", "concurrency": 1, "think_ms": 5_000_000, "queries": 1_000_000}
    with pytest.raises(LayerweaverError, match="with 5,000 s between them"):
        simulate(make_scenario(duration_s=None, tenants=[{"arrival": loop}, {"arrival": loop}]))
    (tmp_path / "long.csv").write_text(
        "layer,compute_cycles,dram_bytes,weight_bytes\none,5000000000000,0,0\n"
    )
    tenant = {"model": {"costs": str(tmp_path / "long.csv")}, "deadline_ms": None}
    with pytest.raises(LayerweaverError, match=r"up to [0-9]+,[0-9]{3} s each last too long"):
        simulate(make_scenario(duration_s=None, min_queries=1_000_000, tenants=[tenant, {}]))
