"""Packages that add kinds of arrivals and metrics: a real one, installed beside the tool."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "layerweaver-example-research"
COSTS = "layer,compute_cycles,dram_bytes,weight_bytes\na,1000000,10,10\n"


def _installed(folder: Path, package: Path, entry_points: str) -> dict[str, str]:
    """Put a package and its metadata into a folder, as an installer does; the environment that finds it."""
    shutil.copytree(package, folder / package.name)
    about = folder / "example-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: example\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(entry_points)
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def _entry_points() -> str:
    """The example's entry points, from its own pyproject.toml."""
    import tomllib

    groups = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = []
    for group, points in groups.items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items()), ""]
    return "\n".join(lines)


def _run(
    environment: Mapping[str, str], folder: Path, *options: str, **arrival: Any
) -> subprocess.CompletedProcess[str]:
    (folder / "costs.csv").write_text(COSTS)
    tenant = {"name": "a", "model": {"costs": "costs.csv"}, "deadline_ms": 9, "arrival": arrival}
    scenario = {"npu": "memory-centric", "policy": "fcfs", "duration_s": 1, "tenants": [tenant]}
    (folder / "scenario.yaml").write_text(json.dumps(scenario))
    command = [sys.executable, "-m", "layerweaver", "simulate", "scenario.yaml", *options]
    return subprocess.run(
        command,
        cwd=folder,
        env={**environment, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_example_adds_arrivals_and_metrics(tmp_path: Path) -> None:
    environment = _installed(tmp_path, EXAMPLE / "layerweaver_example_research", _entry_points())
    tides = {"kind": "tides", "qps": 300, "swing": 1, "period_s": 1, "seed": 4}
    done = _run(environment, tmp_path, "--json", "--seeds", "2", **tides)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    tenant = document["tenants"][0]
    assert tenant["arrived"] > 200
    assert 0 < tenant["own"]["spread_ms"] < tenant["latency_ms"]["max"]
    assert document["system"]["own"] == {"jain": 1}
    assert document["confidence"]["tenants"][0]["own"]["spread_ms"]["high"] > 0
    assert document["scenario"]["tenants"][0]["arrival"] == tides
    table = _run(environment, tmp_path, **tides)
    assert "spread" in table.stdout
    assert "Jain" in table.stdout
    written = _run(environment, tmp_path, "-q", "-o", "r.csv", **tides)
    assert written.returncode == 0, written.stderr
    assert {"own.spread_ms", "system.own.jain"} <= set(
        (tmp_path / "r.csv").read_text().splitlines()[0].split(",")
    )
    misspelt = _run(environment, tmp_path, kind="tides", qps=300, swing=2)
    assert (misspelt.returncode, misspelt.stderr.count("\n")) == (2, 1)
    assert "give qps above 0 and a swing of 0 to 1" in misspelt.stderr
    unknown = _run(environment, tmp_path, kind="tides", qps=300, swinng=1)
    assert "unknown key 'swinng'" in unknown.stderr
    assert "did you mean 'swing'" in unknown.stderr


DOUBLED = """from typing import Literal

from layerweaver.backend_sim.traffic.poisson import PoissonSpec


class Doubled(PoissonSpec):
    kind: Literal["doubled"]

    def mean_rate_qps(self, duration_s):
        return self.qps / 2
"""


@pytest.mark.parametrize("kind", ["tides", "doubled"])
def test_a_load_that_arrivals_of_others_do_not_offer_is_told(tmp_path: Path, kind: str) -> None:
    heading = "[layerweaver.arrivals]\n"
    points = _entry_points().replace(heading, f"{heading}doubled = doubled:Doubled\n")
    environment = _installed(tmp_path, EXAMPLE / "layerweaver_example_research", points)
    (tmp_path / "doubled.py").write_text(DOUBLED)
    (tmp_path / "costs.csv").write_text(COSTS)
    keys = {"tides": {"swing": 1, "period_s": 8}, "doubled": {}}[kind]
    arrival = {"kind": kind, "qps": 100, "seed": 4, **keys}
    tenant = {"name": "a", "model": {"costs": "costs.csv"}, "deadline_ms": 9, "arrival": arrival}
    scenario = {"npu": "memory-centric", "policy": "fcfs", "duration_s": 2, "tenants": [tenant]}
    study = {"scenario": scenario, "axes": {"load": [0.4]}}
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    command = [sys.executable, "-m", "layerweaver", "sweep", "study.yaml", "--json", "-o", "out"]
    environment["NUMBA_DISABLE_JIT"] = "1"
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "load 0.4 offers 0." in "".join(json.loads(done.stdout)["warnings"])


METRIC = """from layerweaver.backend_sim.results.own_metrics import OwnMetric
X = OwnMetric('x', 'x', of_tenant=lambda tenant: VALUE)
"""


@pytest.mark.parametrize(
    ("point", "code", "message"),
    [
        ("[layerweaver.arrivals]\ntides = own:Tides", "class Tides: pass", "is no kind of arrivals"),
        ("[layerweaver.arrivals]\ntides = own:Tides", "import nowhere_to_be_found", "does not load"),
        ("[layerweaver.metrics]\nodd = own:X", "X = 3", "is no metric"),
        ("[layerweaver.metrics]\nodd = own:X", METRIC.replace("VALUE", "1 / 0"), "fails: ZeroDivisionError"),
        ("[layerweaver.metrics]\nodd = own:X", METRIC.replace("VALUE", "1e999"), "gives inf"),
    ],
)
def test_a_package_that_is_wrong_is_one_line_that_names_it(
    tmp_path: Path, point: str, code: str, message: str
) -> None:
    package = tmp_path / "made" / "own"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(code)
    environment = _installed(tmp_path, package, point + "\n")
    done = _run(environment, tmp_path, kind="poisson", qps=100, seed=1)
    said = [line for line in done.stderr.splitlines() if "compiling the engine" not in line]
    assert (done.returncode, done.stdout, len(said)) == (2, "", 1), done.stderr
    assert message in said[0]


KIND = """from typing import Literal
import numpy as np
from pydantic import model_validator
from layerweaver.backend_sim.traffic.arrival import Arrival
from layerweaver.backend_sim.traffic.stream import TimeStream

class Steps(TimeStream):
    def _more(self):
        times = np.arange(self._emitted, self._emitted + 1000) * 10**7
        return {more}

class Own(Arrival):
    kind: Literal["own"]

    @model_validator(mode="after")
    def read(self):
        return {read}

    def mean_rate_qps(self, duration_s):
        return {rate}

    def source(self, asked):
        return {source}
"""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, ""),
        ({"more": "times[::-1]"}, "scenario.yaml:1: tenants[0].arrival: scheduled times go back; they must"),
        ({"more": "times - 10**9"}, "scheduled times go back; they must ascend from 0"),
        ({"more": "times * 1.0"}, "arrivals 'own': take gives an array of float64; an array of int64"),
        ({"more": "1 / 0"}, "arrivals 'own': take fails: ZeroDivisionError: division by zero"),
        ({"rate": "[][1]"}, "arrivals 'own': mean_rate_qps fails: IndexError: list index"),
        ({"rate": "float('nan')"}, "mean_rate_qps gives nan; a finite number above 0, or None"),
        ({"source": "{}['a']"}, "arrivals 'own': source fails: KeyError: 'a'"),
        ({"source": "7"}, "arrivals 'own': source gives 7; a TimeStream, ClosedLoop or Saturated"),
        ({"read": "{}['a']"}, "scenario.yaml:1: tenants[0].arrival: arrivals 'own' fails: KeyError: 'a'"),
    ],
)
def test_a_kind_of_arrivals_that_fails_is_one_line(
    tmp_path: Path, wrong: dict[str, str], message: str
) -> None:
    right = {"more": "times", "read": "self", "rate": "100.0", "source": "Steps(asked.stopping)"}
    code = KIND
    for name, text in (right | wrong).items():
        code = code.replace("{" + name + "}", text)
    package = tmp_path / "made" / "own"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(code)
    environment = _installed(tmp_path, package, "[layerweaver.arrivals]\nown = own:Own\n")
    done = _run(environment, tmp_path, "--json", kind="own")
    said = [line for line in done.stderr.splitlines() if "compiling the engine" not in line]
    if not message:
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["tenants"][0]["arrived"] == 100
        return
    assert (done.returncode, done.stdout, len(said)) == (2, "", 1), done.stderr
    assert message in said[0]


def test_a_result_names_its_plug_ins_and_does_not_run_again_with_others(tmp_path: Path) -> None:
    environment = _installed(tmp_path, EXAMPLE / "layerweaver_example_research", _entry_points())
    tides = {"kind": "tides", "qps": 300, "swing": 1, "period_s": 1, "seed": 4}
    done = _run(environment, tmp_path, "-q", "-o", "r.json", "--no-details", **tides)
    assert done.returncode == 0, done.stderr
    named = json.loads((tmp_path / "r.json").read_text())["scenario"]["plugins"]
    assert {name: one["package"] for name, one in named.items()} == {
        "layerweaver.arrivals:tides": "example 1.0",
        "layerweaver.metrics:jain": "example 1.0",
        "layerweaver.metrics:spread_ms": "example 1.0",
    }
    command = [sys.executable, "-m", "layerweaver", "rerun", "r.json"]

    def again() -> subprocess.CompletedProcess[str]:
        run = {**environment, "NUMBA_DISABLE_JIT": "1"}
        return subprocess.run(
            command, cwd=tmp_path, env=run, capture_output=True, text=True, check=False, timeout=300
        )

    same = again()
    assert (same.returncode, "the same as r.json" in same.stderr) == (0, True), same.stderr
    with (tmp_path / "layerweaver_example_research" / "metrics.py").open("a") as stream:
        stream.write("# changed\n")
    changed = again()
    assert (changed.returncode, changed.stderr.count("\n")) == (2, 1)
    assert "since this result was made: plug-in tides changed (example 1.0, SHA-256 " in changed.stderr
    (tmp_path / "example-1.0.dist-info" / "entry_points.txt").unlink()
    gone = again()
    assert (gone.returncode, gone.stderr.count("\n")) == (2, 1)
    assert "plug-in tides of example 1.0 is not installed" in gone.stderr


def test_a_study_does_not_go_on_with_a_plug_in_that_changed(tmp_path: Path) -> None:
    package = tmp_path / "made" / "own"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(METRIC.replace("VALUE", "1"))
    environment = _installed(tmp_path, package, "[layerweaver.metrics]\nodd = own:X\n")
    assert _run(environment, tmp_path, "-q", kind="poisson", qps=100, seed=1).returncode == 0
    study = {"scenario": "scenario.yaml", "axes": {"seed": [1]}, "measure": "simulate"}
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    command = [sys.executable, "-m", "layerweaver", "sweep", "study.yaml", "-o", "s", "--workers", "1", "-q"]
    codes = []
    for value in ("1", "2"):
        (tmp_path / "own" / "__init__.py").write_text(METRIC.replace("VALUE", value))
        run = {**environment, "NUMBA_DISABLE_JIT": "1"}
        done = subprocess.run(
            command, cwd=tmp_path, env=run, capture_output=True, text=True, check=False, timeout=300
        )
        codes.append(done.returncode)
    assert codes == [0, 2]
    assert "plug-in layerweaver.metrics:odd" in done.stderr
    again = [*command[:3], "rerun", "s", "-q"]
    done = subprocess.run(
        again, cwd=tmp_path, env=run, capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "since its points were run, these changed: plug-in layerweaver.metrics:odd;" in done.stderr


def test_a_policy_goes_by_the_name_that_it_is_installed_under(tmp_path: Path) -> None:
    package = tmp_path / "made" / "own"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from layerweaver.scheduler.policies.contract import PolicySpec\n"
        "def choose(view, options, memory):\n    return view.ready[0]\n"
        "POLICY = PolicySpec('mine', choose, 'a policy')\n"
    )
    environment = _installed(tmp_path, package, "[layerweaver.policies]\nfirst-ready = own:POLICY\n")
    arrival = {"kind": "poisson", "qps": 300, "seed": 4}
    done = _run(environment, tmp_path, "--policy", "first-ready", "-q", "-o", "r.json", **arrival)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "r.json").read_text())
    assert document["policy"] == "first-ready"
    assert list(document["scenario"]["plugins"]) == ["layerweaver.policies:first-ready"]
    again = subprocess.run(
        [sys.executable, "-m", "layerweaver", "rerun", "r.json"],
        cwd=tmp_path,
        env={**environment, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (again.returncode, "the same as r.json" in again.stderr) == (0, True), again.stderr
