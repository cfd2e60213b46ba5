"""Conversions to quantised values and back."""

from __future__ import annotations

from layerweaver.frontend.node.registry import MICROSOFT, like_first, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Step
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, vector_step
from layerweaver.frontend.reader.tensor import ONNX_TYPES
from layerweaver.ir import DType, LayerKind, VectorCategory


def _quantised_type(call: Call) -> DType:
    if call.has(2):
        return call.dtype(2)
    return ONNX_TYPES.get(call.integer("output_dtype", 0) or 2, DType.UINT8)


def _check_scales(call: Call) -> None:
    """Refuse scales per channel or per block of another number than there are channels or blocks.

    Raises:
        ShapeConflictError: So it is.
    """
    values, scales = call.info(0), call.inputs[1] if call.has(1) else None
    if values.shape is None or values.upper or scales is None or scales.shape is None or scales.upper:
        return
    shape, given, axis = values.shape, scales.shape, call.integer("axis", 1)
    block = call.integer("block_size", 0)
    if not -len(shape) <= axis < len(shape):
        return
    axis %= len(shape)
    fits = list(shape) if block > 0 else [shape[axis]]
    if block > 0:
        fits[axis] = -(-shape[axis] // block)
    elif len(given) != 1 or given[0] == 1:
        return
    if list(given) != fits:
        per = f"in blocks of {block} along" if block > 0 else "by"
        raise ShapeConflictError(
            f"values of {text(shape)} quantised {per} axis {axis} have scales of {text(given)}",
            f"scales of {text(fits)} are needed",
        )


def _quantize_shape(call: Call) -> tuple[Info]:
    _check_scales(call)
    return (Info(_quantised_type(call), call.shape(0)),)


def _dequantize_shape(call: Call) -> tuple[Info]:
    _check_scales(call)
    asked = call.integer("output_dtype", 0)
    dtype = ONNX_TYPES.get(asked, DType.FLOAT32) if asked else call.dtype(1)
    return (Info(dtype, call.shape(0)),)


@operator("QuantizeLinear", shape=_quantize_shape, category=ELEMENTWISE)
@operator("DequantizeLinear", shape=_dequantize_shape, category=ELEMENTWISE)
@operator("QuantizeLinear", domain=MICROSOFT, shape=_quantize_shape, category=ELEMENTWISE)
@operator("DequantizeLinear", domain=MICROSOFT, shape=_dequantize_shape, category=ELEMENTWISE)
def convert(call: Call) -> Step:
    """One pass; scales and zero points per channel are parameters, single ones are not."""
    return vector_step(call, ELEMENTWISE, call.output_elements())


def _dynamic_quantize_shape(call: Call) -> tuple[Info, ...]:
    return Info(DType.UINT8, call.shape(0)), Info(DType.FLOAT32, ()), Info(DType.UINT8, ())


@operator("DynamicQuantizeLinear", shape=_dynamic_quantize_shape, category=ELEMENTWISE)
def dynamic_quantize(call: Call) -> Step:
    """Find the range, then convert."""
    elements = call.elements(0)
    work = (call.vector(VectorCategory.REDUCTION, elements), call.vector(ELEMENTWISE, elements))
    return Step(LayerKind.VECTOR, vector=work)


for _domain in ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general"):
    operator(
        *("Quant", "IntQuant", "BipolarQuant", "FloatQuant", "Trunc"),
        domain=_domain,
        shape=like_first,
        category=ELEMENTWISE,
    )(convert)
