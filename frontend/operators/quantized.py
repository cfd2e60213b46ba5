"""Quantised operators of the domain com.microsoft."""

from __future__ import annotations

import math

from layerweaver.frontend.node.call import Call
from layerweaver.frontend.node.operation import Operation, axis_for
from layerweaver.frontend.node.registry import MICROSOFT, Treatment, lowers, rule
from layerweaver.frontend.node.values import Info, ShapeConflictError, broadcast, text
from layerweaver.frontend.node.work import Step, WeightRead
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, TRANSCENDENTAL, vector_step
from layerweaver.frontend.operators.movement import MOVE, move_step
from layerweaver.frontend.operators.pooling import POOLING, REDUCTION
from layerweaver.frontend.operators.products import (
    gemm_product,
    gemm_shape,
    matrix_product,
    product,
    product_step,
)
from layerweaver.frontend.reader.tensor import ONNX_TYPES
from layerweaver.ir import DType, LayerKind, MatrixWork, VectorCategory


@lowers(
    "QLinearAdd", "QLinearMul", "QLinearLeakyRelu", "QLinearWhere", domain=MICROSOFT, category=ELEMENTWISE
)
@lowers("QLinearReduceMean", domain=MICROSOFT, category=ELEMENTWISE)
def elementwise(operation: Operation) -> Step:
    """One pass over the larger of input and result, requantising included."""
    return vector_step(operation, ELEMENTWISE, max(operation.output_elements(), operation.elements(0)))


@lowers("QLinearSigmoid", domain=MICROSOFT, category=TRANSCENDENTAL)
def sigmoid(operation: Operation) -> Step:
    """One pass of a special function."""
    return vector_step(operation, TRANSCENDENTAL, operation.output_elements())


@lowers("QLinearSoftmax", domain=MICROSOFT, category=VectorCategory.SOFTMAX)
def softmax(operation: Operation) -> Step:
    """Normalised exponentials of quantised values."""
    return vector_step(operation, VectorCategory.SOFTMAX, operation.elements(0))


@lowers("QLinearConcat", domain=MICROSOFT, treatment=Treatment.MOVE, category=MOVE)
def concat(operation: Operation) -> Step:
    """Inputs one behind the other, rescaled on the way."""
    return move_step(operation, operation.output_elements(), tuple(range(len(operation.node.inputs))))


@lowers("QLinearGlobalAveragePool", domain=MICROSOFT, category=REDUCTION)
def global_pool(operation: Operation) -> Step:
    """Every input element is read once."""
    return vector_step(operation, REDUCTION, operation.elements(0), parameters=())


@lowers("QLinearAveragePool", domain=MICROSOFT, category=POOLING)
def average_pool(operation: Operation) -> Step:
    """Every output looks at the kernel's window."""
    window = max(1, math.prod(operation.integers("kernel_shape", (1,))))
    return vector_step(operation, POOLING, operation.output_elements(), window=window, parameters=())


@lowers("QGemm", domain=MICROSOFT, treatment=Treatment.MATRIX)
def quantized_gemm(operation: Operation) -> Step:
    """Quantised Gemm: requantising the sums is elementwise work."""
    parameters = operation.weights(0, 3, 6) + operation.weights(1, 2, 4, 5, 7, 8, role="vector")
    requantize = operation.vector(ELEMENTWISE, operation.output_elements())
    return product_step(gemm_product(operation, 0, 3), parameters, (requantize,))


@lowers("MatMulIntegerToFloat", domain=MICROSOFT, treatment=Treatment.MATRIX)
def matmul_integer_to_float(operation: Operation) -> Step:
    """Integer product whose sums become real numbers, with an optional bias."""
    parameters = operation.weights(0, 1, 6) + operation.weights(2, 3, 4, 5, role="vector")
    convert = operation.vector(ELEMENTWISE, operation.output_elements())
    return product_step(matrix_product(operation), parameters, (convert,))


@lowers("DynamicQuantizeMatMul", domain=MICROSOFT, treatment=Treatment.MATRIX)
def dynamic_quantize_matmul(operation: Operation) -> Step:
    """The left operand's range is found and it is converted, then multiplied as integers."""
    parameters = operation.weights(1, 4) + operation.weights(2, 3, role="vector")
    work = (
        operation.vector(REDUCTION, operation.elements(0)),
        operation.vector(ELEMENTWISE, operation.elements(0)),
        operation.vector(ELEMENTWISE, operation.output_elements()),
    )
    return product_step(matrix_product(operation), parameters, work)


_PACKED = {2: DType.UINT2, 4: DType.UINT4, 8: DType.UINT8}


@lowers("MatMulNBits", "MatMulBnb4", domain=MICROSOFT, treatment=Treatment.MATRIX)
def matmul_n_bits(operation: Operation) -> Step:
    """Product by weights packed to a few bits, with scales per block of K; converting them is free."""
    shape = operation.shape(0, least_rank=1)
    k, n = operation.integer("K", shape[-1]), operation.integer("N", 0)
    bits = operation.integer("bits", 4)
    if min(k, n) < 1 or shape[-1] != k or not 1 <= bits <= 8:
        raise operation.error(
            f"K={k}, N={n}, bits={bits} do not fit an operand of shape {list(shape)}",
            accepted="K equal to its last extent, a positive N and 1 to 8 bits",
        )
    work = MatrixWork(
        1,
        operation.elements(0) // k,
        n,
        k,
        operation.constant(1),
        1,
        axis_for(operation.batched),
    )
    dtype = _PACKED.get(bits, DType.UINT8)
    stored = operation.elements(1) * operation.input(1).dtype.bits // dtype.bits
    weights: tuple[WeightRead, ...] = ()
    if operation.constant(1):
        weights = (WeightRead(operation.input_name(1), "matrix", stored, dtype),)
    parameters = weights + operation.weights(2) + operation.weights(3, 4, role="vector")
    return product_step(work, parameters + operation.weights(5))


@lowers("QuantizeLinear", "DequantizeLinear", category=ELEMENTWISE)
@lowers("QuantizeLinear", "DequantizeLinear", domain=MICROSOFT, category=ELEMENTWISE)
def convert(operation: Operation) -> Step:
    """One pass; scales and zero points per channel are parameters, single ones are not."""
    return vector_step(operation, ELEMENTWISE, operation.output_elements())


@lowers("DynamicQuantizeLinear", category=ELEMENTWISE)
def dynamic_quantize(operation: Operation) -> Step:
    """Find the range, then convert."""
    elements = operation.elements(0)
    return Step(
        LayerKind.VECTOR,
        vector=(
            operation.vector(VectorCategory.REDUCTION, elements),
            operation.vector(ELEMENTWISE, elements),
        ),
    )


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
