"""A tenant's key ``longest_us``: its rows are cut, and who shares the NPU waits less."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layerweaver.backend_sim.run.run import run_once
from layerweaver.backend_sim.study.inputs import as_prepared, policy_of
from layerweaver.ir import LayerweaverError

Keys = dict[str, Any]


def scenario(**tenant: Any) -> Keys:
    """A network of long rows beside one that is in a hurry."""
    long = {
        "name": "long",
        "model": "zoo:resnext50",
        "batch": 8,
        "arrival": {"kind": "poisson", "qps": 90, "seed": 1},
    }
    short = {
        "name": "short",
        "model": "zoo:mobilenetv2",
        "deadline_ms": 0.5,
        "arrival": {"kind": "poisson", "qps": 500, "seed": 2},
    }
    return {"npu": "memory-centric", "policy": "edf", "min_queries": 300, "tenants": [long | tenant, short]}


def late(keys: Keys) -> int:
    prepared = as_prepared(keys)
    run = run_once(prepared, policy_of(prepared, None), compiled=False)
    limit_ns = prepared.scenario.deadline_ns(1)
    assert limit_ns is not None
    return int((run.latencies(1) > limit_ns).sum())


def test_who_is_in_a_hurry_waits_less() -> None:
    whole, cut = late(scenario()), late(scenario(longest_us=100))
    assert whole > 5
    assert cut * 4 <= whole


def test_rows_are_pieces_of_their_layers() -> None:
    plain, cut = as_prepared(scenario()), as_prepared(scenario(longest_us=100))
    before, after = (item.machines[0][1][0][0].table for item in (plain, cut))
    assert after.layer_names == before.layer_names
    assert np.maximum(after.compute_cycles, after.memory_cycles).max() <= 70_000
    assert after.rows > before.rows
    assert plain.machines[0][1][1][0].table.rows == cut.machines[0][1][1][0].table.rows


def test_automatic_lengths_serve_who_is_in_a_hurry() -> None:
    """They are below the other one's slack and add little; without deadlines beside it nothing is cut."""
    plain, cut = as_prepared(scenario()), as_prepared(scenario(longest_us="auto"))
    before, after = (item.machines[0][1][0][0].table for item in (plain, cut))
    slack = 350_000 - plain.machines[0][1][1][0].standalone_cycles
    assert np.maximum(after.compute_cycles, after.memory_cycles).max() < slack / 2
    assert before.compute_cycles.sum() < after.compute_cycles.sum() <= 1.03 * before.compute_cycles.sum()
    assert late(scenario(longest_us="auto")) * 4 <= late(scenario())
    keys = scenario(longest_us="auto")
    keys["tenants"][1] = {key: value for key, value in keys["tenants"][1].items() if key != "deadline_ms"}
    alone = as_prepared(keys).machines[0][1][0][0].table
    np.testing.assert_array_equal(alone.compute_cycles, before.compute_cycles)


def test_what_was_chosen_is_noted() -> None:
    (said,) = as_prepared(scenario(longest_us="auto")).notes
    length_us = float(said.removeprefix("tenant 'long': longest_us auto cuts layers at ").removesuffix(" us"))
    by_hand = as_prepared(scenario(longest_us=length_us)).machines[0][1][0][0].table
    chosen = as_prepared(scenario(longest_us="auto")).machines[0][1][0][0].table
    np.testing.assert_array_equal(by_hand.compute_cycles, chosen.compute_cycles)
    keys = scenario(longest_us="auto")
    keys["tenants"][1] = {key: value for key, value in keys["tenants"][1].items() if key != "deadline_ms"}
    assert as_prepared(keys).notes == ("tenant 'long': longest_us auto cuts no layer",)
    keys["pool"] = [{"npu": keys.pop("npu")}]
    assert as_prepared(keys).notes == ("tenant 'long': longest_us auto cuts no layer on memory-centric",)
    assert as_prepared(scenario(longest_us=100)).notes == ()


def test_two_tenants_of_one_model_may_be_cut_differently() -> None:
    keys = scenario(longest_us=100)
    keys["tenants"].append(keys["tenants"][0] | {"name": "whole", "longest_us": 1000})
    menus = as_prepared(keys).machines[0][1]
    assert menus[0][0].table.rows > menus[2][0].table.rows


@pytest.mark.parametrize(
    ("tenant", "what"),
    [
        ({"longest_us": 0}, "give a time above 0"),
        ({"longest_us": "soon"}, "longest_us"),
        ({"longest_us": 0.5}, r"no row of it can be shorter than [\d.]+ us; longest_us of [\d.]+ or more"),
        ({"longest_us": 100, "model": {"costs": "t.csv"}}, "is for a model file or zoo:NAME"),
        ({"longest_us": 100, "overrides": "t.csv"}, "give overrides or longest_us, not both"),
    ],
)
def test_what_is_refused(tenant: Keys, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("layer,compute_cycles,dram_bytes,weight_bytes\na,1,1,1\n")
    with pytest.raises(LayerweaverError, match=what) as refused:
        as_prepared(scenario(**tenant))
    assert "\n" not in str(refused.value)
