"""Results as CSV and Parquet, run again from what they say of themselves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.results.parquet_rows import parquet_rows
from layerweaver.backend_sim.results.reading import ResultError

Run = Callable[..., Any]

TWO = """npu: memory-centric
duration_s: 0.05
tenants:
  - {name: a, model: {costs: costs.csv}, deadline_ms: 5, arrival: {kind: poisson, qps: 500, seed: 1}}
  - {name: b, model: "zoo:ncf", deadline_ms: 5, arrival: {kind: poisson, qps: 500, seed: 2}}
"""
COSTS = "layer,compute_cycles,dram_bytes,weight_bytes\nstem,52000,18816,18816\n"


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("costs.csv").write_text(COSTS)
    Path("two.yaml").write_text(TWO)
    return Path("two.yaml")


@pytest.mark.parametrize(
    "command",
    [
        ("simulate", "--seeds", "2"),
        ("compare", "--policies", "fcfs,layerweaver+", "--seed", "7"),
        ("peak", "--policies", "fcfs,edf", "--queries", "60", "--seed", "7"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_runs_again(command: tuple[str, ...], suffix: str, two: Path, run: Run) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    table, again = Path(f"r.{suffix}"), Path(f"again.{suffix}")
    assert run(command[0], two, *command[1:], "-o", table).code == 0
    ran = run("rerun", table, "-o", again)
    assert (ran.code, "the same as" in ran.err) == (0, True), ran.err
    assert again.read_bytes() == table.read_bytes()
    refused = run("rerun", table, "-o", "again.json")
    assert (refused.code, f"name a .{suffix} file" in refused.err) == (2, True)
    Path("costs.csv").write_text(COSTS.replace("52000", "53000"))
    changed = run("rerun", table)
    assert (changed.code, changed.err.count("\n")) == (2, 1)
    assert "costs.csv" in changed.err


def test_a_parquet_file_whose_numbers_were_changed_differs(two: Path, run: Run) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    assert run("simulate", two, "-o", "r.parquet").code == 0
    rows = parquet_rows(Path("r.parquet").read_bytes(), "r.parquet")
    rows[1]["completed"] = 0
    parquet.write_table(pyarrow.Table.from_pylist(rows), "r.parquet")
    ran = run("rerun", "r.parquet")
    assert (ran.code, "differs from r.parquet in row 2" in ran.err) == (1, True)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1]}, "does not say how it was made"),
        ({"scenario": ["{"]}, "r.parquet:1: has a broken origin"),
        ({"scenario": ["{}"], "seed": ["x"]}, "r.parquet:1: has a broken origin"),
        ({"scenario": ["[1]"]}, "r.parquet:1: has a broken origin"),
        ({"scenario": [[1]]}, "column 'scenario' holds list"),
        ({"scenario": [b"{}"]}, "column 'scenario' holds binary"),
        (None, "is not readable Parquet"),
    ],
)
def test_parquet_that_is_no_result(
    columns: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    monkeypatch.chdir(tmp_path)
    if columns is None:
        Path("r.parquet").write_bytes(b"PAR1PAR1")
    else:
        parquet.write_table(pyarrow.table(columns), "r.parquet")
    refused = run("rerun", "r.parquet")
    assert (refused.code, refused.err.count("\n")) == (2, 1), refused.err
    assert message in refused.err


def test_parquet_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file = tmp_path / "r.parquet"
    parquet.write_table(pyarrow.table({"a": [1] * 1000}), file)
    monkeypatch.setattr("layerweaver.backend_sim.results.parquet_rows._MOST_CELLS", 999)
    with pytest.raises(ResultError, match="has more than 999 cells"):
        parquet_rows(file.read_bytes(), "r.parquet")
    monkeypatch.undo()
    monkeypatch.setattr("layerweaver.backend_sim.results.parquet_rows._MOST_BYTES", 10)
    with pytest.raises(ResultError, match="unpacks to more than"):
        parquet_rows(file.read_bytes(), "r.parquet")


def test_a_certificate_is_run_again_as_json(two: Path, run: Run) -> None:
    Path("c.json").write_text('{"unofficial": true}')
    refused = run("rerun", "c.json", "-o", "c.csv")
    assert (refused.code, "is of certify, and so is what it gives; name a .json file" in refused.err) == (
        2,
        True,
    )
    unknown = run("rerun", "c.json")
    assert (unknown.code, "does not say how it was made" in unknown.err) == (2, True)
    pytest.importorskip("mlperf_loadgen")
    if shutil.which("c++") is None:
        pytest.skip("needs a C++ compiler")
    Path("c.json").write_text(run("certify", two, "--seed", 3, "--json").out)
    again = run("rerun", "c.json")
    assert (again.code, "the same as c.json" in again.err) == (0, True), again.err
    assert "replayed through LoadGen" in again.out
