"""Networks exported by both of PyTorch's exporters, plain and quantised, counted as they run."""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from oracles.executed_macs import executed_macs

from layerweaver.frontend.importer import import_model
from layerweaver.frontend.options import ImportOptions
from layerweaver.frontend.reader.file import read_model_bytes

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow

from oracles import (  # noqa: E402 - needs PyTorch
    architectures_cached,
    architectures_detection,
    architectures_sequence,
    architectures_vision,
)

ARCHITECTURES = (
    architectures_vision.ARCHITECTURES
    | architectures_detection.ARCHITECTURES
    | architectures_sequence.ARCHITECTURES
    | architectures_cached.ARCHITECTURES
)
QUANTISED = ("convolutional", "segmenting", "encoding", "seeing", "recurrent", "decoding", "recommending")


def _exported(name: str, *, dynamo: bool) -> tuple[bytes, tuple[Any, ...]]:
    torch.manual_seed(0)
    torch.backends.mha.set_fastpath_enabled(False)  # no exporter knows the fused encoder layer
    network, inputs = ARCHITECTURES[name]()
    stream = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if dynamo:
            own = architectures_detection.TRANSLATIONS
            torch.onnx.export(
                network.eval(), inputs, dynamo=True, verbose=False, custom_translation_table=own
            ).save(stream)
        else:
            torch.onnx.export(network.eval(), inputs, stream, dynamo=False, opset_version=17)
    return stream.getvalue(), inputs


def _agree(content: bytes, inputs: tuple[Any, ...]) -> None:
    model = onnx.load_from_string(content)
    names = [each.name for each in model.graph.input]
    feed = {name: np.asarray(value) for name, value in zip(names, inputs, strict=True)}
    executed = executed_macs(model, feed)
    assert executed > 0
    told = _told_by_data(model, feed)
    for fuse in (True, False):
        graph = import_model(read_model_bytes(content, "exported.onnx"), replace(told, fuse=fuse))
        assert graph.macs == executed
        assert graph.complete


def _told_by_data(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> ImportOptions:
    """What the importer asks for by ``--shape`` and ``--value``, as it comes out of a run."""
    import onnxruntime

    asking = import_model(read_model_bytes(model.SerializeToString(), "exported.onnx"))
    cures = "\n".join(asking.warnings)
    shapes = list(dict.fromkeys(re.findall(r"--shape (\S+)=\.\.\.", cures)))
    values = list(dict.fromkeys(re.findall(r"--value (\S+)=N", cures)))
    if not shapes and not values:
        return ImportOptions()
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in (*shapes, *values))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = {each.name for each in session.get_inputs()}
    run = session.run(None, {name: value for name, value in feed.items() if name in wanted})
    return ImportOptions(
        shapes={name: found.shape for name, found in zip(shapes, run, strict=False)},
        values={
            name: tuple(found.ravel().tolist())
            for name, found in zip(values, run[len(shapes) :], strict=True)
        },
    )


def test_there_are_thirty_kinds() -> None:
    assert len(ARCHITECTURES) >= 30


@pytest.mark.parametrize("dynamo", [False, True], ids=["legacy", "dynamo"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_exported(name: str, dynamo: bool) -> None:
    _agree(*_exported(name, dynamo=dynamo))


@pytest.mark.parametrize("name", QUANTISED)
def test_quantised_dynamically(name: str, tmp_path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    content, inputs = _exported(name, dynamo=False)
    (tmp_path / "plain.onnx").write_bytes(content)
    quantize_dynamic(tmp_path / "plain.onnx", tmp_path / "small.onnx")
    _agree((tmp_path / "small.onnx").read_bytes(), inputs)


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("name", ["convolutional", "segmenting", "encoding", "seeing"])
def test_quantised_by_calibration(name: str, form: str, tmp_path: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    content, inputs = _exported(name, dynamo=False)
    (tmp_path / "plain.onnx").write_bytes(content)
    names = [each.name for each in onnx.load_from_string(content).graph.input]

    class Once(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = [dict(zip(names, (value.numpy() for value in inputs), strict=True))]

        def get_next(self) -> dict[str, Any] | None:
            return self.left.pop() if self.left else None

    quantize_static(
        tmp_path / "plain.onnx", tmp_path / "small.onnx", Once(), quant_format=getattr(QuantFormat, form)
    )
    _agree((tmp_path / "small.onnx").read_bytes(), inputs)
