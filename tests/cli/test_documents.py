"""The JSON of every command: its keys are a contract."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Run = Callable[..., Any]

SCENARIO: dict[str, Any] = {
    "npu": "memory-centric",
    "policy": "layerweaver+",
    "duration_s": 0.2,
    "tenants": [
        {
            "name": "vision",
            "model": "zoo:resnet18",
            "deadline_ms": 15,
            "arrival": {"kind": "poisson", "qps": 400, "seed": 1},
        },
        {
            "name": "recommender",
            "model": "zoo:ncf",
            "deadline_ms": 5,
            "arrival": {"kind": "poisson", "qps": 300, "seed": 2},
        },
    ],
}


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "scenario.yaml"
    path.write_text(yaml.safe_dump(SCENARIO))
    return path


def test_inspect(run: Run) -> None:
    document = run("inspect", "zoo:resnet18", "--json").document
    assert {"model", "batch", "layers", "totals", "warnings"} <= set(document)
    keys = {"name", "kind", "operators", "groups", "m", "n", "k", "macs"}
    assert keys | {"weight_bytes", "input_bytes", "output_bytes"} <= set(document["layers"][0])
    totals = document["totals"]
    assert totals["macs"] == sum(layer["macs"] for layer in document["layers"]) == 1_814_073_344
    assert totals["layers"] == len(document["layers"])
    assert totals["parameters"] == 11_689_512


def test_inspect_with_an_npu_adds_costs_that_add_up(run: Run) -> None:
    document = run("inspect", "zoo:resnet18", "--npu", "tpu-v3", "--json").document
    totals = document["totals"]
    for key in ("compute_cycles", "memory_cycles"):
        assert totals[key] == sum(layer[key] for layer in document["layers"])
    assert all(0 <= layer["utilization"] <= 1 for layer in document["layers"])
    assert max(totals["compute_cycles"], totals["memory_cycles"]) <= totals["standalone_cycles"]
    assert totals["standalone_cycles"] <= totals["compute_cycles"] + totals["memory_cycles"]


def test_layers_as_csv_are_printed_or_written(run: Run, tmp_path: Path) -> None:
    words = ("inspect", "zoo:ncf", "--npu", "memory-centric")
    written = tmp_path / "layers.csv"
    assert run(*words, "--csv", written).code == 0
    printed = run(*words, "--csv")
    assert printed.out == written.read_text()
    assert run("inspect", "zoo:ncf", "--csv", "--npu", "memory-centric").out == printed.out
    rows = list(csv.DictReader(printed.out.splitlines()))
    layers = run(*words, "--json").document["layers"]
    assert [row["name"] for row in rows] == [layer["name"] for layer in layers]
    assert [int(row["compute_cycles"]) for row in rows] == [layer["compute_cycles"] for layer in layers]
    both = run(*words, "--csv", "--json")
    assert (both.code, both.out) == (2, "")


def test_compile_then_show(run: Run, tmp_path: Path) -> None:
    profile = tmp_path / "mix.lwp"
    words = ("eye=zoo:resnet18", "ncf=zoo:ncf", "--npu", "memory-centric", "--batch", "1,4", "-o", profile)
    assert run("compile", *words).code == 0
    document = run("show", profile, "--json").document
    assert [(model["name"], model["batch"]) for model in document["models"]] == [
        ("eye", 1),
        ("eye", 4),
        ("ncf", 1),
        ("ncf", 4),
    ]
    for model in document["models"]:
        assert model["kind"] in {"compute-intensive", "memory-intensive"}
        assert model["layers"][0]["remaining_cycles"] == model["standalone_cycles"]
        assert sum(layer["compute_cycles"] for layer in model["layers"]) == model["compute_cycles"]
    assert run("show", profile, "--csv").out.count("\n") > 20


def test_measured_layers_replace_modelled_ones(run: Run, tmp_path: Path) -> None:
    measured = tmp_path / "gemessen = x.csv"
    measured.write_text("layer,compute_cycles,dram_bytes,weight_bytes\nmlp_user_embedding,7654321,9,9\n")
    words = ("compile", "a=zoo:ncf", "b=zoo:ncf", "--npu", "memory-centric", "-o", tmp_path / "mix.lwp")
    assert run(*words, "--override", f"b={measured}").code == 0
    a, b = (model["layers"] for model in run("show", tmp_path / "mix.lwp", "--json").document["models"])
    assert [layer["name"] for layer in b if layer["compute_cycles"] == 7654321] == ["mlp_user_embedding"]
    assert sum(mine["dram_bytes"] != other["dram_bytes"] for mine, other in zip(a, b, strict=True)) == 1
    for wrong, says in (
        (measured, "NAME is one of a, b"),
        (f"b@2={measured}", "batch 2 is not compiled"),
        (f"b@x={measured}", "not a whole number"),
        ("b=", "not of the form"),
        ("b=absent.csv", "absent.csv: cannot be read"),
    ):
        refused = run(*words, "--override", wrong)
        assert refused.code == 2
        assert says in refused.err
    twice = run(*words, "--override", f"b={measured}", "--override", f"b@1={measured}")
    assert twice.code == 2
    assert "two files" in twice.err


def test_the_same_input_compiles_to_the_same_bytes(run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "a.lwp", tmp_path / "b.lwp"
    for path in (first, second):
        run("compile", "zoo:ncf", "--npu", "memory-centric", "-o", path)
    assert first.read_bytes() == second.read_bytes()


def test_simulate(run: Run, scenario: Path) -> None:
    document = run("simulate", scenario, "--json").document
    keys = {"policy", "npu", "simulated_s", "layers_executed", "tenants", "system", "run"}
    assert keys <= set(document)
    tenant = document["tenants"][0]
    assert tenant["arrived"] == tenant["completed"] + tenant["dropped"]
    assert set(tenant["latency_ms"]) >= {"mean", "p50", "p90", "p99", "p999", "max"}
    assert tenant["qps"] == pytest.approx(tenant["completed"] / document["simulated_s"])
    assert tenant["verdict"] in {"VALID", "INVALID"}
    assert (tenant["verdict"] == "INVALID") == bool(tenant["reasons"])
    system = document["system"]
    assert set(system["idle"]) >= {"no_work", "waiting_for_memory", "buffer_full", "inherent"}
    assert {"stp", "antt", "fairness", "compute_utilization", "dram_utilization", "bound_qps"} <= set(system)
    assert 0 <= system["deadline_mode_share"] <= 1


def test_simulating_again_gives_the_same_document_but_for_the_run(run: Run, scenario: Path) -> None:
    first, second = (run("simulate", scenario, "--json").document for _ in range(2))
    assert first.pop("run").keys() == second.pop("run").keys()
    assert first == second


def test_compare_and_peak(run: Run, scenario: Path) -> None:
    runs = run("compare", scenario, "--policies", "fcfs,layerweaver+:margin_us=10", "--json").document["runs"]
    assert [each["policy"] for each in runs] == ["fcfs", "layerweaver+"]
    words = ("peak", scenario, "--policies", "fcfs", "--queries", "400", "--json")
    document = run(*words).document
    row = document["results"][0]
    assert set(row) >= {"policy", "peak_qps", "peak_qps_sd", "share_of_bound", "bracket_qps", "trials"}
    low, high = row["bracket_qps"]
    assert low <= row["peak_qps"] <= high
    assert row["share_of_bound"] == pytest.approx(row["peak_qps"] / document["bound_qps"])


def test_traffic_is_csv_and_feeds_back_as_a_trace(run: Run, scenario: Path, tmp_path: Path) -> None:
    ran = run("traffic", scenario)
    header, *rows = ran.out.splitlines()
    assert header == "tenant,query,arrival_ns"
    trace = tmp_path / "trace.csv"
    trace.write_text(ran.out)
    # LoadGen's last query may fall behind the duration, so the replay is given longer.
    replay = {**SCENARIO, "duration_s": 1, "tenants": [dict(tenant) for tenant in SCENARIO["tenants"]]}
    for tenant in replay["tenants"]:
        tenant["arrival"] = {"kind": "trace", "file": "trace.csv", "format": "csv", "tenant": tenant["name"]}
    path = tmp_path / "replay.yaml"
    path.write_text(yaml.safe_dump(replay))
    assert sum(row.startswith("vision,") for row in rows) > 50
    original, again = (run("simulate", each, "--json").document for each in (scenario, path))
    assert [each["latency_ms"] for each in original["tenants"]] == [
        each["latency_ms"] for each in again["tenants"]
    ]


def test_traffic_of_tenants_with_awkward_names_reads_back(run: Run, scenario: Path) -> None:
    import csv
    import io

    name = 'a,"b"\nc'
    tenants = [SCENARIO["tenants"][0] | {"name": name}]
    scenario.write_text(yaml.safe_dump(SCENARIO | {"tenants": tenants}))
    rows = list(csv.DictReader(io.StringIO(run("traffic", scenario).out, newline="")))
    assert {row["tenant"] for row in rows} == {name}
    document = run("traffic", scenario, "--json").document
    assert document["arrivals"] == [
        {"tenant": name, "query": int(row["query"]), "arrival_ns": int(row["arrival_ns"])} for row in rows
    ]


def test_traffic_that_cannot_start_prints_nothing(run: Run, scenario: Path) -> None:
    arrival = {"kind": "trace", "file": "nowhere.csv", "format": "csv"}
    tenants = [SCENARIO["tenants"][0], SCENARIO["tenants"][1] | {"arrival": arrival}]
    scenario.write_text(yaml.safe_dump(SCENARIO | {"tenants": tenants}))
    ran = run("traffic", scenario)
    assert (ran.code, ran.out) == (2, "")
    assert "nowhere.csv" in ran.err


def test_lists(run: Run) -> None:
    npus = run("npu", "list", "--json").document["npus"]
    assert {"name", "peak_tops", "dram_gb_s", "ridge_ops_per_byte"} <= set(npus[0])
    assert {"memory-centric", "compute-centric", "tpu-v3", "onnxim-tpuv4"} <= {each["name"] for each in npus}
    policies = run("policies", "--json").document["policies"]
    assert {"fcfs", "edf", "llf", "layerweaver", "layerweaver+"} <= {each["name"] for each in policies}
    assert all({"name", "options"} <= set(each) for each in policies)


def test_what_npu_show_prints_npu_check_accepts(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "npu.yaml"
    for name in ("memory-centric", "onnxim-tpuv4", "nvdla-large"):
        path.write_text(run("npu", "show", name).out)
        assert run("npu", "check", path).code == 0
    path.write_text(run("npu", "new").out)
    assert run("npu", "check", path).code == 0


def test_npu_check_warns_of_operators_of_the_host_that_nobody_knows(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "npu.yaml"
    shipped = run("npu", "show", "memory-centric").out
    path.write_text(shipped + "host: {operators: [HardSwish, Concat, Sofmax, Gelu], ns_per_element: 1}\n")
    checked = run("npu", "check", path)
    assert checked.code == 0
    (line,) = checked.err.splitlines()
    assert "host.operators: no operator is known as 'Sofmax'; did you mean 'Softmax'?" in line


def test_exported_zoo_models_import_as_files(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    assert run("models", "export", "ncf", "-o", path).code == 0
    document = run("inspect", path, "--dim", "batch=256", "--json").document
    assert document["totals"]["macs"] == 27_295_744


def test_an_example_is_named_or_a_scenario_given(run: Run, scenario: Path) -> None:
    document = run("simulate", "--example", "llm", "--policy", "edf", "--json").document
    assert document["tenants"][0]["llm"]["tokens_out"] > 0
    both, unknown = run("compare", scenario, "--example", "llm"), run("simulate", "--example", "vison")
    assert (both.code, unknown.code) == (2, 2)
    assert "not both" in both.err
    assert "vision" in unknown.err


@pytest.mark.parametrize("policy", ["layerweaver+", "slackweave+"])
def test_the_built_in_scenario_is_served_without_a_late_request(run: Run, policy: str) -> None:
    for seed in range(1, 6):
        tenants = run("simulate", "--policy", policy, "--seed", seed, "--json").document["tenants"]
        assert [tenant["violation_rate"] for tenant in tenants] == [0, 0, 0]


def test_traffic_names_tenants_that_wait_for_the_machine(run: Run, scenario: Path) -> None:
    loop = SCENARIO["tenants"][1] | {"name": "batch", "arrival": {"kind": "closed_loop", "concurrency": 2}}
    scenario.write_text(yaml.safe_dump(SCENARIO | {"tenants": [SCENARIO["tenants"][0], loop]}))
    ran = run("traffic", scenario)
    assert "no times of batch: requests of loops and streams wait for the machine" in ran.err
    assert not any(line.startswith("batch,") for line in ran.out.splitlines())
