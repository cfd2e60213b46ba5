"""Whatever a scenario states either changes the result, or is refused, or is said to change nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from layerweaver.backend_sim.run.prepare import prepare
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.study.peak.peak import peak
from layerweaver.backend_sim.study.repeat import RunOptions
from layerweaver.backend_sim.study.rerun import differences, rerun
from layerweaver.backend_sim.study.simulate import compare, simulate, simulate_with
from layerweaver.backend_sim.study.traffic import traffic
from layerweaver.ir import LayerweaverError, PolicyError, ScenarioError
from layerweaver.scheduler.compile.inspection import inspect_model

Keys = dict[str, Any]
Make = Callable[..., Keys]

KINDS: dict[str, Keys] = {
    "poisson": {"qps": 2000, "seed": 1},
    "offline": {"samples": 40},
    "single_stream": {"queries": 20},
    "multi_stream": {"queries": 10, "samples": 2},
    "gamma": {"qps": 2000, "cv": 2, "seed": 1},
    "mmpp": {"qps": [1000, 3000], "mean_s": [0.01, 0.01], "seed": 1},
    "ramp": {"qps": [1000, 3000], "seed": 1},
    "bursts": {"qps": [500, 4000], "period_s": 0.01, "burst_s": 0.005, "seed": 1},
    "periodic": {"period_ms": 0.5},
    "closed_loop": {"concurrency": 3},
    "saturated": {},
    "trace": {"file": "times.csv", "tenant": "a"},
}
OWN: dict[str, list[Keys]] = {
    "poisson": [{"seed": 5}, {"qps": 1000}],
    "offline": [{"qps": 900}],
    "single_stream": [{"queries": 10}],
    "multi_stream": [{"samples": 3}],
    "gamma": [{"cv": 1}, {"seed": 3}],
    "mmpp": [{"mean_s": [0.02, 0.01]}, {"seed": 3}],
    "ramp": [{"over_s": 0.01}, {"seed": 3}],
    "bursts": [{"burst_s": 0.002}, {"period_s": 0.02}, {"seed": 3}],
    "periodic": [{"jitter_ms": 0.3}, {"seed": 3}],
    "closed_loop": [{"think_ms": 2}, {"queries": 9}],
    "saturated": [{"queries": 9}],
    "trace": [
        {"time_scale": 0.5},
        {"loop": True},
        {"spread_ms": 1},
        {"tenant": "*"},
        {"tokens": "ignore"},
        {"format": "azure-llm"},
        {"columns": {"time": "timestamp", "tenant": "tenant", "unit": "ms"}},
    ],
}
OF_TENANT: list[Keys] = [
    {"batch": 4},
    {"batch": {"max": 4, "sizes": [4], "delay_ms": 3}},
    {"batch": {"max": 1, "delay_ms": 3}},
    {"batch": {"max": 1, "preferred": [1]}},
    {"batch": {"max": 4, "sizes": [4], "preferred": [2]}},
    {"model": {"costs": {"1": "heavy.csv", "4": "heavy.csv"}}},
    {"percentile": 50},
    {"priority": 9},
    {"queue": {"limit": 1}},
    {"queue": {"drop_hopeless": True}},
    {"queue": {"timeout_ms": 0.4}},
    {"deadline_ms": 0.9},
    {"mlperf_model": "whisper"},
    {"lengths": {"prompt": 1, "output": 1}},
    {"incomplete": True},
    {"longest_us": 5},
]
OF_SCENARIO: list[Keys] = [
    {"duration_s": 0.02},
    {"min_queries": 300},
    {"warmup_s": 0.01},
    {"cooldown_s": 0.01},
    {"dispatch_ahead": 3},
    {"decision_cycles": 900},
    {"decision": {"core_mhz": 10, "instructions": 900}},
    {"groups": [["a", "b"]]},
    {"npu": None, "pool": [{"npu": "memory-centric", "count": 2}]},
    {"router": "balanced"},
    {"router_seed": 3},
]
BY_DATA = {
    # documented as limits that judge or bind only where something reaches them
    ("dispatch_ahead", "single_stream"),
    ("dispatch_ahead", "multi_stream"),
}


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Tenant ``a`` of some kind beside an overloaded one, under a policy that serves in order."""
    monkeypatch.chdir(tmp_path)
    layers = "".join(f"l{k},60000,90000,90000\n" for k in range(4))
    Path("heavy.csv").write_text("layer,compute_cycles,dram_bytes,weight_bytes\n" + layers)
    rows = "".join(f"{k // 4 * 0.001:.3f},{'ab'[k % 3 == 2]}\n" for k in range(120))
    Path("times.csv").write_text("timestamp,tenant\n" + rows)

    def keys(kind: str, tenant: Keys | None = None, **changes: Any) -> Keys:
        first = {"name": "a", "model": {"costs": "heavy.csv"}, "deadline_ms": 0.5}
        first["arrival"] = {"kind": kind, **KINDS[kind], **changes.pop("arrival", {})}
        busy = {"kind": "poisson", "qps": 2000, "seed": 9}
        second = {"name": "b", "model": {"costs": "heavy.csv"}, "deadline_ms": 5, "arrival": busy}
        scenario = {"npu": "memory-centric", "policy": "fcfs", "duration_s": 0.04, **changes}
        stated = {key: value for key, value in scenario.items() if value is not None}
        return {**stated, "tenants": [{**first, **(tenant or {})}, second]}

    return keys


def _told(keys: Keys, **options: Any) -> tuple[Keys, list[str]] | None:
    """A result without what it repeats of the scenario, and its warnings; None if it is refused."""
    try:
        document: Any = json.loads(json.dumps(simulate(keys, compiled=False, **options)))
    except LayerweaverError:
        return None
    for key in ("scenario", "run", "seed"):
        document.pop(key)
    return document, document.pop("warnings", [])


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_does_something_or_is_said_or_refused(make: Make, kind: str) -> None:
    before = _told(make(kind))
    assert before is not None
    silent = []
    for place, choices in (("arrival", OWN[kind]), ("tenant", OF_TENANT), ("", OF_SCENARIO)):
        for change in choices:
            after = _told(make(kind, **({place: change} if place else change)))
            if after is None or after[0] != before[0] or after[1] != before[1]:
                continue
            if (next(iter(change)), kind) not in BY_DATA:
                silent.append(change)
    assert not silent


@pytest.mark.parametrize("kind", ["periodic", "trace"])
def test_seeds_that_draw_nothing_are_said(make: Make, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    keys = make(kind)
    keys["tenants"] = keys["tenants"][:1]
    for options in ({"seed": 4}, {"seeds": 2}):
        told = _told(keys, **options)
        assert told is not None
        assert any("no tenant's arrivals are drawn" in line for line in told[1])
    list(traffic(keys, 4))
    assert "no tenant's arrivals are drawn" in caplog.text


def test_a_peak_says_which_keys_its_trials_do_not_look_at(make: Make) -> None:
    keys = make("poisson", warmup_s=0.01, min_queries=7)
    warnings = peak(keys, ["fcfs"], queries=40)["warnings"]
    assert any("min_queries, warmup_s not used" in line for line in warnings)
    assert "warnings" not in peak(make("poisson"), ["fcfs"], queries=4000)


def test_a_policy_that_stands_twice_is_refused(make: Make) -> None:
    with pytest.raises(PolicyError, match="edf: stands twice; name every setting once"):
        compare(make("poisson"), ["edf", "fcfs", {"name": "edf", "commit": "late"}])
    with pytest.raises(PolicyError, match="fcfs: stands twice"):
        peak(make("poisson", policies=["fcfs", "fcfs"]), queries=40)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"policies": ["edf", "edf"]}, r"scenario: policies\[1\] edf: stands twice"),
        ({"policies": ["edf", "nope"]}, r"scenario: policies\[1\]: no policy is called 'nope'"),
        ({"policies": ["edf", {"name": "fcfs", "a": 1}]}, r"scenario: policies\[1\] fcfs: has no option 'a'"),
        ({"policy": {"name": "edf", "a": 1}}, "scenario: policy edf: has no option 'a'"),
    ],
)
def test_policies_of_a_scenario_are_refused_with_their_place(
    make: Make, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(PolicyError, match=message):
        compare(make("poisson", **keys))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": 8, "queue": {"limit": 4}}, "no batch has more than 4 of 8 requests"),
        (
            {"batch": {"max": 8, "delay_ms": 4}, "queue": {"limit": 4}},
            "no batch has more than 4 of 8 requests",
        ),
        (
            {"batch": {"auto": True, "max": 8}, "queue": {"limit": 4}},
            "no batch has more than 4 of 8 requests",
        ),
        ({"batch": {"auto": True}, "queue": {"limit": 4}}, ""),
        ({"batch": {"max": 8, "delay_ms": 4}, "queue": {"timeout_ms": 3}}, "batch.delay_ms 4 never passes"),
        ({"percentile": 90, "deadline_ms": None}, "percentile judges nothing without a deadline"),
        ({"batch": 4, "queue": {"limit": 4}}, ""),
        ({"batch": {"max": 8, "delay_ms": 3}, "queue": {"timeout_ms": 4}}, ""),
        ({"percentile": 90}, ""),
    ],
)
def test_keys_that_keep_each_other_from_their_work_are_said(make: Make, changes: Keys, said: str) -> None:
    model = {"costs": {"1": "heavy.csv", "4": "heavy.csv", "8": "heavy.csv"}}
    tenants = make("poisson")["tenants"]
    tenant = {"deadline_ms": 500, **tenants[0], "model": model, **changes}
    kept = {key: value for key, value in tenant.items() if value is not None}
    told = load_scenario({**make("poisson"), "tenants": [kept]}).warnings
    found = [line for line in told if not line.partition(": ")[2].startswith("costs of batch")]
    assert [line.startswith(f"tenant {tenant['name']!r}: {said}") for line in found] == [True] * bool(said)


def test_a_window_after_the_end_is_said(make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    simulate_with(make("poisson"), "fcfs", RunOptions(log=tmp_path / "d.csv", trace_window="70s:80s"))
    assert "logging 70s:80s holds nothing: the run ends at " in caplog.text


def test_a_peak_says_what_seeds_and_queries_cannot_tell(make: Make) -> None:
    keys = make("periodic")
    keys["tenants"] = keys["tenants"][:1]
    warnings = peak(keys, ["fcfs"], queries=40, seeds=2)["warnings"]
    assert any("repeating changes nothing" in line for line in warnings)
    assert any("too few queries to be sure of the percentile (" in line for line in warnings)
    assert any(" 40 of 459)" in line for line in warnings)


def test_bad_rows_of_no_trace(make: Make) -> None:
    told, traced = _told(make("poisson"), skip_bad_rows=True), _told(make("trace"), skip_bad_rows=True)
    assert told is not None
    assert traced is not None
    assert told[1] == ["skipping bad rows changes nothing: no tenant reads a trace"]
    assert not traced[1]


@pytest.mark.parametrize("batch", [{"max": 8}, {"auto": True}, "auto"])
def test_tables_of_own_costs_say_at_which_sizes_batches_run(make: Make, batch: Any) -> None:
    tables = {"costs": {"1": "heavy.csv", "8": "heavy.csv"}}
    document = simulate(make("poisson", {"model": tables, "batch": batch}), compiled=False)
    assert (document["tenants"][0]["batch_size"]["max"] or 0) > 2
    (again,) = rerun(json.loads(json.dumps(document)))
    assert not list(differences(json.loads(json.dumps(document)), json.loads(json.dumps(again))))


@pytest.mark.parametrize(
    ("model", "batch", "said"),
    [
        ("heavy.csv", {"max": 8}, "one cost table is of one batch size, and this batch runs at 1, 2, 4, 8"),
        ({"1": "heavy.csv"}, {"max": 8}, "no cost table for batch 8"),
        ({"one": "heavy.csv"}, 1, "'one' is not a batch size"),
        ({"01": "heavy.csv"}, 1, "'01' is not a batch size"),
    ],
)
def test_tables_that_are_missing_are_one_line(make: Make, model: Any, batch: Any, said: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        simulate(make("poisson", {"model": {"costs": model}, "batch": batch}), compiled=False)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_table_of_the_largest_batch_serves_them_all(make: Make) -> None:
    document = simulate(make("poisson", {"batch": {"max": 8, "sizes": [8]}}), compiled=False)
    assert document["tenants"][0]["completed"]


def test_a_small_dram_and_energies_that_count_nothing_are_said(tmp_path: Path) -> None:
    npu: Keys = {
        "name": "edge",
        "clock_mhz": 800,
        "precision_bytes": 1,
        "array": {"rows": 64, "columns": 64, "dataflow": "ws"},
        "dram": {"bandwidth_gb_s": 25.6, "capacity_gb": 0.001},
        "sram": {"weights_mb": 2, "activations_mb": 8},
        "energy": {"mac_pj": 1},
    }
    arrival = {"kind": "poisson", "qps": 100, "seed": 1}
    keys = {
        "npu": npu,
        "min_queries": 5,
        "tenants": [{"name": "a", "model": "zoo:resnet18", "arrival": arrival}],
    }
    notes = " ".join(prepare(load_scenario(keys)).notes)
    assert "energy of edge: vector_op_pj, dram_byte_pj, sram_byte_pj not stated, counted as 0" in notes
    assert "fetches, 0.0117 GB, exceed the 0.001 GB of edge's DRAM (dram.capacity_gb)" in notes
    file = tmp_path / "edge.yaml"
    file.write_text(yaml.safe_dump(npu))
    inspected = inspect_model("zoo:resnet18", npu=str(file)).document
    assert any("exceed the 0.001 GB of edge's DRAM" in line for line in inspected["warnings"])
    assert inspected["totals"]["energy_counts"].endswith("sram_byte_pj not stated, counted as 0")
    npu["energy"] = dict.fromkeys(("mac_pj", "vector_op_pj", "dram_byte_pj", "sram_byte_pj"), 1)
    npu["dram"] = {"bandwidth_gb_s": 25.6, "capacity_gb": 1}
    assert prepare(load_scenario(keys)).notes == ()
