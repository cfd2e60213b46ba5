"""Scenario files: what is accepted, and one line with the place for everything that is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layerweaver.backend_sim.run.prepare import prepare
from layerweaver.backend_sim.scenario.reading import EXAMPLES, builtin_scenario, load_scenario
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.traffic.mlperf import mlperf_limits
from layerweaver.ir import LayerweaverError, ScenarioError

NCF_LAYER = "mlp_user_embedding"
POISSON = {"kind": "poisson", "qps": 300, "seed": 1}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no tenant": ({"tenants!": []}, "tenants: there is no tenant"),
    "zero deadline": (
        {"tenants": [{"deadline_ms": 0}]},
        r"tenants\[0\].deadline_ms: 0 ms is not accepted; give",
    ),
    "misspelt key": ({"durations_s": 3}, "unknown key 'durations_s'; did you mean 'duration_s'"),
    "misspelt arrival key": ({"tenants": [{"arrival": {**POISSON, "qqps": 1}}]}, "did you mean 'qps'"),
    "unknown kind": ({"tenants": [{"arrival": {"kind": "poison", "qps": 1}}]}, "did you mean 'poisson'"),
    "no kind": ({"tenants": [{"arrival": {"qps": 1}}]}, "the key 'kind' is missing"),
    "rate too low": (
        {"tenants": [{"arrival": {**POISSON, "qps": 0.4}}]},
        "below one query in 2 s; give at least 0.5",
    ),
    "rate too high": (
        {"tenants": [{"arrival": {**POISSON, "qps": 2e9}}]},
        "is impossible; the largest rate is 1e",
    ),
    "rate zero": ({"tenants": [{"arrival": {**POISSON, "qps": 0}}]}, "the rate is 0"),
    "rate text": ({"tenants": [{"arrival": {**POISSON, "qps": "many"}}]}, "'many' is not a number"),
    "rate nan": ({"tenants": [{"arrival": {**POISSON, "qps": float("nan")}}]}, "is not a number"),
    "seed": ({"tenants": [{"arrival": {**POISSON, "seed": -1}}]}, "'-1' is not a seed"),
    "same name": ({"tenants": [{"name": "chat"}]}, "two tenants are called 'chat'"),
    "group": (
        {"groups": [["vision", "chatt"]]},
        r"groups\[0\]\[1\]: there is no tenant 'chatt'; did you mean 'chat'",
    ),
    "endless": ({"duration_s": None}, "the arrivals would never end; give duration_s or min_queries"),
    "priority": ({"tenants": [{"priority": 2}]}, "'2' is not accepted; give 1, 3 or 9"),
    "mlperf": ({"tenants": [{"mlperf_model": "resnet50-v1"}]}, "did you mean 'resnet50-v1.5'"),
    "mlperf tokens": (
        {"tenants": [{"mlperf_model": "llama2-70b", "deadline_ms": None}]},
        "no single latency limit for llama2-70b",
    ),
    "warm-up": ({"warmup_s": 2}, "the warm-up leaves nothing"),
    "a truth value as a name": (
        {"tenants": [{"name": True}]},
        r"name: True is no text; quote it, as YAML takes on",
    ),
    "npu and pool": ({"pool": [{"npu": "tpu-v3"}]}, "give either npu or pool"),
    "router alone": ({"router": "least_work"}, "a router needs a pool"),
    "batch": ({"tenants": [{"batch": {"max": 4, "preferred": [8]}}]}, "8 is above the maximum batch of 4"),
    "batch by hand and by itself": (
        {"tenants": [{"batch": {"auto": True, "delay_ms": 1}}]},
        r"batch\.delay_ms: is for batches by rule",
    ),
    "batch without a maximum": ({"tenants": [{"batch": {"delay_ms": 1}}]}, "max is missing"),
    "batch in words": ({"tenants": [{"batch": "large"}]}, "'large' is not a batch; give a number, auto"),
    "too few rates": (
        {"tenants": [{"arrival": {"kind": "mmpp", "qps": [9], "mean_s": [1, 2]}}]},
        r"arrival\.qps: has 1 of the values that belong there; give all of them",
    ),
    "too many rates": (
        {"tenants": [{"arrival": {"kind": "mmpp", "qps": [9, 8, 7], "mean_s": [1, 2]}}]},
        r"arrival\.qps: has 3 values; give at most 2",
    ),
    "percentile": ({"tenants": [{"percentile": 100}]}, "100 is not a percentile"),
    "percentile as a share": (
        {"tenants": [{"percentile": 0.9}]},
        "0.9 is not a percentile; give percent from 1 to below 100",
    ),
    "model": ({"tenants": [{"model": {"profil": "x.lwp"}}]}, "did you mean 'profile'"),
    "two forms of a model": (
        {"tenants": [{"model": {"costs": "x.csv", "profile": "x.lwp"}}]},
        r"tenants\[0\]\.model\.profile: 'profile' does not go with 'costs'; give one or the other",
    ),
    "keys of another form": (
        {"tenants": [{"model": {"timings": "x.yaml", "entry": "x"}}]},
        "'entry' does not go with 'timings'; give one or the other",
    ),
    "not a list": ({"tenants!": "vision"}, "tenants: 'vision' is not a list; put it"),
    "burst": (
        {"tenants": [{"arrival": {"kind": "bursts", "qps": [1, 9], "period_s": 1, "burst_s": 1}}]},
        "the burst fills the whole period",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_scenarios_are_refused_in_one_line(make_scenario: Any, name: str) -> None:
    changes, message = REFUSED[name]
    keys = make_scenario(**{key: value for key, value in changes.items() if not key.endswith("!")})
    keys.update({key[:-1]: value for key, value in changes.items() if key.endswith("!")})
    with pytest.raises(ScenarioError, match=message) as caught:
        load_scenario(keys)
    assert "\n" not in str(caught.value)


def test_messages_have_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "npu: memory-centric\nduration_s: 1\ntenants:\n  - name: a\n    model: zoo:resnet50\n"
        "    arrival:\n      kind: poisson\n      qps: 300\n      sed: 1\n"
    )
    with pytest.raises(ScenarioError, match=r"mine\.yaml:9: tenants\[0\]\.arrival\.sed: unknown key 'sed'"):
        load_scenario(path)
    path.write_text("npu: memory-centric\nnpu: tpu-v3\n")
    with pytest.raises(ScenarioError, match=r"mine\.yaml:2: the key 'npu' appears twice"):
        load_scenario(path)
    path.write_text("npu: [unclosed\n")
    with pytest.raises(ScenarioError, match=r"mine\.yaml:\d: is not YAML"):
        load_scenario(path)
    with pytest.raises(ScenarioError, match="cannot be read"):
        load_scenario(tmp_path / "missing.yaml")
    path.write_text("just text")
    with pytest.raises(ScenarioError, match="is not a mapping"):
        load_scenario(path)


def test_limits_of_mlperf(make_scenario: Any) -> None:
    def loaded(**tenant: Any) -> Scenario:
        return load_scenario(make_scenario(tenants=[tenant]))

    limits = loaded(deadline_ms=None, mlperf_model="gnmt")
    assert (limits.deadline_ns(0), limits.percentile(0)) == (250_000_000, 0.97)
    stated = loaded(deadline_ms="7.5 ms", mlperf_model="resnet50-v1.5", percentile=99.9)
    assert stated.deadline_ns(0) == 7_500_000
    assert stated.percentile(0) == pytest.approx(0.999)
    offline = loaded(deadline_ms=None, mlperf_model="whisper", arrival={"kind": "offline"})
    assert offline.deadline_ns(0) is None


@pytest.mark.parametrize(
    ("name", "limit_ms"),
    [("resnet", 15), ("bert-99", 130), ("bert-99.9", 130), ("dlrm-v2-99.9", 60), ("gptj-99", 20_000)],
)
def test_names_of_loadgen_and_the_checker_have_the_limits_of_their_model(
    make_scenario: Any, name: str, limit_ms: int
) -> None:
    scenario = load_scenario(make_scenario(tenants=[{"deadline_ms": None, "mlperf_model": name}]))
    assert scenario.deadline_ns(0) == limit_ms * 1_000_000


def test_every_name_of_mlperf_is_one_models() -> None:
    limits = mlperf_limits()
    assert limits["3d-unet-99"] is limits["3d-unet"]
    tokens = limits["llama2-70b-interactive-99.9"]
    assert (tokens.server_ttft_ms, tokens.server_tpot_ms) == (450, 40)
    assert limits["llama3_1-405b"].server_ttft_ms == 6000
    assert all(limits[found.model] is found for found in limits.values())


def test_equal_seeds_are_warned_of_where_they_make_copies(make_scenario: Any) -> None:
    def said(*arrivals: dict[str, Any], seed: int | None = None) -> tuple[str, ...]:
        scenario = load_scenario(make_scenario(tenants=[{"arrival": arrival} for arrival in arrivals]))
        return scenario.of_seeds(seed)

    (copies,) = said(POISSON, {**POISSON, "qps": 9})
    assert "share the seed 1" in copies
    assert said(POISSON) == said(POISSON, {**POISSON, "seed": 2}) == ()
    assert said(POISSON, {**POISSON, "qps": 9}, seed=4) == ()  # each has one of its own, made of it
    jittered = {"kind": "periodic", "period_ms": 1, "jitter_ms": 0.1, "seed": 1}
    assert said(POISSON, jittered) == said(POISSON, {**jittered, "jitter_ms": 0}) == ()
    assert len(said(jittered, jittered)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no layers"),
        ("layer,compute_cycles,dram_bytes\n", "column 'weight_bytes' is missing"),
        ("layer,compute_cycles,dram_bytes,weight_bytes\na,1,2,-3\n", "costs.csv:2: weight_bytes: '-3'"),
        ("layer,compute_cycles,dram_bytes,weight_bytes\na,1.5,2,3\n", "compute_cycles: '1.5'"),
        ("layer,compute_cycles,dram_bytes,weight_bytes\na,1,2,3\n", "weight_bytes 3 exceeds dram_bytes 2"),
        ("layer,compute_cycles,dram_bytes,weight_bytes\na,1,3,3\na,1,3,3\n", "'a' appears twice"),
        ("layer,compute_cycles,dram_bytes,weight_bytes\na,1\n", "costs.csv:2"),
    ],
)
def test_wrong_cost_tables(make_scenario: Any, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "costs.csv"
    path.write_text(text)
    with pytest.raises(LayerweaverError, match=message):
        prepare(load_scenario(make_scenario(tenants=[{"model": {"costs": str(path)}}])))


def test_measured_layers_override_a_tenants_model(make_scenario: Any, tmp_path: Path) -> None:
    (tmp_path / "measured.csv").write_text(
        "layer,compute_cycles,dram_bytes,weight_bytes\n" + NCF_LAYER + ",7654321,9,9\n"
    )
    model = {"model": "zoo:ncf", "overrides": str(tmp_path / "measured.csv")}
    ready = prepare(load_scenario(make_scenario(tenants=[model, {"model": "zoo:ncf"}])))
    (measured,), (modelled,) = ready.npus[0].menus
    difference = measured.table.compute_cycles - modelled.table.compute_cycles
    place = measured.table.layer_names.index(NCF_LAYER)
    assert np.flatnonzero(difference).tolist() == [place]
    assert measured.table.compute_cycles[place] == 7654321


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"overrides": "m.csv"}, "not for a table"),
        (
            {"model": "zoo:ncf", "batch": {"max": 4}, "overrides": "m.csv"},
            r"give \{1: measured\.csv, \.\.\.\}",
        ),
        ({"model": "zoo:ncf", "batch": 2, "overrides": {"1": "m.csv"}}, "batch '1' is not compiled"),
    ],
)
def test_measured_layers_that_cannot_be(make_scenario: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(LayerweaverError, match=message) as caught:
        load_scenario(make_scenario(tenants=[changes]))
    assert "tenants[0].overrides" in str(caught.value)


def test_a_layer_above_the_weight_buffer_is_split(make_scenario: Any, tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    path.write_text(
        "layer,compute_cycles,dram_bytes,weight_bytes\nbig,1001,100000000,100000000\nsmall,1,2,2\n"
    )
    ready = prepare(load_scenario(make_scenario(tenants=[{"model": {"costs": str(path)}}])))
    table = ready.npus[0].menus[0][0].table
    assert table.rows == 5 + 1  # ceil(2 x 100 MB / 48 MB) rows
    assert table.dram_bytes.sum() == 100_000_002
    assert table.compute_cycles.sum() == 1002


@pytest.mark.parametrize(
    "missing", [{"model": "nowhere.onnx"}, {"model": {"profile": "no.lwp"}}, {"model": "zoo:nope"}]
)
def test_missing_models(make_scenario: Any, missing: dict[str, Any]) -> None:
    with pytest.raises(LayerweaverError) as caught:
        prepare(load_scenario(make_scenario(tenants=[missing])))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_builtin_scenarios_are_the_examples(name: str) -> None:
    example = Path(__file__).parents[2] / "examples" / EXAMPLES[name]
    assert builtin_scenario(name).spec == load_scenario(example).spec
    with pytest.raises(LayerweaverError, match="vision"):
        builtin_scenario("vsion")
