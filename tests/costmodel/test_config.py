"""NPU configs: what is accepted, and every mistake with its line and field."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerweaver.costmodel import (
    check_npu,
    load_npu,
    npu_document,
    npu_json_schema,
    npu_names,
    npu_rows,
    npu_template,
    npu_yaml,
)
from layerweaver.costmodel.plugins import ARRAY_MODELS, COST_MODELS, NPU_LIBRARIES
from layerweaver.ir import ConfigError

GOOD = """\
name: mine
clock_mhz: 700
precision_bytes: 2
array: {rows: 16, columns: 16}
dram: {bandwidth_gb_s: 68 GB/s}
sram: {weights_mb: 1, activations_mb: 512 KiB}
"""
Check = Callable[[str], list[str]]


@pytest.fixture(name="check")
def check_fixture(tmp_path: Path) -> Check:
    def run(text: str) -> list[str]:
        file = tmp_path / "npu.yaml"
        file.write_text(text, encoding="utf-8")
        return [problem.removeprefix(f"{file}:") for problem in check_npu(file)]

    return run


def test_units_as_text_are_understood(check: Check, tmp_path: Path) -> None:
    assert check(GOOD) == []
    config = load_npu(tmp_path / "npu.yaml")
    assert config.dram.bandwidth_gb_s == 68
    assert config.machine().activation_buffer_bytes == 512 * 1024
    assert config.machine().bytes_per_cycle == pytest.approx(68e9 / 700e6)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("rows: 16", "rows: 0", 4, ["array.rows", "more than 0"]),
        ("rows: 16", "rows: -3", 4, ["array.rows", "more than 0"]),
        ("rows: 16", "rows: true", 4, ["array.rows", "not numbers"]),
        ("rows: 16", "rows: 99999999999999999999", 4, ["array.rows", "too large"]),
        ("rows: 16", "rows: 1.5", 4, ["array.rows"]),
        ("rows: 16", "rows: [1]", 4, ["array.rows"]),
        ("rows: 16", "rowz: 16", 4, ["array.rowz", "did you mean 'rows'"]),
        ("columns: 16", "columns: 16, dataflow: wz", 4, ["array.dataflow", "is, mac_grid, os, ws"]),
        ("columns: 16", "columns: 16, split: half", 4, ["array.split", "folds"]),
        ("columns: 16", "columns: 16, split: tiles", 4, ["array", "scratchpad_kib"]),
        ("columns: 16", "columns: 16, scratchpad_kib: 64", 4, ["array.scratchpad_kib", "for split tiles"]),
        ("columns: 16", "columns: 16, accumulator_kib: 64", 4, ["array.accumulator_kib", "for split tiles"]),
        ("clock_mhz: 700", "clock_mhz: .inf", 2, ["clock_mhz"]),
        ("clock_mhz: 700", "clock_mhz: 1 parsec", 2, ["clock_mhz", "MHz"]),
        ("68 GB/s", "68 GBps per core", 5, ["dram.bandwidth_gb_s", "GB/s", "MiB/s"]),
        ("68 GB/s", ".nan", 5, ["dram.bandwidth_gb_s"]),
        ("68 GB/s", "-1", 5, ["dram.bandwidth_gb_s"]),
        ("weights_mb: 1,", "weights_mb: 0,", 6, ["sram.weights_mb"]),
        ("weights_mb: 1,", "weights_mb: 1, weights_mib: 1,", 6, ["sram", "both"]),
        ("weights_mb: 1,", "unified_mb: 1,", 6, ["sram", "unified"]),
        ("precision_bytes: 2", "precision_bytes: 0.3", 3, ["precision_bytes", "bits"]),
        ("name: mine", "name: mine\nname: yours", 2, ["name", "twice"]),
        ("name: mine", "name: mine\nclokc_mhz: 3", 2, ["clokc_mhz", "clock_mhz"]),
        ("name: mine", "name: mine\ncost_model: guess", 2, ["cost_model", "analytical"]),
        ("name: mine", "name: mine\nsources: {sram.weight: x}", 2, ["sources"]),
    ],
)
def test_a_mistake_names_line_and_field(
    check: Check, old: str, new: str, line: int, words: list[str]
) -> None:
    problems = check(GOOD.replace(old, new))
    first = next((text for text in problems if text.startswith(f"{line}:")), None)
    assert first is not None, problems
    assert "\n" not in first
    for word in words:
        assert word in first


def test_every_mistake_is_listed_in_order(check: Check) -> None:
    text = (
        GOOD.replace("rows: 16", "rows: 0")
        .replace("68 GB/s", "much")
        .replace("clock_mhz: 700", "clock_mhz: -1")
    )
    assert [problem.split(":")[0] for problem in check(text)] == ["2", "4", "5"]


@pytest.mark.parametrize("key", ["name", "array", "rows", "bandwidth_gb_s", "weights_mb"])
def test_a_misspelt_key_is_one_mistake_even_where_the_right_one_is_required(check: Check, key: str) -> None:
    (problem,) = check(GOOD.replace(f"{key}:", f"{key}z:"))
    assert f"{key}z" in problem
    assert f"did you mean {key!r}?" in problem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "mapping"),
        ("- a\n- b", "mapping"),
        ("just words", "mapping"),
        ("name: [unclosed", "YAML"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]", "known"),
        ("name: !!python/object:os.system x", "tag"),
        ("[" * 500, "nested"),
    ],
)
def test_other_documents_are_refused(check: Check, text: str, words: str) -> None:
    problems = check(text)
    assert problems
    assert words in " ".join(problems)


def test_yaml_bombs_binary_and_missing_files_are_one_line(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    bomb.write_text("\n".join(lines))
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(bytes(range(256)))
    huge = tmp_path / "huge.yaml"
    huge.write_text("x: " + "y" * 2_000_000)
    for file in (bomb, binary, huge, tmp_path / "absent.yaml", tmp_path):
        assert len(check_npu(file)) == 1
        with pytest.raises(ConfigError) as caught:
            load_npu(file)
        assert "\n" not in str(caught.value)


def test_thousands_of_mistakes_and_endless_keys_stay_readable(check: Check) -> None:
    many = GOOD + "\n".join(f"key{index}: 1" for index in range(5000))
    assert 0 < len(check(many)) <= 200
    (problem,) = check(GOOD + "k" * 100_000 + ": 1\n")
    assert len(problem) < 2000


def test_mappings_are_checked_too() -> None:
    mappings: list[dict[Any, Any]] = [{}, {"name": 3}, {1: 2}, {"name": "x", "array": None}]
    for wrong in mappings:
        with pytest.raises(ConfigError, match=r"^NPU config"):
            load_npu(wrong)


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(ConfigError, match="memory-centric"):
        load_npu("memory-centrik")


def test_inconsistent_peak_is_refused(check: Check) -> None:
    assert check(GOOD + "peak_tops: 0.3584\n") == []
    (problem,) = check(GOOD + "peak_tops: 0.5\n")
    assert "0.3584" in problem
    assert problem.startswith("7: peak_tops:")


def test_a_weight_buffer_below_one_fold_is_refused(check: Check) -> None:
    (problem,) = check(GOOD.replace("weights_mb: 1,", "weights_mb: 500 B,"))
    assert "one fold" in problem
    assert "512 bytes" in problem
    assert problem.startswith("6: sram:")


def test_buffer_of_activations_is_required_or_waived(check: Check) -> None:
    without = GOOD.replace(", activations_mb: 512 KiB", "")
    assert "fits_activations" in " ".join(check(without))
    assert check(without + "fits_activations: true\n") == []


@pytest.mark.parametrize("name", npu_names())
def test_shipped_configs_are_sourced_consistent_and_print_as_they_load(name: str, tmp_path: Path) -> None:
    config = load_npu(name)
    assert config.name == name
    assert config.peak_tops is not None
    actual = config.array.rows * config.array.columns * config.array.count * config.array.pixels
    assert config.peak_tops == pytest.approx(actual * 2 * config.clock_hz / 1e12, rel=0.02)
    for field in ("clock_mhz", "precision_bytes", "array", "vector", "dram", "sram", "peak_tops"):
        assert any(key == field or key.startswith(f"{field}.") for key in config.sources), field
    printed = tmp_path / "printed.yaml"
    printed.write_text(npu_yaml(config), encoding="utf-8")
    assert check_npu(printed) == []
    assert load_npu(printed) == config
    assert load_npu(json.loads(json.dumps(npu_document(config)))) == config


def test_the_library_is_there() -> None:
    asked = {"memory-centric", "compute-centric", "tpu-v3", "onnxim-tpuv4", "nvdla-large", "ethos-u55-256"}
    assert asked <= set(npu_names())
    assert len(npu_names()) >= 16
    (row,) = (row for row in npu_rows() if row["name"] == "memory-centric")
    assert row == {
        "name": "memory-centric",
        "peak_tops": pytest.approx(22.94, rel=1e-3),
        "dram_gb_s": 225,
        "dram_reached_gb_s": 225,
        "ridge_ops_per_byte": pytest.approx(101.9, rel=1e-3),
        "evidence": "reproduced",
        "held_out_mape": None,
    }


def test_template_and_schema(check: Check) -> None:
    assert check(npu_template()) == []
    schema = npu_json_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"name", "array", "dram", "sram"}
    json.dumps(schema)


def test_shipped_plugins_are_registered_like_anyones() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    if not project.is_file():
        pytest.skip("runs in a source tree")
    import tomllib

    groups = tomllib.loads(project.read_text())["project"]["entry-points"]
    for plugins in (ARRAY_MODELS, COST_MODELS, NPU_LIBRARIES):
        assert groups[plugins.group] == plugins.shipped
