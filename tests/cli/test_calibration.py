"""``npu score`` and ``npu calibrate`` as a user runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
HEAD = "model,batch,dims,latency_ms\n"
ROWS = "zoo:inception-v3,1,,16.71\nzoo:mobilenetv1,1,,3.062\nzoo:mobilenetv2,1,,3.73\nzoo:resnet18,1,,8.1\n"
SHEET = """\
name: dpu
clock_mhz: 281
precision_bytes: 1
array: {rows: 16, columns: 16, pixels: 8, dataflow: mac_grid, conv_mapping: kernel_passes}
vector: {lanes: 128}
dram: {bandwidth_gb_s: 19.2}
sram: {weights_mib: 0.5, activations_mib: 1}
"""


@pytest.fixture(name="files")
def files_fixture(tmp_path: Path) -> tuple[Path, Path]:
    sheet, measured = tmp_path / "sheet.yaml", tmp_path / "chip.csv"
    sheet.write_text(SHEET)
    measured.write_text(HEAD + ROWS)
    return sheet, measured


def test_a_choice_that_takes_a_key_away_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    from layerweaver.cli.calibration_commands import _print_calibration

    document = {
        "npu": "n",
        "rows": [],
        "count": 3,
        "mape": 0.1,
        "median_ape": 0.1,
        "p90_ape": 0.1,
        "bias": 0.0,
        "rank_correlation": None,
        "parameters": [],
        "cross_validated": {"mape": 0.2},
        "baselines": {},
        "verdict": "",
        "choices": {"array.fold_losses": None, "vector.beside_array": False},
    }
    _print_calibration(document)
    shown = capsys.readouterr().out
    assert "chosen: array.fold_losses: not stated" in shown
    assert "chosen: vector.beside_array: false" in shown


def test_calibrate_writes_a_config_that_scores_better(run: Run, files: tuple[Path, Path]) -> None:
    sheet, measured = files
    before = run("npu", "score", sheet, "--measured", measured, "--json")
    assert before.code == 0
    fitted, again, plot = (sheet.parent / name for name in ("a.yaml", "b.yaml", "a.svg"))
    words = ("npu", "calibrate", sheet, "--measured", measured, "--json")
    ran = run(*words, "-o", fitted, "--plot", plot)
    assert ran.code == 0
    assert {"parameters", "cross_validated", "baselines", "verdict", "mape"} <= set(ran.document)
    assert plot.read_text().startswith("<svg")
    assert run(*words, "-o", again).document == ran.document
    assert again.read_bytes() == fitted.read_bytes()
    assert run("npu", "check", fitted).code == 0
    after = run("npu", "score", fitted, "--measured", measured, "--json").document
    assert after["mape"] < before.document["mape"] / 3
    assert after["mape"] == ran.document["mape"]
    assert all(row["low_ms"] < row["predicted_ms"] < row["high_ms"] for row in after["rows"])
    inspected = run("inspect", "zoo:resnet18", "--npu", fitted, "--json").document
    (row,) = (row for row in after["rows"] if row["model"] == "zoo:resnet18")
    assert inspected["totals"]["latency_ms"] == pytest.approx(row["predicted_ms"])


@pytest.mark.parametrize("link", [False, True])
def test_a_fit_never_replaces_what_it_was_fitted_from(
    run: Run, files: tuple[Path, Path], tmp_path: Path, link: bool
) -> None:
    sheet, measured = files
    output = tmp_path / "linked.yaml" if link else sheet
    if link:
        output.symlink_to(sheet)
    refused = run("npu", "calibrate", sheet, "--measured", measured, "-o", output)
    assert refused.code == 2
    assert "would be lost" in refused.err
    assert refused.err.count("\n") == 1
    assert sheet.read_text() == SHEET


def test_a_fit_never_replaces_what_its_sibling_was_fitted_from(
    run: Run, files: tuple[Path, Path], tmp_path: Path
) -> None:
    sheet, measured = files
    other = tmp_path / "other.yaml"
    other.write_text(measured.read_text())
    sibling = ("--sibling", sheet, "--sibling-measured", other)
    refused = run("npu", "calibrate", sheet, "--measured", measured, *sibling, "-o", other)
    assert refused.code == 2
    assert "would be lost" in refused.err
    assert other.read_text() == measured.read_text()


def test_tables_say_what_is_known(run: Run, files: tuple[Path, Path]) -> None:
    sheet, measured = files
    shown = run("npu", "calibrate", sheet, "--measured", measured, "--free", "array.efficiency,overlap")
    assert shown.code == 0
    assert "array.efficiency" in shown.out
    assert "vector.speed" not in shown.out
    assert "baselines" in shown.out
    assert "bias" in run("npu", "score", sheet, "--measured", measured).out


def test_an_edited_fit_says_that_its_error_is_not_known(run: Run, files: tuple[Path, Path]) -> None:
    said = "was changed since it was calibrated"
    sheet, measured = files
    fitted = sheet.with_name("fitted.yaml")
    assert run("npu", "calibrate", sheet, "--measured", measured, "-o", fitted).code == 0
    assert said not in run("npu", "check", fitted).err
    fitted.write_text(fitted.read_text().replace("lanes: 128", "lanes: 96"))
    checked = run("npu", "check", fitted)
    assert (checked.code, said in checked.err) == (0, True)
    assert said in run("npu", "show", fitted).err
    assert said in run("compile", "zoo:ncf", "--npu", fitted, "-o", fitted.with_suffix(".lwp")).err
    scored = run("npu", "score", fitted, "--measured", measured, "--json")
    assert said in scored.err
    assert {row["low_ms"] for row in scored.document["rows"]} == {None}


def test_suggest(run: Run, files: tuple[Path, Path]) -> None:
    words = ("npu", "calibrate", files[0], "--suggest", 1, "--models", "zoo:resnet18", "zoo:mobilenetv1")
    document = run(*words, "--json").document
    assert document["candidates"] == 2
    assert len(document["suggested"]) == 1
    assert "to measure next" in run(*words).out
    assert "candidate" not in run(*words).err
    few = run("npu", "calibrate", files[0], "--suggest", 6, "--models", "zoo:resnet18", "zoo:mobilenetv1")
    assert "--suggest 6: there are only 2 candidates" in few.err


@pytest.mark.parametrize(
    "words",
    [
        ("score",),
        ("calibrate",),
        ("calibrate", "--suggest", "2"),
        ("calibrate", "--suggest", "2", "--models", "zoo:resnet18", "--measured", "chip.csv"),
        ("calibrate", "--measured", "chip.csv", "--models", "zoo:resnet18"),
        ("calibrate", "--measured", "two.csv", "-o", "new.yaml"),
        ("calibrate", "--measured", "seconds.csv", "-o", "new.yaml"),
        ("score", "--measured", "none.csv"),
        ("score", "--measured", "seconds.csv"),
    ],
)
def test_mistakes_are_one_line(
    run: Run, files: tuple[Path, Path], words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = files[0].parent
    monkeypatch.chdir(folder)
    (folder / "two.csv").write_text(HEAD + "zoo:resnet18,1,,3\nzoo:mobilenetv1,1,,3\n")
    (folder / "seconds.csv").write_text(
        HEAD + "zoo:resnet18,1,,.008\nzoo:mobilenetv1,1,,.003\nzoo:mobilenetv2,1,,.004\n"
    )
    ran = run("npu", words[0], "sheet.yaml", *words[1:])
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.count("\n") == 1
    assert not (folder / "new.yaml").exists()


def test_times_of_layers_are_scored_and_fitted(run: Run, files: tuple[Path, Path]) -> None:
    """Layers timed alone on a chip that is the cost model itself, with another overhead per layer."""
    sheet, measured = files
    chip = sheet.parent / "chip.yaml"
    alone = SHEET + "overhead_cycles: 2000\noverlap: 1.0\n"
    chip.write_text(alone)
    layers = run("inspect", "zoo:resnet18", "--npu", chip, "--json").document["layers"]
    chip.write_text(alone + "inference_overhead_us: 900\n")
    busy = [row for row in layers if row["compute_cycles"] > 0]
    rows = [f"{row['name']},{row['compute_cycles'] / 281e3}" for row in busy]
    measured.write_text("layer,latency_ms\n" + "\n".join(rows) + "\n")
    words = ("npu", "score", chip, "--measured", measured)
    score = run(*words, "--model", "zoo:resnet18", "--json").document
    assert score["count"] == len(busy)
    assert score["mape"] < 0.01
    assert score["rows"][0]["model"] == f"zoo:resnet18: {busy[0]['name']}"
    fitted = run(
        "npu",
        "calibrate",
        sheet,
        "--measured",
        measured,
        "--model",
        "zoo:resnet18",
        "--free",
        "overhead_cycles",
        "--json",
    ).document
    (found,) = fitted["parameters"]
    assert found["fitted"] == pytest.approx(2000, rel=0.3)
    assert (
        fitted["mape"]
        < run("npu", "score", sheet, *words[3:], "--model", "zoo:resnet18", "--json").document["mape"]
    )
    mixed = "model,batch,dims,layer,latency_ms\n" + "".join(f"zoo:resnet18,1,,{row}\n" for row in rows)
    measured.write_text(mixed + "zoo:resnet50,1,,,20\n")
    both = run(*words, "--json").document
    assert both["count"] == len(busy) + 1
    assert both["rows"][-1]["model"] == "zoo:resnet50"
    assert "--model" in run(*words, "--model", "zoo:resnet18").err
    measured.write_text("layer,latency_ms\na,1\nb,2\nc,3\n")
    assert "--model" in run(*words).err
    wrong = run(*words, "--model", "zoo:resnet18")
    assert wrong.code == 2
    assert "has no layer 'a'" in wrong.err


def test_one_network_in_several_batch_sizes_leaves_nothing_to_hold_out(
    run: Run, files: tuple[Path, Path]
) -> None:
    sheet, measured = files
    measured.write_text(HEAD + "zoo:resnet18,1,,8.1\nzoo:resnet18,2,,7.9\nzoo:resnet18,4,,7.8\n")
    ran = run("npu", "calibrate", sheet, "--measured", measured, "-o", sheet.parent / "fitted.yaml")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "all rows are of one network" in ran.err
    assert not (sheet.parent / "fitted.yaml").exists()


def test_a_sibling_is_a_config_and_its_latencies(run: Run, files: tuple[Path, Path]) -> None:
    sheet, measured = files
    ran = run("npu", "calibrate", sheet, "--measured", measured, "--sibling", "dpu-b4096-kv260")
    assert ran.code == 2
    assert "--sibling-measured" in ran.err


def test_a_sibling_is_named_in_the_config(run: Run, files: tuple[Path, Path]) -> None:
    sheet, measured = files
    other, fitted = sheet.parent / "other.yaml", sheet.parent / "fitted.yaml"
    other.write_text(SHEET.replace("name: dpu", "name: elder").replace("281", "300"))
    kin = ("--sibling", other, "--sibling-measured", measured)
    assert run("npu", "calibrate", sheet, "--measured", measured, *kin, "-o", fitted).code == 0
    assert "priors from elder" in fitted.read_text().replace("\n    ", " ")


def test_rows_of_a_score_say_of_which_batch_and_dimensions_they_are(
    run: Run, files: tuple[Path, Path]
) -> None:
    sheet, measured = files
    measured.write_text(HEAD + "zoo:resnet18,1,,8.1\nzoo:resnet18,8,,7.9\nzoo:bert-base,2,tokens=16,900\n")
    words = ("npu", "score", sheet, "--measured", measured)
    rows = run(*words, "--json").document["rows"]
    assert [(row["model"], row["batch"], row["dims"]) for row in rows] == [
        ("zoo:resnet18", 1, {}),
        ("zoo:resnet18", 8, {}),
        ("zoo:bert-base", 2, {"tokens": 16}),
    ]
    shown = [line.split() for line in run(*words).out.splitlines()]
    assert ["zoo:resnet18", "8"] in [line[:2] for line in shown]
    assert ["zoo:bert-base", "2", "tokens=16"] in [line[:3] for line in shown]
    measured.write_text(HEAD + ROWS)
    assert "dims" not in run(*words).out


def test_a_drawn_point_says_of_which_batch_it_is(run: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
    sheet, measured = files
    measured.write_text(HEAD + "zoo:resnet18,1,,8.1\nzoo:resnet18,8,,7.9\n")
    done = run("npu", "score", sheet, "--measured", measured, "--plot", tmp_path / "s.svg")
    assert done.code == 0, done.err
    text = (tmp_path / "s.svg").read_text()
    assert "zoo:resnet18, batch 1: 8.1 ms measured" in text
    assert "zoo:resnet18, batch 8: 7.9 ms measured" in text
