"""Shapes and types of quantised operators."""

from __future__ import annotations

from layerweaver.frontend.propagate.call import MICROSOFT, Call, rule
from layerweaver.frontend.propagate.matrix import gemm_shape, product
from layerweaver.frontend.propagate.values import Info, ShapeConflictError, broadcast, text
from layerweaver.frontend.read_tensor import ONNX_TYPES
from layerweaver.ir.dtypes import DType

__all__: list[str] = []


def _quantised_type(call: Call) -> DType:
    if call.has(2):
        return call.dtype(2)
    return ONNX_TYPES.get(call.integer("output_dtype", 0) or 2, DType.UINT8)


def _quantize(call: Call) -> tuple[Info]:
    return (Info(_quantised_type(call), call.shape(0)),)


def _dequantize(call: Call) -> tuple[Info]:
    asked = call.integer("output_dtype", 0)
    dtype = ONNX_TYPES.get(asked, DType.FLOAT32) if asked else call.dtype(1)
    return (Info(dtype, call.shape(0)),)


rule("QuantizeLinear")(_quantize)
rule("QuantizeLinear", domain=MICROSOFT)(_quantize)
rule("DequantizeLinear")(_dequantize)
rule("DequantizeLinear", domain=MICROSOFT)(_dequantize)


@rule("DynamicQuantizeLinear")
def _dynamic_quantize(call: Call) -> tuple[Info, ...]:
    return Info(DType.UINT8, call.shape(0)), Info(DType.FLOAT32, ()), Info(DType.UINT8, ())


@rule("QLinearMatMul", foldable=False)
def _q_linear_matmul(call: Call) -> tuple[Info]:
    dtype = call.dtype(7) if call.has(7) else call.dtype(0)
    return (Info(dtype, product(call.shape(0), call.shape(3))),)


@rule("QGemm", domain=MICROSOFT, foldable=False)
def _q_gemm(call: Call) -> tuple[Info]:
    dtype = call.dtype(8) if call.has(8) else DType.FLOAT32
    return (Info(dtype, gemm_shape(call, call.shape(0), call.shape(3))),)


@rule("DynamicQuantizeMatMul", domain=MICROSOFT, foldable=False)
def _dynamic_quantize_matmul(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), product(call.shape(0), call.shape(1))),)


@rule("MatMulIntegerToFloat", domain=MICROSOFT, foldable=False)
def _matmul_integer_to_float(call: Call) -> tuple[Info]:
    return (Info(call.dtype(2), product(call.shape(0), call.shape(1))),)


@rule("MatMulInteger16", domain=MICROSOFT, foldable=False)
def _matmul_integer16(call: Call) -> tuple[Info]:
    return (Info(DType.INT32, product(call.shape(0), call.shape(1))),)


@rule("MatMulNBits", "MatMulBnb4", "MatMulFpQ4", domain=MICROSOFT, foldable=False)
def _matmul_n_bits(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    depth, columns = call.integer("K", 0), call.integer("N", 0)
    if call.op == "MatMulFpQ4":
        depth, columns = call.integers(2)[-2:]
    if not shape or shape[-1] != depth or columns < 1:
        raise ShapeConflictError(f"an input of {text(shape)} does not fit weights of {depth}x{columns}")
    return (Info(call.dtype(0), (*shape[:-1], columns)),)


@rule("GatherBlockQuantized", domain=MICROSOFT, roots_from=(0, 2, 3))
def _gather_block_quantized(call: Call) -> tuple[Info]:
    shape, indices = call.shape(0), call.shape(1)
    axis = call.axis(call.integer("gather_axis", 0), len(shape))
    packed = 8 // max(call.integer("bits", 4), 1) if call.dtype(0) is DType.UINT8 else 1
    shape = (*shape[:-1], shape[-1] * packed)
    return (Info(call.dtype(2), (*shape[:axis], *indices, *shape[axis + 1 :])),)


@rule("QLinearAdd", "QLinearMul", domain=MICROSOFT)
def _q_linear_binary(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), broadcast((call.shape(0), call.shape(3)))),)


@rule("QLinearWhere", domain=MICROSOFT)
def _q_linear_where(call: Call) -> tuple[Info]:
    return (Info(call.dtype(1), broadcast((call.shape(0), call.shape(1), call.shape(4)))),)


@rule("QLinearConcat", domain=MICROSOFT)
def _q_linear_concat(call: Call) -> tuple[Info]:
    shapes = [call.shape(index) for index in range(2, len(call.inputs), 3)]
    if not shapes:
        raise ShapeConflictError("it has no inputs")
    first = shapes[0]
    axis = call.axis(call.integer("axis", 0), len(first))
    for shape in shapes:
        if (shape[:axis], shape[axis + 1 :]) != (first[:axis], first[axis + 1 :]):
            raise ShapeConflictError(f"cannot join {text(first)} and {text(shape)} along axis {axis}")
    total = sum(shape[axis] for shape in shapes)
    return (Info(call.dtype(2), (*first[:axis], total, *first[axis + 1 :])),)


@rule("QLinearSoftmax", "QLinearGelu", domain=MICROSOFT)
def _q_linear_like(call: Call) -> tuple[Info]:
    return call.like(0)


@rule("QLinearReduceMean", domain=MICROSOFT)
def _q_linear_reduce_mean(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    axes = {call.axis(axis, len(shape)) for axis in call.integer_list("axes") or range(len(shape))}
    keep = call.integer("keepdims", 1)
    result = tuple(
        1 if axis in axes else extent for axis, extent in enumerate(shape) if keep or axis not in axes
    )
    return (Info(call.dtype(0), result),)
