"""Every number that a scenario may state, at its largest and least, alone and together, is refused or runs.

The numbers are found in the models of its sections, so that a key that is added and stands in no scenario
here fails the first test.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hostile.profiles import is_short
from pydantic import BaseModel

from layerweaver.backend_sim.run.prepare import prepare
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.scenario.schema import ScenarioSpec
from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.backend_sim.study.sweep.reading import read_study
from layerweaver.backend_sim.study.sweep.schema import Range, Repeats, StudySpec
from layerweaver.ir import LayerweaverError

Place = tuple[str | int, ...]
Known = set[tuple[str, str]]

ONE = "layer,compute_cycles,dram_bytes,weight_bytes\nl,1000,900,800\nm,10,9000,900\n"
TIMINGS = {
    "clock_mhz": 1000,
    "token_cycles": {"tokens": [1, 64], "cycles": [100, 900]},
    "kv_bytes_per_token": 64,
}
ARRIVALS: tuple[dict[str, Any], ...] = (
    {"kind": "poisson", "qps": 5000, "seed": 1},
    {"kind": "gamma", "qps": 5000, "cv": 1.0, "seed": 1},
    {"kind": "mmpp", "qps": [1000, 9000], "mean_s": [0.001, 0.001], "seed": 1},
    {"kind": "ramp", "qps": [1000, 9000], "over_s": 0.001, "seed": 1},
    {"kind": "bursts", "qps": [100, 9000], "period_s": 0.001, "burst_s": 0.0005, "seed": 1},
    {"kind": "periodic", "period_ms": 0.3, "jitter_ms": 0.1, "seed": 1},
    {"kind": "offline", "samples": 5},
    {"kind": "offline", "qps": 5000},
    {"kind": "saturated", "queries": 5},
    {"kind": "closed_loop", "concurrency": 2, "think_ms": 0.01, "queries": 5},
    {"kind": "single_stream", "queries": 5},
    {"kind": "multi_stream", "queries": 5, "samples": 2},
    {"kind": "trace", "file": "trace.csv", "tenant": "*", "time_scale": 1.0, "spread_ms": 0.01},
)
LATER = {"Buckets", "TensorParallel"}
"""Sections of what is not built yet: only their defaults are accepted."""
ELSEWHERE = {("TenantSpec", key) for key in ("shapes", "values", "trip_counts")} | {("KvSpec", "tile_mb")}
"""Keys that name inputs of a model file, and one that needs a compiled language model (``scripts/fuzz``)."""


def _numbers(annotation: Any, owner: str, name: str, seen: set[Any]) -> Iterator[tuple[str, str]]:
    """Section and key of every number that a type can hold."""
    if annotation in (int, float):
        yield owner, name
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation not in seen and annotation.__module__.startswith("layerweaver."):
            seen.add(annotation)
            for key, field in annotation.model_fields.items():
                yield from _numbers(field.annotation, annotation.__name__, key, seen)
    elif get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _numbers(part, owner, name, seen)


def _stated(section: Any, found: Known) -> Known:
    """Section and key of every number that a scenario states."""
    if isinstance(section, BaseModel):
        for key in section.model_fields_set:
            value = getattr(section, key)
            if _holds_number(value):
                found.add((type(section).__name__, key))
            _stated(value, found)
    elif isinstance(section, (list, tuple)):
        for item in section:
            _stated(item, found)
    return found


def _holds_number(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_holds_number, value))
    if isinstance(value, dict):
        return any(map(_holds_number, value.values()))
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _tenant(arrival: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "a", "model": {"costs": "one.csv"}, "deadline_ms": 1.0, "arrival": arrival, **more}


def _scenario(*tenants: dict[str, Any], **keys: Any) -> dict[str, Any]:
    named = [{**tenant, "name": f"t{place}"} for place, tenant in enumerate(tenants)]
    return {"npu": "memory-centric", "duration_s": 0.002, **keys, "tenants": named}


def _language_model(**lengths: Any) -> dict[str, Any]:
    return {
        "model": {"timings": "times.yaml"},
        "llm": {
            "max_num_seqs": 4,
            "max_batched_tokens": 64,
            "max_model_len": 512,
            "long_prefill_threshold": 8,
            "step_overhead_us": 0.1,
            "kv": {"block": 16, "blocks": 40, "watermark": 0.01, "dtype_bytes": 2},
        },
        "lengths": lengths,
        "deadline": {"ttft_ms": 10.0, "tpot_ms": 1.0, "itl_ms": 2.0},
        "percentile": 99.0,
        "arrival": ARRIVALS[0],
    }


def scenarios() -> dict[str, dict[str, Any]]:
    """Scenarios that state every number between them."""
    poisson = ARRIVALS[0]
    spread = {"lognormal": {"mean": 30.0, "cv": 1.0, "most": 90}}
    found = {f"{place} {keys['kind']}": _scenario(_tenant(keys)) for place, keys in enumerate(ARRIVALS)}
    queue = {"limit": 3, "timeout_ms": 0.1}
    batch = {"max": 4, "delay_ms": 0.1, "preferred": [2], "sizes": [1, 2, 4]}
    found["queues"] = _scenario(
        _tenant(poisson, queue=queue, priority=3, percentile=90.0), _tenant(poisson, batch=2)
    )
    found["batches"] = _scenario(_tenant(poisson, batch=batch))
    found["spans"] = _scenario(
        _tenant(poisson), warmup_s=0.0005, cooldown_s=0.0005, dispatch_ahead=3, decision_cycles=5
    )
    found["core"] = _scenario(_tenant(poisson), decision={"core_mhz": 500.0, "instructions": 400})
    found["least"] = _scenario(_tenant(poisson), min_queries=5)
    pool = [{"npu": "memory-centric", "count": 2}]
    found["pool"] = _scenario(_tenant(poisson), npu=None, pool=pool, router="power_of_two", router_seed=5)
    imported = {
        "model": "zoo:ncf",
        "dims": {"batch": 1},
        "longest_us": 5.0,
        "shapes": {},
        "values": {},
        "trip_counts": {},
    }
    found["imported"] = _scenario(_tenant(poisson, **imported))
    found["tokens"] = _scenario(_language_model(prompt=30, output=3, seed=1))
    found["lengths"] = _scenario(_language_model(prompt=spread, output=3), _tenant(poisson))
    pairs = {"file": "pairs.csv", "order": "loadgen", "qsl_seed": 1, "sample_seed": 2}
    found["pairs"] = _scenario(_language_model(**pairs))
    return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "one.csv").write_text(ONE)
    (tmp_path / "times.yaml").write_text(json.dumps(TIMINGS))
    (tmp_path / "pairs.csv").write_text("prompt,output\n30,3\n9,2\n")
    (tmp_path / "trace.csv").write_text("tenant,query,arrival_ns\na,0,0\na,1,300000\na,2,900000\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_number_is_stated_somewhere(home: Path) -> None:
    assert home.is_dir()
    found: Known = set()
    for keys in scenarios().values():
        _stated(load_scenario(keys).spec, found)
    missing = set(_numbers(ScenarioSpec, "", "", set())) - found - ELSEWHERE
    assert {(owner, key) for owner, key in missing if owner not in LATER} == set()


def _places(value: Any, place: Place = ()) -> Iterator[Place]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(item, (int, float)) and not isinstance(item, bool):
            yield (*place, key)
        yield from _places(item, (*place, key))


def _with(keys: dict[str, Any], place: Place, share: float) -> dict[str, Any]:
    """The scenario with one number so many times as large."""
    changed = copy.deepcopy(keys)
    part: Any = changed
    for step in place[:-1]:
        part = part[step]
    value = part[place[-1]] * share
    part[place[-1]] = round(value) if isinstance(part[place[-1]], int) else value
    return changed


def _loaded(keys: dict[str, Any]) -> Scenario | None:
    try:
        return load_scenario(keys)
    except LayerweaverError:
        return None


def _furthest(keys: dict[str, Any], place: Place, step: float) -> dict[str, Any]:
    """The scenario with one number as large, or as small, as is accepted, to some percent."""
    share = 1.0
    while abs(math.log(step)) > 0.02:
        while 1e-30 < share * step < 1e30 and _loaded(_with(keys, place, share * step)) is not None:
            share *= step
        step = math.sqrt(step)
    return _with(keys, place, share)


def _use(keys: dict[str, Any], check: Callable[[dict[str, Any]], object]) -> None:
    """Prepare the scenario, and run it where it asks for little; refusals are answers."""
    scenario = _loaded(keys)
    assert scenario is not None
    with contextlib.suppress(LayerweaverError):
        if is_short(prepare(scenario)):
            check(dict(simulate(scenario, "fcfs")))


def _sound(value: Any, key: str = "") -> None:
    """No number of a result is endless, and none that counts or measures time is negative."""
    if isinstance(value, dict):
        for name, item in value.items():
            _sound(item, name)
    elif isinstance(value, list):
        for item in value:
            _sound(item, key)
    elif isinstance(value, (int, float)):
        assert math.isfinite(value)
        assert value >= 0 or not key.endswith(("_ms", "_s", "arrived", "completed", "_share", "qps"))


@pytest.mark.parametrize("step", [1e8, 1e-8], ids=["largest", "least"])
@pytest.mark.parametrize("name", scenarios())
def test_numbers_at_their_furthest_run_or_are_refused(name: str, step: float, home: Path) -> None:
    assert home.is_dir()
    keys = scenarios()[name]
    places = list(_places(keys))
    for place in places:
        _use(_furthest(keys, place, step), _sound)
    chance = random.Random(name)
    chance.shuffle(places)
    together = keys
    for place in places:
        together = _furthest(together, place, step)
        _use(together, _sound)


STUDY: dict[str, Any] = {
    "scenario": _scenario(_tenant(ARRIVALS[0])),
    "axes": {
        "tenants.t0.deadline_ms": {"from": 1.0, "to": 9.0, "points": 3},
        "npu.dram.bandwidth_gb_s": {"from": 10.0, "to": 900.0, "points": 3, "scale": "log"},
        "decision_cycles": [1, 5],
        "load": [0.5, 0.9],
        "seed": {"count": 2},
    },
    "sample": {"kind": "random", "points": 4, "seed": 1},
    "queries": 50,
}


def test_every_number_of_a_study_is_stated() -> None:
    known = _stated(StudySpec.model_validate(STUDY), set())
    assert {each for each in _numbers(StudySpec, "", "", set()) if each not in known} == {
        ("SampleSpec", "trials")
    }
    assert {key for _, key in _numbers(Range, "", "", set())} <= {"from_", "to", "points"}
    assert {key for _, key in _numbers(Repeats, "", "", set())} == {"count"}


@pytest.mark.parametrize("step", [1e8, 1e-8], ids=["largest", "least"])
@pytest.mark.parametrize("sample", [{"kind": "grid"}, STUDY["sample"], {"kind": "sobol", "points": 4}])
def test_numbers_of_a_study_at_their_furthest_are_read_or_refused(
    step: float, sample: dict[str, Any], home: Path
) -> None:
    keys = {**STUDY, "sample": sample}
    for place in _places(keys):
        for share in (step, math.sqrt(step), step**2, -1.0):
            with contextlib.suppress(LayerweaverError):
                study = read_study(_with(keys, place, share))
                assert 0 < study.total <= 10**7
    assert home.is_dir()
