"""Every file that a command writes is checked before the work, and devices and links stay what they are."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from layerweaver.__main__ import main


def _complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


COMMANDS = {
    "simulate -o": ("simulate", "-o", "{}.json"),
    "simulate --trace": ("simulate", "--trace", "{}.json"),
    "simulate --log": ("simulate", "--log", "{}.csv"),
    "compare": ("compare", "-o", "{}.csv"),
    "peak": ("peak", "missing.yaml", "-o", "{}.json"),
    "report": ("report", "missing.json", "-o", "{}.html"),
    "compile": ("compile", "zoo:nothing", "--npu", "nothing", "-o", "{}.lwp"),
    "inspect --csv": ("inspect", "zoo:nothing", "--csv", "{}.csv"),
    "inspect --plot": ("inspect", "zoo:nothing", "--npu", "nothing", "--plot", "{}.svg"),
    "inspect --graph": ("inspect", "zoo:nothing", "--graph", "{}.dot"),
    "npu new": ("npu", "new", "-o", "{}.yaml"),
    "models export": ("models", "export", "nothing", "-o", "{}.onnx"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["missing/out", "x" * 260])
def test_a_file_that_cannot_be_written_is_refused_before_anything_else(
    command: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / name)
    error = _complaint(capsys, *(word.format(path) for word in COMMANDS[command]))
    assert "cannot be written" in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["compile", "report", "npu new", "models export"])
def test_the_null_device_takes_everything(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([*COMMANDS[command][:-1], os.devnull])
    assert "cannot be written" not in capsys.readouterr().err
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_results_go_through_links_and_into_pipes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = tmp_path / "latest.yaml"
    link.symlink_to("real.yaml")
    assert main(["npu", "new", "-o", str(link)]) == 0
    assert link.is_symlink()
    assert (tmp_path / "real.yaml").read_text().startswith("#")
    capsys.readouterr()


def test_a_report_names_the_extra_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    error = _complaint(capsys, "report", "missing.json", "-o", str(tmp_path / "page.html"))
    assert "pip install 'layerweaver[report]'" in error


@pytest.mark.parametrize(
    ("option", "file", "accepted"),
    [("--requests", "r.parquet", ".csv"), ("--log", "d.txt", ".csv"), ("--trace", "t.csv", ".json.gz")],
)
def test_a_name_that_says_something_else_than_is_written_is_refused(
    option: str, file: str, accepted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "none.yaml", option, str(tmp_path / file)]) == 2
    said = capsys.readouterr().err
    assert "is not what is written here" in said
    assert accepted in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("report", "missing.json", "-o", "page.pdf"),
        ("compile", "zoo:ncf", "--npu", "memory-centric", "-o", "ncf.onnx"),
        ("models", "export", "ncf", "-o", "ncf.lwp"),
        ("npu", "calibrate", "tpu-v3", "--measured", "m.csv", "--plot", "fit.png"),
    ],
)
def test_so_is_one_of_other_commands(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert "is not what is written here; give ." in _complaint(capsys, *words)
