"""Trip counts and conditions whose external file is not there: the warning names the file, not the data."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import parser as onnx_text

from layerweaver.frontend.importer import import_model

LOOP = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[1, 16] x) => (float[1, 16] y)
<int64 known = {7}>
{
    going = Constant <value = bool {1}> ()
    y = Loop (known, going, x)
    <body = trip (int64 i, bool goes, float[1, 16] a) => (bool on, float[1, 16] b) {
        on = Identity (goes)
        b = Relu (a)
    }>
}
"""
IF = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[1, 16] x) => (float[1, 16] y)
<bool known = {1}>
{
    y = If (known) <
        then_branch = left () => (float[1, 16] a) { a = Relu (x) },
        else_branch = right () => (float[1, 16] b) { b = Neg (x) }
    >
}
"""


@pytest.mark.parametrize("text", [LOOP, IF], ids=["loop", "if"])
def test_the_file_that_is_not_there_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    model = onnx_text.parse_model(text)
    known = model.graph.initializer[0]
    known.raw_data = onnx.numpy_helper.to_array(known).tobytes()
    known.ClearField("int64_data")
    known.ClearField("int32_data")
    onnx.save(model, path, save_as_external_data=True, location="net.bin", size_threshold=0)
    assert import_model(path).warnings == ()
    (tmp_path / "net.bin").unlink()
    graph = import_model(path)
    told = graph.warnings
    assert len(told) == 1
    assert "the values of known are in net.bin, which is not there" in told[0]
    assert told[0].endswith("put net.bin beside the model")
