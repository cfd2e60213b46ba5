"""Studies on a Dask cluster: the same bytes, whoever is lost; files travel and stay where they belong."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from layerweaver.backend_sim.study.sweep import measure
from layerweaver.backend_sim.study.sweep.measure import measure_points
from layerweaver.backend_sim.study.sweep.parcel import pack
from layerweaver.backend_sim.study.sweep.reading import read_study
from layerweaver.backend_sim.study.sweep.sweep import sweep
from layerweaver.ir import OutputError, ScenarioError

COSTS = "layer,compute_cycles,dram_bytes,weight_bytes\nfirst,100000,9000000,9000000\nsecond,200000,0,0\n"


def _study(folder: Path, costs: list[str], points: int = 3) -> Path:
    scenario = {"npu": "memory-centric", "tenants": [{"name": "one", "model": {"costs": costs[0]}}]}
    axes = {
        "tenants.one.model.costs": costs,
        "npu.dram.bandwidth_gb_s": {"from": 100, "to": 400, "points": points},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({"scenario": scenario, "axes": axes, "measure": "cost"}, sort_keys=False))
    return path


def test_files_travel_and_stay_in_their_folder(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "deep" / "home", tmp_path / "elsewhere"
    for folder in (home, elsewhere):
        folder.mkdir(parents=True)
    (home / "near.csv").write_text(COSTS)
    (elsewhere / "far.csv").write_text(COSTS.replace("9000000", "8000000"))
    whole = str(elsewhere / "far.csv")
    study = read_study(_study(home, ["near.csv", "../../elsewhere/far.csv", whole, "none.csv"], points=1))
    points = [(number, study.values(number)) for number in range(study.total)]
    here = measure_points(study.job, points)
    parcel = pack([study.job.base, *(axis.values for axis in study.axes)], Path(study.job.folder))
    assert sorted(parcel.files) == ["deep/home/near.csv", "elsewhere/far.csv"]
    job = pickle.loads(pickle.dumps(replace(study.job, parcel=parcel)))  # noqa: S301 - our own
    for file in (home / "near.csv", elsewhere / "far.csv"):
        file.unlink()  # a worker elsewhere has none of them
    assert measure_points(job, points) == here
    assert here[3].error.startswith(str(home / "none.csv"))
    assert not (elsewhere / "far.csv").exists()


def test_a_worker_of_another_version_is_refused_by_name(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "c.csv").write_text(COSTS)
    study = read_study(_study(tmp_path, ["c.csv"]))
    monkeypatch.setattr(measure, "_own_version", lambda: "0.0.9")
    monkeypatch.setattr("platform.node", lambda: "node7")
    with pytest.raises(ScenarioError, match=r"worker node7 has layerweaver 0\.0\.9"):
        measure_points(study.job, [(0, study.values(0))])


def test_a_cluster_that_does_not_answer_is_one_line(tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("layerweaver.backend_sim.study.sweep.workers._CONNECT_S", 0.5)
    (tmp_path / "c.csv").write_text(COSTS)
    with pytest.raises(OutputError, match="no scheduler answers"):
        sweep(_study(tmp_path, ["c.csv"]), tmp_path / "out", cluster="tcp://127.0.0.1:9")


@pytest.mark.parametrize("cluster", ["nonsense", "inproc://a:1", "http://a:1", "file", "list", "number"])
def test_what_is_no_address_is_refused_at_once(tmp_path: Path, cluster: str) -> None:
    pytest.importorskip("distributed")
    (tmp_path / "c.csv").write_text(COSTS)
    files = {"file": "none", "list": "[1]", "number": '{"address": 5}'}
    if cluster in files:
        (tmp_path / cluster).write_text(files[cluster])
        cluster = str(tmp_path / cluster)
    with pytest.raises(OutputError, match=r"is no (address|scheduler file); the address of a Dask"):
        sweep(_study(tmp_path, ["c.csv"]), tmp_path / "out", cluster=cluster)


def test_a_study_that_is_finished_needs_no_cluster(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(COSTS)
    study = _study(tmp_path, ["c.csv"])
    sweep(study, tmp_path / "out")
    assert sweep(study, tmp_path / "out", cluster="tcp://127.0.0.1:9")["done_before"] == 3


@contextlib.contextmanager
def _cluster(folder: Path) -> Iterator[tuple[Path, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers, each a process: the first is the scheduler."""
    pytest.importorskip("distributed")
    address = folder / "scheduler.json"
    words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(address)]
    worker = ["--scheduler-file", str(address), "--nthreads", "1", "--no-dashboard", "--no-nanny"]
    with (folder / "log").open("wb") as log:

        def start(module: str, *options: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", f"distributed.cli.{module}", *options]
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)

        there = [start("dask_scheduler", *words)]
        try:
            while not address.exists():
                assert there[0].poll() is None
                time.sleep(0.1)
            there += [start("dask_worker", *worker, "--local-directory", str(folder)) for _ in range(2)]
            yield address, there
        finally:
            for process in there:
                process.kill()
                process.wait()


def _asked(study: Path, out: Path, address: Path) -> subprocess.Popen[str]:
    words = ["sweep", str(study), "-o", str(out), "--cluster", str(address), "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "layerweaver", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _until_some_are_known(out: Path, asked: subprocess.Popen[str]) -> None:
    log = out / "study.sqlite-wal"
    while asked.poll() is None and not (log.exists() and log.stat().st_size > 150_000):
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["nobody", "worker", "scheduler"])
def test_whoever_is_lost_no_finished_point_is(tmp_path: Path, lost: str) -> None:
    (tmp_path / "c.csv").write_text(COSTS)
    study = _study(tmp_path, ["c.csv"], points=1200)
    with _cluster(tmp_path) as (address, there):
        asked = _asked(study, tmp_path / "out", address)
        try:
            if lost != "nobody":
                _until_some_are_known(tmp_path / "out", asked)
                os.kill(there[1 if lost == "worker" else 0].pid, signal.SIGKILL)
            _, said = asked.communicate(timeout=240)
        finally:
            asked.kill()
    if lost == "scheduler" and asked.returncode != 0:
        assert asked.returncode == 2
        assert len(said.strip().splitlines()) == 1
        assert f"go on with: layerweaver sweep {study} -o {tmp_path / 'out'}" in said
    else:
        assert (asked.returncode, said) == (0, "")
    resumed = sweep(study, tmp_path / "out")
    sweep(study, tmp_path / "whole")
    assert (resumed["done_before"] > 0) or lost == "scheduler"
    if lost != "scheduler":
        assert resumed["done_before"] == 1200
    assert (tmp_path / "out" / "points.csv").read_bytes() == (tmp_path / "whole" / "points.csv").read_bytes()
