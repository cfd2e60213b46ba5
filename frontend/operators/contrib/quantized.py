"""Quantised operators of the domain com.microsoft."""

from __future__ import annotations

import math

from layerweaver.frontend.node.registry import MICROSOFT, Treatment, like_first, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, broadcast, text
from layerweaver.frontend.node.view import Call, axis_for
from layerweaver.frontend.node.work import GatherRead, Step, WeightRead
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, TRANSCENDENTAL, vector_step
from layerweaver.frontend.operators.movement import MOVE, move_step
from layerweaver.frontend.operators.pooling import POOLING, REDUCTION, channels_last_shape, pooled
from layerweaver.frontend.operators.products import (
    gemm_product,
    gemm_shape,
    matmul_shape,
    matrix_product,
    product,
    product_step,
)
from layerweaver.ir import DType, LayerKind, MatrixWork, VectorCategory

_PACKED = {2: DType.UINT2, 4: DType.UINT4, 8: DType.UINT8}


def _gather_block_quantized_shape(call: Call) -> tuple[Info]:
    shape, indices = call.shape(0), call.shape(1)
    axis = call.axis(call.integer("gather_axis", 0), len(shape))
    packed = 8 // max(call.integer("bits", 4), 1) if call.dtype(0) is DType.UINT8 else 1
    shape = (*shape[:-1], shape[-1] * packed)
    return (Info(call.dtype(2), (*shape[:axis], *indices, *shape[axis + 1 :])),)


@operator(
    "GatherBlockQuantized",
    domain=MICROSOFT,
    shape=_gather_block_quantized_shape,
    treatment=Treatment.GATHER,
    category=MOVE,
    roots_from=(0, 2, 3),
)
def gather_block_quantized(call: Call) -> Step:
    """Rows of a table of small integers, packed in bytes or not, with a scale per block."""
    rows = call.output_elements()
    if not call.constant(0):
        return move_step(call, rows, ())
    table = call.info(0)
    bits = call.integer("bits", 4)
    packed = table.dtype is DType.UINT8 and bits < 8
    dtype = _PACKED.get(bits, DType.UINT8) if packed else None
    elements = call.elements(0) * 8 // bits if packed and bits > 0 else None
    block = max(1, call.integer("block_size", 128))
    gathers = [GatherRead(table.name, rows, call.batched, elements, dtype)]
    for index, values in ((2, rows // block), (3, rows // block)):
        if call.constant(index):
            gathers.append(GatherRead(call.info(index).name, values, call.batched))
    return Step(LayerKind.GATHER, vector=(call.vector(MOVE, rows),), gathers=tuple(gathers))


def _q_linear_binary_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), broadcast((call.shape(0), call.shape(3)))),)


def _q_linear_where_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(1), broadcast((call.shape(0), call.shape(1), call.shape(4)))),)


def _q_linear_reduce_mean_shape(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    axes = {call.axis(axis, len(shape)) for axis in call.integer_list("axes") or range(len(shape))}
    keep = call.integer("keepdims", 1)
    result = tuple(
        1 if axis in axes else extent for axis, extent in enumerate(shape) if keep or axis not in axes
    )
    return (Info(call.dtype(0), result),)


@operator("QLinearAdd", "QLinearMul", domain=MICROSOFT, shape=_q_linear_binary_shape, category=ELEMENTWISE)
@operator("QLinearLeakyRelu", domain=MICROSOFT, shape=like_first, category=ELEMENTWISE)
@operator("QLinearWhere", domain=MICROSOFT, shape=_q_linear_where_shape, category=ELEMENTWISE)
@operator("QLinearReduceMean", domain=MICROSOFT, shape=_q_linear_reduce_mean_shape, category=ELEMENTWISE)
def elementwise(call: Call) -> Step:
    """One pass over the larger of input and result, requantising included."""
    return vector_step(call, ELEMENTWISE, max(call.output_elements(), call.elements(0)))


@operator("QLinearSigmoid", domain=MICROSOFT, shape=like_first, category=TRANSCENDENTAL)
def sigmoid(call: Call) -> Step:
    """One pass of a special function."""
    return vector_step(call, TRANSCENDENTAL, call.output_elements())


@operator("QLinearSoftmax", domain=MICROSOFT, shape=like_first, category=VectorCategory.SOFTMAX)
def softmax(call: Call) -> Step:
    """Normalised exponentials of quantised values."""
    return vector_step(call, VectorCategory.SOFTMAX, call.elements(0))


def _q_linear_concat_shape(call: Call) -> tuple[Info]:
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


@operator("QLinearConcat", domain=MICROSOFT, shape=_q_linear_concat_shape, category=MOVE)
def concat(call: Call) -> Step:
    """Inputs one behind the other, rescaled on the way."""
    return move_step(call, call.output_elements(), tuple(range(len(call.node.inputs))))


def _q_linear_global_average_pool_shape(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    if call.integer("channels_last", 0):
        return (Info(call.dtype(0), (shape[0], *(1,) * (len(shape) - 2), shape[-1])),)
    return (Info(call.dtype(0), (*shape[:2], *(1,) * (len(shape) - 2))),)


@operator(
    "QLinearGlobalAveragePool",
    domain=MICROSOFT,
    shape=_q_linear_global_average_pool_shape,
    category=REDUCTION,
)
def global_pool(call: Call) -> Step:
    """Every input element is read once."""
    return vector_step(call, REDUCTION, call.elements(0), parameters=())


def _q_linear_average_pool_shape(call: Call) -> tuple[Info]:
    if call.integer("channels_last", 0):
        return channels_last_shape(call)
    return (Info(call.dtype(0), pooled(call, call.shape(0))),)


@operator("QLinearAveragePool", domain=MICROSOFT, shape=_q_linear_average_pool_shape, category=POOLING)
def average_pool(call: Call) -> Step:
    """Every output looks at the kernel's window."""
    window = max(1, math.prod(tuple(call.integer_list("kernel_shape") or (1,))))
    return vector_step(call, POOLING, call.output_elements(), window=window, parameters=())


def _q_gemm_shape(call: Call) -> tuple[Info]:
    dtype = call.dtype(8) if call.has(8) else DType.FLOAT32
    return (Info(dtype, gemm_shape(call, 0, 3)),)


@operator("QGemm", domain=MICROSOFT, shape=_q_gemm_shape, treatment=Treatment.MATRIX)
def quantized_gemm(call: Call) -> Step:
    """Quantised Gemm: requantising the sums is elementwise work."""
    parameters = call.weights(0, 3, 6) + call.weights(1, 2, 4, 5, 7, 8, role="vector")
    requantize = call.vector(ELEMENTWISE, call.output_elements())
    return product_step(gemm_product(call, 0, 3), parameters, (requantize,))


def _matmul_integer_to_float_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(2), product(call.shape(0), call.shape(1))),)


@operator(
    "MatMulIntegerToFloat", domain=MICROSOFT, shape=_matmul_integer_to_float_shape, treatment=Treatment.MATRIX
)
def matmul_integer_to_float(call: Call) -> Step:
    """Integer product whose sums become real numbers, with an optional bias."""
    parameters = call.weights(0, 1, 6) + call.weights(2, 3, 4, 5, role="vector")
    convert = call.vector(ELEMENTWISE, call.output_elements())
    return product_step(matrix_product(call), parameters, (convert,))


@operator("DynamicQuantizeMatMul", domain=MICROSOFT, shape=matmul_shape, treatment=Treatment.MATRIX)
def dynamic_quantize_matmul(call: Call) -> Step:
    """The left operand's range is found and it is converted, then multiplied as integers."""
    parameters = call.weights(1, 4) + call.weights(2, 3, role="vector")
    work = (
        call.vector(REDUCTION, call.elements(0)),
        call.vector(ELEMENTWISE, call.elements(0)),
        call.vector(ELEMENTWISE, call.output_elements()),
    )
    return product_step(matrix_product(call), parameters, work)


def _matmul_n_bits_shape(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    depth, columns = call.integer("K", 0), call.integer("N", 0)
    if not shape or shape[-1] != depth or columns < 1:
        raise ShapeConflictError(f"an input of {text(shape)} does not fit weights of {depth}x{columns}")
    return (Info(call.dtype(0), (*shape[:-1], columns)),)


@operator("MatMulNBits", domain=MICROSOFT, shape=_matmul_n_bits_shape, treatment=Treatment.MATRIX)
@operator("MatMulBnb4", domain=MICROSOFT, shape=_matmul_n_bits_shape, treatment=Treatment.MATRIX)
def matmul_n_bits(call: Call) -> Step:
    """Product by weights packed to a few bits, with scales per block of K; converting them is free."""
    shape = call.shape(0, least_rank=1)
    k, n = call.integer("K", shape[-1]), call.integer("N", 0)
    bits = call.integer("bits", 4)
    if min(k, n) < 1 or shape[-1] != k or not 1 <= bits <= 8:
        raise ShapeConflictError(
            f"K={k}, N={n}, bits={bits} do not fit an operand of shape {list(shape)}",
            accepted="K equal to its last extent, a positive N and 1 to 8 bits",
        )
    work = MatrixWork(
        1,
        call.elements(0) // k,
        n,
        k,
        call.constant(1),
        1,
        axis_for(call.batched),
    )
    dtype = _PACKED.get(bits, DType.UINT8)
    stored = call.elements(1) * call.info(1).dtype.bits // dtype.bits
    weights: tuple[WeightRead, ...] = ()
    if call.constant(1):
        weights = (WeightRead(call.info(1).name, "matrix", stored, dtype),)
    parameters = weights + call.weights(2) + call.weights(3, 4, role="vector")
    return product_step(work, parameters + call.weights(5))
