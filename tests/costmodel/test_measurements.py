"""Files of measured latencies: what is read, and the one line each mistake gets."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from layerweaver.costmodel import load_npu
from layerweaver.costmodel.calibration.measurements import read_measurements
from layerweaver.ir import ConfigError
from layerweaver.scheduler.compile.measured import calibrate_npu, score_npu, suggest_networks

HEAD = "model,batch,dims,latency_ms\n"
ROWS = "a.onnx,1,,1.5\nb.onnx,2,n=4;m=2,2\nzoo:resnet18,,,3\n"


def test_rows_are_read(tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_text(
        "# measured in May\nmodel,batch,dims,latency_ms,metric,sd_ms,weight\n\n"
        + ("a.onnx,1,,1.5,latency,0.1,2\nb.onnx,2,n=4; m=2,2,,,\nzoo:resnet18,,,3,latency,,\n")
    )
    os.utime(file, (0, 86_400 * 365))
    found = read_measurements(file)
    assert found.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert found.date == "1971-01-01"
    first, second, third = found.rows
    assert (first.source, first.batch, first.latency_ms, first.sd_ms, first.weight) == (
        str(tmp_path / "a.onnx"),
        1,
        1.5,
        0.1,
        2.0,
    )
    assert (second.batch, dict(second.dims), second.sd_ms, second.weight) == (2, {"n": 4, "m": 2}, 0.0, 1.0)
    assert (third.source, third.batch) == ("zoo:resnet18", 1)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "has 0 measurements"),
        (HEAD + "a.onnx,1,,0\n" + ROWS, "latency_ms: '0' is not accepted"),
        (HEAD + "a.onnx,1,,nan\n" + ROWS, "latency_ms: 'nan' is not accepted"),
        (HEAD + "a.onnx,1,,-1\n" + ROWS, "latency_ms: '-1' is not accepted"),
        (HEAD + "a.onnx,0,,1\n" + ROWS, "batch: '0' is not accepted"),
        (HEAD + "a.onnx,1.5,,1\n" + ROWS, "batch: '1.5' is not accepted"),
        (HEAD + "a.onnx,1,n,1\n" + ROWS, "dims: 'n' is not accepted"),
        (HEAD + ",1,,1\n" + ROWS, "names no model"),
        (HEAD + "a.onnx,1,,1,2\n" + ROWS, "has 5 columns"),
        (HEAD + "a.onnx,1,,1\n" + ROWS, "was measured at line 2 already"),
        ("model,batch,dims\n", "column 'latency_ms' is missing"),
        ("model,model,latency_ms\n", "column 'model' appears twice"),
        ("model,dims,latency_ms\nzoo:resnet18,a=1;a=2,3\n", "dimension 'a' appears twice"),
        ("model,latency_ms,latency_us\n", "column 'latency_us' is not known"),
        ("model,latency_ms,metric\na.onnx,1,throughput\n", "inverse throughput"),
        ("model,latency_ms,metric\na.onnx,1,speed\n", "'speed' is no metric"),
        ('model,latency_ms\n"a.onnx,1\n', "has 1 column;|has 0 measurements"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "m.csv"
    file.write_text(text)
    with pytest.raises(ConfigError, match=what) as caught:
        read_measurements(file)
    assert "m.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_throughput_is_taken_when_asked_and_harmless_without_such_rows(tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_text("model,latency_ms,metric\na.onnx,1,throughput\nb.onnx,1,latency\nc.onnx,2,\n")
    assert len(read_measurements(file, throughput=True).rows) == 3
    file.write_text(HEAD + ROWS)
    assert read_measurements(file, throughput=True) == read_measurements(file)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_measurements(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"model,latency_ms\n\xff,1\n")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        read_measurements(tmp_path / "bytes.csv")


def test_a_model_that_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_text(HEAD + "zoo:resnet18,1,,3\nzoo:mobilenetv2,1,,1\nnone.onnx,1,,2\n")
    config = load_npu("memory-centric")
    document, problems = score_npu(config, file)
    assert document["count"] == 2
    assert [row["low_ms"] for row in document["rows"]] == [None, None]
    assert len(problems) == 1
    assert "m.csv:4" in problems[0]
    assert "none.onnx" in problems[0]
    with pytest.raises(
        ConfigError, match=r"only 2 of the models can be read, and a fit takes 3; .*left out: "
    ):
        calibrate_npu(config, file)
    enough = tmp_path / "enough.csv"
    enough.write_text(HEAD + "zoo:resnet18,1,,3\nzoo:mobilenetv2,1,,1\nzoo:mobilenetv1,1,,1\n")
    with pytest.raises(ConfigError, match=r"m\.csv: only 2 of the models .*none\.onnx"):
        calibrate_npu(config, enough, sibling=(config, file))
    file.write_text(HEAD + "zoo:resnet18,1,,3\nzoo:mobilenetv2,1,,1\n")
    assert score_npu(config, file)[0]["count"] == 2
    with pytest.raises(ConfigError, match="has 2 measurements; give at least 3"):
        calibrate_npu(config, file)


def test_another_cost_model_is_not_calibrated(tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_text(HEAD + "zoo:resnet18,1,,3\nzoo:mobilenetv2,1,,1\nzoo:vgg16,1,,9\n")
    config = load_npu("memory-centric").model_copy(update={"cost_model": "mine"})
    with pytest.raises(ConfigError, match="cannot be calibrated"):
        calibrate_npu(config, file)


def test_suggestions_name_what_they_cannot_read() -> None:
    config = load_npu("memory-centric")
    document, problems = suggest_networks(config, ["zoo:resnet18", "zoo:none", "zoo:mobilenetv2"], 6)
    assert {row["model"] for row in document["suggested"]} == {"zoo:resnet18", "zoo:mobilenetv2"}
    assert len(problems) == 1
    with pytest.raises(ConfigError, match="no model can be read"):
        suggest_networks(config, ["zoo:none"], 2)
