"""Helpers of the frontend's tests: models written as ONNX text, graphs from the test data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest

from layerweaver.frontend import import_model
from layerweaver.frontend.reader import read_model_bytes
from layerweaver.ir import LayerGraph

ImportText = Callable[..., LayerGraph]

HEADERS = {
    "": '<ir_version: 10, opset_import: ["" : {opset}]>',
    "com.microsoft": '<ir_version: 10, opset_import: ["" : {opset}, "com.microsoft" : 1]>',
}


def model_from_text(body: str, *, opset: int = 20, domain: str = "") -> onnx.ModelProto:
    """A model from the text of its main graph."""
    header = HEADERS.get(domain, f'<ir_version: 10, opset_import: ["" : {{opset}}, "{domain}" : 1]>')
    return onnx.parser.parse_model(header.format(opset=opset) + "\n" + body)


@pytest.fixture(name="import_text")
def import_text_fixture() -> ImportText:
    """Import a model written as ONNX text; keywords go to ``import_model``."""

    def build(body: str, *, opset: int = 20, domain: str = "", **options: Any) -> LayerGraph:
        model = model_from_text(body, opset=opset, domain=domain)
        return import_model(read_model_bytes(model.SerializeToString(), "text.onnx"), **options)

    return build


@pytest.fixture(name="onnx_folder", scope="session")
def onnx_folder_fixture() -> Path:
    """The folder with the exported graphs."""
    return Path(__file__).parent.parent / "data" / "onnx"
