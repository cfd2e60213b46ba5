"""ONNX's own inference of a single node, for operators that have a schema but no rule here."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import helper

from layerweaver.frontend.node.values import Info
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.reader.model import Attribute, TensorData
from layerweaver.frontend.reader.tensor import ONNX_TYPES
from layerweaver.ir.dtypes import DType

__all__ = ["infer"]

_CODES = {dtype: code for code, dtype in ONNX_TYPES.items()}


def infer(call: Call) -> Sequence[Info | None]:
    """Outputs as ONNX infers them, None for those it cannot tell; empty where there is no schema."""
    domain = call.node.domain
    if not onnx.defs.has(call.op, domain):
        return ()
    types, data = {}, {}
    for name, found in zip(call.node.inputs, call.inputs, strict=True):
        if found is not None and found.elements is None:
            code = _CODES.get(found.dtype, 0)
            types[name] = helper.make_tensor_type_proto(code, found.shape)
            if found.value is not None and found.dtype is not DType.BFLOAT16:
                data[name] = onnx.numpy_helper.from_array(found.value, name)
    try:
        schema = onnx.defs.get_schema(call.op, call.opset, domain)
        inferred = onnx.shape_inference.infer_node_outputs(
            schema, _proto(call, domain), types, data, opset_imports=[helper.make_opsetid(domain, call.opset)]
        )
    except (onnx.defs.SchemaError, onnx.shape_inference.InferenceError, ValueError, TypeError, RuntimeError):
        return ()
    return [_info(inferred.get(name)) for name in call.node.outputs]


def _proto(call: Call, domain: str) -> onnx.NodeProto:
    node = helper.make_node(call.op, call.node.inputs, call.node.outputs, domain=domain)
    for name, attribute in call.attributes.items():
        value = _attribute(attribute)
        if value is not None:
            node.attribute.append(helper.make_attribute(name, value))
    return node


def _attribute(attribute: Attribute) -> object:
    if isinstance(attribute, int | float | str | bytes):
        return attribute
    if isinstance(attribute, TensorData) and attribute.values is not None:
        return onnx.numpy_helper.from_array(attribute.values)
    if (
        isinstance(attribute, tuple)
        and attribute
        and all(isinstance(item, int | float | str) for item in attribute)
    ):
        return list(attribute)
    return None


def _info(inferred: onnx.TypeProto | None) -> Info | None:
    if inferred is None or not inferred.HasField("tensor_type"):
        return None
    tensor = inferred.tensor_type
    dtype = ONNX_TYPES.get(tensor.elem_type, DType.UNDEFINED)
    if not tensor.HasField("shape") or any(not dim.HasField("dim_value") for dim in tensor.shape.dim):
        return Info(dtype, None)
    return Info(dtype, tuple(dim.dim_value for dim in tensor.shape.dim))
