"""Arguments of the public functions: every one of another kind is refused in one line, or taken as meant."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import layerweaver as lw
from layerweaver.backend_sim.report.notebook import as_result

API: Any = lw
TENANT = {
    "name": "v",
    "model": "zoo:ncf",
    "deadline_ms": 8,
    "arrival": {"kind": "poisson", "qps": 300, "seed": 1},
}
SCENARIO: dict[str, Any] = {"npu": "memory-centric", "duration_s": 0.01, "tenants": [TENANT]}
STUDY: dict[str, Any] = {"scenario": SCENARIO, "axes": {"policy": ["fcfs"]}}
UNTYPED: Any = (1.5, "2", None)
FLAGS = (
    ("simulate", {"source": SCENARIO}, ("skip_bad_rows", "allow_code", "compiled")),
    ("compare", {"source": SCENARIO}, ("skip_bad_rows", "allow_code")),
    ("peak", {"source": SCENARIO}, ("skip_bad_rows", "allow_code")),
    ("traffic", {"source": SCENARIO}, ("skip_bad_rows",)),
    ("certify", {"source": SCENARIO}, ("allow_code",)),
    ("sweep", {"study": STUDY}, ("many", "allow_code")),
    ("import_model", {"ref": "zoo:ncf"}, ("strict", "fuse")),
    ("inspect_model", {"source": "zoo:ncf"}, ("strict", "fuse")),
)


def ncf_profile() -> Any:
    return lw.compile_models(["zoo:ncf"], "memory-centric")


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(lw.LayerweaverError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("function", [API.compare, API.peak])
@pytest.mark.parametrize("policies", [[], (), iter([]), 0, False, {"fcfs"}, 1.5, np.array(1), b"fcfs"])
def test_policies_are_a_list_of_one_or_more(function: Any, policies: Any) -> None:
    assert "give a list of one policy or more, or None" in refused(lambda: function(SCENARIO, policies))


def test_policies_may_come_from_a_generator() -> None:
    document = API.compare(SCENARIO, (name for name in ("fcfs", "edf")))
    assert [run["policy"] for run in document["runs"]] == ["fcfs", "edf"]


@pytest.mark.parametrize(("name", "given", "flag"), [(n, g, f) for n, g, flags in FLAGS for f in flags])
@pytest.mark.parametrize("value", ["no", 0, None, []])
def test_flags_are_true_or_false(name: str, given: dict[str, Any], flag: str, value: Any) -> None:
    message = refused(lambda: getattr(API, name)(**given, **{flag: value}))
    assert message.startswith(f"{flag} ")
    assert message.endswith("is not accepted; give True or False")


def test_every_flag_of_the_package_is_asked_for() -> None:
    known = {(name, flag) for name, _, flags in FLAGS for flag in flags}
    found = {
        (name, parameter.name)
        for name in lw.__all__
        if inspect.isfunction(function := getattr(lw, name))
        for parameter in inspect.signature(function).parameters.values()
        if isinstance(parameter.default, bool)
    }
    assert found == known


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: API.build_report([1]), "result 1: is not a result; give documents that simulate"),
        (lambda: API.build_report([]), "there is nothing to report; give at least one result"),
        (lambda: API.build_report({"runs": []}), "give a list of documents"),
        (lambda: API.build_report([{}], title=3), "give the heading of the page as text"),
        (lambda: API.build_report([{}], names="a"), "names 'a' (str) is not accepted; give a list of texts"),
        (lambda: API.build_report([{}], names=[1]), "give the names of documents as texts"),
        (lambda: API.compile_models(None, "memory-centric"), "requests 'None' (NoneType) is not accepted"),
        (lambda: API.compile_models({"zoo:ncf"}, "memory-centric"), "give a list of models"),
        (lambda: API.compile_models(["zoo:ncf"], "memory-centric", groups=["ncf"]), "lists of entry names"),
        (lambda: API.compile_models(["zoo:ncf"], "memory-centric", groups=[[1]]), "lists of entry names"),
        (lambda: API.import_model("zoo:ncf", dims={1: 2}), "dims '{1: 2}' (dict) is not accepted"),
        (lambda: API.import_model("zoo:ncf", values={"user": 5}), "value of user: '5' (int) is not accepted"),
        (lambda: API.import_model("zoo:ncf", values={"user": ["x"]}), "give finite numbers"),
        (lambda: API.import_model("zoo:ncf", state=["ab"]), "give pairs of an input and an output"),
        (lambda: API.import_model("zoo:ncf", state=[("a", "b", "c")]), "give pairs of an input"),
        (lambda: API.inspect_model("zoo:ncf", dims=0), "dims '0' (int) is not accepted"),
        (lambda: API.inspect_model("zoo:ncf", longest_us=5), "longest_us is a time, which needs an NPU"),
        (lambda: API.inspect_model("zoo:ncf", npu="tpu-v3", longest_us=-1), "longest_us -1 is not accepted"),
        (lambda: API.peak(SCENARIO, ["fcfs"], tenant=["v"]), "give a tenant's name, or None for all"),
        (lambda: API.peak(SCENARIO, ["fcfs"], resolution=float("nan")), "resolution 'nan'"),
        (lambda: API.peak(SCENARIO, ["fcfs"], queries=10**12), "a whole number of at most 1,000,000,000"),
        (lambda: API.simulate(SCENARIO, seeds=10**30), "give a whole number of at most 1,000"),
        (lambda: API.simulate(SCENARIO, workers=10**30), "give a whole number of at most 256"),
        (lambda: lw.import_model("zoo:ncf").with_batch(UNTYPED[0]), "batch '1.5' (float) is not accepted"),
        (lambda: lw.import_model("zoo:ncf").with_batch(UNTYPED[1]), "batch '2' (str) is not accepted"),
        (lambda: ncf_profile().find(None, 1), "has no entry None; it has: ncf"),
        (lambda: as_result(lw.simulate(SCENARIO, "fcfs")).save_html(UNTYPED[2]), "give the path of a file"),
        (lambda: API.simulate({**SCENARIO, "policies": {"fcfs"}}), "a set has no order"),
        (lambda: API.sweep({**STUDY, "axes": {"policy": {"fcfs", "edf"}}}), "a set has no order"),
        (lambda: API.sweep(STUDY, 3), "give the path of a folder, or None"),
        (lambda: API.sweep(STUDY, "a\0b"), "cannot be made"),
        (lambda: API.sweep(STUDY, cluster=3), "give a Dask scheduler's address"),
    ],
)
def test_what_is_of_another_kind_is_named(call: Callable[[], Any], message: str) -> None:
    assert message in refused(call)


@pytest.mark.parametrize("longest_us", [float("nan"), "5", True, 0, [5]])
@pytest.mark.parametrize("budget", [1.5, "5", -1])
def test_costs_take_numbers(longest_us: Any, budget: Any) -> None:
    graph = lw.import_model("zoo:ncf")
    npu = "memory-centric"
    assert "give microseconds" in refused(lambda: API.cost_graph(graph, npu, longest_us=longest_us))
    assert "give a whole number" in refused(
        lambda: API.cost_graph(graph, npu, activation_budget_bytes=budget)
    )


def test_numbers_of_numpy_are_plain_in_what_comes_back() -> None:
    one, two = np.int64(1), np.int32(2)
    documents: list[Any] = [
        API.simulate(SCENARIO, "fcfs", seed=two, seeds=two, workers=one, compiled=np.bool_(True)),
        API.peak(SCENARIO, ["fcfs"], queries=np.int64(200), resolution=np.float64(0.25), seed=one),
        API.inspect_model(
            "zoo:bert-base", npu="memory-centric", dims={"tokens": np.int64(16)}, longest_us=np.float32(50)
        ).document,
    ]
    for document in documents:
        assert json.loads(json.dumps(document)) == document
    numbers = {"rows": np.int64(8), "columns": np.int32(8)}
    small = {"name": "small", "clock_mhz": np.int64(500), "array": numbers, "vector": {"lanes": np.int64(8)}}
    small |= {"dram": {"bandwidth_gb_s": np.float32(4)}, "sram": {"weights_mb": 1, "activations_mb": 1}}
    assert lw.load_npu(small).clock_hz == 500_000_000
    assert list(API.traffic(SCENARIO, one)) == list(API.traffic(SCENARIO, 1))


@pytest.mark.parametrize(
    "call",
    [
        "lw.compare(S, ['fcfs', 'edf'], workers=2)",
        "lw.sweep({'scenario': S, 'axes': {'seed': [1, 2]}}, workers=2)",
    ],
)
def test_a_script_without_a_guard_is_told_of_it(tmp_path: Path, call: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import layerweaver as lw\nS = {SCENARIO!r}\n{call}\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert 'put what a script calls with workers under if __name__ == "__main__":' in last
    assert "An attempt has been made" not in done.stderr
