"""What a config states without effect is said, and really has none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles.small_npu import SMALL_NPU

from layerweaver import import_model, simulate
from layerweaver.costmodel import check_npu, cost_graph, load_npu, npu_names
from layerweaver.costmodel.npu.document import npu_template
from layerweaver.costmodel.npu.moot import moot_notes

_GRID = {"rows": 8, "columns": 64, "pixels": 8, "dataflow": "mac_grid"}
_RATE = {"rows": 64, "columns": 64, "depthwise_macs_per_cycle": 100}
_TILES = {"rows": 64, "columns": 64, "split": "tiles", "scratchpad_kib": 512, "accumulator_kib": 512}
_PIECES = {"pipeline_mb": 1}
_ALL = {"activations_in_dram": "all"}

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "array.load_rows_per_cycle": ({"array": _GRID}, {"array": {**_GRID, "load_rows_per_cycle": 8}}),
    "array.double_buffered": ({"array": _GRID}, {"array": {**_GRID, "double_buffered": False}}),
    **{
        f"array.{key}": ({"array": _TILES}, {"array": {**_TILES, key: value}})
        for key, value in {
            "double_buffered": False,
            "load_rows_per_cycle": 8,
            "pack_groups": True,
            "swap_operands": True,
        }.items()
    },
    "pipeline_from_mb": (_PIECES, {**_PIECES, "pipeline_from_mb": 0.5}),
    "array.split": ({}, {"array": {"rows": 64, "columns": 64, "split": "channels"}}),
    "array.depthwise": ({"array": _RATE}, {"array": {**_RATE, "depthwise": "vector"}}),
    "vector.mac_cycles": ({"array": _RATE}, {"array": _RATE, "vector": {"mac_cycles": 50}}),
    "sram.weight_share": ({}, {"sram": {"weights_mb": 2, "activations_mb": 3, "weight_share": 0.2}}),
    "shared_overheads": ({}, {"shared_overheads": True}),
    "activations_in_dram_share": (_ALL, {**_ALL, "activations_in_dram_share": 0.3}),
    "dram.utilization": ({}, {"dram": {"bandwidth_gb_s": 25, "utilization": 0.5}}),
}


@pytest.mark.parametrize("key", CASES)
def test_a_key_without_effect_is_said_and_changes_no_cost(key: str) -> None:
    without, stated = (load_npu({**SMALL_NPU, **change}) for change in CASES[key])
    assert moot_notes(without) == ()
    (note,) = moot_notes(stated)
    assert note.startswith(f"mine: {key} has no effect: ")
    for model in ("zoo:mobilenetv2", "zoo:resnet18"):
        tables = [cost_graph(import_model(model), npu).table for npu in (without, stated)]
        for column in ("compute_cycles", "dram_bytes", "weight_bytes"):
            assert np.array_equal(getattr(tables[0], column), getattr(tables[1], column))


@pytest.mark.parametrize("name", npu_names())
def test_no_shipped_config_states_what_has_no_effect(name: str) -> None:
    assert moot_notes(load_npu(name)) == ()


def test_results_say_it_too() -> None:
    npu = {**SMALL_NPU, "shared_overheads": True}
    tenant = {"name": "eye", "model": "zoo:ncf", "arrival": {"kind": "offline", "samples": 1}}
    document = simulate({"npu": npu, "tenants": [tenant]})
    assert "mine: shared_overheads has no effect: overhead_cycles is 0" in document["notes"]


def test_the_template_shows_defaults_or_says_which_they_are(tmp_path: Path) -> None:
    text = npu_template()
    shown = load_npu(_written(tmp_path / "all.yaml", text))
    for line in text.splitlines():
        key = line.split(":")[0].strip()
        required = {"name", "clock_mhz", "rows", "columns", "bandwidth_gb_s", "weights_mb", "activations_mb"}
        described = "default" in line.lower() or key in required | {"description", "precision_bytes"}
        if line.startswith("#") or described or not line.partition(":")[2].partition("#")[0].strip():
            continue
        left = load_npu(_written(tmp_path / "less.yaml", text.replace(line, "")))
        assert left.model_dump() == shown.model_dump(), line
    assert "Default: the model's own types" in text


def _written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("pinned_models: zoo:ncf", "pinned_models: 'zoo:ncf' is not a list"),
        ("precision_bytes: int8", "precision_bytes: 'int8' is no number of bytes"),
        ("sources: sheet", "sources: 'sheet' is not a mapping; give NAME: VALUE"),
    ],
)
def test_what_a_key_takes_is_said_in_plain_words(tmp_path: Path, line: str, told: str) -> None:
    text = npu_template().replace("precision_bytes: 2\n", "")
    (problem,) = check_npu(_written(tmp_path / "npu.yaml", f"{text}{line}\n"))
    assert told in problem


def test_a_list_that_is_too_short_is_refused_in_plain_words(tmp_path: Path) -> None:
    text = npu_template() + "host: {operators: [], ns_per_element: 1}\n"
    (problem,) = check_npu(_written(tmp_path / "host.yaml", text))
    assert "host.operators: has 0 values; give at least 1" in problem
