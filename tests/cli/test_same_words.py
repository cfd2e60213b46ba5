"""One run is spoken of alike by every command, and every file that is written is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerweaver.cli.rendering.notes import comparison_notes

Run = Callable[..., Any]

SCENARIO = """
{npu}
policies: [fcfs, edf]
duration_s: 0.1
tenants:
  - name: clicks
    model: {{costs: heavy.csv}}
    deadline_ms: 5
    arrival: {{kind: trace, file: log.csv, tokens: ignore}}
  - name: eye
    model: {{costs: heavy.csv}}
    deadline_ms: 5
    arrival: {{kind: poisson, qps: 500, seed: 1}}
"""
NOTE = "tenant 'clicks' replays arrival times only: its trace's tokens are ignored"
SETTINGS = "layerweaver+:margin_us=0,layerweaver+:margin_us=500"


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    monkeypatch.chdir(tmp_path)
    Path("heavy.csv").write_text("layer,compute_cycles,dram_bytes,weight_bytes\nl,60000,90000,90000\n")
    rows = "".join(f"{k * 0.001:.3f},clicks,9,9\n" for k in range(100))
    Path("log.csv").write_text("timestamp,tenant,prompt,output\n" + rows)

    def make(npu: str) -> Path:
        Path("two.yaml").write_text(SCENARIO.format(npu=npu))
        return Path("two.yaml")

    return make


def _flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("command", ["simulate", "compare", "peak"])
def test_notes_follow_every_table(run: Run, scenario: Callable[[str], Path], command: str) -> None:
    path = scenario("npu: memory-centric")
    shown = run(command, path, *(("--queries", 200) if command == "peak" else ()))
    assert _flat(shown.out).count(NOTE) == 1
    assert run(command, path, "--json").document is not None


@pytest.mark.parametrize("command", ["simulate", "compare", "peak"])
def test_warnings_stand_on_stderr_beside_json(
    run: Run, scenario: Callable[[str], Path], command: str
) -> None:
    path = scenario("npu: memory-centric")
    path.write_text(path.read_text().replace("deadline_ms: 5", "deadline_ms: 0.001"))
    shown = run(command, path, "--json", *(("--queries", 200) if command == "peak" else ()))
    said = "its deadline is 0.001 ms: none can be in time"
    assert said in shown.err
    for document in shown.document.get("runs", [shown.document]):
        assert any(said in warning for warning in document["warnings"])


def test_warnings_of_a_point_stand_on_stderr_beside_json(run: Run, scenario: Callable[[str], Path]) -> None:
    path = scenario("npu: memory-centric")
    path.write_text(path.read_text().replace("deadline_ms: 5", "deadline_ms: 0.001"))
    Path("s.yaml").write_text(f"scenario: {path}\naxes: {{policy: [fcfs, edf]}}\n")
    run("sweep", "s.yaml", "-o", "s")
    again = run("rerun", "s", "--point", 1, "--json")
    assert "its deadline is 0.001 ms: none can be in time" in again.err


def test_a_comparison_says_what_is_missing_and_under_which_policies(
    run: Run, scenario: Callable[[str], Path]
) -> None:
    shown = _flat(run("compare", scenario("npu: memory-centric")).out)
    alone = _flat(run("simulate", scenario("npu: memory-centric"), "--policy", "edf").out)
    missing = alone[alone.index("clicks: early stopping") :].split(" eye:")[0]
    assert missing in shown
    assert shown.count(missing) == 1


def test_reasons_of_very_many_tenants_are_counted() -> None:
    tenant = {"dropped": 0, "status": "too_short", "reasons": ["30 missing"]}
    run: Any = {"policy": "edf", "tenants": [{**tenant, "name": f"t{k}"} for k in range(300)]}
    lines = list(comparison_notes(["edf"], [run]))
    assert lines[0] == "t0: 30 missing"
    assert lines[-1] == f"({300 - len(lines) + 1} more: reasons of every tenant in --json)"
    assert len(lines) < 30


def test_a_comparison_has_the_table_of_a_pool(run: Run, scenario: Callable[[str], Path]) -> None:
    shown = run("compare", scenario("pool: [{npu: memory-centric, count: 2}]")).out
    place = shown.index("NPUs")
    lines = shown[place:].splitlines()
    assert [line.split()[0] for line in lines[3:] if "#" in line] == ["memory-centric#0", "memory-centric#1"]
    assert [line.split()[-6] for line in lines if "%" in line][:4] == ["fcfs", "edf", "fcfs", "edf"]


def test_settings_of_one_policy_are_told_apart_and_keep_their_own_files(
    run: Run, scenario: Callable[[str], Path]
) -> None:
    path = scenario("npu: memory-centric")
    shown = run("compare", path, "--policies", SETTINGS, "--seeds", 2, "--requests", "r.csv")
    for us in (0, 500):
        assert f"wrote r.layerweaver+ margin_us={us}.csv" in shown.err
        assert Path(f"r.layerweaver+ margin_us={us}.csv").is_file()
    assert "Less layerweaver+ margin_us=0, seed by seed" in _flat(shown.out)
    found = run("peak", path, "--policies", SETTINGS, "--queries", 200, "--seeds", 2, "--json").document
    names = [row["policy"] for row in found["results"]]
    assert names == ["layerweaver+ margin_us=0", "layerweaver+ margin_us=500"]
    assert [found["differences"][0][key] for key in ("against", "policy")] == names


def test_written_recordings_are_named(run: Run, scenario: Callable[[str], Path]) -> None:
    files = {"--requests": "r.csv", "--log": "l.csv", "--trace": "t.json"}
    words = [word for pair in files.items() for word in pair]
    said = run("simulate", scenario("npu: memory-centric"), "--policy", "edf", *words).err
    assert all(f"wrote {name}" in said for name in files.values())


def test_one_of_something_is_said_as_one(run: Run, tmp_path: Path) -> None:
    import onnx

    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 13]> g (float[1,2] x) => (float[1,2] y) '
        "<float[2,2] w = {1, 2, 3, 4}> { y = MatMul(x, w) }"
    )
    onnx.save(model, tmp_path / "one.onnx")
    shown = run("inspect", tmp_path / "one.onnx", "--npu", "memory-centric").out
    assert "1 layer, 4 MACs, 4 parameters" in shown
    (tmp_path / "s.yaml").write_text(
        "scenario: {npu: memory-centric, tenants: [{name: a, model: 'zoo:ncf'}]}\n"
        "axes: {tenants.a.batch: [1]}\nmeasure: cost\n"
    )
    assert "1 point:" in " ".join(run("sweep", tmp_path / "s.yaml", "-o", tmp_path / "s").out.split())


def test_a_file_of_a_study_stands_for_its_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "scenario: {npu: memory-centric, tenants: [{name: a, model: 'zoo:ncf'}]}\n"
        "axes: {tenants.a.batch: [1, 4]}\nmeasure: cost\n"
    )
    out = tmp_path / "s"
    run("sweep", tmp_path / "s.yaml", "-o", out)
    for name in ("points.csv", "study.json"):
        again = run("rerun", out / name)
        assert (again.code, "the same as" in again.err) == (0, True), again.err
        assert run("report", out / name, "-o", tmp_path / "p.html").code == 0
    alone = tmp_path / "points.csv"
    alone.write_bytes((out / "points.csv").read_bytes())
    assert "is the table of a study; give the whole folder" in run("rerun", alone).err
    assert "is the table of a study; give the whole folder" in run("report", alone, "-o", "p.html").err


def test_a_page_of_a_table_names_the_file_to_give(run: Run, scenario: Callable[[str], Path]) -> None:
    made = scenario("npu: memory-centric")
    for name in ("r.csv", "r.parquet"):
        assert run("simulate", made, "--policy", "fcfs", "-o", name).code == 0
        refused = run("report", name, "-o", "p.html")
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert f"{name} is a table" in refused.err
        assert "the same run with -o r.json" in refused.err
    Path("r.json").write_text("{}")
    assert "give r.json, which lies beside it" in run("report", "r.csv", "-o", "p.html").err


def test_processes_that_have_nothing_to_do_are_said(run: Run, scenario: Callable[[str], Path]) -> None:
    made = scenario("npu: memory-centric")
    said = "--workers 2 changes nothing: there is one"
    assert said in run("simulate", made, "--policy", "fcfs", "--workers", 2).err
    assert said in run("compare", made, "--policies", "fcfs", "--workers", 2).err
    assert said not in run("simulate", made, "--policy", "fcfs").err
    assert said not in run("simulate", made, "--policy", "fcfs", "--workers", 2, "--seeds", 2).err
    assert said not in run("compare", made, "--policies", "fcfs,edf", "--workers", 2).err


def test_peaks_of_a_study_that_are_not_sure_are_no_finding(run: Run, scenario: Callable[[str], Path]) -> None:
    made = scenario("npu: memory-centric")
    text = made.read_text().replace(
        "{kind: trace, file: log.csv, tokens: ignore}", "{kind: poisson, qps: 20}"
    )
    made.write_text(text)
    study = f"scenario: {made}\naxes: {{policy: [fcfs, edf]}}\nmeasure: peak\nqueries: 40\n"
    Path("s.yaml").write_text(study)
    said = "2 of 2 peaks are not sure, as trials were too short: give the study queries: "
    done = run("sweep", "s.yaml", "-o", "bare")
    assert done.code == 0, done.err
    assert said in " ".join(done.err.split())
    Path("s.yaml").write_text(study + "objectives: {maximise: [peak_qps]}\n")
    done = run("sweep", "s.yaml", "-o", "s")
    assert done.code == 0, done.err
    assert said in " ".join(done.err.split())
    run("report", "s", "-o", "s.html")
    page = Path("s.html").read_text()
    assert "too few queries to be sure of the percentile" in page
    assert "Trials were too short to be sure of the peak: 2 points." in page


def test_a_rerun_says_of_which_policies_a_warning_is(run: Run, scenario: Callable[[str], Path]) -> None:
    scenario("npu: memory-centric")
    busy = "model: {costs: heavy.csv}, arrival: {kind: saturated}"
    Path("two.yaml").write_text(
        "npu: memory-centric\nduration_s: 1\ntenants:\n"
        f"- {{name: first, {busy}, deadline_ms: 5}}\n- {{name: last, {busy}}}\n"
    )
    made = run("compare", "two.yaml", "--policies", "llf:commit=early,fair", "-o", "two.json")
    again = run("rerun", "two.json")
    assert "llf: last starves" in made.err
    assert [line for line in again.err.splitlines() if "starves" in line] == [
        line for line in made.err.splitlines() if "starves" in line
    ]


def test_options_that_are_no_defaults_are_said_of_an_export(
    run: Run, scenario: Callable[[str], Path]
) -> None:
    path = scenario("npu: memory-centric")
    shown = run("export", path, "--policy", "layerweaver+:margin_us=100", "-o", "c")
    assert "options other than the default: margin_us=100" in shown.out
    assert "options" not in run("export", path, "--policy", "edf", "-o", "d").out


def test_what_is_of_certify_runs_again_and_has_no_page(run: Run, scenario: Callable[[str], Path]) -> None:
    scenario("npu: memory-centric")
    Path("no.json").write_text("{}")
    assert "compare, peak or certify" in run("rerun", "no.json").err
    Path("sure.json").write_text('{"unofficial": true}')
    assert "is of certify; give documents that simulate, compare or peak" in _flat(
        run("report", "sure.json", "-o", "a.html").err
    )
