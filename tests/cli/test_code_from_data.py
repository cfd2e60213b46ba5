"""A folder with somebody's scenario runs nothing of theirs unasked."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from layerweaver.__main__ import main
from layerweaver.backend_sim.study.processes import in_processes

POLICY = """
from pathlib import Path
from layerweaver.scheduler.policies.contract import PolicySpec
Path(__file__).with_name({mark!r}).touch()
def choose(view, options, memory):
    return view.ready[0]
POLICY = PolicySpec("mine", choose, summary="First ready.", source="ours")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "costs.csv").write_text("layer,compute_cycles,dram_bytes,weight_bytes\nl,1000,0,0\n")
    (tmp_path / "mine.py").write_text(POLICY.format(mark="ran"))
    keys = {
        "npu": "memory-centric",
        "policy": "mine.py",
        "policies": ["fcfs", "mine.py"],
        "duration_s": 0.01,
        "tenants": [
            {
                "name": "a",
                "model": {"costs": "costs.csv"},
                "deadline_ms": 1,
                "arrival": {"kind": "poisson", "qps": 900},
            }
        ],
    }
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(keys))
    return tmp_path


@pytest.mark.parametrize("command", ["simulate", "compare", "peak"])
def test_a_policy_file_of_a_scenario_runs_only_where_allowed(
    folder: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(folder / "s.yaml")]) == 2
    error = capsys.readouterr().err
    assert "s.yaml:" in error
    assert "'mine.py' is a program" in error
    assert "--allow-code" in error
    assert not (folder / "ran").exists()


def test_options_behind_a_policy_file_make_no_difference(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    scenario = folder / "s.yaml"
    scenario.write_text(scenario.read_text().replace("policy: mine.py", "policy: mine.py:a=1"))
    assert main(["simulate", str(scenario)]) == 2
    assert "'mine.py' is a program" in capsys.readouterr().err
    assert not (folder / "ran").exists()


def test_allowed_or_named_on_the_command_line_it_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", str(folder / "s.yaml"), "--allow-code"]) == 0
    assert (folder / "ran").exists()
    (folder / "ran").unlink()
    (folder / "mine.py").write_text(POLICY.format(mark="again"))
    assert main(["simulate", str(folder / "s.yaml"), "--policy", str(folder / "mine.py")]) == 0
    assert (folder / "again").exists()
    capsys.readouterr()


def test_compiled_code_beside_a_policy_is_neither_run_nor_left(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folder / "mine.py"
    evil = folder / "evil.py"
    evil.write_text(POLICY.format(mark="evil!"))
    status = source.stat()
    source.write_text(evil.read_text())
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    py_compile.compile(str(source), doraise=True)  # as if it were of the text to come
    source.write_text(POLICY.format(mark="good!"))
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert main(["simulate", str(folder / "s.yaml"), "--policy", str(source)]) == 0
    assert (folder / "good!").exists()
    assert not (folder / "evil!").exists()
    capsys.readouterr()


def test_settings_of_numba_and_matplotlib_in_the_present_folder_are_not_read(folder: Path) -> None:
    (folder / ".numba_config.yaml").write_text("cache_dir: ./theirs\ndisable_jit: 1\nopt: broken\n")
    (folder / "matplotlibrc").write_bytes(b"text.usetex: True\nbackend: module://evil\n\xff\xfe\n")
    (folder / "evil.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    layerweaver = [sys.executable, "-m", "layerweaver"]
    for words in (
        ["simulate", "s.yaml", "--policy", "fcfs"],
        ["inspect", "zoo:ncf", "--npu", "memory-centric", "--plot", "roofline.svg"],
    ):
        done = subprocess.run(
            [*layerweaver, *words], cwd=folder, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    assert not (folder / "theirs").exists()
    assert not (folder / "ran").exists()
    assert (folder / "roofline.svg").exists()


def test_processes_import_nothing_from_the_present_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pickle", "socket", "runpy", "signal", "json", "layerweaver"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    found = in_processes([os.getpid], 1, lambda _: None)
    assert found != [os.getpid()]
    assert not (tmp_path / "ran").exists()
    assert "PYTHONSAFEPATH" not in os.environ
