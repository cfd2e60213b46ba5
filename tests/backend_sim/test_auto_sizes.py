"""Which sizes automatic batches have: none that could only do harm, and what is left out is said."""

from __future__ import annotations

from typing import Any

from oracles.small_npu import SMALL_NPU

from layerweaver.backend_sim.run.prepare import prepare
from layerweaver.backend_sim.run.variants import largest_table
from layerweaver.backend_sim.scenario.provenance import scenario_record, stated_keys
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.study.simulate import simulate


def test_sizes_that_cannot_be_in_time_or_would_spill_are_left_out(make_scenario: Any) -> None:
    # ResNet-50 alone takes 0.48 ms on this NPU, a batch of 8 takes 3.6 and one of 16 takes 7.3.
    keys = make_scenario(tenants=[{"model": "zoo:resnet50", "batch": "auto", "deadline_ms": 5}])
    menus = prepare(load_scenario(keys)).npus[0].menus
    assert [profile.table.batch for profile in menus[0]] == [1, 2, 4, 8]
    # 3.4 MiB of activations a request: 16 are the most that 64 MiB hold beside nobody.
    keys |= {"npu": "tpu-v5e", "tenants": [keys["tenants"][0] | {"deadline_ms": 500}]}
    (menu,) = prepare(load_scenario(keys)).npus[0].menus
    assert [profile.table.batch for profile in menu] == [1, 2, 4, 8, 16]


def test_where_all_activations_spill_sizes_are_chosen_by_work(make_scenario: Any) -> None:
    """Not even single requests fit: without batches BERT would fetch its weights for every one of them."""
    small = SMALL_NPU | {"sram": {"weights_mb": 0.75, "activations_mb": 0.75}}
    text = {"model": "zoo:bert-base", "dims": {"tokens": 24}, "batch": "auto", "deadline_ms": 80}
    keys = make_scenario(npu=small, tenants=[text, {"model": "zoo:mobilenetv2", "deadline_ms": 60}])
    prepared = prepare(load_scenario(keys))
    singles = [largest_table(menu[:1]).peak_activation_bytes for menu in prepared.npus[0].menus]
    assert sum(singles) > 750_000
    sizes = [profile.table.batch for profile in prepared.npus[0].menus[0]]
    work = [
        max(int(table.compute_cycles.sum()), int(table.memory_cycles.sum())) / table.batch
        for table in (profile.table for profile in prepared.npus[0].menus[0])
    ]
    assert sizes[:3] == [1, 2, 4]
    assert min(work) == work[-1] < work[0] / 2


def test_sizes_that_are_left_out_are_said(make_scenario: Any) -> None:
    text = {"model": "zoo:resnet50", "deadline_ms": 5, "batch": {"auto": True, "max": 16}}
    notes = prepare(load_scenario(make_scenario(tenants=[text]))).notes
    assert "tenant 'vision': batches of 16 are left out: alone they exceed its deadline" in notes
    unstated = prepare(load_scenario(make_scenario(tenants=[text | {"batch": "auto"}]))).notes
    assert not [note for note in unstated if "left out" in note]
    spilling = make_scenario(npu="tpu-v5e", tenants=[text | {"batch": "auto", "deadline_ms": 500}])
    (note,) = [note for note in prepare(load_scenario(spilling)).notes if "left out" in note]
    assert "batches of 32, 64 are left out: their activations would not fit the buffer" in note


def test_what_is_left_out_is_said_alike_of_what_a_result_states(make_scenario: Any) -> None:
    first = load_scenario(
        make_scenario(tenants=[{"model": "zoo:resnet50", "deadline_ms": 5, "batch": "auto"}])
    )
    again = load_scenario(stated_keys(scenario_record(first)))
    assert prepare(again).notes == prepare(first).notes


def test_results_of_times_state_no_bytes_of_a_cache(chat: Any) -> None:
    first = load_scenario(chat())
    again = load_scenario(stated_keys(scenario_record(first)))
    assert (again.notes, again.warnings) == (first.notes, first.warnings)


def test_sizes_without_a_maximum_end_at_the_largest(make_scenario: Any) -> None:
    keys = make_scenario(tenants=[{"model": "zoo:ncf", "batch": {"auto": True, "sizes": [1, 3]}}])
    menu, _ = prepare(load_scenario(keys)).npus[0].menus
    assert [profile.table.batch for profile in menu] == [1, 3]


def test_batches_are_called_full_by_the_sizes_that_there_are(make_scenario: Any) -> None:
    model = {"model": "zoo:bert-base", "dims": {"tokens": 16}, "deadline_ms": 4, "batch": "auto"}
    tenant = model | {"arrival": {"kind": "poisson", "qps": 100, "seed": 1}}
    keys = make_scenario(tenants=[tenant, {"arrival": {"kind": "poisson", "qps": 1, "seed": 1}}])
    largest = prepare(load_scenario(keys)).npus[0].menus[0][-1].table.batch
    (note,) = [note for note in simulate(keys)["notes"] if "as full" in note]
    assert f"of {largest} requests on average)" in note
    assert largest < 64
