"""Tables of profiles and reproductions read well in 80 columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
