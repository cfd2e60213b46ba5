"""Wrong input: one line that says what, where and what would be accepted; exit code 2; nothing lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from layerweaver.__main__ import main

Run = Callable[..., Any]

GOOD_NPU = """\
name: mine
clock_mhz: 700
array: {rows: 128, columns: 128}
dram: {bandwidth_gb_s: 225}
sram: {weights_mb: 48, activations_mb: 60}
"""


@pytest.fixture
def place(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    run("models", "export", "ncf", "-o", "ncf.onnx")
    run("compile", "ncf.onnx", "--npu", "memory-centric", "-o", "good.lwp")
    content = Path("ncf.onnx").read_bytes()
    Path("cut.onnx").write_bytes(content[: len(content) // 2])
    Path("text.onnx").write_text("this is not a model")
    Path("half.lwp").write_bytes(Path("good.lwp").read_bytes()[:700])
    Path("negative.yaml").write_text(GOOD_NPU.replace("225", "-225"))
    Path("misspelt.yaml").write_text(GOOD_NPU.replace("bandwidth", "bandwith"))
    Path("tiny.yaml").write_text(GOOD_NPU.replace("128", "1"))
    Path("odd_unit.yaml").write_text(GOOD_NPU.replace("225", "68 GBps per core"))
    tenant: dict[str, Any] = {
        "name": "a",
        "model": "zoo:ncf",
        "arrival": {"kind": "poisson", "qps": 10, "seed": 1},
    }
    scenario: dict[str, Any] = {"npu": "memory-centric", "duration_s": 1, "tenants": [tenant]}
    variants: dict[str, dict[str, Any]] = {
        "missing_model": {"tenants": [tenant | {"model": "nowhere.onnx"}]},
        "no_tenants": {"tenants": []},
        "zero_deadline": {"tenants": [tenant | {"deadline_ms": 0}]},
        "too_slow": {"tenants": [tenant | {"arrival": {"kind": "poisson", "qps": 0.01, "seed": 1}}]},
        "misspelt_key": {"tennants": [tenant]},
        "no_home": {"tenants": [tenant | {"model": "~nobody-at-all/net.onnx"}]},
        "surrogate": {"npu": "\ud800.yaml"},
        "unknown_npu": {"npu": "memory-centrik"},
        "inline_npu": {"npu": {"name": "mine", "array": {"rows": 0, "columns": 1}}},
        "unknown_policy": {"policy": "layerweever+"},
        "policy_file": {"policy": {"name": "./nowhere.py", "weight": 2}},
        "fine": {},
    }
    for name, changed in variants.items():
        Path(f"{name}.yaml").write_text(yaml.safe_dump(scenario | changed))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("inspect text.onnx", "text.onnx"),
        ("inspect cut.onnx", "cut.onnx"),
        ("inspect nowhere.onnx", "nowhere.onnx"),
        ("inspect .", "folder"),
        ("inspect ncf.onnx --dim bach=4", "batch"),
        ("inspect ncf.onnx --dim batch=x", "whole number"),
        ("inspect ncf.onnx --shape user=3x3", "user"),
        ("inspect zoo:restnet50", "resnet50"),
        ("inspect ncf.onnx --npu negative.yaml", "bandwidth_gb_s"),
        ("inspect ncf.onnx --npu misspelt.yaml", "bandwidth_gb_s"),
        ("inspect ncf.onnx --npu odd_unit.yaml", "GB/s"),
        ("inspect ncf.onnx --npu tpu-v33", "tpu-v3"),
        ("npu check negative.yaml", "bandwidth_gb_s"),
        ("show half.lwp", "half.lwp"),
        ("show ncf.onnx", "ncf.onnx"),
        ("show nowhere.lwp", "nowhere.lwp"),
        ("compile ncf.onnx ncf.onnx --npu tpu-v3 -o out.lwp", "ncf"),
        ("compile ncf.onnx --npu tpu-v3 --batch 0 -o out.lwp", "--batch"),
        ("compile ncf.onnx --npu tpu-v3 -o no/such/folder/out.lwp", "folder"),
        ("compile ncf.onnx --npu tiny.yaml --batch 1000000000 -o out.lwp", "smaller batch"),
        ("simulate missing_model.yaml", "nowhere.onnx"),
        ("simulate no_tenants.yaml", "tenants"),
        ("simulate zero_deadline.yaml", "deadline_ms"),
        ("simulate too_slow.yaml", "at least 1 per second"),
        ("simulate misspelt_key.yaml", "tenants"),
        ("simulate no_home.yaml", "no_home.yaml"),
        ("simulate surrogate.yaml", "surrogate.yaml"),
        ("simulate unknown_npu.yaml", "unknown_npu.yaml:2: npu: there is no NPU 'memory-centrik'"),
        ("simulate inline_npu.yaml", "inline_npu.yaml:2: npu"),
        ("simulate unknown_policy.yaml", "unknown_policy.yaml:3: policy"),
        ("simulate policy_file.yaml", "nowhere.py"),
        ("simulate fine.yaml --policy layerweever+", "layerweaver+"),
        ("simulate fine.yaml --policy layerweaver+:margin=3", "margin_us"),
        ("simulate fine.yaml --policy ./nowhere.py", "nowhere.py"),
        ("simulate fine.yaml --trace t.json --trace-window 5", "window"),
        ("simulate nowhere.yaml", "nowhere.yaml"),
        ("models export restnet -o x.onnx", "resnet"),
        ("export fine.yaml --output=", "an empty name is no folder"),
        ("report nowhere.json -o r.html", "nowhere.json"),
        ("frobnicate", "--help"),
        ("simulate --frobnicate", "--frobnicate"),
    ],
)
def test_one_line_and_exit_code_2(run: Run, place: Path, words: str, says: str) -> None:
    before = {path: path.read_bytes() for path in place.iterdir() if path.is_file()}
    ran = run(*words.split())
    assert ran.code == 2
    assert ran.out == ""
    assert says in ran.err
    assert "Traceback" not in ran.err
    assert ran.err.count("\n") == 1
    assert {path: path.read_bytes() for path in place.iterdir() if path.is_file()} == before


def test_an_existing_output_survives_a_failed_command(run: Run, place: Path) -> None:
    kept = place / "kept.lwp"
    kept.write_bytes(b"precious")
    assert run("compile", "cut.onnx", "--npu", "tpu-v3", "-o", kept).code == 2
    assert run("compile", "ncf.onnx", "--npu", "negative.yaml", "-o", kept).code == 2
    assert kept.read_bytes() == b"precious"


def test_a_profile_of_a_newer_version_is_named_as_such(run: Run, place: Path) -> None:
    import json
    import zipfile

    newer = place / "newer.lwp"
    with zipfile.ZipFile(place / "good.lwp") as old, zipfile.ZipFile(newer, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith(".json"):
                manifest = json.loads(content)
                manifest["version"] = 999
                content = json.dumps(manifest).encode()
            new.writestr(name, content)
    ran = run("show", newer)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "999" in ran.err


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no endless file")
@pytest.mark.parametrize(
    "words",
    [
        "inspect /dev/zero",
        "inspect zoo:ncf --npu /dev/zero",
        "npu check /dev/zero",
        "show /dev/zero",
        "simulate /dev/zero",
        "simulate --policy /dev/zero",
        "report /dev/zero -o out.html",
    ],
)
def test_endless_files_are_refused(run: Run, words: str) -> None:
    ran = run(*words.split())
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "/dev/zero" in ran.err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders")
@pytest.mark.parametrize(
    "words",
    [
        "inspect PIPE",
        "npu score memory-centric --measured PIPE.csv",
        "npu check PIPE",
        "inspect zoo:ncf --npu PIPE",
        "show PIPE.lwp",
        "simulate PIPE",
        "simulate --policy PIPE.py",
        "sweep PIPE -o study",
        "report PIPE -o out.html",
        "rerun PIPE.csv",
    ],
)
def test_pipes_that_nobody_writes_are_refused(run: Run, words: str, tmp_path: Path) -> None:
    for name in ("pipe", "pipe.csv", "pipe.lwp", "pipe.py"):
        os.mkfifo(tmp_path / name)
    ran = run(*(word.replace("PIPE", str(tmp_path / "pipe")) for word in words.split()))
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "not a regular file" in ran.err


@pytest.mark.parametrize("file", ["t.csv", "t.jsonl", "t.parquet", "t.csv.gz"])
def test_a_trace_that_is_a_pipe_is_refused(run: Run, file: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / file)
    kind = "mooncake" if file.endswith("jsonl") else "csv"
    arrival = f"{{kind: trace, file: {file}, format: {kind}}}"
    (tmp_path / "s.yaml").write_text(
        "npu: memory-centric\nduration_s: 1\n"
        f"tenants: [{{name: a, model: zoo:ncf, deadline_ms: 5, arrival: {arrival}}}]\n"
    )
    ran = run("simulate", tmp_path / "s.yaml", "--policy", "fcfs")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "not a regular file" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        "inspect zoo:ncf --npu tpu-v3 --npu memory-centric",
        "simulate --policy fcfs --policy edf",
        "npu new -o a.yaml -o b.yaml",
    ],
)
def test_an_option_that_would_be_lost_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert "is given more than once; give it once" in error
    assert error.count("\n") == 1


def test_quiet_and_verbose_stand_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "zoo:ncf", "-v"]) == 0
    assert main(["npu", "list", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_details_do_not_go_into_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--details", "-o", str(tmp_path / "r.csv")]) == 2
    assert "r.csv cannot hold --details; give a .json file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("simulate --details", "--details are in no table; give -o FILE.json or --json"),
        ("sweep SCENARIO -o s --cluster tcp://a:1 --workers 2", "the processes are the cluster's"),
        ("peak SCENARIO --curve 3", "--curve is in no table; give -o FILE.json or --json"),
        *(
            (f"npu calibrate memory-centric --suggest 1 --models zoo:ncf {option}", "--suggest fits nothing")
            for option in ("--plot p.svg", "--free overlap", "--throughput", "-o f.yaml", "--measured m.csv")
        ),
    ],
)
def test_options_that_could_do_nothing_are_refused(
    words: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = tmp_path / "s.yaml"
    scenario.write_text("npu: memory-centric\n")
    assert main([str(scenario) if word == "SCENARIO" else word for word in words.split()]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
