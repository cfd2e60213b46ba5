"""Helpers of the frontend's tests: models written as ONNX text, graphs from the test data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest

from layerweaver.frontend.importer import import_model
from layerweaver.frontend.options import ImportOptions
from layerweaver.frontend.reader.file import read_model_bytes
from layerweaver.frontend.resolve.resolve import resolve
from layerweaver.ir import LayerGraph

ImportText = Callable[..., LayerGraph]


def model_from_text(body: str, *, opset: int = 20, domain: str = "") -> onnx.ModelProto:
    """A model from the text of its main graph.

    Declared values that no node computes become weights whose data is elsewhere and does not exist. A second
    domain may have a version, ``name:version``.
    """
    name, _, version = domain.partition(":")
    domains = f'"" : {opset}' + (f', "{name}" : {version or 1}' if name else "")
    model = onnx.parser.parse_model(f"<ir_version: 10, opset_import: [{domains}]>\n{body}")
    computed = {name for node in model.graph.node for name in node.output}
    for value in list(model.graph.value_info):
        if value.name not in computed:
            model.graph.value_info.remove(value)
            weight = model.graph.initializer.add()
            weight.name, weight.data_type = value.name, value.type.tensor_type.elem_type
            weight.dims.extend(dim.dim_value for dim in value.type.tensor_type.shape.dim)
            weight.data_location = onnx.TensorProto.EXTERNAL
            weight.external_data.add(key="location", value="absent.bin")
    return model


@pytest.fixture(name="import_text")
def import_text_fixture() -> ImportText:
    """Import a model written as ONNX text; ``rename`` gives values names that the text cannot hold.

    Further keywords go to ``import_model``.
    """

    def build(
        body: str,
        *,
        opset: int = 20,
        domain: str = "",
        rename: Mapping[str, str] | None = None,
        **options: Any,
    ) -> LayerGraph:
        model = model_from_text(body, opset=opset, domain=domain)
        for old, new in (rename or {}).items():
            for value in [*model.graph.input, *model.graph.output]:
                value.name = new if value.name == old else value.name
            for node in model.graph.node:
                node.input[:] = [new if name == old else name for name in node.input]
                node.output[:] = [new if name == old else name for name in node.output]
        return import_model(
            read_model_bytes(model.SerializeToString(), "text.onnx"), ImportOptions(**options)
        )

    return build


@pytest.fixture(name="shapes_of_text")
def shapes_of_text_fixture() -> Callable[..., dict[str, tuple[int, ...] | None]]:
    """Shapes of all values of a model written as ONNX text."""

    def shapes(body: str, *, opset: int = 20, domain: str = "") -> dict[str, tuple[int, ...] | None]:
        model = model_from_text(body, opset=opset, domain=domain)
        found = resolve(read_model_bytes(model.SerializeToString(), "text.onnx"), ImportOptions())
        return {name: info.shape for name, info in found.values.items()}

    return shapes


@pytest.fixture(name="onnx_folder", scope="session")
def onnx_folder_fixture() -> Path:
    """The folder with the exported graphs."""
    return Path(__file__).parent.parent / "data" / "onnx"
