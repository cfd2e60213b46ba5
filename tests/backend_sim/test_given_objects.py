"""What the functions of the package take, beside names and paths, and what they refuse in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

import layerweaver as lw
from layerweaver import models

TENANT = {"name": "v", "model": "zoo:ncf", "arrival": {"kind": "poisson", "qps": 300, "seed": 1}}
SCENARIO: dict[str, Any] = {"npu": "memory-centric", "duration_s": 0.01, "tenants": [TENANT]}


API: Any = lw
"""The package as a caller without a type checker sees it."""


def _loops(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("npu", ["memory-centric", Path("mine.yaml"), "mine.yaml", {"name"}])
def test_costs_take_an_npu_by_name_path_mapping_or_config(
    npu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = lw.load_npu("memory-centric")
    document = config.model_dump(mode="json", exclude_none=True)
    Path("mine.yaml").write_text(str(document))
    graph = lw.import_model("zoo:ncf")
    given = document if npu == {"name"} else npu
    found, same = lw.cost_graph(graph, given).table, lw.cost_graph(graph, config).table
    assert found.compute_cycles.tolist() == same.compute_cycles.tolist()
    assert found.dram_bytes.tolist() == same.dram_bytes.tolist()


def test_a_scenario_takes_a_config_a_graph_and_a_path_as_values(tmp_path: Path) -> None:
    config = lw.load_npu("memory-centric")
    file = tmp_path / "mine.yaml"
    file.write_text(str(config.model_dump(mode="json", exclude_none=True)))
    graph = lw.import_model("zoo:ncf")
    expected = lw.simulate(SCENARIO, compiled=False)["system"]
    for changes in ({"npu": config}, {"npu": file}, {"tenants": [{**TENANT, "model": graph}]}):
        assert lw.simulate({**SCENARIO, **changes}, compiled=False)["system"] == expected
    pool = {key: value for key, value in SCENARIO.items() if key != "npu"} | {"pool": [{"npu": config}]}
    named = {**pool, "pool": [{"npu": "memory-centric"}]}
    assert lw.simulate(pool, compiled=False)["system"] == lw.simulate(named, compiled=False)["system"]


def test_pins_of_a_config_that_lies_elsewhere_keep_their_meaning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    onnx.save(models.build("ncf"), str(folder / "m.onnx"))
    document = lw.load_npu("memory-centric").model_dump(mode="json", exclude_none=True)
    (folder / "npu.yaml").write_text(str({**document, "pinned_models": ["./m.onnx"]}))
    monkeypatch.chdir(tmp_path)
    tenants = [{**TENANT, "model": "there/m.onnx"}]
    found = lw.simulate(
        {**SCENARIO, "npu": lw.load_npu("there/npu.yaml"), "tenants": tenants}, compiled=False
    )
    expected = lw.simulate({**SCENARIO, "npu": "there/npu.yaml", "tenants": tenants}, compiled=False)
    assert found["system"] == expected["system"]


@pytest.mark.parametrize(
    ("call", "accepted"),
    [
        (lambda: API.cost_graph("zoo:ncf", "memory-centric"), "give a layer graph, as import_model makes"),
        (lambda: API.cost_graph(lw.import_model("zoo:ncf"), None), "an NPU's name, the path"),
        (lambda: API.load_npu(3), "an NPU's name, the path"),
        (lambda: API.check_npu(3), "path of a YAML file"),
        (lambda: API.import_model(lw.import_model("zoo:ncf")), "zoo:NAME"),
        (lambda: API.inspect_model(3), "zoo:NAME"),
        (lambda: API.compile_models("zoo:ncf", "memory-centric"), "is one model; give a list"),
        (lambda: API.compile_models([3], "memory-centric"), "ModelRequest"),
        (lambda: API.load_profile(3), ".lwp"),
        (lambda: API.save_profile("x", "x.lwp"), "such as compile_models makes"),
        (lambda: API.simulate([SCENARIO]), "path of a scenario file"),
        (lambda: API.simulate({**SCENARIO, "npu": object()}), "takes no object"),
        (lambda: API.simulate({**SCENARIO, "npu": _loops(5000)}), "nested more than 100 deep"),
        (lambda: API.compare(SCENARIO, "fcfs"), "is one policy; give a list"),
        (lambda: API.peak({**SCENARIO, "tenants": [{**TENANT, "deadline_ms": 8}]}, "fcfs"), "is one policy"),
        (lambda: API.sweep(3), "path of a study file"),
        (lambda: API.certify(3), "path of a scenario file"),
        (lambda: API.build_report(3), "list of documents"),
    ],
)
def test_other_arguments_are_refused_in_one_line(call: Callable[[], Any], accepted: str) -> None:
    with pytest.raises(lw.LayerweaverError) as refused:
        call()
    assert accepted in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "1", True])
def test_what_is_no_seed_is_refused_by_every_study(seed: Any) -> None:
    limited = {**SCENARIO, "tenants": [{**TENANT, "deadline_ms": 8}]}
    for study in (
        lambda: API.simulate(limited, seed=seed, compiled=False),
        lambda: API.compare(limited, ["fcfs"], seed=seed),
        lambda: API.peak(limited, ["fcfs"], queries=100, seed=seed),
        lambda: list(lw.traffic(limited, seed)),
    ):
        with pytest.raises(lw.LayerweaverError, match="is not a seed; give a whole number from 0"):
            study()


@pytest.mark.parametrize(
    ("function", "given", "message"),
    [
        (API.simulate, {"seeds": 1.5}, "seeds '1.5' is not accepted; give a whole number of 1 or more"),
        (API.simulate, {"workers": 0}, "workers '0' is not accepted; give a whole number of 1 or more"),
        (API.compare, {"seeds": True}, "seeds 'True' is not accepted; give a whole number"),
        (API.peak, {"seeds": "2"}, "seeds '2' is not accepted; give a whole number of 1 or more"),
        (API.peak, {"queries": 2.5}, "queries '2.5' is not accepted; give a whole number of 1 or more"),
        (API.peak, {"curve": -1}, "curve '-1' is not accepted; give a whole number of 0 or more"),
        (API.peak, {"resolution": 0}, "resolution 0 is not accepted; give a number between 0 and 1"),
        (API.peak, {"resolution": "fine"}, "'fine' .*is not accepted; give a number between 0 and 1"),
    ],
)
def test_counts_of_other_kinds_are_refused_by_name(
    function: Any, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(lw.LayerweaverError, match=message):
        function(SCENARIO, **given)


def test_a_study_takes_one_worker_or_more() -> None:
    study = {"scenario": SCENARIO, "axes": {"seed": [1]}}
    with pytest.raises(lw.LayerweaverError, match=r"workers '1\.5' is not accepted"):
        API.sweep(study, workers=1.5)
