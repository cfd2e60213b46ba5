"""A result names everything that it takes to run it again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from layerweaver.__main__ import main
from layerweaver.backend_sim.results.files import result_rows
from layerweaver.backend_sim.results.naming import run_names, setting_names
from layerweaver.backend_sim.results.reading import ResultError
from layerweaver.backend_sim.results.sentence import verdict_sentence
from layerweaver.backend_sim.scenario.provenance import scenario_record, stated_keys
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.study.repeat import RunOptions
from layerweaver.backend_sim.study.rerun import differences, rerun
from layerweaver.backend_sim.study.simulate import compare, simulate
from layerweaver.ir import PolicyError

NPU = """name: unit
clock_mhz: 1000
precision_bytes: 1
array: {rows: 32, columns: 32, count: 1, dataflow: os}
vector: {lanes: 64}
dram: {bandwidth_gb_s: 1}
sram: {weights_mb: 1, activations_mb: 2}
"""
SCENARIO = """npu: unit.yaml
policy: {name: layerweaver+, margin_us: 3}
duration_s: 0.01
warmup_s: 0.001
tenants:
  - name: a
    model: {costs: {1: a.csv, 4: a.csv}}
    batch: {max: 4, delay_ms: 0.1, sizes: [1, 4]}
    deadline_ms: 1
    arrival: {kind: poisson, qps: 20 k, seed: 3}
  - name: b
    model: {costs: a.csv}
    queue: {limit: 3}
    arrival: {kind: trace, file: times.csv, format: csv}
"""
SIMPLE = (
    SCENARIO.replace("20 k", "2000")
    .replace("{costs: {1: a.csv, 4: a.csv}}", "{costs: a.csv}")
    .replace("    batch: {max: 4, delay_ms: 0.1, sizes: [1, 4]}\n", "")
)
POLICY = """from layerweaver.scheduler.policies.contract import PolicySpec


def choose(view, options, memory):
    return view.ready[view.machine.ready_count - 1]


POLICY = PolicySpec("last", choose, "the last one")
"""


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "unit.yaml").write_text(NPU)
    (folder / "a.csv").write_text("layer,compute_cycles,dram_bytes,weight_bytes\nx,9000,5000,5000\n")
    (folder / "times.csv").write_text(
        "tenant,query,arrival_ns\n" + "".join(f"b,{k},{k * 70_000}\n" for k in range(99))
    )
    (folder / "service.yaml").write_text(SCENARIO.replace("20 k", "20000"))
    (folder / "last.py").write_text(POLICY)
    monkeypatch.chdir(tmp_path)
    return Path("given/service.yaml")


def _same(first: Any, second: Any) -> bool:
    return not list(differences(first, second))


def test_a_result_states_options_seed_and_scenario_with_the_hash_of_every_file(scenario: Path) -> None:
    document: Any = simulate(scenario, {"name": "layerweaver+", "margin_us": 7}, 42, compiled=False)
    assert (document["policy"], document["seed"]) == ("layerweaver+", 42)
    assert document["policy_options"]["margin_us"] == 7
    assert set(document["policy_options"]) >= {"margin_us", "evaluate", "hopeless"}
    assert document["scenario"]["policy"]["margin_us"] == 7
    assert document["scenario"]["tenants"][0]["arrival"]["qps"] == 20_000
    assert set(document["scenario"]["files"]) == {"unit.yaml", "a.csv", "times.csv"}
    assert all(len(digest) == 64 for digest in document["scenario"]["files"].values())
    row = result_rows(document)[0]
    assert (row["policy_options.margin_us"], row["seed"]) == (7, 42)


@pytest.mark.parametrize("policy", [None, {"name": "layerweaver+", "margin_us": 7}, "given/last.py"])
def test_a_result_runs_again_to_the_same_bytes(scenario: Path, policy: Any) -> None:
    document = json.loads(json.dumps(simulate(scenario, policy, 42, seeds=2)))
    (again,) = rerun(document, RunOptions(allow_code=True))
    assert _same(document, json.loads(json.dumps(again)))
    if policy == "given/last.py":
        with pytest.raises(PolicyError, match="is a program"):
            rerun(document)


def test_a_comparison_runs_again(scenario: Path) -> None:
    policies: list[Any] = ["fcfs", {"name": "layerweaver+", "margin_us": 9}]
    document = compare(scenario, policies)
    assert _same(document, {"runs": rerun(document)})


@pytest.mark.parametrize("file", ["unit.yaml", "a.csv", "times.csv"])
def test_a_file_that_changed_is_named(scenario: Path, file: str) -> None:
    document: Any = simulate(scenario)
    path = scenario.parent / file
    path.write_text(path.read_text() + "\n")
    was = document["scenario"]["files"][file][:12]
    now = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    told = rf"^result: since .*made: {file} changed \(SHA-256 {was}\.\.\., now {now}\.\.\.\);"
    with pytest.raises(ResultError, match=told):
        rerun(document)
    path.unlink()
    with pytest.raises(ResultError, match=rf"made: {file} is not there;"):
        rerun(document)


def test_a_module_that_a_policy_calls_is_a_file_of_the_result(
    scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = scenario.parent / "helps_last.py"
    helper.write_text("def pick(view):\n    return view.ready[view.machine.ready_count - 1]\n")
    monkeypatch.syspath_prepend(str(scenario.parent))
    calling = "from helps_last import pick\n" + POLICY.replace(
        "view.ready[view.machine.ready_count - 1]", "pick(view)"
    )
    (scenario.parent / "last.py").write_text(calling)
    document: Any = simulate(scenario, "given/last.py")
    assert list(document["scenario"]["files"])[-2:] == ["last.py", "helps_last.py"]
    helper.write_text(helper.read_text() + "\n")
    with pytest.raises(ResultError, match=r"helps_last\.py changed"):
        rerun(document, RunOptions(allow_code=True))


def test_the_command_writes_the_result_again(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(scenario), "--seed", "5", "-o", "first.json"]) == 0
    assert main(["rerun", "first.json", "-o", "second.json"]) == 0
    assert "the same as first.json" in capsys.readouterr().err
    first, second = (json.loads(Path(name).read_text()) for name in ("first.json", "second.json"))
    assert _same(first, second)
    first["tenants"][0]["arrived"] += 1
    Path("first.json").write_text(json.dumps(first))
    assert main(["rerun", "first.json"]) == 1
    assert "differs from first.json in tenants.0.arrived" in capsys.readouterr().err
    (scenario.parent / "a.csv").unlink()
    assert main(["rerun", "first.json"]) == 2
    said = capsys.readouterr().err
    assert "since this result was made: a.csv is not there" in said
    assert said.count("\n") == 1


def test_the_command_shows_a_comparison_and_a_peak_again(
    scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("compare", "peak"):
        more = ["--queries", "60"] if command == "peak" else []
        assert main([command, str(scenario), "--policies", "fcfs,edf", *more, "-o", f"{command}.json"]) == 0
        first = capsys.readouterr()
        assert main(["rerun", f"{command}.json"]) == 0
        again = capsys.readouterr()
        assert f"the same as {command}.json" in again.err
        assert "edf" in again.out
        closing = first.out.strip().rpartition("\n\n")[2]
        assert command == "peak" or (closing.startswith("At ") and again.out.strip().endswith(closing))


def test_runs_are_named_by_what_differs() -> None:
    def run(margin_us: float, seed: int, qps: float = 1.0) -> Any:
        tenant = {"name": "a", "arrival": {"qps": qps}}
        return {
            "policy": "layerweaver+",
            "npu": "unit",
            "policy_options": {"margin_us": margin_us, "hopeless": "leave"},
            "seed": seed,
            "scenario": {"tenants": [tenant]},
            "system": {},
        }

    fcfs: Any = {**run(50, 1), "policy": "fcfs", "policy_options": {}}
    named = run_names([fcfs, run(50, 1), run(100, 1), run(100, 2)])
    assert named == [
        "fcfs seed=1",
        "layerweaver+ margin_us=50 seed=1",
        "layerweaver+ margin_us=100 seed=1",
        "layerweaver+ margin_us=100 seed=2",
    ]
    assert run_names([run(50, 1, 900), run(50, 1, 1000)]) == [
        "layerweaver+ tenants.a.arrival.qps=900",
        "layerweaver+ tenants.a.arrival.qps=1000",
    ]
    assert run_names([run(50, 1), run(50, 1)]) == ["layerweaver+ #1", "layerweaver+ #2"]
    pool: Any = {**run(50, 1), "npu": "2 x a + 1 x b", "scenario": {"pool": [{"npu": "a"}, {"npu": "b"}]}}
    alone: Any = {**run(50, 1), "scenario": {"npu": "./unit.yaml"}}
    assert run_names([alone, pool]) == ["layerweaver+ npu=unit", "layerweaver+ npu=2 x a + 1 x b"]
    other: Any = {**run(50, 1), "scenario": {"npu": "./new/unit.yaml"}}
    assert run_names([alone, other])[1] == "layerweaver+ scenario.npu=./new/unit.yaml"
    assert setting_names([{"name": "edf"}, {"name": "p", "us": 500.0}, {"name": "p", "us": 0.5}]) == [
        "edf",
        "p us=500",
        "p us=0.5",
    ]
    assert run_names([run(50, 1), run(50, 1)], ["a.json", "b.json"]) == [
        "layerweaver+ a.json",
        "layerweaver+ b.json",
    ]


def test_files_that_changed_between_runs_are_told() -> None:
    def run(sha256: str, policy: str = "edf", **scenario: Any) -> Any:
        made = {"npu": "edge.yaml", "files": {"edge.yaml": sha256, "same.csv": "0"}, **scenario}
        tenant = {"name": "a", "arrived": 10, "qps": 5.0, "violation_rate": int(sha256, 16) / 100}
        tenant["latency_ms"] = {"p99": 2.0}
        return {
            "policy": policy,
            "npu": "edge",
            "seed": None,
            "scenario": made,
            "tenants": [tenant],
            "system": {},
        }

    before, after = run("a"), run("2")
    assert run_names([before, after], ["b1.json", "b2.json"]) == ["edf edge.yaml", "edf edge.yaml (changed)"]
    assert verdict_sentence([before, after]) == (
        "At 5 queries per second, edf edge.yaml (changed) cut missed deadlines from 10% to 2% of all "
        "requests against edf edge.yaml."
    )
    assert run_names([before, run("2", "fcfs"), run("3", "llf")]) == [
        "edf edge.yaml",
        "fcfs edge.yaml (changed, version 2)",
        "llf edge.yaml (changed, version 3)",
    ]
    assert run_names([before, run("a", "fcfs")]) == ["edf", "fcfs"]


def test_runs_are_named_by_all_that_differs_up_to_a_few() -> None:
    def run(seed: int | None, **scenario: Any) -> Any:
        return {"policy": "edf", "npu": "edge", "seed": seed, "scenario": scenario, "system": {}}

    assert run_names([run(None, duration_s=3.0), run(7, duration_s=1.0)]) == [
        "edf own seeds duration_s=3",
        "edf seed=7 duration_s=1",
    ]
    many = run_names([run(1, a=1, b=1, c=1, d=1), run(2, a=2, b=2, c=2, d=2)])
    assert many == ["edf seed=1 a=1 b=1 +2 more", "edf seed=2 a=2 b=2 +2 more"]
    last = run_names([run(1, a=1, b=1, c=1), run(2, a=2, b=2, c=2), run(1, a=1, b=1, c=3)])
    assert last == ["edf seed=1 a=1 b=1 c=1", "edf seed=2 a=2 b=2 +1 more", "edf seed=1 a=1 b=1 c=3"]


def test_a_peak_is_searched_again_from_its_result(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario.write_text(SIMPLE)
    policies = "layerweaver+:margin_us=2,given/last.py"
    assert main(["peak", str(scenario), "--policies", policies, "--queries", "300", "-o", "p.json"]) == 0
    assert main(["rerun", "p.json", "--allow-code", "-o", "again.json"]) == 0
    assert "the same as p.json" in capsys.readouterr().err
    before, after = (json.loads(Path(name).read_text()) for name in ("p.json", "again.json"))
    assert _same(before, after)
    assert before["search"]["policies"][0]["margin_us"] == 2
    assert set(before["scenario"]["files"]) == {"unit.yaml", "a.csv", "times.csv", "last.py"}
    assert main(["rerun", "p.json"]) == 2
    assert "--allow-code" in capsys.readouterr().err
    Path("p.json").write_text(json.dumps(before | {"search": {**before["search"], "queries": "many"}}))
    assert main(["rerun", "p.json"]) == 2
    assert "key 'search.queries'" in capsys.readouterr().err
    (scenario.parent / "last.py").write_text(POLICY + "\n")
    Path("p.json").write_text(json.dumps(before))
    assert main(["rerun", "p.json", "--allow-code"]) == 2
    assert "last.py changed (SHA-256 " in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", ["simulate", "compare --policies fcfs,edf", "peak --queries 300 --policies edf"]
)
def test_a_csv_carries_what_it_takes_to_run_it_again(
    scenario: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario.write_text(SIMPLE)
    name, *options = command.split()
    seed = [] if name == "peak" else ["--seed", "9"]
    assert main([name, str(scenario), *options, *seed, "-o", "r.csv"]) == 0
    assert main(["rerun", "r.csv", "-o", "again.csv"]) == 0
    assert "the same as r.csv" in capsys.readouterr().err
    assert Path("again.csv").read_bytes() == Path("r.csv").read_bytes()
    Path("r.csv").write_text(Path("r.csv").read_text().replace("unit", "vnit", 1).replace("edf", "edg", 1))
    assert main(["rerun", "r.csv"]) in {1, 2}
    Path("r.csv").write_text("policy,qps\nfcfs,3\n")
    assert main(["rerun", "r.csv"]) == 2
    assert "does not say how it was made" in capsys.readouterr().err
    Path("r.csv").write_text("policy;scenario;qps\nfcfs;{};3\n")
    assert main(["rerun", "r.csv"]) == 2
    assert "r.csv:1: cells are divided by semicolons; commas" in capsys.readouterr().err


_TENANT: dict[str, Any] = {"name": "a", "model": "zoo:ncf", "arrival": {"kind": "poisson", "qps": 10}}
_LLM: dict[str, Any] = {"model": "zoo:gpt2", "llm": {}, "lengths": {"prompt": 9, "output": 5}}
_FORMS: dict[str, dict[str, Any]] = {
    "language model": {**_LLM, "deadline": {"ttft_ms": 5, "tpot_ms": 1}},
    "language model of MLPerf": {**_LLM, "mlperf_model": "llama3.1-8b-interactive"},
    "batch by rule": {"batch": {"max": 8, "delay_ms": 1, "preferred": [4], "sizes": [1, 8]}},
    "batch that the scheduler chooses": {"batch": "auto", "deadline_ms": 3, "longest_us": "auto"},
    "batch that the scheduler chooses and no queue fills": {"batch": "auto", "queue": {"limit": 2}},
    "queue": {"queue": {"limit": 3, "timeout_ms": 4, "drop_hopeless": True}, "mlperf_model": "resnet50"},
    **{
        str(arrival["kind"]): {"arrival": arrival}
        for arrival in (
            {"kind": "gamma", "qps": 3, "cv": 2},
            {"kind": "mmpp", "qps": [1, 2], "mean_s": [1, 2]},
            {"kind": "ramp", "qps": [1, 2]},
            {"kind": "bursts", "qps": [1, 20], "period_s": 1, "burst_s": 0.1},
            {"kind": "periodic", "period_ms": 3},
            {"kind": "closed_loop", "concurrency": 3},
            {"kind": "saturated"},
            {"kind": "offline", "samples": 4},
            {"kind": "single_stream", "queries": 4},
            {"kind": "multi_stream", "queries": 4, "samples": 8},
            {"kind": "trace", "file": "t.csv", "columns": {"time": "ts", "unit": "ms"}, "spread_ms": 5},
        )
    },
}
_WHOLE: dict[str, dict[str, Any]] = {
    "decision of a core": {"decision": {"core_mhz": 500}},
    "cycles of a decision": {"decision_cycles": 5, "dispatch_ahead": 2},
    "pool": {"npu": None, "pool": [{"npu": "tpu-v3", "count": 2}], "router": "power_of_two"},
    "groups and spans": {"groups": [["a"]], "warmup_s": 0.1, "cooldown_s": 0.1},
}


@pytest.mark.parametrize("form", [*_FORMS, *_WHOLE])
def test_what_a_result_states_of_its_scenario_is_a_scenario(form: str) -> None:
    keys: dict[str, Any] = {"npu": "memory-centric", "duration_s": 1, **_WHOLE.get(form, {})}
    stated = {key: value for key, value in keys.items() if value is not None}
    first = load_scenario({**stated, "tenants": [{**_TENANT, **_FORMS.get(form, {})}]})
    record = scenario_record(first)
    again = load_scenario(stated_keys(record))
    assert scenario_record(again) == record
    assert (again.notes, again.warnings) == (first.notes, first.warnings)
