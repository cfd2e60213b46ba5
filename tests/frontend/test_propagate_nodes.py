"""Every node test of ONNX's own backend suite: inferred shapes, types and values against the stored ones."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import onnx
import pytest

from layerweaver.frontend.options import ImportOptions
from layerweaver.frontend.reader.file import read_model_bytes
from layerweaver.frontend.reader.tensor import ONNX_TYPES
from layerweaver.frontend.resolve.resolve import resolve

DATA_DEPENDENT = re.compile(
    "image_decoder|strnorm|string_split|nonmaxsuppression_(suppress_by_IOU_and|identical)|unique_bfloat16"
)
"""Sizes that follow from the data: pictures, words, kept boxes, distinct values."""

NOT_IN_THE_TYPE = re.compile(
    "identity_(sequence|opt)|loop13_seq|loop16_seq|sequence_map|sequence_insert_at_(back|front)"
    "|optional_get_element_(optional_)?sequence|optional_has_element_empty_optional_input|range_b?float16"
)
"""Lengths of sequences that are graph inputs, and values that the test does not embed."""

SMALL_TYPES = (onnx.TensorProto.FLOAT, onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.BOOL)


def _bound(case: Any) -> tuple[bytes, dict[str, tuple[int, ...]]]:
    """The model with small inputs as constants, undeclared outputs, and shapes of the other inputs."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    given = case.data_sets[0][0]
    feeds = (
        given
        if isinstance(given, dict)
        else dict(zip([v.name for v in model.graph.input], given, strict=False))
    )
    types = {value.name: value.type for value in model.graph.input}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, fed in feeds.items():
        if isinstance(fed, onnx.TensorProto):
            shapes[name] = tuple(fed.dims)
        elif isinstance(fed, np.ndarray | np.generic) and types[name].HasField("tensor_type"):
            array = np.asarray(fed)
            if array.size <= 64 and types[name].tensor_type.elem_type in SMALL_TYPES:
                model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
            else:
                shapes[name] = array.shape
    constants = {tensor.name for tensor in model.graph.initializer}
    for value in list(model.graph.input):
        if value.name in constants:
            model.graph.input.remove(value)
    for value in model.graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
    return model.SerializeToString(), shapes


def _differences(case: Any) -> list[str]:
    data, shapes = _bound(case)
    graph = resolve(read_model_bytes(data, case.name), ImportOptions(shapes=shapes))
    stored = case.data_sets[0][1]
    expected = list(stored.values()) if isinstance(stored, dict) else stored
    found = []
    for name, value, declared in zip(graph.outputs, expected, case.model.graph.output, strict=False):
        ours = graph.values[name]
        if isinstance(value, list):
            length = None if ours.elements is None else len(ours.elements)
            if length != len(value):
                found.append(f"{case.name}: {name} has {length} elements, not {len(value)}")
            continue
        if value is None or isinstance(value, dict):
            continue
        shape = tuple(value.dims) if isinstance(value, onnx.TensorProto) else np.asarray(value).shape
        if ours.shape != shape:
            found.append(f"{case.name}: {name} is {ours.shape}, not {shape}")
        elif declared.type.HasField("tensor_type"):
            dtype = ONNX_TYPES[declared.type.tensor_type.elem_type]
            if ours.dtype is not dtype:
                found.append(f"{case.name}: {name} is of {ours.dtype}, not {dtype}")
            if ours.value is not None and isinstance(value, np.ndarray) and value.dtype.kind in "iubf":
                close = np.allclose(
                    ours.value.astype(np.float64),
                    value.astype(np.float64),
                    rtol=1e-2,
                    atol=1e-3,
                    equal_nan=True,
                )
                if not close:
                    found.append(f"{case.name}: {name} has other values")
    return found


@pytest.mark.slow
def test_outputs_are_as_the_suite_stores_them() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = pytest.importorskip("onnx.backend.test.case.node").collect_testcases(None)
    differences: list[str] = []
    compared = 0
    for case in cases:
        if case.model is None or DATA_DEPENDENT.search(case.name) or NOT_IN_THE_TYPE.search(case.name):
            continue
        compared += 1
        differences.extend(_differences(case))
    assert differences == []
    assert compared > 1000
