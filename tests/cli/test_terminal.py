"""What people see: widths, sparklines, progress, colour, and which stream says what."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCENARIO = """
npu: memory-centric
duration_s: 0.3
tenants:
  - name: a-tenant-with-a-name-that-goes-on-and-on
    model: zoo:ncf
    deadline_ms: 1
    arrival: {kind: poisson, qps: 400, seed: 1}
  - name: second
    model: zoo:resnet18
    deadline_ms: 0.1
    arrival: {kind: poisson, qps: 300, seed: 2}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "two.yaml"
    path.write_text(SCENARIO)
    return path


LIMIT_S = 600


def layerweaver(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "NO_COLOR"}}
    return subprocess.run(
        [sys.executable, "-m", "layerweaver", *words],
        capture_output=True,
        env=environment | variables,
        encoding=variables.get("PYTHONIOENCODING", "utf-8"),
        check=False,
        timeout=LIMIT_S,
    )


def on_a_terminal(*words: str, **variables: str) -> str:
    """What a command shows on a terminal of its own."""
    parent, child = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    environment |= {"TERM": "xterm-256color", "COLUMNS": "100", **variables}
    with subprocess.Popen(
        [sys.executable, "-m", "layerweaver", *words], stdout=child, stderr=child, env=environment
    ) as process:
        os.close(child)
        shown = b""
        while True:
            if not select.select([parent], [], [], LIMIT_S)[0]:
                process.kill()
                pytest.fail(f"says nothing for {LIMIT_S} s")
            try:
                piece = os.read(parent, 1 << 16)
            except OSError:
                break
            if not piece:
                break
            shown += piece
    os.close(parent)
    return shown.decode()


def test_piped_tables_take_80_columns_without_colour(scenario: Path) -> None:
    ran = layerweaver("compare", str(scenario), "--policies", "fcfs,layerweaver+,static-weave")
    assert ran.returncode == 0
    assert max(map(len, ran.stdout.splitlines())) <= 80
    assert "\x1b" not in ran.stdout + ran.stderr
    assert "█" in ran.stdout


@pytest.mark.parametrize(
    "words",
    [
        "inspect zoo:bert-base --npu tpu-v3",
        "inspect zoo:vgg16",
        "policies",
        "models list",
    ],
)
def test_other_tables_fit_too(words: str) -> None:
    ran = layerweaver(*words.split())
    assert max(map(len, ran.stdout.splitlines())) <= 80


def test_a_terminal_without_unicode_gets_ascii(scenario: Path) -> None:
    ran = layerweaver("-q", "simulate", str(scenario), PYTHONIOENCODING="ascii")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "#" in ran.stdout
    ran = layerweaver("simulate", str(scenario), "--json", PYTHONIOENCODING="ascii")
    assert json.loads(ran.stdout)["tenants"][1]["name"] == "second"


def test_narrow_terminals_get_lines_in_which_nothing_is_cut(scenario: Path) -> None:
    narrow = {"COLUMNS": "40", "NO_COLOR": "1", "PYTHONIOENCODING": "ascii"}
    policies = ("fcfs", "layerweaver+", "static-weave")
    ran = layerweaver("compare", str(scenario), "--policies", ",".join(policies), **narrow)
    lines = ran.stdout.splitlines()
    assert ran.returncode == 0
    assert max(map(len, lines)) <= 40
    assert "?" not in ran.stdout
    whole = "".join(line.rstrip() for line in lines)
    for tenant in ("a-tenant-with-a-name-that-goes-on-and-on", "second"):
        assert all(
            f"{tenant}, {policy}" in whole.replace(", ", ",").replace(",", ", ") for policy in policies
        )
    assert (ran.stdout.count("status too short"), ran.stdout.count("status late")) == (3, 3)
    ran = layerweaver("simulate", str(scenario), **narrow)
    assert "a-tenant-with-a-name-that-goes-on-and-on" in ran.stdout
    assert (ran.stdout.count("status too short"), ran.stdout.count("status late")) == (1, 1)
    ran = layerweaver("inspect", "zoo:bert-base", "--npu", "tpu-v3", **narrow)
    assert "encoder.layer.0.attention.self.query.MatMul" in ran.stdout.replace("\n", "")
    assert "?" not in ran.stdout


def test_layers_with_long_names_are_told_apart() -> None:
    ran = layerweaver("-v", "inspect", "zoo:bert-base", "--npu", "tpu-v3", COLUMNS="80")
    shown = "".join(line[:27].strip() for line in ran.stdout.splitlines())
    assert "encoder.layer.0.output.dense.MatMul" in shown
    assert "encoder.layer.1.output.dense.MatMul" in shown
    assert max(map(len, ran.stdout.splitlines())) <= 80


def test_colour_on_a_terminal_only_and_not_when_unwanted(scenario: Path) -> None:
    assert "\x1b[31mlate" in on_a_terminal("simulate", str(scenario), "--policy", "fcfs")
    assert "\x1b[31m" not in on_a_terminal("simulate", str(scenario), "--policy", "fcfs", NO_COLOR="1")


def test_result_files_have_details_and_printed_documents_are_small(scenario: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    ran = layerweaver("simulate", str(scenario), "--policy", "fcfs", "--json", "-o", str(kept))
    assert "details" not in json.loads(ran.stdout)
    assert json.loads(kept.read_text())["details"]["timeline"]["layer"]
    layerweaver("compare", str(scenario), "--policies", "fcfs,edf", "--no-details", "-o", str(kept))
    assert not any("details" in run for run in json.loads(kept.read_text())["runs"])
    ran = layerweaver("compare", str(scenario), "--policies", "fcfs", "--details", "--json")
    assert "details" in json.loads(ran.stdout)["runs"][0]


@pytest.mark.parametrize("words", [("-q", "inspect", "zoo:ncf"), ("inspect", "zoo:ncf")])
def test_quiet_or_not_stderr_is_for_what_is_to_be_said(words: tuple[str, ...]) -> None:
    assert layerweaver(*words).stderr == ""
    wrong: Any = layerweaver(*words[:-1], "zoo:nothing")
    assert wrong.stdout == ""
    assert len(wrong.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("inspect zoo:res", "zoo:resnet50"),
        ("inspect zoo:ncf --npu mem", "memory-centric"),
        ("simulate two.yaml --policy layerw", "layerweaver+"),
        ("compare two.yaml --policies fcfs,ed", "fcfs,edf"),
        ("models export bert-b", "bert-base"),
    ],
)
def test_the_shell_completes_names(typed: str, offered: str) -> None:
    line = f"layerweaver {typed}"
    answer = layerweaver(
        _LAYERWEAVER_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=line, COMP_WORDS=line, COMP_CWORD="9"
    )
    assert offered in answer.stdout.replace("\\", "")


@pytest.mark.parametrize("command", ["inspect", "compile", "simulate", "compare", "peak", "report"])
def test_help_has_examples_units_and_exit_codes(command: str) -> None:
    shown = layerweaver(command, "--help").stdout
    assert f"  layerweaver {command} " in shown
    assert "Units:" in shown
    assert "Exit codes: 0 done; 2 the input is wrong" in shown


def test_lists_of_commands_are_not_cut() -> None:
    for words in ("--help", "npu --help", "reproduce --help"):
        assert not re.search(r"\w,?\.\.\.$", layerweaver(*words.split()).stdout, re.MULTILINE)


def test_no_line_of_help_is_wider_than_the_terminal() -> None:
    names = re.findall(r"^ +([a-z]+) {2,}\S", layerweaver("--help").stdout, re.MULTILINE)
    assert {"simulate", "reproduce", "npu"} <= set(names)
    for name in names:
        lines = layerweaver(name, "--help", COLUMNS="80").stdout.splitlines()
        assert [line for line in lines if len(line) > 80 or line.endswith("…")] == []


@pytest.mark.parametrize("place", [0, 1, 2])
def test_quiet_may_stand_anywhere(place: int, tmp_path: Path) -> None:
    words = ["models", "export", "ncf", "-o", str(tmp_path / "ncf.onnx")]
    assert layerweaver(*words).stderr != ""
    assert layerweaver(*words[:place], "-q", *words[place:]).stderr == ""
    assert layerweaver(*words, "-q").stderr == ""


def test_inspect_says_how_long_and_how_many() -> None:
    for columns in ("40", "80"):
        shown = " ".join(layerweaver("inspect", "zoo:ncf", "--npu", "tpu-v3", COLUMNS=columns).stdout.split())
        assert re.search(r"[\d.e-]+ ms alone, [\d.,e+]+ inferences/s", shown)
    several = layerweaver("inspect", "zoo:ncf", "--npu", "tpu-v3", "--batch", "8").stdout
    assert re.search(r" ms alone for a batch of 8, [\d.,e+]+ inferences/s", " ".join(several.split()))


def test_inspect_says_whose_bytes_and_which_unit() -> None:
    words = ("inspect", "zoo:resnet18", "--npu", "memory-centric")
    shown = " ".join(layerweaver(*words).stdout.split())
    totals = json.loads(layerweaver(*words, "--json").stdout)["totals"]
    assert totals["dram_bytes"] < totals["weight_bytes"]
    assert "(weights in the model's own types; compute and memory in cycles)" in shown
    assert f"{totals['dram_bytes'] / 1e6:.3g} MB through the DRAM in the NPU's types" in shown


def test_a_pool_has_a_table_of_its_npus(scenario: Path) -> None:
    pool = "pool: [{npu: memory-centric, count: 2}]"
    scenario.write_text(SCENARIO.replace("npu: memory-centric", pool))
    shown = layerweaver("simulate", str(scenario)).stdout
    assert "memory-centric#0" in shown
    assert "memory-centric#1" in shown


def test_latencies_that_are_all_but_equal_are_one_bar() -> None:
    from layerweaver.cli.rendering.sparkline import sparkline

    assert sparkline([0.4755, 0.47551, 0.4755], width=10) == "█"
    histogram = {"edges_ms": [0.475599, 0.4755995, 0.4756], "counts": [7, 7]}
    assert sparkline(histogram, width=10, span_ms=(0.475599, 0.4756)) == "█"
    assert len(sparkline([0.4, 0.5], width=10)) == 10
