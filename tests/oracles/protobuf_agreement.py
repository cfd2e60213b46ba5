"""What the reader read, compared field by field with the protobuf library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from layerweaver.frontend.reader.model import (
    INDEX_LIMIT,
    MATERIALIZE_LIMIT,
    AttributeReference,
    OnnxFunction,
    OnnxGraph,
    OnnxModel,
    OnnxNode,
    TensorData,
    ValueInfo,
)
from layerweaver.ir.dtypes import DType

TYPE_NAMES = {
    number: {"FLOAT": "float32", "DOUBLE": "float64"}.get(name, name.lower())
    for name, number in TensorProto.DataType.items()
}


def assert_same_tensor(mine: TensorData, theirs: onnx.TensorProto) -> None:
    assert mine.name == theirs.name
    assert mine.dtype == TYPE_NAMES[theirs.data_type]
    assert mine.shape == tuple(theirs.dims)
    external = theirs.data_location == TensorProto.EXTERNAL
    stripped = theirs.ByteSize() < 100 and not numpy_payload(theirs) and 0 not in theirs.dims
    limit = INDEX_LIMIT if mine.dtype in (DType.INT64, DType.INT32, DType.BOOL) else MATERIALIZE_LIMIT
    small = np.prod(mine.shape, dtype=np.float64) <= limit
    if external or stripped or not small or theirs.data_type == TensorProto.STRING:
        assert mine.values is None
    else:
        assert mine.values is not None
        expected = numpy_helper.to_array(theirs)
        if expected.dtype.kind not in "fiubc" or expected.dtype.name not in np.sctypeDict:
            is_integer = expected.dtype.name.startswith(("int", "uint"))
            expected = expected.astype(np.int8 if is_integer else np.float32)
        assert mine.values.shape == expected.shape
        np.testing.assert_array_equal(mine.values, expected)


def numpy_payload(tensor: onnx.TensorProto) -> bool:
    names = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data")
    return any(len(getattr(tensor, name)) for name in names)


def assert_same_info(mine: ValueInfo, theirs: onnx.ValueInfoProto) -> None:
    assert mine.name == theirs.name
    assert_same_type(mine, theirs.type)


def assert_same_type(mine: ValueInfo, theirs: onnx.TypeProto) -> None:
    kind = theirs.WhichOneof("value")
    outer = kind
    while kind in ("sequence_type", "optional_type"):
        theirs = getattr(theirs, kind).elem_type
        kind = theirs.WhichOneof("value")
        outer = kind if kind == "sequence_type" else outer
    tensor = theirs.tensor_type
    assert mine.container == (outer or "tensor_type").removesuffix("_type")
    assert mine.dtype == TYPE_NAMES[tensor.elem_type]
    if not tensor.HasField("shape"):
        assert mine.shape is None
        return
    expected = tuple(
        dim.dim_param or None if dim.HasField("dim_param") else dim.dim_value if dim.dim_value > 0 else None
        for dim in tensor.shape.dim
    )
    assert mine.shape == expected


def assert_same_attribute(mine: Any, theirs: onnx.AttributeProto) -> None:
    if theirs.ref_attr_name:
        assert mine == AttributeReference(theirs.ref_attr_name)
        return
    kind = theirs.type
    if kind == onnx.AttributeProto.TENSOR:
        assert_same_tensor(mine, theirs.t)
    elif kind == onnx.AttributeProto.GRAPH:
        assert_same_graph(mine, theirs.g)
    elif kind == onnx.AttributeProto.TYPE_PROTO:
        assert_same_type(mine, theirs.tp)
    elif kind == onnx.AttributeProto.TENSORS:
        compare_all(mine, theirs.tensors, assert_same_tensor)
    elif kind == onnx.AttributeProto.GRAPHS:
        compare_all(mine, theirs.graphs, assert_same_graph)
    elif kind == onnx.AttributeProto.TYPE_PROTOS:
        compare_all(mine, theirs.type_protos, assert_same_type)
    elif kind == onnx.AttributeProto.SPARSE_TENSOR:
        assert mine.shape == tuple(theirs.sparse_tensor.dims)
        assert mine.name == theirs.sparse_tensor.values.name
    elif kind == onnx.AttributeProto.SPARSE_TENSORS:
        assert [t.shape for t in mine] == [tuple(t.dims) for t in theirs.sparse_tensors]
    else:
        value = helper.get_attribute_value(theirs)
        if isinstance(value, bytes):
            assert mine == value.decode()
        elif kind == onnx.AttributeProto.STRINGS:
            assert mine == tuple(text.decode() for text in value)
        elif isinstance(mine, tuple):
            assert mine == tuple(value)
        else:
            assert mine == value
            assert type(mine) is type(value)


def assert_same_node(mine: OnnxNode, theirs: onnx.NodeProto) -> None:
    assert mine.name == theirs.name
    assert mine.op_type == (f"{theirs.op_type}:{theirs.overload}" if theirs.overload else theirs.op_type)
    assert mine.domain == ("" if theirs.domain == "ai.onnx" else theirs.domain)
    assert mine.inputs == tuple(theirs.input)
    assert mine.outputs == tuple(theirs.output)
    assert list(mine.attributes) == [attribute.name for attribute in theirs.attribute]
    for attribute in theirs.attribute:
        assert_same_attribute(mine.attributes[attribute.name], attribute)


def assert_same_graph(mine: OnnxGraph, theirs: onnx.GraphProto) -> None:
    assert mine.name == theirs.name
    compare_all(mine.nodes, theirs.node, assert_same_node)
    compare_all(mine.inputs, theirs.input, assert_same_info)
    compare_all(mine.outputs, theirs.output, assert_same_info)
    compare_all(list(mine.value_infos.values()), theirs.value_info, assert_same_info)
    dense = [mine.initializers[tensor.name] for tensor in theirs.initializer]
    compare_all(dense, theirs.initializer, assert_same_tensor)
    sparse = {tensor.values.name: tuple(tensor.dims) for tensor in theirs.sparse_initializer}
    assert {name: mine.initializers[name].shape for name in sparse} == sparse
    assert len(mine.initializers) == len(dense) + len(sparse)


def assert_same_function(mine: OnnxFunction, theirs: onnx.FunctionProto) -> None:
    assert (mine.domain, mine.name) == (theirs.domain, theirs.name)
    assert mine.inputs == tuple(theirs.input)
    assert mine.outputs == tuple(theirs.output)
    assert mine.attribute_names == tuple(theirs.attribute)
    assert list(mine.attribute_defaults) == [attribute.name for attribute in theirs.attribute_proto]
    for attribute in theirs.attribute_proto:
        assert_same_attribute(mine.attribute_defaults[attribute.name], attribute)
    assert mine.opset_imports == {opset.domain: opset.version for opset in theirs.opset_import}
    compare_all(mine.nodes, theirs.node, assert_same_node)


def compare_all(mine: Sequence[Any], theirs: Sequence[Any], compare: Callable[[Any, Any], None]) -> None:
    assert len(mine) == len(theirs)
    for one, other in zip(mine, theirs, strict=True):
        compare(one, other)


def assert_same_model(mine: OnnxModel, theirs: onnx.ModelProto) -> None:
    assert mine.ir_version == theirs.ir_version
    assert mine.producer == f"{theirs.producer_name} {theirs.producer_version}".strip()
    assert mine.opset_imports == {opset.domain: opset.version for opset in theirs.opset_import}
    assert_same_graph(mine.graph, theirs.graph)
    compare_all(list(mine.functions.values()), theirs.functions, assert_same_function)
