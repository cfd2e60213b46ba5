"""Tables of profiles and reproductions read well in 80 columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from layerweaver.cli.rendering.tables import fields_table, rows_table

Run = Callable[..., Any]


def test_no_word_of_a_profile_is_broken_in_80_columns(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ran = run(
        "compile",
        "resnext50=zoo:resnet18",
        "--npu",
        "memory-centric",
        "--batch",
        "1,8",
        "-o",
        tmp_path / "a.lwp",
    )
    rows = [line.split() for line in ran.out.splitlines() if line.startswith("resnext50")]
    assert [row[:3] for row in rows] == [["resnext50", "1", "compute"], ["resnext50", "8", "compute"]]
    assert max(map(len, ran.out.splitlines())) <= 80
    assert len(ran.out.splitlines()) == 5


def test_errors_are_percentages_in_every_table(run: Run) -> None:
    out = run("reproduce", "onnxim").out
    (resnet,) = (line for line in out.splitlines() if line.startswith("resnet18"))
    assert resnet.split()[-1] == "-0.0294%"
    assert "per convolution: 4.0%" in out


def test_lines_of_one_seed_say_so(run: Run, tmp_path: Path) -> None:
    npu = """{name: n, clock_mhz: 700, array: {rows: 64, columns: 64}, dram: {bandwidth_gb_s: 25},
      sram: {weights_mb: 2, activations_mb: 3}, energy: {mac_pj: 1}}"""
    tenant = "{name: a, model: zoo:ncf, arrival: {kind: poisson, qps: 100, seed: 1}}"
    path = tmp_path / "s.yaml"
    path.write_text(f"npu: {npu}\nduration_s: 0.1\npolicy: fcfs\ntenants: [{tenant}]\n", encoding="utf-8")
    alone, several = run("simulate", path).out, run("simulate", path, "--seeds", 2).out
    assert ("\nidle: " in alone, "\nenergy: " in alone) == (True, True)
    assert ("\nidle (first seed): " in several, "\nenergy (first seed): " in several) == (True, True)
    overloaded = tenant.replace("100,", "1000000,").replace("ncf,", "ncf, queue: {limit: 2},")
    path.write_text(f"npu: {npu}\nduration_s: 0.1\ntenants: [{overloaded}]\n", encoding="utf-8")
    assert "\ndropped: a " in run("simulate", path, "--policy", "fcfs").out
    assert "\ndropped (first seed): a " in run("simulate", path, "--policy", "fcfs", "--seeds", 2).out


def _printed(shown: RenderableType, width: int) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(shown)
    return capture.get()


def test_names_of_reproductions_are_whole_and_their_errors_percentages() -> None:
    row = {"npu": "hexagon-qcs8275-fp16", "count": 4, "mape": 0.159, "median_ape": 0.175, "bias": -0.159}
    row |= {"rank_correlation": 0.8, "covered": 0.25, "fitted": False}
    shown = _printed(rows_table("NPUs", [row]), 80)
    assert "hexagon-qcs8275-fp16 " in shown
    assert max(map(len, shown.splitlines())) <= 80
    fit = _printed(fields_table("fit", {"mape_fit": 0.0123, "mape_held_out": 0.2552}), 80)
    assert "1.23%" in fit
    assert "25.5%" in fit
