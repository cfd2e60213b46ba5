"""What is run again in another folder, or under policies that are programs, says what would do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_study import write_study

from layerweaver.__main__ import main
from layerweaver.backend_sim.results.naming import policy_labels, run_names
from layerweaver.backend_sim.results.reading import ResultError
from layerweaver.backend_sim.study.peak.peak import peak
from layerweaver.backend_sim.study.repeat import RunOptions
from layerweaver.backend_sim.study.rerun import rerun
from layerweaver.backend_sim.study.simulate import compare_with, simulate
from layerweaver.backend_sim.study.sweep.again import rerun_study
from layerweaver.backend_sim.study.sweep.sweep import sweep
from layerweaver.ir import PolicyError

COSTS = "layer,compute_cycles,dram_bytes,weight_bytes\na,1000000,10,10\n"
TENANT = {"name": "a", "model": {"costs": "a.csv"}, "arrival": {"kind": "periodic", "period_ms": 5}}
SCENARIO = {"npu": "memory-centric", "policy": "fcfs", "duration_s": 0.1, "tenants": [TENANT]}


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "a.csv").write_text(COSTS)
    (folder / "s.yaml").write_text(json.dumps(SCENARIO))
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_result_says_where_its_paths_start(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document: Any = simulate("given/s.yaml", compiled=False)
    monkeypatch.chdir(given)
    with pytest.raises(
        ResultError, match=r"not there.*paths start in given in the folder that this is run in$"
    ):
        rerun(document)
    here: Any = simulate("s.yaml", compiled=False)
    monkeypatch.chdir("..")
    with pytest.raises(ResultError, match=r"not there.*paths start in the folder that this is run in$"):
        rerun(here)
    fixed: Any = simulate(given / "s.yaml", compiled=False)
    (given / "a.csv").unlink()
    with pytest.raises(ResultError) as caught:
        rerun(fixed)
    assert str(caught.value).endswith(f"paths start in {given}")


def test_a_study_says_where_its_paths_start(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("study.yaml").write_text(json.dumps({"scenario": "given/s.yaml", "axes": {"seed": [1, 2]}}))
    sweep("study.yaml", "out")
    assert rerun_study(Path("out")) == []
    monkeypatch.chdir(given)
    with pytest.raises(
        ResultError, match=r"given/s\.yaml is not there; .* paths start in the folder that this is run in$"
    ):
        rerun_study(Path("../out"))


def test_what_runs_a_program_is_an_option_of_the_command(
    given: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (given / "s.yaml").write_text(json.dumps(SCENARIO | {"policy": "p.py"}))
    with pytest.raises(
        PolicyError, match=r"'p\.py' is a program, and none runs unasked; --allow-code \(in Python"
    ):
        simulate("given/s.yaml")
    write_study(Path(), axes={"policy": ["p.py"]})
    assert main(["sweep", "study.yaml", "-o", "out"]) == 2
    said = capsys.readouterr().err
    assert "--allow-code" in said
    assert "--policy" not in said


POLICY = """from layerweaver.scheduler.policies.contract import PolicySpec


def choose(view, options, memory):
    return view.ready[0]


POLICY = PolicySpec("mine", choose, "a policy")
"""


@pytest.mark.usefixtures("given")
def test_policies_of_one_name_go_by_their_files() -> None:
    for name in ("one.py", "two.py", "old/two.py"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(POLICY)
    both = compare_with(
        "given/s.yaml", ["one.py", "two.py"], RunOptions(compiled=False, requests=Path("r.csv"))
    )
    assert run_names(both["runs"]) == ["mine one.py", "mine two.py"]
    assert sorted(path.name for path in Path().glob("r.*")) == ["r.mine one.py.csv", "r.mine two.py.csv"]
    asked = RunOptions(compiled=False, requests=Path("r.csv"))
    folders: Any = compare_with("given/s.yaml", ["two.py", "old/two.py", "edf"], asked)["runs"]
    names = run_names(folders)
    assert names[2] == "edf"
    assert [name.rpartition("/")[2] for name in names[:2]] == ["two.py", "two.py"]
    assert "old/two.py" in names[1]
    assert len(set(names)) == 3
    assert len(list(Path().glob("r.*old-two.py.csv"))) == 1
    alone = compare_with("given/s.yaml", ["one.py", "edf"], RunOptions(compiled=False))
    assert run_names(alone["runs"]) == ["mine", "edf"]


def test_a_search_and_a_run_of_one_file_have_one_name(given: Path) -> None:
    (given / "s.yaml").write_text(json.dumps(SCENARIO | {"tenants": [TENANT | {"deadline_ms": 9}]}))
    for name in ("one.py", "two.py"):
        Path(name).write_text(POLICY)
    runs = compare_with("given/s.yaml", ["one.py", "two.py"], RunOptions(compiled=False))["runs"]
    found = peak("given/s.yaml", ["two.py", "one.py"], queries=20)
    assert [row["policy"] for row in found["results"]] == ["mine two.py", "mine one.py"]
    assert policy_labels(runs, [found]) == (["mine one.py", "mine two.py"], [["mine two.py", "mine one.py"]])
